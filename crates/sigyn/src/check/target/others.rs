//! What is asked beside scrapes: one trace, another method, many at once, and a server of 2017.

use std::collections::BTreeSet;

use http::header::{ALLOW, CONTENT_LENGTH};
use sigyn_model::pull::{self, Cursor};
use sigyn_model::{SpanId, TraceId};

use super::checker::{Checker, Scraped};
use super::exchange::{Exchange, Offer, Request};
use super::rule::Rule;
use super::told::Told;

/// More than a target answers at once, and not so many that they would be an attack.
const BURST: usize = 16;
const BURSTS: usize = 8;

impl Checker {
    pub(super) async fn method(&mut self) {
        let post = Request::new("POST");
        let Some(exchange) = self.ask(&post).await else {
            return self.findings.not_seen(Rule::Method, "no answer");
        };
        let allow = exchange.answer.headers.get(ALLOW).and_then(|value| value.to_str().ok());
        let names_get = allow.is_some_and(|text| text.split(',').any(|name| name.trim() == "GET"));
        let is_kept = exchange.status() == 405 && names_get;
        let came = format_args!("{}, Allow: {}", exchange.status(), allow.unwrap_or("none"));
        self.findings.judge(Rule::Method, is_kept, &exchange.again, "405, Allow: GET", came);
    }

    /// `?trace_id=`, of a target that holds this segment.
    pub(super) async fn traces(&mut self, cursor: Option<Cursor>) {
        let look = |id: &str| Request::get().accept(Offer::Otlp).asking(format!("trace_id={id}"));
        let Some(exchange) = self.ask(&look("no-id")).await else { return };
        if exchange.status() == 404 {
            let rules = [Rule::OneTrace, Rule::NoTrace];
            return self.findings.none_seen(&rules, "404: the target does not look up traces");
        }
        let status = exchange.status();
        self.findings.judge(Rule::NoTrace, status == 400, &exchange.again, 400, status);
        // Nobody has drawn this one.
        let nowhere = format!("{:032x}", fastrand::u128(..) | 1);
        if let Some(exchange) = self.ask(&look(&nowhere)).await {
            let status = exchange.status();
            self.findings.judge(Rule::NoTrace, status == 204, &exchange.again, 204, status);
        }
        let Some(wanted) = self.a_trace(cursor).await else {
            return self.findings.not_seen(Rule::OneTrace, "the target holds no spans; see --for");
        };
        for id in [format!("{wanted}"), format!("{wanted}").to_ascii_uppercase()] {
            let Some(exchange) = self.ask(&look(&id)).await else { return };
            if exchange.status() == 204 && self.a_trace(cursor).await != Some(wanted) {
                return self.findings.not_seen(Rule::OneTrace, "the target evicts too fast");
            }
            self.judge_trace(&exchange, wanted);
        }
    }

    fn judge_trace(&mut self, exchange: &Exchange, wanted: TraceId) {
        let again = &exchange.again;
        let spans = match exchange.status() {
            200 => exchange.spans().map(|(spans, _)| spans),
            status => Err(status.to_string()),
        };
        let others = spans
            .as_ref()
            .map(|spans| spans.iter().filter(|span| span.trace_id.low() != wanted.low()).count());
        let is_kept = matches!(&spans, Ok(spans) if !spans.is_empty()) && others == Ok(0);
        let came = match &spans {
            Ok(spans) => format!("{} spans, of others {}", spans.len(), others.unwrap_or_default()),
            Err(error) => error.clone(),
        };
        self.findings.judge(Rule::OneTrace, is_kept, again, "200 with spans of that trace", came);
        let mut own = exchange.own_headers();
        if exchange.header(pull::MORE) == Some("1") {
            own.retain(|name| *name != "sigyn-more");
        }
        let expected =
            "no Sigyn- header, as this is no page of the log, but for Sigyn-More: 1 if it has more";
        self.findings.judge(Rule::OneTrace, own.is_empty(), again, expected, own.join(", "));
    }

    /// Of the first span in this segment.
    pub(super) async fn a_trace(&mut self, cursor: Option<Cursor>) -> Option<TraceId> {
        let request = self.at(cursor?).accept(Offer::Otlp).asking("max_bytes=1");
        let Scraped { exchange, .. } = self.scrape(&request).await?;
        Some(self.spans_of(&exchange)?.0.first()?.trace_id)
    }

    /// As a Loki server of 2017 asks, twice. Last, because it may move a cursor of our address.
    pub(super) async fn legacy(&mut self) {
        let Some((first, is_chunked)) = self.ask_as_loki().await else { return };
        let Some((second, _)) = self.ask_as_loki().await else { return };
        if first.is_empty() {
            return self.findings.not_seen(Rule::LegacyOnce, "no spans came that way");
        }
        let again = Request::get().curl(&self.url);
        let twice = first.intersection(&second).count();
        let (is_kept, expected) = match is_chunked {
            true => (twice == 0, "none of the spans that came before, as the body came in chunks"),
            // What was evicted in between does not count.
            false => (twice > 0, "what came before, as the body has a length"),
        };
        let came = format_args!("{twice} of {}", first.len());
        self.findings.judge(Rule::LegacyOnce, is_kept, &again, expected, came);
    }

    /// Its spans, and whether the target watches how they are read.
    async fn ask_as_loki(&mut self) -> Option<(BTreeSet<(TraceId, SpanId)>, bool)> {
        let any = Request::get().with("accept", "*/*").asking("max_bytes=1");
        let before = self.scrape(&any).await;
        let exchange = self.ask(&Request::get()).await?;
        if exchange.offer() != Some(Offer::Thrift) {
            let as_any = [before, self.scrape(&any).await];
            self.judge_as_any(&exchange, &as_any);
            return None;
        }
        self.serves_loki = true;
        let again = &exchange.again;
        self.findings.judge(Rule::Legacy, exchange.status() == 200, again, 200, exchange.status());
        if exchange.status() != 200 {
            return None;
        }
        let (spans, _) = self.spans_of(&exchange)?;
        let hosts = spans
            .iter()
            .filter(|span| span.local_endpoint.is_some() || span.remote_endpoint.is_some());
        let hosts = hosts.count();
        let came = format_args!("hosts, of {hosts} spans");
        self.findings.judge(Rule::Legacy, hosts == 0, &exchange.again, "no hosts", came);
        let ids = spans.iter().map(|span| (span.trace_id, span.id)).collect();
        Some((ids, !exchange.answer.headers.contains_key(CONTENT_LENGTH)))
    }

    /// Nobody has to serve such a server. Who does not answers as ever: one of these, between which it was asked.
    fn judge_as_any(&mut self, exchange: &Exchange, as_any: &[Option<Scraped>]) {
        let why = "the target does not serve such a server";
        let said = |exchange: &Exchange| {
            let media = exchange.offer().map_or("no body", Offer::media);
            format!("{} with {media}", exchange.status())
        };
        let allowed: Vec<_> =
            as_any.iter().flatten().map(|scraped| said(&scraped.exchange)).collect();
        let came = said(exchange);
        let expected = match allowed.first() {
            _ if self.serves_loki => "200 with a list of Thrift, as before".to_owned(),
            Some(allowed) => format!("{allowed}, as with Accept: */*, or 200 with Thrift"),
            None => "200 or 204".to_owned(),
        };
        let is_kept = !self.serves_loki && allowed.contains(&came);
        self.findings.judge(Rule::Legacy, is_kept, &exchange.again, expected, came);
        if is_kept {
            // It is a peek, then, and has all that such an answer has.
            Told::read(exchange, &mut self.findings);
        }
        self.findings.not_seen(Rule::LegacyOnce, why);
    }

    /// Many at once, until one is sent away.
    pub(super) async fn burst(&mut self) {
        let request = Request::get().accept(Offer::OtlpJson).with("accept-encoding", "identity");
        for _ in 0..BURSTS {
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..BURST {
                let (client, url) = (self.client(), request.url(&self.url));
                let headers = request.headers();
                asked.spawn(
                    async move { client.send("GET", &url, headers, bytes::Bytes::new()).await },
                );
            }
            for answer in asked.join_all().await.into_iter().flatten() {
                if answer.status.as_u16() == 429 {
                    let exchange = Exchange {
                        again: format!("{BURST} at once of: {}", request.curl(&self.url)),
                        answer,
                        sent: std::time::SystemTime::now(),
                        took: std::time::Duration::ZERO,
                    };
                    self.judge_busy(&exchange);
                    return;
                }
            }
        }
        self.findings.not_seen(Rule::Busy, format!("{BURST} at once were all answered"));
    }
}
