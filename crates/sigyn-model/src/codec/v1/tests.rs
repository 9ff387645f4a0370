//! Each v1 span with the v2 spans that are in it, through JSON and both protocols of thrift.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::codec::thrift::{Protocol, Type, Writer};
use crate::codec::{Format, Limits, decode, zipkin_thrift};
use crate::{Endpoint, Kind, Span, arbitrary};

/// A host in a word: `name(address:port)`; what is in parentheses may be missing, wholly or in part.
fn host(word: &str) -> Endpoint {
    let (name, address) = word.trim_end_matches(')').split_once('(').unwrap_or((word, ""));
    let (ip, port) = address.split_once(':').unwrap_or((address, "0"));
    let mut host = Endpoint { service_name: name.to_owned(), ..Endpoint::default() };
    host.set_ip_text(ip);
    host.port = port.parse().unwrap();
    host
}

/// A v1 span in a line: `value@time:host` are annotations, `key=value:host` tags, `key>host` what is
/// true of a host, `key#number:host` numbers. Hosts may be missing. `ts` and `dur` are its own times.
#[derive(Debug, Default)]
struct Sketch {
    timestamp: i64,
    duration: i64,
    annotations: Vec<(i64, String, Option<Endpoint>)>,
    binary: Vec<Binary>,
}

/// What v1 calls a binary annotation.
#[derive(Debug)]
struct Binary {
    key: String,
    json: String,
    /// Its value as thrift has it, and of which type it is.
    bytes: Vec<u8>,
    kind: i32,
    host: Option<Endpoint>,
}

impl Sketch {
    fn new(line: &str) -> Self {
        let mut sketch = Self::default();
        let split = |rest: &str| match rest.split_once(':') {
            Some((value, word)) => (value.to_owned(), Some(host(word))),
            None => (rest.to_owned(), None),
        };
        for word in line.split_whitespace() {
            let mark = word.find(['@', '=', '>', '#']).unwrap();
            let (key, rest) = (&word[..mark], &word[mark + 1..]);
            match &word[mark..=mark] {
                "@" => {
                    let (us, host) = split(rest);
                    sketch.annotations.push((us.parse().unwrap(), key.to_owned(), host));
                }
                "=" if key == "ts" => sketch.timestamp = rest.parse().unwrap(),
                "=" if key == "dur" => sketch.duration = rest.parse().unwrap(),
                "=" => {
                    let (value, host) = split(rest);
                    let json = format!("\"{value}\"");
                    sketch.put(key, json, value.into_bytes(), 6, host);
                }
                ">" => {
                    let host = (!rest.is_empty()).then(|| host(rest));
                    sketch.put(key, "true".to_owned(), vec![1], 0, host);
                }
                _ => {
                    let (value, host) = split(rest);
                    let bytes = value.parse::<i32>().unwrap().to_be_bytes().to_vec();
                    sketch.put(key, value, bytes, 3, host);
                }
            }
        }
        sketch
    }

    fn put(&mut self, key: &str, json: String, bytes: Vec<u8>, kind: i32, host: Option<Endpoint>) {
        self.binary.push(Binary { key: key.to_owned(), json, bytes, kind, host });
    }

    fn json(&self) -> String {
        let endpoint = |host: &Option<Endpoint>| {
            host.as_ref().map_or(String::new(), |host| {
                let ip = host.ipv4.map_or("null".to_owned(), |ip| format!("\"{ip}\""));
                format!(
                    r#","endpoint":{{"serviceName":"{}","ipv4":{ip},"port":{}}}"#,
                    host.service_name, host.port,
                )
            })
        };
        let annotations = self.annotations.iter().map(|(us, value, host)| {
            format!(r#"{{"timestamp":{us},"value":"{value}"{}}}"#, endpoint(host))
        });
        let binary = self.binary.iter().map(|Binary { key, json, host, .. }| {
            format!(r#"{{"key":"{key}","value":{json}{}}}"#, endpoint(host))
        });
        format!(
            r#"[{{"traceId":"1","id":"2","timestamp":{},"duration":{},"annotations":[{}],"binaryAnnotations":[{}]}}]"#,
            self.timestamp,
            self.duration,
            annotations.collect::<Vec<_>>().join(","),
            binary.collect::<Vec<_>>().join(","),
        )
    }

    fn thrift(&self, protocol: Protocol) -> Vec<u8> {
        let endpoint = |writer: &mut Writer, number: i16, host: &Option<Endpoint>| {
            let Some(host) = host else { return };
            writer.struct_field(number, |writer| {
                writer.i32_field(1, host.ipv4.map_or(0, |ip| ip.to_bits().cast_signed()));
                writer.i16_field(2, host.port.cast_signed());
                writer.bytes_field(3, host.service_name.as_bytes());
            });
        };
        let mut writer = Writer::new(protocol);
        writer.list(Type::Struct, 1, |writer| {
            writer.structure(|writer| {
                writer.i64_field(1, 1);
                writer.i64_field(4, 2);
                writer.list_field(6, Type::Struct, self.annotations.len(), |writer| {
                    for (us, value, host) in &self.annotations {
                        writer.structure(|writer| {
                            writer.i64_field(1, *us);
                            writer.bytes_field(2, value.as_bytes());
                            endpoint(writer, 3, host);
                        });
                    }
                });
                writer.list_field(8, Type::Struct, self.binary.len(), |writer| {
                    for Binary { key, bytes, kind, host, .. } in &self.binary {
                        writer.structure(|writer| {
                            writer.bytes_field(1, key.as_bytes());
                            writer.bytes_field(2, bytes);
                            writer.i32_field(3, *kind);
                            endpoint(writer, 4, host);
                        });
                    }
                });
                writer.i64_field(10, self.timestamp);
                writer.i64_field(11, self.duration);
            });
        });
        writer.into_bytes()
    }
}

/// A v2 span in a line: `kind/timestamp/duration/local/remote`, then tags, annotations and flags.
fn line(span: &Span) -> String {
    let endpoint = |endpoint: &Option<Endpoint>| {
        let Some(Endpoint { service_name, ipv4, port, .. }) = endpoint else {
            return "-".to_owned();
        };
        let ip = ipv4.map(|ip| ip.to_string()).unwrap_or_default();
        let port = if *port == 0 { String::new() } else { format!(":{port}") };
        let address = ip + &port;
        let address = if address.is_empty() { address } else { format!("({address})") };
        service_name.clone() + &address
    };
    let or_none = |us: Option<u64>| us.map_or("-".to_owned(), |us| us.to_string());
    let mut out = format!(
        "{}/{}/{}/{}/{}",
        span.kind.map_or("-", Kind::as_str),
        or_none(span.timestamp.map(|t| t.micros())),
        or_none(span.duration_us()),
        endpoint(&span.local_endpoint),
        endpoint(&span.remote_endpoint),
    );
    for (key, value) in &span.tags {
        let _ = write!(out, " {key}={}", value.text());
    }
    for annotation in &span.annotations {
        let _ = write!(out, " {}@{}", annotation.value, annotation.timestamp.micros());
    }
    if span.shared {
        out.push_str(" shared");
    }
    out
}

fn read(format: Format, body: &[u8]) -> Vec<Span> {
    decode(format, body, Limits::default()).unwrap().spans
}

fn check(v1: &str, v2: &[&str]) {
    let sketch = Sketch::new(v1);
    for (format, body) in [
        (Format::ZipkinJsonV1, sketch.json().into_bytes()),
        (Format::ZipkinThrift, sketch.thrift(Protocol::Binary)),
        (Format::ZipkinThriftCompact, sketch.thrift(Protocol::Compact)),
    ] {
        let spans = read(format, &body);
        assert_eq!(spans.iter().map(line).collect::<Vec<_>>(), v2, "{format:?} {v1}");
        for span in spans {
            assert_eq!((span.trace_id.as_u128(), span.id.as_u64()), (1, 2));
        }
    }
}

#[test]
fn a_call_is_seen_from_its_side() {
    check("sr@10:b ss@15:b", &["SERVER/10/5/b/- shared"]);
    check("sr@10:b ss@15:b ts=10 dur=5", &["SERVER/10/5/b/-"]);
    check("sr@10:b ss@15:b ts=9", &["SERVER/10/5/b/- shared"]);
    check("sr@10:b ss@15:b ts=9 dur=7", &["SERVER/9/7/b/-"]);
    check("cs@10:a cr@15:a", &["CLIENT/10/5/a/-"]);
    check("cs@10:a cr@15:a ts=9 dur=7", &["CLIENT/9/7/a/-"]);
    check("cs@10:a cr@15:a ts=9", &["CLIENT/10/5/a/-"]);
    check("cr@15:a ts=10 dur=5", &["CLIENT/10/5/a/-"]);
    check("ss@15:b ts=10 dur=5", &["SERVER/10/5/b/-"]);
    // In what order they come makes no difference, and neither does the letter case of names.
    check("cr@15:A cs@10:a", &["CLIENT/10/5/a/-"]);
    // A clock that went back.
    check("cs@15:a cr@10:a", &["CLIENT/15/-/a/-"]);
}

#[test]
fn half_a_call_keeps_what_is_known() {
    check("cs@10:a", &["CLIENT/10/-/a/-"]);
    check("cs@10:a ts=10", &["CLIENT/10/-/a/-"]);
    check("cr@15:a", &["CLIENT/-/-/a/- cr@15"]);
    check("cr@15:a ts=10", &["CLIENT/10/-/a/- cr@15"]);
    check("cr@15:a ts=10 dur=4", &["CLIENT/10/4/a/- cr@15"]);
    check("sr@10:b", &["SERVER/10/-/b/- shared"]);
    check("sr@10:b ts=10", &["SERVER/10/-/b/-"]);
    check("ss@15:b", &["SERVER/-/-/b/- ss@15"]);
    check("cs@10:a ss@15:b", &["CLIENT/10/-/a/-", "SERVER/-/-/b/- ss@15"]);
    check("cs@10:a cr@20:a ss@15:b", &["CLIENT/10/10/a/-", "SERVER/-/-/b/- ss@15"]);
    check("sr@10:b ss@15:b cr@20:a", &["SERVER/10/5/b/- shared", "CLIENT/-/-/a/- cr@20"]);
}

#[test]
fn both_sides_of_a_call_are_two_spans() {
    check(
        "cs@10:a cr@20:a sr@12:b ss@18:b ts=10 dur=10 sa>b(1.2.3.4) ca>b(:9) k=v:b num#5:b error>b",
        &["CLIENT/10/10/a/b(1.2.3.4)", "SERVER/12/6/b/(:9) k=v shared"],
    );
    check("cs@10:a sr@12:b", &["CLIENT/10/-/a/-", "SERVER/12/-/b/- shared"]);
    check("cs@10:a sr@12:b ts=9 dur=9", &["CLIENT/9/9/a/-", "SERVER/12/-/b/- shared"]);
    check("sr@12:b ss@18:b cs@10:a", &["SERVER/12/6/b/- shared", "CLIENT/10/-/a/-"]);
    // A service that calls itself.
    check(
        "cs@10:a sr@11:a ss@18:a cr@19:a ts=10 dur=9",
        &["CLIENT/10/9/a/-", "SERVER/11/7/a/- shared"],
    );
    check(
        "cs@10:a sr@11:a ss@18:a cr@19:a sa>a(1.2.3.4) ca>c",
        &["CLIENT/10/9/a/a(1.2.3.4)", "SERVER/11/7/a/c shared"],
    );
}

#[test]
fn messages_have_their_own_words() {
    check("ms@10:a", &["PRODUCER/10/-/a/-"]);
    check("ms@10:a ws@12:a ma>kafka", &["PRODUCER/10/2/a/kafka"]);
    check("ms@10:a ws@12:a ts=9 dur=9", &["PRODUCER/9/9/a/-"]);
    check("mr@12:a", &["CONSUMER/12/-/a/-"]);
    check("wr@10:a mr@12:a", &["CONSUMER/10/2/a/-"]);
    check("ms@10:a mr@12:b ma>kafka", &["PRODUCER/10/-/a/kafka", "CONSUMER/12/-/b/kafka shared"]);
    check("ms@10:a ws@11:a wr@12:b mr@15:b", &["PRODUCER/10/1/a/-", "CONSUMER/12/3/b/- shared"]);
    check("ms@10:a mr@12:a ma>k", &["PRODUCER/10/-/a/k", "CONSUMER/12/-/a/k shared"]);
    check("ws@10:a wr@12:a", &["-/-/-/a/- ws@10 wr@12"]);
    check("ws@10:a ts=9", &["-/9/-/a/- ws@10"]);
}

#[test]
fn words_without_a_host_are_words() {
    check("cs@10 foo@11 ts=10", &["-/10/-/-/- cs@10 foo@11"]);
    check("cs@10:() ts=10", &["-/10/-/-/- cs@10"]);
    check("CS@10:a css@11:a c@12:a", &["-/-/-/a/- CS@10 css@11 c@12"]);
    check("foo@0:a bar@5:b", &["-/-/-/b/- bar@5"]);
}

#[test]
fn each_service_gets_what_it_said() {
    check(
        "cs@10:a x@12:b y@13:c t=v ts=10",
        &["CLIENT/10/-/a/- t=v", "-/-/-/b/- x@12", "-/-/-/c/- y@13"],
    );
    check("k=v x@10:a", &["-/-/-/a/- k=v x@10"]);
    check("k=v:b l=w:a m=x:B", &["-/-/-/b/- k=v m=x", "-/-/-/a/- l=w"]);
    // The first to come says where it stands.
    check("x@1:a(1.2.3.4:5) y@2:a", &["-/-/-/a(1.2.3.4:5)/- x@1 y@2"]);
    check("x@1:(1.2.3.4) y@2:a", &["-/-/-/(1.2.3.4)/- x@1", "-/-/-/a/- y@2"]);
}

#[test]
fn addresses_say_who_was_at_the_other_end() {
    check("ca>a sa>b ts=10", &["-/10/-/a/b"]);
    check("ca>a ts=10", &["SERVER/10/-/-/a"]);
    check("ca>a x@10:b", &["SERVER/-/-/b/a x@10"]);
    check("sa>b k=v:a ts=10", &["-/10/-/a/b k=v"]);
    check("cs@10:a sa>b", &["CLIENT/10/-/a/b"]);
    check("cr@10:a sa>b", &["CLIENT/-/-/a/b cr@10"]);
    check("cs@10:a ca>a(1.2.3.4)", &["CLIENT/10/-/a/-"]);
    check("sr@10:b ca>a(1.2.3.4) ts=10", &["SERVER/10/-/b/a(1.2.3.4)"]);
    check("ss@10:b ca>a", &["SERVER/-/-/b/a ss@10"]);
    check("sr@10:b(1.2.3.4) ca>b(1.2.3.4) ts=10", &["SERVER/10/-/b(1.2.3.4)/-"]);
    check("sr@10:b(1.2.3.4) ca>b(1.2.3.5:7) ts=10", &["SERVER/10/-/b(1.2.3.4)/(1.2.3.5:7)"]);
    check("sr@10:b(1.2.3.4) ca>b ts=10", &["SERVER/10/-/b(1.2.3.4)/-"]);
    // True of nobody.
    check("sa> ca> ma> ts=10", &["-/10/-/-/-"]);
    check("other>a ts=10", &["-/10/-/-/-"]);
    // Text is a tag under any key.
    check("sa=true:a ca=1 ts=10", &["-/10/-/a/- sa=true ca=1"]);
}

#[test]
fn a_local_component_is_a_host() {
    check("lc=:a ts=10 dur=5", &["-/10/5/a/-"]);
    check("lc=arch:a ts=10 dur=5", &["-/10/5/a/- lc=arch"]);
    check("lc=", &["-/-/-/-/-"]);
}

#[test]
fn numbers_and_other_truths_are_not_kept() {
    check("num#5:a error>a k=v:a", &["-/-/-/a/- k=v"]);
    check("k=1 k=2", &["-/-/-/-/- k=2"]);
    check("ts=-5 dur=-1", &["-/-/-/-/-"]);
    check("ts=0 dur=7", &["-/-/7/-/-"]);
    check("cs@10:a dur=7", &["CLIENT/10/7/a/-"]);
    check("ts=5 dur=0", &["-/5/-/-/-"]);
}

#[test]
fn a_span_of_very_many_services_is_an_attack() {
    let of = |services: usize| {
        let words: Vec<String> = (0..services).map(|i| format!("x@1:s{i}")).collect();
        Sketch::new(&words.join(" ")).json()
    };
    assert_eq!(read(Format::ZipkinJsonV1, of(32).as_bytes()).len(), 32);
    let refused = decode(Format::ZipkinJsonV1, of(33).as_bytes(), Limits::default()).unwrap_err();
    assert_eq!(refused.message, "more than 32 services in one span reading List<Span> from json");
}

/// One name becomes many: each of them takes room.
#[test]
fn the_name_of_all_sides_is_counted_for_each() {
    let annotations: Vec<String> = (0..32)
        .map(|i| format!(r#"{{"timestamp":1,"value":"x","endpoint":{{"serviceName":"s{i}"}}}}"#))
        .collect();
    let list = format!(
        r#"[{{"traceId":"1","id":"2","name":"{}","annotations":[{}]}}]"#,
        "n".repeat(1_000_000),
        annotations.join(",")
    );
    let within = |bytes_max| {
        let limits = Limits { bytes_max };
        decode(Format::ZipkinJsonV1, list.as_bytes(), limits).is_ok()
    };
    assert!(within(40_000_000));
    assert!(!within(30_000_000));
}

#[test]
fn what_is_beyond_ten_thousand_is_counted() {
    let mut sketch = Sketch {
        annotations: (0..10_003).map(|i| (i + 1, format!("a{i}"), None)).collect(),
        ..Sketch::default()
    };
    for i in 0..20_003 {
        sketch.put(&format!("k{i}"), "\"\"".to_owned(), Vec::new(), 6, None);
    }
    let span = read(Format::ZipkinThrift, &sketch.thrift(Protocol::Binary)).remove(0);
    assert_eq!((span.annotations.len(), span.dropped_annotations), (10_000, 3));
    assert_eq!((span.tags.len(), span.dropped_tags), (10_000, 10_003));
}

/// What v1 cannot say of a span, or says otherwise.
fn sayable(mut span: Span) -> Span {
    span.status = crate::Status::default();
    (span.links, span.trace_state, span.scope, span.resource) =
        (Vec::new(), String::new(), None, None);
    (span.dropped_tags, span.dropped_annotations, span.dropped_links) = (0, 0, 0);
    span
}

proptest! {
    /// What was written once is written so again: nothing that v1 can say changes on the way.
    #[test]
    fn what_v1_says_it_says_again(span in arbitrary::span()) {
        prop_assume!(span.id.as_u64() != 0);
        type Encode = fn(&[Span]) -> Vec<u8>;
        let encoders: [(Format, Encode); 2] = [
            (Format::ZipkinThrift, zipkin_thrift::encode_list),
            (Format::ZipkinThriftCompact, zipkin_thrift::encode_list_compact),
        ];
        for (format, encode) in encoders {
            let once = read(format, &encode(std::slice::from_ref(&span)));
            prop_assert_eq!(once.len(), 1);
            let once: Vec<Span> = once.into_iter().map(sayable).collect();
            let twice = read(format, &encode(&once));
            prop_assert_eq!(&once, &twice);
        }
    }

    #[test]
    fn who_was_at_the_other_end_comes_back_without_a_time(kind in arbitrary::kind()) {
        let mut span = arbitrary::sketch("2 - a>b").remove(0);
        span.kind = kind;
        let again = read(Format::ZipkinThrift, &zipkin_thrift::encode_list(&[span])).remove(0);
        prop_assert_eq!(again.remote_service_name(), Some("b"));
        prop_assert_eq!(again.kind, kind.filter(|kind| *kind == Kind::Server));
    }

    #[test]
    fn spans_of_calls_come_back_from_thrift(span in arbitrary::plain_span(), begin in 1..1_000_000u64) {
        let mut span = sayable(span);
        span.timestamp = crate::Timestamp::from_micros(begin);
        span.shared &= span.kind == Some(Kind::Server);
        span.local_endpoint = Some(Endpoint { port: 80, ..Endpoint::named("Local") });
        if span.kind.is_none() {
            span.set_tag("k", "v");
        }
        if let Some(remote) = span.remote_endpoint.as_mut().filter(|_| span.kind == Some(Kind::Server)) {
            remote.service_name = "remote".to_owned();
        }
        for ip in [&mut span.local_endpoint, &mut span.remote_endpoint].into_iter().flatten() {
            // Zero is no address, and neither is what stands for IPv4.
            ip.ipv4 = ip.ipv4.filter(|ip| !ip.is_unspecified());
            ip.ipv6 = ip.ipv6.filter(|ip| ip.segments()[0] != 0);
        }
        let spans = [span];
        prop_assert_eq!(&read(Format::ZipkinThrift, &zipkin_thrift::encode_list(&spans)), &spans);
        let compact = zipkin_thrift::encode_list_compact(&spans);
        prop_assert_eq!(&read(Format::ZipkinThriftCompact, &compact), &spans);
    }
}
