//! Contexts from callers to those who are called: every form in, beside every other, and every form out.
//!
//! `docs/formats/propagation.md` has the table, and this makes its rows.

use http::{HeaderMap, HeaderName, HeaderValue};
use sigyn_recorder::propagation::{self, Format};
use sigyn_recorder::{Context, Options, Recorder};

const DOCUMENT: &str = include_str!("../../../../docs/formats/propagation.md");

/// What the letters of the table stand for.
const NAMES: [(&str, &str); 6] = [
    ("00000000000000004bf92f3577b34da6", "0t"),
    ("80f198ee56343ba864fe8b2a57d3eff7", "T"),
    ("11111111111111112222222222222222", "U"),
    ("4bf92f3577b34da6", "t"),
    ("e457b5a2e4d86bd1", "S"),
    ("05e3ac9a4f6e3b90", "P"),
];

/// A request's headers, by the letters of the table.
const IN: [&[&str]; 40] = [
    &[],
    &["b3: T-S-1"],
    &["b3: T-S-0"],
    &["b3: T-S-d"],
    &["b3: T-S"],
    &["b3: T-S-1-P"],
    &["b3: t-S-1"],
    &["b3: 0"],
    &["b3: 1"],
    &["b3: d"],
    &["b3: T-S-x"],
    &["X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-Sampled: 1"],
    &["X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-Sampled: 0"],
    &["X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-Flags: 1"],
    &["X-B3-TraceId: T", "X-B3-SpanId: S"],
    &["X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-ParentSpanId: P", "X-B3-Sampled: 1"],
    &["X-B3-TraceId: t", "X-B3-SpanId: S", "X-B3-Sampled: 1"],
    &["X-B3-Sampled: 0"],
    &["X-B3-Flags: 1"],
    &["X-B3-TraceId: T", "X-B3-Sampled: 1"],
    &["traceparent: 00-T-S-01"],
    &["traceparent: 00-T-S-00"],
    &["traceparent: 00-0t-S-01"],
    &["traceparent: cc-T-S-01-more"],
    &["traceparent: ff-T-S-01"],
    &["traceparent: 00-t-S-01"],
    &["traceparent: 00-T-S-01", "tracestate: ot=th:8,a=1"],
    &["traceparent: 00-T-S-00", "tracestate: ot=th:8,a=1"],
    &["tracestate: a=1"],
    &["b3: T-S-1", "traceparent: 00-T-P-00", "tracestate: a=1"],
    &["b3: T-S-1", "traceparent: 00-U-P-00", "tracestate: a=1"],
    &["b3: T-S-1", "X-B3-TraceId: U", "X-B3-SpanId: P", "X-B3-Sampled: 0"],
    &["X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-Sampled: 1", "traceparent: 00-U-P-00"],
    &["b3: x", "X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-Sampled: 0"],
    &["b3: x", "traceparent: 00-T-S-01", "tracestate: a=1"],
    &["b3: T-S-1", "traceparent: x", "tracestate: a=1"],
    &["b3: 0", "traceparent: 00-T-S-01", "tracestate: a=1"],
    &["b3: d", "X-B3-TraceId: T", "X-B3-SpanId: S", "X-B3-Sampled: 0"],
    &["b3: x", "X-B3-TraceId: T", "traceparent: x"],
    &["b3: 0", "X-B3-Flags: 1"],
];

fn spelled(line: &str) -> String {
    // Letters stand alone: between signs that are neither letters nor digits.
    let is_letter = |sign: char| sign.is_ascii_alphanumeric();
    let mut out = String::new();
    let mut word = String::new();
    for sign in line.chars().chain(['\n']) {
        if is_letter(sign) {
            word.push(sign);
            continue;
        }
        let known = NAMES.iter().find(|(_, name)| *name == word);
        out.push_str(known.map_or(word.as_str(), |(id, _)| id));
        word.clear();
        out.push(sign);
    }
    out.trim_end().to_owned()
}

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(&spelled(value)).unwrap());
    }
    headers
}

/// A text with ids, by the letters of the table; `N` is the new span, `R` a new trace.
fn lettered(text: &str, context: &Context) -> String {
    let mut text = text.to_owned();
    for (id, name) in NAMES {
        text = text.replace(id, name);
    }
    let (trace, span) = (context.trace_id.to_string(), context.span_id.unwrap().to_string());
    text.replace(&trace, "R").replace(&span, "N")
}

fn out(context: &Context, format: Format) -> String {
    let mut headers = HeaderMap::new();
    propagation::inject_as(context, &[format], &mut headers);
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let parts = match format {
        Format::B3Single => vec![value("b3")],
        Format::B3Multi => {
            let named = |name: &str, short: &str| Some(format!("{short} {}", value(name)?));
            vec![
                value("x-b3-traceid"),
                value("x-b3-spanid"),
                named("x-b3-parentspanid", "parent"),
                named("x-b3-sampled", "sampled"),
                named("x-b3-flags", "flags"),
            ]
        }
        Format::W3c => vec![value("traceparent"), value("tracestate")],
        other => unreachable!("{other:?} is not in the table"),
    };
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    lettered(&parts.join(", "), context)
}

fn row(lines: &[&str]) -> String {
    let recorder = Recorder::new(Options::default());
    let caller = recorder.extract(&headers(lines));
    let span = recorder.start("served", None, caller.as_ref());
    let context = span.context();
    let said =
        if lines.is_empty() { "nothing".to_owned() } else { format!("`{}`", lines.join("`, `")) };
    let outs = [Format::B3Single, Format::B3Multi, Format::W3c].map(|format| out(context, format));
    let invalid = recorder.stats().activity.invalid_contexts;
    format!("| {said} | `{}` | `{}` | `{}` | {invalid} |", outs[0], outs[1], outs[2])
}

#[test]
fn the_table_of_the_document_is_what_happens() {
    let rows: Vec<String> = IN.iter().map(|lines| row(lines)).collect();
    let told: Vec<&str> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "<!-- the matrix -->")
        .skip(3)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(told, rows, "\n{}\n", rows.join("\n"));
}

/// One form of a request, and what it says by the specification.
#[derive(Clone, Copy, Debug)]
struct Form {
    lines: &'static [&'static str],
    says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    Invalid,
    /// A decision alone.
    Decision(Decision),
    /// Trace, span, and maybe a decision.
    Ids(&'static str, &'static str, Option<Decision>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Yes,
    No,
    Debug,
}

use Decision::{Debug as D, No, Yes};
use Says::{Ids, Invalid, Nothing};

const SINGLE: [Form; 11] = [
    Form { lines: &[], says: Nothing },
    Form { lines: &["b3: T-S-1"], says: Ids("T", "S", Some(Yes)) },
    Form { lines: &["b3: T-S-0"], says: Ids("T", "S", Some(No)) },
    Form { lines: &["b3: T-S-d"], says: Ids("T", "S", Some(D)) },
    Form { lines: &["b3: T-S"], says: Ids("T", "S", None) },
    Form { lines: &["b3: t-S-1"], says: Ids("t", "S", Some(Yes)) },
    Form { lines: &["b3: 0"], says: Says::Decision(No) },
    Form { lines: &["b3: 1"], says: Says::Decision(Yes) },
    Form { lines: &["b3: d"], says: Says::Decision(D) },
    Form { lines: &["b3: x"], says: Invalid },
    Form { lines: &["b3: T-0-1"], says: Invalid },
];

const MULTI: [Form; 10] = [
    Form { lines: &[], says: Nothing },
    Form {
        lines: &["X-B3-TraceId: U", "X-B3-SpanId: P", "X-B3-Sampled: 1"],
        says: Ids("U", "P", Some(Yes)),
    },
    Form {
        lines: &["X-B3-TraceId: U", "X-B3-SpanId: P", "X-B3-Sampled: 0"],
        says: Ids("U", "P", Some(No)),
    },
    Form {
        lines: &["X-B3-TraceId: U", "X-B3-SpanId: P", "X-B3-Flags: 1"],
        says: Ids("U", "P", Some(D)),
    },
    Form { lines: &["X-B3-TraceId: U", "X-B3-SpanId: P"], says: Ids("U", "P", None) },
    Form { lines: &["X-B3-TraceId: t", "X-B3-SpanId: P"], says: Ids("t", "P", None) },
    Form { lines: &["X-B3-Sampled: 0"], says: Says::Decision(No) },
    Form { lines: &["X-B3-Flags: 1"], says: Says::Decision(D) },
    Form { lines: &["X-B3-SpanId: P"], says: Invalid },
    Form { lines: &["X-B3-TraceId: U", "X-B3-SpanId: P", "X-B3-Sampled: x"], says: Invalid },
];

const W3C: [Form; 7] = [
    Form { lines: &[], says: Nothing },
    Form { lines: &["traceparent: 00-T-P-01", "tracestate: a=1"], says: Ids("T", "P", Some(Yes)) },
    Form { lines: &["traceparent: 00-U-S-00", "tracestate: a=1"], says: Ids("U", "S", Some(No)) },
    Form { lines: &["traceparent: 00-0t-S-01", "tracestate: a=1"], says: Ids("t", "S", Some(Yes)) },
    Form { lines: &["traceparent: 00-U-S-01"], says: Ids("U", "S", Some(Yes)) },
    Form { lines: &["traceparent: 00-t-S-01", "tracestate: a=1"], says: Invalid },
    Form { lines: &["tracestate: a=1"], says: Nothing },
];

fn id_of(letter: &str) -> String {
    spelled(letter)
}

/// What the specification says of three forms at once, in its own order.
fn expected(forms: [Form; 3]) -> (Option<(String, String)>, Option<Decision>, bool, u64) {
    let invalid = forms.iter().filter(|form| form.says == Invalid).count() as u64;
    let first = forms.iter().find_map(|form| match form.says {
        Ids(trace, span, decision) => Some((trace, span, decision)),
        _ => None,
    });
    // A decision alone counts if it stands before the ids.
    let before = forms.iter().take_while(|form| !matches!(form.says, Ids(..)));
    let alone = before.into_iter().find_map(|form| match form.says {
        Says::Decision(decision) => Some(decision),
        _ => None,
    });
    let decision = alone.or(first.and_then(|(_, _, decision)| decision));
    let keeps_state = match (first, forms[2].says) {
        (Some((trace, ..)), Ids(of, ..)) => {
            trace == of && forms[2].lines.iter().any(|line| line.starts_with("tracestate"))
        }
        _ => false,
    };
    let ids = first.map(|(trace, span, _)| (id_of(trace), id_of(span)));
    (ids, decision, keeps_state, invalid)
}

#[test]
fn any_three_forms_at_once_say_what_the_specification_says() {
    for single in SINGLE {
        for multi in MULTI {
            for w3c in W3C {
                let lines = [single.lines, multi.lines, w3c.lines].concat();
                let extracted = propagation::read(&headers(&lines));
                let (ids, decision, keeps_state, invalid) = expected([single, multi, w3c]);
                assert_eq!(u64::from(extracted.invalid), invalid, "{lines:?}");
                let Some(context) = extracted.context else {
                    assert_eq!((ids, decision), (None, None), "{lines:?}");
                    continue;
                };
                let found =
                    context.span_id.map(|span| (context.trace_id.to_string(), span.to_string()));
                assert_eq!(found, ids, "{lines:?}");
                let said = (context.sampled, context.debug);
                let wanted = match decision {
                    None => (None, false),
                    Some(Yes) => (Some(true), false),
                    Some(No) => (Some(false), false),
                    Some(D) => (Some(true), true),
                };
                assert_eq!(said, wanted, "{lines:?}");
                assert_eq!(context.trace_state, if keeps_state { "a=1" } else { "" }, "{lines:?}");
                passes_on(&context, &lines);
            }
        }
    }
}

/// Whatever is sent is read again as the same, but for what a form has no words for.
fn passes_on(caller: &Context, lines: &[&str]) {
    let recorder = Recorder::new(Options::default());
    let span = recorder.start("served", None, Some(caller));
    let sent = span.context();
    for format in [Format::B3Single, Format::B3Multi, Format::W3c] {
        let mut headers = HeaderMap::new();
        propagation::inject_as(sent, &[format], &mut headers);
        let received = propagation::read(&headers);
        assert_eq!(received.invalid, 0, "{lines:?}");
        let expected = match format {
            Format::W3c => Context { debug: false, parent_id: None, ..sent.clone() },
            _ => Context { trace_state: String::new(), ..sent.clone() },
        };
        assert_eq!(received.context, Some(expected), "{lines:?} {format:?}");
    }
}
