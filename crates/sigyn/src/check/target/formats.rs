//! What a target offers, that it says the same in all of it, and which it chooses.

use std::collections::BTreeSet;

use sigyn_model::Span;
use sigyn_model::pull::Cursor;

use super::checker::{Checker, Scraped};
use super::exchange::{Offer, Request};
use super::rule::Rule;

const ONE: &str = "max_bytes=1";
const PROTOBUF: &str = "application/x-protobuf";

impl Checker {
    /// Of a target that holds this segment.
    pub(super) async fn formats(&mut self, cursor: Option<Cursor>) {
        self.refused().await;
        let request = self.named().accept(Offer::Otlp).asking(ONE);
        if let Some(exchange) = self.ask(&request).await {
            let (is_kept, again) = (exchange.status() != 406, &exchange.again);
            self.findings.judge(Rule::OtlpOffered, is_kept, again, "200 or 204", exchange.status());
        }
        let Some(cursor) = cursor else {
            let rules = [Rule::SameSpans, Rule::Weights, Rule::Compression];
            return self.findings.none_seen(&rules, "the target holds no spans; see --for");
        };
        let (offered, is_all) = self.offered(cursor).await;
        self.weights(cursor, &offered).await;
        let codings = self.codings(cursor).await;
        self.offered = codings.filter(|_| is_all).map(|codings| (offered, codings));
    }

    /// What nobody offers.
    async fn refused(&mut self) {
        for (accept, coding) in [
            ("application/x-nobody-has-this", "identity"),
            ("*/*;q=0", "identity"),
            ("*/*", "x-nobody, identity;q=0"),
        ] {
            let request = self.named().with("accept", accept).with("accept-encoding", coding);
            self.ask_refused(&request, Rule::NotAcceptable, 406).await;
        }
    }

    /// Every format that there is, asked for alone: the same segment in each.
    /// Says whether something came of each that is not refused.
    async fn offered(&mut self, cursor: Cursor) -> (Vec<Offer>, bool) {
        let (mut offered, mut is_all) = (Vec::new(), true);
        let mut said: Option<(u64, BTreeSet<Said>)> = None;
        for offer in Offer::ALL {
            let request = self.at(cursor).accept(offer).asking(ONE);
            let Some(exchange) = self.ask(&request).await else {
                is_all = false;
                continue;
            };
            if exchange.status() == 406 && offer != Offer::Otlp {
                continue;
            }
            let before = std::mem::replace(&mut is_all, false);
            let Some(Scraped { exchange, told }) = self.scrape(&request).await else { continue };
            if exchange.status() == 204 {
                continue;
            }
            let came = exchange.header("content-type").unwrap_or_default();
            let is_kept = exchange.offer() == Some(offer);
            self.findings.judge(Rule::Weights, is_kept, &exchange.again, offer.media(), came);
            let Some((spans, _)) = self.spans_of(&exchange) else { continue };
            offered.push(offer);
            is_all = before;
            let Some(first) = told.first() else { continue };
            let now =
                spans.iter().map(Said::of).filter(|said| said.id != 0).collect::<BTreeSet<_>>();
            match &said {
                None => said = Some((first, now)),
                // Evicted in between.
                Some((before, _)) if *before != first => {}
                Some((_, before)) => {
                    let differs = before.symmetric_difference(&now).next();
                    let came = differs.map(|said| format!("{said:?}, which only one of both has"));
                    let expected = format_args!("the spans of segment {first} as in OTLP");
                    let came = came.unwrap_or_default();
                    self.findings.judge(
                        Rule::SameSpans,
                        differs.is_none(),
                        &exchange.again,
                        expected,
                        came,
                    );
                }
            }
        }
        self.findings.not_seen(Rule::SameSpans, "only one format is offered");
        (offered, is_all)
    }

    /// Requests that several formats could answer.
    async fn weights(&mut self, cursor: Cursor, offered: &[Offer]) {
        use Offer::{Otlp, OtlpJson, ZipkinJson, ZipkinProto3};
        let [otlp, proto3, json, otlp_json] =
            [Otlp, ZipkinProto3, ZipkinJson, OtlpJson].map(Offer::media);
        let cases = [
            (format!("{otlp};q=0.1, {json};q=0.9"), ZipkinJson),
            (format!("{json};q=0.1, {otlp};q=0.9"), Otlp),
            (format!("{json}, {otlp}"), Otlp),
            (format!("{otlp_json}, {json}"), ZipkinJson),
            (format!("*/*, {proto3}"), ZipkinProto3),
            (format!("application/*;q=0.5, {otlp};q=0.4"), ZipkinJson),
            (format!("{json};q=0, */*"), Otlp),
            (format!("{json};q=0.000, {otlp};q=0.001"), Otlp),
            ("*/*".to_owned(), ZipkinJson),
            (PROTOBUF.to_owned(), Otlp),
            (otlp.to_ascii_uppercase(), Otlp),
            ("text/html, application/json;q=0.9, */*;q=0.8".to_owned(), ZipkinJson),
        ];
        for (accept, expected) in cases {
            if offered.contains(&expected) {
                let request = self.at(cursor).with("accept", accept).asking(ONE);
                self.chooses(&request, expected).await;
            }
        }
        if offered.contains(&ZipkinJson) {
            // A header of the protocol's says that it is not a Loki server of 2017.
            self.chooses(&self.at(cursor).asking(ONE), ZipkinJson).await;
        }
    }

    async fn chooses(&mut self, request: &Request, expected: Offer) {
        let Some(Scraped { exchange, .. }) = self.scrape(request).await else { return };
        if exchange.status() == 204 {
            return;
        }
        let is_kept = exchange.offer() == Some(expected);
        let came = exchange.header("content-type").unwrap_or_default();
        self.findings.judge(Rule::Weights, is_kept, &exchange.again, expected.media(), came);
    }

    /// Every compression: whether it is what was asked for, and the same spans.
    async fn codings(&mut self, cursor: Cursor) -> Option<Vec<&'static str>> {
        let plain = self.coded(cursor, "identity", &[""]).await;
        let gzip = self.coded(cursor, "gzip", &["gzip", ""]).await;
        let zstd = self.coded(cursor, "zstd", &["zstd", ""]).await;
        self.coded(cursor, "*", &[""]).await;
        let has = |coded: &Option<Coded>, name: &str| {
            coded.as_ref().is_some_and(|coded| coded.coding == name)
        };
        let (has_gzip, has_zstd) = (has(&gzip, "gzip"), has(&zstd, "zstd"));
        if has_gzip {
            self.coded(cursor, "gzip, identity;q=0", &["gzip"]).await;
            self.coded(cursor, "gzip;q=0, identity", &[""]).await;
        }
        if has_gzip && has_zstd {
            self.coded(cursor, "gzip, zstd", &["zstd"]).await;
            self.coded(cursor, "zstd;q=0.5, gzip", &["gzip"]).await;
        }
        if let Some(plain) = &plain {
            let again = &plain.again;
            let is_kept = has_gzip || has_zstd;
            self.findings.judge(Rule::Compression, is_kept, again, "zstd or gzip", "neither");
        }
        let listed = [(has_zstd, "zstd"), (has_gzip, "gzip")];
        let listed = listed.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
        for coded in [gzip, zstd].into_iter().flatten() {
            let plain = plain.as_ref()?;
            if plain.first == coded.first {
                let is_same = plain.plain == coded.plain;
                let (expected, came) = (plain.plain.len(), coded.plain.len());
                let expected =
                    format_args!("the {expected} bytes that are sent without compression");
                let came = format_args!("others, {came} bytes, unpacked");
                self.findings.judge(Rule::SameSpans, is_same, &coded.again, expected, came);
            }
        }
        Some(listed)
    }

    async fn coded(&mut self, cursor: Cursor, accept: &str, allowed: &[&str]) -> Option<Coded> {
        let request = self.at(cursor).accept(Offer::Otlp).with("accept-encoding", accept);
        let Scraped { exchange, told } = self.scrape(&request.asking(ONE)).await?;
        let first = told.first()?;
        let coding = exchange.header("content-encoding").unwrap_or_default().to_owned();
        let is_kept = allowed.contains(&coding.as_str());
        let expected = format_args!("Content-Encoding: {}", allowed.join(" or none"));
        let came = format_args!("Content-Encoding: {coding}");
        self.findings.judge(Rule::Weights, is_kept, &exchange.again, expected, came);
        self.spans_of(&exchange)?;
        Some(Coded { first, plain: exchange.plain().ok()?, coding, again: exchange.again })
    }
}

/// One segment in one compression.
#[derive(Debug)]
struct Coded {
    first: u64,
    coding: String,
    plain: Vec<u8>,
    again: String,
}

/// What every format can say of a span.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    trace: u128,
    id: u64,
    parent: u64,
    name: String,
    timestamp_us: u64,
    duration_us: u64,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { trace, id, parent, name, timestamp_us, duration_us } = self;
        write!(
            f,
            "span {id:016x} of trace {trace:032x} below {parent:016x}: {name:?} at {timestamp_us} us for {duration_us} us"
        )
    }
}

impl Said {
    fn of(span: &Span) -> Self {
        Self {
            trace: span.trace_id.as_u128(),
            id: span.id.as_u64(),
            parent: span.parent_id.map_or(0, |parent| parent.as_u64()),
            name: span.name.to_lowercase(),
            timestamp_us: span.timestamp.map_or(0, |timestamp| timestamp.micros()),
            duration_us: span.duration.map_or(0, micros),
        }
    }
}

/// Zipkin's formats round what is shorter than a microsecond up to one.
fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}
