//! Every reader of spans against one that others wrote: the same spans, or both refuse. Beside them configurations and rules,
//! which are read, told and read again.
//!
//! An oracle takes bytes apart with somebody else's parser (prost, serde_json, the `thrift` crate) and
//! maps what it finds to spans on its own. Where our rules are deliberately wider or narrower than that
//! parser's, or where a format leaves a case open, the oracle says so and the body is only read, not compared.

mod discovery;
mod jaeger;
mod json;
mod memory;
mod otlp;
mod otlp_json;
mod proto;
mod tags;
mod thrift;
mod v1;
mod zipkin_proto3;

use sigyn_model::Span;
use sigyn_model::codec::{Decoded, Format, Limits, decode};

pub use self::discovery::{check_config, check_relabelling};
use self::thrift::Protocol;

/// What somebody else makes of a body.
struct Theirs {
    spans: Vec<Span>,
    /// Spans that are refused alone.
    problems: usize,
}

/// Why an oracle gives no spans.
#[derive(Debug)]
enum Trouble {
    /// The body has to be refused.
    Bad(String),
    /// Others may read it otherwise, and nothing says who is right.
    Unclear,
}

/// What we say of a number that has no room where it stands.
const WRAPPED: [&str; 2] = ["where a smaller number belongs", "a varint of more than 64 bits"];

/// Reads a body both ways. Panics where they disagree, and where spans take more than they may.
pub fn check(format: Format, body: &[u8]) {
    check_memory(format, body);
    let ours = decode(format, body, Limits::default());
    let theirs = match format {
        Format::OtlpProto => otlp::read(body),
        Format::ZipkinProto3 => zipkin_proto3::read(body),
        Format::ZipkinJsonV2 => json::read_v2(body),
        Format::ZipkinJsonV1 => v1::read_json(body),
        Format::ZipkinThrift => v1::read_thrift(Protocol::Binary, body),
        Format::ZipkinThriftCompact => v1::read_thrift(Protocol::Compact, body),
        Format::OtlpJson => otlp_json::read(body),
        Format::JaegerProto => jaeger::read_proto(body),
        Format::JaegerThrift => jaeger::read_thrift(Protocol::Binary, body),
        Format::JaegerThriftCompact => jaeger::read_thrift(Protocol::Compact, body),
        _ => Err(Trouble::Unclear),
    };
    let unclear = matches!(theirs, Err(Trouble::Unclear));
    match (ours, theirs) {
        _ if unclear => {}
        // The `thrift` crate wraps numbers that have no room where they stand.
        (Err(ours), Ok(_)) if WRAPPED.iter().any(|text| ours.message.contains(text)) => {}
        (Ok(ours), Ok(theirs)) => compare(format, &ours, &theirs),
        (Err(_), Err(_)) => {}
        (Ok(ours), Err(Trouble::Bad(why))) => panic!("{format:?}: read as {ours:?}, but: {why}"),
        (Ok(_), Err(Trouble::Unclear)) => {}
        (Err(ours), Ok(theirs)) => panic!("{format:?}: {ours}, but holds {:?}", theirs.spans),
    }
}

/// Whatever is read within a limit holds no more than that; what a reader says in its own words beside the
/// body's, as the names of attributes, may be as much again.
fn check_memory(format: Format, body: &[u8]) {
    let bytes_max = 4_096 + 8 * body.len();
    if let Ok(decoded) = decode(format, body, Limits { bytes_max }) {
        let held = memory::held(&decoded);
        assert!(held <= 2 * bytes_max, "{format:?}: {held} bytes of {}", body.len());
    }
}

fn compare(format: Format, ours: &Decoded, theirs: &Theirs) {
    let ours_plain: Vec<Span> =
        ours.spans.iter().cloned().map(|span| plain(format, span)).collect();
    let theirs_plain: Vec<Span> =
        theirs.spans.iter().cloned().map(|span| plain(format, span)).collect();
    // NaN is not equal to itself, but looks like itself.
    if ours_plain != theirs_plain {
        let (ours, theirs) = (format!("{ours_plain:#?}"), format!("{theirs_plain:#?}"));
        let mut lines = ours.lines().zip(theirs.lines()).enumerate();
        let at = lines.find(|(_, (ours, theirs))| ours != theirs);
        assert!(
            at.is_none() && ours.len() == theirs.len(),
            "{format:?}: {at:?}\nours {ours}\ntheirs {theirs}"
        );
    }
    assert_eq!(ours.rejected, theirs.problems, "{format:?}: {:?}", ours.problems);
}

/// What is compared of a span: all of it, but for what formats beyond Zipkin's only hint at.
fn plain(format: Format, mut span: Span) -> Span {
    match format {
        Format::OtlpProto
        | Format::OtlpJson
        | Format::JaegerProto
        | Format::JaegerThrift
        | Format::JaegerThriftCompact => span.remote_endpoint = None,
        _ => {}
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_alike() {
        let formats = [
            ("otlp_proto", Format::OtlpProto),
            ("otlp_json", Format::OtlpJson),
            ("zipkin_proto3", Format::ZipkinProto3),
            ("zipkin_json_v2", Format::ZipkinJsonV2),
            ("zipkin_json_v1", Format::ZipkinJsonV1),
            ("zipkin_thrift", Format::ZipkinThrift),
            ("zipkin_thrift_compact", Format::ZipkinThriftCompact),
            ("jaeger_proto", Format::JaegerProto),
            ("jaeger_thrift", Format::JaegerThrift),
            ("jaeger_thrift_compact", Format::JaegerThriftCompact),
        ];
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        for (name, format) in formats {
            for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
                check(format, &std::fs::read(seed.unwrap().path()).unwrap());
            }
        }
        let others: [(&str, fn(&[u8])); 2] =
            [("prometheus_config", check_config), ("relabelling", check_relabelling)];
        for (name, check) in others {
            for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
                check(&std::fs::read(seed.unwrap().path()).unwrap());
            }
        }
    }
}
