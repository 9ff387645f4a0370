//! Which format and which compression a request gets (RFC 9110, section 12, for what we offer).

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use sigyn_model::pull::media;

use crate::encode::Coding;
use crate::format::Format;

/// Whether this is how a 2017 Loki server asks: it says nothing of formats, and nothing of ours.
pub(crate) fn is_legacy(headers: &HeaderMap) -> bool {
    let ours = |name: &HeaderName| name.as_str().starts_with("sigyn-");
    !headers.contains_key(ACCEPT) && !headers.keys().any(ours)
}

/// The format that a request likes best. `None` if we have nothing it accepts.
///
/// Of equally liked formats, one that is named beats one that a wildcard covers; among the named,
/// the one that we offer first; under a wildcard, Zipkin's JSON, since people read it. No `Accept` at
/// all is read as a wildcard.
pub(crate) fn format(headers: &HeaderMap) -> Option<Format> {
    let ranges = elements(headers, ACCEPT.as_str());
    if !headers.contains_key(ACCEPT) || ranges.iter().all(|range| range.name.is_empty()) {
        return Some(Format::ZipkinJson);
    }
    let liking = |(place, format): (usize, Format)| {
        let best = ranges.iter().filter_map(|range| Some((range.precision(format)?, range.q)));
        // Equally precise ranges: the one that likes it more.
        let (precision, q) = best.max()?;
        let named = precision > Precision::Subtype;
        let for_people = !named && format == Format::ZipkinJson;
        (q > 0).then_some((q, named, for_people, Reverse(place), format))
    };
    let offers = Format::OFFERED.into_iter().enumerate();
    offers.filter_map(liking).max().map(|(.., format)| format)
}

/// How people and programs look at what a process tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    Text,
    Html,
    Json,
}

impl View {
    const OFFERED: [(Self, &str, &str); 3] = [
        (Self::Json, "application", "application/json"),
        (Self::Html, "text", "text/html"),
        (Self::Text, "text", "text/plain"),
    ];
}

/// For those who want something else.
pub(crate) const VIEWS: &str = "this is offered as text/plain, text/html and application/json\n";

/// The view that a request likes best, by the same rules as formats; under a wildcard, and without any wish, text.
/// Parameters make no difference. `None` if none is accepted.
pub(crate) fn view(headers: &HeaderMap) -> Option<View> {
    let ranges = elements(headers, ACCEPT.as_str());
    if ranges.iter().all(|range| range.name.is_empty()) {
        return Some(View::Text);
    }
    let liking = |(place, (view, kind, media_type)): (usize, (View, &str, &str))| {
        let precision = |range: &Element| match range.name.as_str() {
            "*/*" => Some(Precision::Any),
            name if name == media_type => Some(Precision::Type),
            name if name.strip_suffix("/*") == Some(kind) => Some(Precision::Subtype),
            _ => None,
        };
        let best = ranges.iter().filter_map(|range| Some((precision(range)?, range.q)));
        let (precision, q) = best.max()?;
        let named = precision > Precision::Subtype;
        let for_terminals = !named && view == View::Text;
        (q > 0).then_some((q, named, for_terminals, Reverse(place), view))
    };
    View::OFFERED.into_iter().enumerate().filter_map(liking).max().map(|(.., view)| view)
}

/// The compression that a request likes best. `None` if it refuses even none.
pub(crate) fn coding(headers: &HeaderMap) -> Option<Coding> {
    let listed = elements(headers, ACCEPT_ENCODING.as_str());
    let q = |names: &[&str]| {
        listed.iter().find(|coding| names.contains(&coding.name.as_str())).map(|coding| coding.q)
    };
    // A wildcard permits, but nobody who writes `*` means "zstd, please"; it counts when it forbids.
    let identity = q(&["identity"]).or_else(|| q(&["*"]).filter(|q| *q == 0)).unwrap_or(1);
    let offers = [
        (identity, Coding::Identity),
        (q(&["gzip", "x-gzip"]).unwrap_or(0), Coding::Gzip),
        (q(&["zstd"]).unwrap_or(0), Coding::Zstd),
    ];
    let explicit = q(&["identity"]).is_some();
    offers
        .into_iter()
        .filter(|(q, _)| *q > 0)
        // Not mentioned, no compression is a last resort, whatever the q of the others.
        .max_by_key(|(q, coding)| if *coding == Coding::Identity && !explicit { 0 } else { *q })
        .map(|(_, coding)| coding)
}

/// How exactly a media range names a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Any,
    Subtype,
    Type,
    Parameter,
}

/// One element of a list header, with its weight in thousandths.
#[derive(Debug, PartialEq, Eq)]
struct Element {
    name: String,
    parameters: Vec<(String, String)>,
    q: u16,
}

impl Element {
    fn precision(&self, format: Format) -> Option<Precision> {
        let parameter =
            |name: &str| self.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        // A type with a parameter is another format than the type alone.
        let (media_type, said, wanted) = match format {
            Format::Otlp => (media::PROTOBUF, parameter("messagetype"), Some(media::OTLP_MESSAGE)),
            Format::ZipkinProto3 => {
                (media::PROTOBUF, parameter("messagetype"), Some(media::ZIPKIN_PROTO3_MESSAGE))
            }
            Format::ZipkinJson => (media::ZIPKIN_JSON, parameter("profile"), None),
            Format::OtlpJson => {
                (media::ZIPKIN_JSON, parameter("profile"), Some(media::OTLP_PROFILE))
            }
            Format::Thrift | Format::ThriftWithoutHosts => (media::THRIFT, None, None),
        };
        match (self.name.as_str(), said, wanted) {
            ("*/*", ..) => Some(Precision::Any),
            ("application/*", ..) => Some(Precision::Subtype),
            (name, ..) if name != media_type => None,
            (_, Some(said), Some(wanted)) => {
                said.eq_ignore_ascii_case(wanted).then_some(Precision::Parameter)
            }
            (_, None, None) => Some(Precision::Type),
            // Alone, the type of both protobufs means OTLP.
            (_, None, Some(_)) if format == Format::Otlp => Some(Precision::Type),
            _ => None,
        }
    }
}

/// All elements of a list header, lower case. What cannot be read is left out.
fn elements(headers: &HeaderMap, name: &str) -> Vec<Element> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| split(value, ',')).filter_map(element).collect()
}

fn element(text: &str) -> Option<Element> {
    let mut parts = split(text, ';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let mut element = Element { name, parameters: Vec::new(), q: 1000 };
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        if name == "q" {
            element.q = weight(&value)?;
        } else {
            element.parameters.push((name, value));
        }
    }
    Some(element)
}

/// `0.123` as 123.
fn weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Splits where the separator stands outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_format_liked_best_is_chosen() {
        let check = |accept: &[&str], expected: Option<Format>| {
            assert_eq!(format(&headers("accept", accept)), expected, "{accept:?}");
        };
        let otlp = Format::Otlp.content_type();
        let proto3 = "application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\"";
        check(&[], Some(Format::ZipkinJson));
        check(&[""], Some(Format::ZipkinJson));
        check(&["*/*"], Some(Format::ZipkinJson));
        check(&["application/*"], Some(Format::ZipkinJson));
        check(&["text/html, application/xml;q=0.9, */*;q=0.8"], Some(Format::ZipkinJson));
        check(&[otlp], Some(Format::Otlp));
        check(&["application/x-protobuf"], Some(Format::Otlp));
        check(
            &[
                "APPLICATION/X-PROTOBUF;MESSAGETYPE=opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
            ],
            Some(Format::Otlp),
        );
        check(&[&format!("{otlp}, application/json;q=0.1")], Some(Format::Otlp));
        check(&["application/json;q=0.1", otlp], Some(Format::Otlp));
        check(&[&format!("{otlp};q=0.1, application/json")], Some(Format::ZipkinJson));
        check(&["application/json, application/x-protobuf"], Some(Format::Otlp));
        check(&["application/x-protobuf;q=0.5, */*;q=0.5"], Some(Format::Otlp));
        check(&["application/json, */*"], Some(Format::ZipkinJson));
        check(&["application/json;q=0, */*"], Some(Format::Otlp));
        check(&["*/*, application/*;q=0.5"], Some(Format::ZipkinJson));
        check(&["application/x-protobuf;q=0, */*;q=0.1"], Some(Format::ZipkinJson));
        check(&[&format!("{proto3}, application/json;q=0.5")], Some(Format::ZipkinProto3));
        check(&[proto3], Some(Format::ZipkinProto3));
        check(
            &["application/x-protobuf;messagetype=ZIPKIN.proto3.ListOfSpans"],
            Some(Format::ZipkinProto3),
        );
        check(&[&format!("{proto3}, {otlp}")], Some(Format::Otlp));
        check(&[&format!("{proto3}, application/x-protobuf")], Some(Format::Otlp));
        check(&[&format!("{otlp};q=0, {proto3};q=0.1, */*;q=0.1")], Some(Format::ZipkinProto3));
        check(&[&format!("{otlp};q=0, application/json;q=0, */*")], Some(Format::ZipkinProto3));
        check(&["application/x-protobuf; messageType=\"other\""], None);
        let otlp_json = "application/json; profile=\"otlp\"";
        check(&[otlp_json], Some(Format::OtlpJson));
        check(&["application/json;profile=otlp"], Some(Format::OtlpJson));
        check(&[&format!("{otlp_json}, application/x-protobuf;q=0.1")], Some(Format::OtlpJson));
        check(&[&format!("{otlp_json}, application/json")], Some(Format::ZipkinJson));
        check(&["application/json; profile=\"other\""], None);
        let thrift = "application/vnd.apache.thrift.compact";
        check(&[thrift], Some(Format::Thrift));
        check(&[thrift, "*/*"], Some(Format::Thrift));
        check(&[thrift, proto3], Some(Format::ZipkinProto3));
        check(&["application/x-thrift"], None);
        check(&["text/html"], None);
        check(&["*/*;q=0"], None);
        check(&["text/plain; charset=\"a,application/json\""], None);
    }

    #[test]
    fn the_view_liked_best_is_chosen() {
        let check = |accept: &[&str], expected: Option<View>| {
            assert_eq!(view(&headers("accept", accept)), expected, "{accept:?}");
        };
        check(&[], Some(View::Text));
        check(&[""], Some(View::Text));
        check(&["*/*"], Some(View::Text));
        check(&["text/*"], Some(View::Text));
        check(&["application/*"], Some(View::Json));
        check(&["TEXT/HTML"], Some(View::Html));
        check(
            &["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"],
            Some(View::Html),
        );
        check(&["application/json"], Some(View::Json));
        check(&["application/json; charset=utf-8"], Some(View::Json));
        check(&["application/json, text/plain, */*"], Some(View::Json));
        check(&["application/json;q=0.5, text/html;q=0.9"], Some(View::Html));
        check(&["text/html;q=0.5", "application/json;q=0.9"], Some(View::Json));
        check(&["text/html;q=0, */*"], Some(View::Text));
        check(&["text/html;q=0, text/plain;q=0, */*"], Some(View::Json));
        check(&["text/*;q=0.1, text/html;q=0.9, text/plain;q=0"], Some(View::Html));
        check(&["text/html, text/plain"], Some(View::Html));
        // What only looks like one of them.
        check(&["application/vnd.api+json"], None);
        check(&["text/html5"], None);
        check(&["application/json;q=0"], None);
        check(&["*/*;q=0"], None);
        check(&["image/png"], None);
    }

    #[test]
    fn a_legacy_scraper_says_nothing_of_formats_and_nothing_of_ours() {
        let check = |names: &[&'static str], expected: bool| {
            let named =
                names.iter().map(|name| (HeaderName::from_static(name), "1".parse().unwrap()));
            assert_eq!(is_legacy(&named.collect()), expected, "{names:?}");
        };
        check(&[], true);
        check(&["host", "user-agent", "accept-encoding"], true);
        check(&["x-prometheus-scrape-timeout-seconds"], true);
        check(&["accept"], false);
        check(&["sigyn-scraper"], false);
        check(&["sigyn-something-new"], false);
    }

    #[test]
    fn zstd_comes_before_gzip_before_none() {
        let check = |accept: &[&str], expected: Option<Coding>| {
            assert_eq!(coding(&headers("accept-encoding", accept)), expected, "{accept:?}");
        };
        check(&[], Some(Coding::Identity));
        check(&["*"], Some(Coding::Identity));
        check(&["br, deflate"], Some(Coding::Identity));
        check(&["gzip"], Some(Coding::Gzip));
        check(&["x-gzip"], Some(Coding::Gzip));
        check(&["gzip, zstd"], Some(Coding::Zstd));
        check(&["gzip", "ZSTD"], Some(Coding::Zstd));
        check(&["gzip;q=1, zstd;q=0.5"], Some(Coding::Gzip));
        check(&["gzip;q=0.5, zstd;q=0"], Some(Coding::Gzip));
        check(&["gzip;q=0.5"], Some(Coding::Gzip));
        check(&["gzip;q=0.5, identity"], Some(Coding::Identity));
        check(&["identity;q=0, gzip"], Some(Coding::Gzip));
        check(&["*;q=0, zstd"], Some(Coding::Zstd));
        check(&["identity;q=0"], None);
        check(&["*;q=0"], None);
    }

    #[test]
    fn weights_are_thousandths() {
        let check = |text: &str, expected: Option<u16>| {
            assert_eq!(weight(text), expected, "{text}");
        };
        check("1", Some(1000));
        check("1.000", Some(1000));
        check("0.1", Some(100));
        check("0.123", Some(123));
        check("0", Some(0));
        check("0.", Some(0));
        for bad in ["", "2", "1.1", "0.1234", "-1", "0.+1", "x"] {
            check(bad, None);
        }
    }
}
