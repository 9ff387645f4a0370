//! What happens in each vector; the answers come from the recorder.

use serde_json::{Value, json};

use sigyn_model::pull;

use super::{Asked, CLOCK_NS, EPOCH, NEXT_EPOCH, Step, otlp};

pub(super) const SERVICE: &str = "shop";

type Given = (&'static str, &'static str, Vec<Step>);

pub(super) fn vectors() -> Vec<Given> {
    vec![
        (
            "first-scrape",
            "A first scrape, the next one with nothing new, and one with a new span.",
            first_scrape(),
        ),
        (
            "formats",
            "One segment, and two, in every format, as they are and compressed.",
            formats(),
        ),
        (
            "choice",
            "Which format and which compression answers which request, and what gets 406.",
            choice(),
        ),
        (
            "cursors",
            "Where reads start: no cursor, old, lower, higher, of another epoch, unreadable.",
            cursors(),
        ),
        ("pages", "Bodies within max_bytes.", pages()),
        (
            "loss",
            "Segments 1 to 3 are evicted, of which the scraper `a` had acknowledged the first.",
            loss(),
        ),
        ("oldest-lost", "A scraper that comes first after spans were evicted.", oldest_lost()),
        (
            "long-poll",
            "Sealed segments are answered at once and nothing is sealed; else a wait of no time seals.",
            long_poll(),
        ),
        (
            "shutdown",
            "Sealed for the last time; a span that finishes later is counted and not sent.",
            shutdown(),
        ),
        ("legacy", "A Loki server of 2017, whose cursor the target keeps by address.", legacy()),
        ("one-trace", "A look at one trace moves nobody's cursor.", one_trace()),
        (
            "names",
            "A scraper's name has 1 to 128 bytes; any other is refused, and acknowledges nothing.",
            names(),
        ),
        (
            "leases",
            "Eight scrapers hold leases; a ninth reads, and what it acknowledges does not count, until a lease is over. One \
             says that it comes every 200 seconds, so its lease lasts for 600.",
            leases(),
        ),
        (
            "budgets",
            "Budgets of scrapers: the share that is left is 1 unless all that hold a lease want less than what finishes. \
             How much less than 1 it is then is a target's own matter (section 6).",
            budgets(),
        ),
        (
            "sampling",
            "What scrapers want of operations: of an operation the most that any of them wants, for as long as they hold a \
             lease. The target is set to all.",
            sampling(),
        ),
        (
            "collect",
            "Traces that nobody sampled: they are asked for by id, in both ways, and one is kept because it failed.",
            collect(),
        ),
        (
            "spool",
            "A process ended without a word; the one beside its spool tells its epoch to those who come with its cursor, \
             or follow siblings.",
            spool(),
        ),
        ("elsewhere", "Other paths, and other methods.", elsewhere()),
    ]
}

/// Headers that a target may leave out, and what a vector is about.
pub(super) fn optional(name: &str) -> &'static [&'static str] {
    match name {
        "budgets" | "sampling" => &[pull::SAMPLED],
        "collect" => &[pull::KEPT],
        _ => &[],
    }
}

fn span(id: u64) -> Value {
    json!({
        "traceId": format!("{:032x}", 0x1000 + id),
        "id": format!("{id:016x}"),
        "name": format!("work {id}"),
        "timestamp": 1_795_414_855_000_000_u64 + id,
        "duration": 10 * id,
        "localEndpoint": {"serviceName": SERVICE},
    })
}

fn record(ids: impl IntoIterator<Item = u64>) -> Step {
    Step::Record { spans: ids.into_iter().map(span).collect() }
}

/// A call, from both sides, with all that Zipkin's format can say.
fn rich() -> Step {
    let (trace, parent) = ("463ac35c9f6413ad48485a3953bb6124", "00f067aa0ba902b7");
    Step::Record {
        spans: json!([
            {
                "traceId": trace, "id": parent, "kind": "CLIENT", "name": "get /stock",
                "timestamp": 1_795_414_855_000_100_u64, "duration": 2_500,
                "localEndpoint": {"serviceName": SERVICE},
                "remoteEndpoint": {"serviceName": "stock", "ipv4": "192.0.2.7", "port": 8080},
                "annotations": [{"timestamp": 1_795_414_855_000_200_u64, "value": "connected"}],
                "tags": {"error": "too late", "http.method": "GET", "note": "ä \"quoted\" \u{1f54a}"},
            },
            {
                "traceId": trace, "parentId": parent, "id": "53995c3f42cd8ad8", "kind": "SERVER",
                "name": "get /stock", "timestamp": 1_795_414_855_000_900_u64, "duration": 1,
                "localEndpoint": {"serviceName": SERVICE},
            },
            {
                "traceId": "000000000000000048485a3953bb6124", "id": "1", "name": "",
                "timestamp": 1_795_414_855_001_000_u64,
                "localEndpoint": {"serviceName": SERVICE},
            },
        ]),
    }
}

/// A span that takes more than a kilobyte of the log.
fn wide(id: u64) -> Step {
    let mut span = span(id);
    span["tags"] = json!({"filler": "x".repeat(1_000)});
    Step::Record { spans: json!([span]) }
}

fn asks<const N: usize>(path: &str, headers: [(&str, &str); N]) -> Step {
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = Asked {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: headers.into(),
        from: None,
        body: None,
    };
    Step::Ask { request, response: None }
}

/// A scrape under this name, in OTLP.
fn scrape(path: &str, name: &str, cursor: Option<&str>) -> Step {
    let mut headers = vec![otlp(), ("sigyn-scraper".to_owned(), name.to_owned())];
    headers.extend(cursor.map(|cursor| ("sigyn-cursor".to_owned(), cursor.to_owned())));
    let request = Asked {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: headers.into_iter().collect(),
        from: None,
        body: None,
    };
    Step::Ask { request, response: None }
}

fn at(seq: u64) -> String {
    format!("{EPOCH}:{seq}")
}

fn first_scrape() -> Vec<Step> {
    vec![
        scrape("/traces", "a", None),
        record(1..=3),
        scrape("/traces", "a", None),
        Step::Advance { seconds: 15 },
        scrape("/traces", "a", Some(&at(2))),
        record([4]),
        scrape("/traces", "a", Some(&at(2))),
        scrape("/traces", "a", Some(&at(2))),
        scrape("/traces", "a", Some(&at(3))),
    ]
}

const MEDIA: [&str; 5] = [
    crate::target::OTLP,
    "application/x-protobuf; messageType=\"zipkin.proto3.ListOfSpans\"",
    "application/json",
    "application/json; profile=\"otlp\"",
    "application/vnd.apache.thrift.compact",
];

fn formats() -> Vec<Step> {
    let mut steps = vec![rich(), Step::Seal, record([4]), Step::Seal];
    for media in MEDIA {
        for coding in ["identity", "gzip", "zstd"] {
            for path in ["/traces?max_bytes=1", "/traces"] {
                steps.push(asks(path, [("accept", media), ("accept-encoding", coding)]));
            }
        }
    }
    steps
}

fn choice() -> Vec<Step> {
    let [otlp, proto3, json, otlp_json, thrift] = MEDIA;
    let mut steps = vec![record([1]), Step::Seal];
    let mut accepts = |accept: &str| {
        steps.push(asks("/traces", [("accept", accept)]));
    };
    accepts("*/*");
    accepts("application/*");
    accepts("application/x-protobuf");
    accepts(&otlp.to_ascii_uppercase());
    accepts(&format!("{json}, {otlp}"));
    accepts(&format!("{otlp};q=0.1, {json};q=0.9"));
    accepts(&format!("*/*, {thrift}"));
    accepts(&format!("{json};q=0, */*"));
    accepts(&format!("application/*;q=0.5, {otlp};q=0.4, {otlp_json};q=0.6"));
    accepts(&format!("{proto3};q=0.001, text/html"));
    accepts("text/html");
    accepts("*/*;q=0");
    accepts("");
    steps.push(asks("/traces", [("sigyn-scraper", "a")]));
    for coding in
        ["gzip, zstd", "gzip, zstd;q=0.5", "*", "br", "gzip;q=0, zstd;q=0", "identity;q=0, br"]
    {
        steps.push(asks("/traces", [("accept", json), ("accept-encoding", coding)]));
    }
    steps
}

fn cursors() -> Vec<Step> {
    let mut steps = Vec::new();
    for id in 1..=3 {
        steps.extend([record([id]), Step::Seal]);
    }
    let mut from = |cursor: &str| steps.push(scrape("/traces", "a", Some(cursor)));
    from(&at(0));
    from(&at(1));
    from(&at(3));
    from(&at(2));
    from(&at(4));
    from(&at(5));
    from(&at(u64::MAX));
    from("03b1e4c95a2f7d60:2");
    from("0000000000000000:2");
    from("nonsense");
    from(&format!("{}:3", EPOCH.to_ascii_uppercase()));
    steps.push(scrape("/traces", "a", None));
    steps.push(asks("/traces", [("accept", MEDIA[0]), ("sigyn-cursor", &at(3))]));
    steps
}

fn pages() -> Vec<Step> {
    let mut steps = Vec::new();
    for id in 1..=3 {
        steps.extend([wide(id), Step::Seal]);
    }
    steps.push(scrape("/traces?max_bytes=1", "a", None));
    steps.push(scrape("/traces?max_bytes=2500", "a", Some(&at(2))));
    steps.push(scrape("/traces?max_bytes=2000", "a", Some(&at(1))));
    steps.push(scrape("/traces?max_bytes=nonsense", "a", Some(&at(3))));
    steps
}

fn loss() -> Vec<Step> {
    let mut steps = vec![wide(1), Step::Seal, scrape("/traces", "a", Some(&at(2)))];
    for id in 2..=LOSES_THREE {
        steps.extend([wide(id), Step::Seal]);
    }
    steps.push(Step::Evict { below: 4 });
    steps.push(scrape("/traces?max_bytes=1", "a", Some(&at(2))));
    steps.push(scrape("/traces?max_bytes=1", "a", Some(&at(2))));
    steps.push(scrape("/traces?max_bytes=1", "a", Some(&at(5))));
    steps.push(scrape("/traces?max_bytes=1", "b", Some("03b1e4c95a2f7d60:2")));
    steps
}

/// So many wide spans that the first three are evicted.
const LOSES_THREE: u64 = 10;

fn oldest_lost() -> Vec<Step> {
    let mut steps = Vec::new();
    for id in 1..=LOSES_THREE {
        steps.extend([wide(id), Step::Seal]);
    }
    steps.push(Step::Evict { below: 4 });
    steps.push(scrape("/traces?max_bytes=1", "a", None));
    steps
}

fn long_poll() -> Vec<Step> {
    let waits = |cursor: &str| {
        asks(
            "/traces",
            [
                ("accept", MEDIA[0]),
                ("sigyn-scraper", "a"),
                ("sigyn-cursor", cursor),
                ("prefer", "wait=0"),
            ],
        )
    };
    vec![record([1]), Step::Seal, record([2]), waits(&at(1)), waits(&at(2)), waits(&at(3))]
}

fn shutdown() -> Vec<Step> {
    vec![
        record([1, 2]),
        scrape("/traces", "a", None),
        record([3]),
        Step::ShutDown,
        record([4]),
        scrape("/traces", "a", Some(&at(2))),
        scrape("/traces", "a", Some(&at(3))),
    ]
}

fn legacy() -> Vec<Step> {
    let loki = |from: &str| {
        let request = Asked {
            method: "GET".to_owned(),
            path: "/traces".to_owned(),
            headers: [("user-agent".to_owned(), "Go-http-client/1.1".to_owned())].into(),
            from: Some(from.to_owned()),
            body: None,
        };
        Step::Ask { request, response: None }
    };
    vec![
        loki("192.0.2.1"),
        rich(),
        loki("192.0.2.1"),
        loki("192.0.2.1"),
        record([4]),
        loki("192.0.2.1"),
        loki("192.0.2.2"),
    ]
}

fn one_trace() -> Vec<Step> {
    let look = |id: &str| asks(&format!("/traces?trace_id={id}"), [("accept", "application/json")]);
    vec![
        rich(),
        Step::Seal,
        record([4]),
        look("463ac35c9f6413ad48485a3953bb6124"),
        look("48485A3953BB6124"),
        look("1004"),
        look("1005"),
        look("no-id"),
        look(""),
        scrape("/traces", "a", None),
    ]
}

fn names() -> Vec<Step> {
    let ask = |name: &str| scrape("/traces", name, Some(&at(1)));
    vec![
        record([1]),
        ask("a"),
        ask(&"x".repeat(128)),
        ask(&"x".repeat(129)),
        ask(""),
        ask("sigyn-4f1c2a9be07d3355"),
    ]
}

/// A scrape with more headers, for nothing beyond what it says of itself.
fn says(name: &str, seq: u64, more: &[(&str, &str)]) -> Step {
    let mut step = scrape("/traces?max_bytes=1", name, Some(&at(seq)));
    if let Step::Ask { request, .. } = &mut step {
        let more = more.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        request.headers.extend(more);
    }
    step
}

fn leases() -> Vec<Step> {
    let mut steps = vec![says("patient", 1, &[("sigyn-interval", "200")])];
    steps.extend((2..=8).map(|n| says(&format!("early-{n}"), 1, &[])));
    let wide = |ids: std::ops::RangeInclusive<u64>| ids.flat_map(|id| [wide(id), Step::Seal]);
    // A ninth has read all of it: nobody has, by the target's books.
    steps.extend(wide(1..=6));
    steps.push(says("late", 7, &[]));
    steps.extend(wide(7..=LOSES_THREE));
    steps.push(Step::Evict { below: 4 });
    steps.push(says("late", 11, &[]));
    // Seven leases are over, and seven others have come before it.
    steps.push(Step::Advance { seconds: 301 });
    steps.extend((2..=8).map(|n| says(&format!("then-{n}"), 11, &[("sigyn-cursor", "none")])));
    steps.push(says("late", 11, &[]));
    steps.extend(wide(11..=11));
    steps.push(Step::Evict { below: 5 });
    steps.push(says("late", 12, &[]));
    // All are: what it acknowledges counts.
    steps.push(Step::Advance { seconds: 301 });
    steps.push(says("late", 12, &[]));
    steps.extend(wide(12..=13));
    steps.push(Step::Evict { below: 7 });
    steps.push(says("late", 14, &[]));
    steps
}

fn budgets() -> Vec<Step> {
    let second = Step::Advance { seconds: 1 };
    let budget = |name: &str, value: &str| says(name, 1, &[("sigyn-budget", value)]);
    let mut steps = vec![budget("a", "2")];
    // As much as it wants, and more.
    steps.extend([record(1..=2), second.clone(), budget("a", "2")]);
    steps.extend([record(3..=10), second.clone(), budget("a", "2")]);
    // Somebody wants all, somebody without a lease wants nothing, and no budget is one of these.
    steps.extend([says("b", 1, &[]), record(11..=20), second.clone(), budget("a", "2")]);
    steps.push(budget("b", "1000"));
    steps.extend(["0", "-1", "many"].map(|value| budget("b", value)));
    steps.push(asks("/traces?max_bytes=1", [("accept", MEDIA[0]), ("sigyn-budget", "1")]));
    steps
}

fn sampling() -> Vec<Step> {
    let wants = |name: &str, value: &str| says(name, 1, &[("sigyn-sampling", value)]);
    vec![
        says("a", 1, &[]),
        wants("a", "rate=0.25"),
        wants("a", "rate=0.25,operation:get%20%2F=0.5,operation:POST%20%2Forder=1"),
        wants("b", "rate=0.5,operation:get%20%2F=0.125"),
        // It says nothing any more: it wants what the target is set to.
        says("b", 1, &[]),
        wants("b", "rate=0.0"),
        // Of what cannot be read, and from whom holds no lease, nothing counts.
        wants("b", "everything"),
        wants("b", "rate=0.125,color:red=1"),
        asks("/traces?max_bytes=1", [("accept", MEDIA[0]), ("sigyn-sampling", "rate=1")]),
        Step::Advance { seconds: 301 },
        wants("b", "rate=0.125"),
    ]
}

/// A span of a trace that nobody sampled; with a kind it is where the trace enters the process.
fn aside(trace: u64, id: u64, more: Value) -> Value {
    let mut span = json!({
        "traceId": format!("{:032x}", 0x1000 + trace),
        "parentId": format!("{:016x}", 0x99),
        "id": format!("{id:016x}"),
        "name": format!("work {id}"),
        "timestamp": CLOCK_NS / 1_000,
        "duration": 1,
        "localEndpoint": {"serviceName": SERVICE},
    });
    if let (Value::Object(span), Value::Object(more)) = (&mut span, more) {
        span.extend(more);
    }
    span
}

fn collect() -> Vec<Step> {
    let put = |spans: Value| Step::PutAside { spans };
    // Ids of spans are drawn: in JSON others can stand in their place.
    let json = |path: &str, headers: &[(&str, &str)]| {
        let mut step = asks(path, [("accept", MEDIA[2])]);
        if let Step::Ask { request, .. } = &mut step {
            let more = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            request.headers.extend(more);
        }
        step
    };
    let post = |path: &str, body: &str| {
        let request = Asked {
            method: "POST".to_owned(),
            path: path.to_owned(),
            headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
            from: None,
            body: Some(body.to_owned()),
        };
        Step::Ask { request, response: None }
    };
    let many = vec!["1"; 1_001];
    vec![
        put(json!([
            aside(1, 0xa1, json!({})),
            aside(1, 0xa2, json!({})),
            aside(2, 0xa3, json!({}))
        ])),
        json("/traces", &[("sigyn-scraper", "a")]),
        json("/traces?trace_id=1001", &[]),
        post("/traces/collect", r#"{"ids":["1001","00000000000000000000000000001009"]}"#),
        post("/traces/collect", r#"{"ids":["1001"]}"#),
        json("/traces", &[("sigyn-scraper", "a")]),
        // What finishes of it later comes as well.
        put(json!([aside(1, 0xa4, json!({}))])),
        json("/traces", &[("sigyn-scraper", "a"), ("sigyn-cursor", &at(2))]),
        // With a scrape, of those with a lease alone.
        json("/traces", &[("sigyn-cursor", &at(3)), ("sigyn-collect", "1002")]),
        json(
            "/traces",
            &[("sigyn-scraper", "a"), ("sigyn-cursor", &at(3)), ("sigyn-collect", "1009,1002")],
        ),
        // One that fails where it enters the process is kept, and told.
        put(json!([
            aside(3, 0xa5, json!({})),
            aside(3, 0xa6, json!({"kind": "SERVER", "tags": {"error": "sold out"}})),
        ])),
        json("/traces", &[("sigyn-scraper", "a"), ("sigyn-cursor", &at(4))]),
        json("/traces", &[("sigyn-scraper", "a"), ("sigyn-cursor", &at(5))]),
        // What asks for nothing that could be meant.
        post("/traces/collect?ids=1001,1002", ""),
        post("/traces/collect", r#"{"ids":[]}"#),
        post("/traces/collect", r#"{"ids":["no id"]}"#),
        post("/traces/collect", "{}"),
        post("/traces/collect?ids=", ""),
        post("/traces/collect?ids=zz", ""),
        post("/traces/collect?ids=zz,1", ""),
        post(&format!("/traces/collect?ids={}", many.join(",")), ""),
        post("/traces/collect", r#"["1001"]"#),
        post("/traces/collect", &json!({"ids": many}).to_string()),
        json("/traces/collect", &[]),
    ]
}

fn spool() -> Vec<Step> {
    let follows = |name: &str, cursor: Option<String>| {
        let mut step = scrape("/traces", name, cursor.as_deref());
        if let Step::Ask { request, .. } = &mut step {
            request.headers.insert("sigyn-siblings".to_owned(), "1".to_owned());
        }
        step
    };
    let next = |seq: u64| format!("{NEXT_EPOCH}:{seq}");
    let peek = |cursor: &str| asks("/traces", [("accept", MEDIA[0]), ("sigyn-cursor", cursor)]);
    vec![
        record(1..=3),
        scrape("/traces", "a", None),
        record(4..=5),
        Step::Restart,
        record([6]),
        // Who follows is told of it, and so is nobody else.
        follows("b", None),
        scrape("/traces", "c", None),
        // What the other process had not sealed is a segment all the same.
        scrape("/traces", "a", Some(&at(2))),
        scrape("/traces", "a", Some(&at(2))),
        peek(&at(1)),
        scrape("/traces?max_bytes=1", "a", Some(&at(1))),
        // Its end, and cursors of it that nobody was told.
        scrape("/traces", "a", Some(&at(3))),
        scrape("/traces", "a", Some(&at(4))),
        peek("7777777777777777:2"),
        // Who has read it whole is told no more of it, and goes on here where it was.
        follows("a", Some(next(2))),
        follows("b", Some(next(2))),
        follows("b", Some(at(3))),
    ]
}

fn elsewhere() -> Vec<Step> {
    let with = |method: &str, path: &str| {
        let request = Asked {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: [otlp()].into(),
            from: None,
            body: None,
        };
        Step::Ask { request, response: None }
    };
    vec![record([1]), with("GET", "/metrics"), with("POST", "/traces"), with("PUT", "/traces")]
}
