//! Every form of context, alone and beside others, valid and not.

use super::*;

const T128: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const T64: &str = "64fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const PARENT: &str = "05e3ac9a4f6e3b90";

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// A context as one line: `trace-span-state-parent`, `?` where the decision is open.
fn line(context: &Context) -> String {
    let state = match (context.debug, context.sampled) {
        (true, Some(true)) => "d",
        (true, _) => "debug without sampled",
        (false, Some(true)) => "1",
        (false, Some(false)) => "0",
        (false, None) => "?",
    };
    match (context.span_id, context.parent_id) {
        (None, None) => format!("new-{state}"),
        (None, Some(_)) => "a parent without a span".to_owned(),
        (Some(span), None) => format!("{}-{span}-{state}", context.trace_id),
        (Some(span), Some(parent)) => format!("{}-{span}-{state}-{parent}", context.trace_id),
    }
}

#[test]
fn what_comes_in() {
    let check = |lines: &[&str], expected: Option<&str>, invalid: u32| {
        let extracted = read(&headers(lines));
        let found = extracted.context.as_ref().map(line);
        assert_eq!(found.as_deref(), expected, "{lines:?}");
        assert_eq!(extracted.invalid, invalid, "{lines:?}");
    };
    let full = format!("{T128}-{SPAN}-1");
    check(&[], None, 0);

    // b3
    check(&[&format!("b3: {full}")], Some(&full), 0);
    check(&[&format!("b3: {T128}-{SPAN}")], Some(&format!("{T128}-{SPAN}-?")), 0);
    check(&[&format!("b3: {T128}-{SPAN}-0")], Some(&format!("{T128}-{SPAN}-0")), 0);
    check(&[&format!("b3: {T128}-{SPAN}-d")], Some(&format!("{T128}-{SPAN}-d")), 0);
    check(&[&format!("b3: {full}-{PARENT}")], Some(&format!("{full}-{PARENT}")), 0);
    check(&[&format!("b3: {T64}-{SPAN}-1")], Some(&format!("{T64}-{SPAN}-1")), 0);
    check(&[&format!("b3: {}", full.to_uppercase())], Some(&full), 0);
    check(&[&format!("B3:  {full} ")], Some(&full), 0);
    check(&["b3: 0"], Some("new-0"), 0);
    check(&["b3: 1"], Some("new-1"), 0);
    check(&["b3: d"], Some("new-d"), 0);
    for bad in [
        "x",
        "2",
        "-",
        "00000000000000000000000000000000-e457b5a2e4d86bd1-1",
        "64fe8b2a57d3eff7-0000000000000000-1",
        "64fe8b2a57d3eff-e457b5a2e4d86bd1-1",
        "64fe8b2a57d3eff7-e457b5a2e4d86bd-1",
        "64fe8b2a57d3eff7-e457b5a2e4d86bd1-2",
        "64fe8b2a57d3eff7-e457b5a2e4d86bd1-",
        "64fe8b2a57d3eff7-e457b5a2e4d86bd1-1-x",
        "64fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-1",
        "64fe8b2a57d3effg-e457b5a2e4d86bd1-1",
    ] {
        check(&[&format!("b3: {bad}")], None, 1);
    }

    // X-B3-*
    let trace = format!("X-B3-TraceId: {T128}");
    let span = format!("X-B3-SpanId: {SPAN}");
    let multi = |more: &[&str], expected: Option<&str>, invalid: u32| {
        let mut lines = vec![trace.as_str(), span.as_str()];
        lines.extend(more);
        check(&lines, expected, invalid);
    };
    let open = format!("{T128}-{SPAN}-?");
    multi(&[], Some(&open), 0);
    multi(&["X-B3-Sampled: 1"], Some(&full), 0);
    multi(&["X-B3-Sampled: true"], Some(&full), 0);
    multi(&["X-B3-Sampled: 0"], Some(&format!("{T128}-{SPAN}-0")), 0);
    multi(&["X-B3-Sampled: False"], Some(&format!("{T128}-{SPAN}-0")), 0);
    multi(&["X-B3-Flags: 1"], Some(&format!("{T128}-{SPAN}-d")), 0);
    multi(&["X-B3-Flags: 1", "X-B3-Sampled: 0"], Some(&format!("{T128}-{SPAN}-d")), 0);
    multi(&["X-B3-Flags: 0"], Some(&open), 0);
    let with_parent = format!("{full}-{PARENT}");
    multi(&["X-B3-Sampled: 1", &format!("X-B3-ParentSpanId: {PARENT}")], Some(&with_parent), 0);
    multi(&["X-B3-Sampled: x"], None, 1);
    multi(&["X-B3-ParentSpanId: x"], None, 1);
    check(&["X-B3-TraceId: 1", "X-B3-SpanId: 2"], Some("0000000000000001-0000000000000002-?"), 0);
    check(&[&trace], None, 1);
    check(&[&span], None, 1);
    check(&[&trace, "X-B3-SpanId: 0000000000000000"], None, 1);
    check(&[&trace, "X-B3-SpanId: 0"], None, 1);
    check(&["X-B3-Sampled: 0"], Some("new-0"), 0);
    check(&["X-B3-Flags: 1"], Some("new-d"), 0);
    check(&["X-B3-Flags: 0"], None, 0);

    // traceparent
    check(&[&format!("traceparent: 00-{T128}-{SPAN}-01")], Some(&full), 0);
    check(&[&format!("traceparent: 00-{T128}-{SPAN}-00")], Some(&format!("{T128}-{SPAN}-0")), 0);
    check(&[&format!("traceparent: 00-{T128}-{SPAN}-03")], Some(&full), 0);
    check(&[&format!("traceparent: cc-{T128}-{SPAN}-01-later")], Some(&full), 0);
    check(&[&format!("traceparent: cc-{T128}-{SPAN}-01")], Some(&full), 0);
    let padded = format!("0000000000000000{T64}");
    check(&[&format!("traceparent: 00-{padded}-{SPAN}-01")], Some(&format!("{T64}-{SPAN}-1")), 0);
    let zeros = "0".repeat(32);
    for bad in [
        "00",
        &format!("00-{T128}-{SPAN}"),
        &format!("00-{T128}-{SPAN}-01-more"),
        &format!("00-{T128}-{SPAN}-1"),
        &format!("00-{T128}-{SPAN}-0x"),
        &format!("00-{T128}-{SPAN}-+1"),
        &format!("00-{T64}-{SPAN}-01"),
        &format!("00-{zeros}-{SPAN}-01"),
        &format!("00-{T128}-0000000000000000-01"),
        &format!("ff-{T128}-{SPAN}-01"),
        &format!("0X-{T128}-{SPAN}-01"),
        &format!("cc-{T128}-{SPAN}-01later"),
        &format!("00-{}-{SPAN}-01", T128.to_uppercase()),
    ] {
        check(&[&format!("traceparent: {bad}")], None, 1);
    }
    let twice = format!("traceparent: 00-{T128}-{SPAN}-01");
    check(&[&twice, &twice], None, 1);
}

#[test]
fn which_form_wins() {
    let check = |lines: &[&str], expected: &str, state: &str, invalid: u32| {
        let extracted = read(&headers(lines));
        let context = extracted.context.unwrap();
        assert_eq!(line(&context), expected, "{lines:?}");
        assert_eq!(context.trace_state, state, "{lines:?}");
        assert_eq!(extracted.invalid, invalid, "{lines:?}");
    };
    let single = format!("b3: {T128}-{SPAN}-1");
    let multi = ["X-B3-TraceId: 2", "X-B3-SpanId: 3", "X-B3-Sampled: 0"];
    let w3c = format!("traceparent: 00-{T128}-{PARENT}-00");
    let other = format!("traceparent: 00-{T128}0-{PARENT}-00").replace("-80f1", "-0f1");
    let state = "tracestate: a=1";
    let from_single = format!("{T128}-{SPAN}-1");
    let from_multi = "0000000000000002-0000000000000003-0";
    let from_w3c = format!("{T128}-{PARENT}-0");

    check(&[&single, multi[0], multi[1], multi[2], &w3c], &from_single, "", 0);
    check(&[multi[0], multi[1], multi[2], &w3c, state], from_multi, "", 0);
    check(&[&w3c, state], &from_w3c, "a=1", 0);
    // The state of the same trace is kept, that of another is not.
    check(&[&single, &w3c, state], &from_single, "a=1", 0);
    check(&[&single, &other, state], &from_single, "", 0);
    // What is invalid gives way to the next.
    check(&["b3: x", multi[0], multi[1], multi[2]], from_multi, "", 1);
    check(&["b3: x", multi[0], &w3c], &from_w3c, "", 2);
    check(&[&single, "traceparent: x", state], &from_single, "", 1);
    // A decision alone goes with the ids of the next.
    check(&["b3: 1", &w3c, state], &format!("{T128}-{PARENT}-1"), "a=1", 0);
    check(&["b3: d", multi[0], multi[1], multi[2]], "0000000000000002-0000000000000003-d", "", 0);
    check(&["b3: 0", "X-B3-Flags: 1"], "new-0", "", 0);
}

#[test]
fn tracestate_is_kept_whole_or_not_at_all() {
    let check = |states: &[&str], expected: &str| {
        let mut lines = vec![format!("traceparent: 00-{T128}-{SPAN}-01")];
        lines.extend(states.iter().map(|state| format!("tracestate: {state}")));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(extract(&headers(&lines)).unwrap().trace_state, expected, "{states:?}");
    };
    let (fits, long) = (format!("a={}", "x".repeat(510)), format!("a={}", "x".repeat(511)));
    let (many, too_many) = (vec!["a=1"; 32].join(","), vec!["a=1"; 33].join(","));
    check(&[], "");
    check(&["ot=th:8,b=2"], "ot=th:8,b=2");
    check(&["a=1", "b=2"], "a=1,b=2");
    check(&[&fits], &fits);
    check(&[&long], "");
    check(&[&many], &many);
    check(&[&too_many], "");
}

fn context(trace: &str, sampled: Option<bool>, debug: bool) -> Context {
    Context {
        trace_id: TraceId::parse(trace).unwrap(),
        span_id: Some(SpanId::parse(SPAN).unwrap()),
        parent_id: Some(SpanId::parse(PARENT).unwrap()),
        sampled,
        debug,
        trace_state: "a=1".to_owned(),
    }
}

#[test]
fn what_goes_out() {
    let check = |context: &Context, formats: &[Format], expected: &[String]| {
        let mut headers =
            headers(&["b3: stale", "x-b3-flags: 1", "tracestate: stale=1", "kept: 1"]);
        inject_as(context, formats, &mut headers);
        assert_eq!(headers.remove("kept").unwrap(), "1");
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(lines, expected, "{context:?} {formats:?}");
    };
    let single = |trace: &str, rest: &str| format!("b3: {trace}-{SPAN}{rest}");
    let w3c = |trace: &str, flags: &str| format!("traceparent: 00-{trace}-{SPAN}-{flags}");
    let multi = |trace: &str, more: &[&str]| {
        let mut lines = vec![
            format!("x-b3-parentspanid: {PARENT}"),
            format!("x-b3-spanid: {SPAN}"),
            format!("x-b3-traceid: {trace}"),
        ];
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        lines.sort();
        lines
    };
    let state = "tracestate: a=1".to_owned();
    let yes = context(T128, Some(true), false);
    let no = context(T128, Some(false), false);
    let debug = context(T128, Some(true), true);
    let open = context(T128, None, false);
    let short = context(T64, Some(true), false);

    let b3 = [Format::B3Single];
    check(&yes, &b3, &[single(T128, &format!("-1-{PARENT}"))]);
    check(&no, &b3, &[single(T128, &format!("-0-{PARENT}"))]);
    check(&debug, &b3, &[single(T128, &format!("-d-{PARENT}"))]);
    check(&open, &b3, &[single(T128, "")]);
    check(&short, &b3, &[single(T64, &format!("-1-{PARENT}"))]);
    check(&yes, &[Format::B3Multi], &multi(T128, &["x-b3-sampled: 1"]));
    check(&no, &[Format::B3Multi], &multi(T128, &["x-b3-sampled: 0"]));
    check(&debug, &[Format::B3Multi], &multi(T128, &["x-b3-flags: 1"]));
    check(&open, &[Format::B3Multi], &multi(T128, &[]));
    check(&short, &[Format::B3Multi], &multi(T64, &["x-b3-sampled: 1"]));
    check(&yes, &[Format::W3c], &[w3c(T128, "01"), state.clone()]);
    check(&no, &[Format::W3c], &[w3c(T128, "00"), state.clone()]);
    check(&debug, &[Format::W3c], &[w3c(T128, "01"), state.clone()]);
    check(&open, &[Format::W3c], &[w3c(T128, "00"), state.clone()]);
    let padded = format!("0000000000000000{T64}");
    check(&short, &[Format::W3c], &[w3c(&padded, "01"), state.clone()]);
    check(&yes, &[], &[]);

    let undecided_root = Context { span_id: None, parent_id: None, ..open };
    check(&undecided_root, &[Format::B3Single, Format::B3Multi, Format::W3c], &[]);
}

#[test]
fn what_goes_out_comes_back_in() {
    for trace in [T64, T128] {
        for (sampled, debug) in
            [(None, false), (Some(true), false), (Some(false), false), (Some(true), true)]
        {
            let sent = context(trace, sampled, debug);
            let mut headers = HeaderMap::new();
            inject(&sent, &mut headers);
            let received = extract(&headers).unwrap();
            // `b3` puts the parent after the state, and has no place for it without one.
            let parent_id = sent.parent_id.filter(|_| sampled.is_some());
            assert_eq!(received, Context { parent_id, ..sent });
        }
    }
}
