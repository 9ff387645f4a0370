//! Traces that nobody sampled (§15).

use std::collections::BTreeSet;

use serde_json::Value;
use sigyn_model::pull::{self, COLLECT_IDS_MAX, Cursor, TRACE_IDS_MAX};
use sigyn_model::{Span, TraceId};

use super::checker::Checker;
use super::exchange::{Exchange, Place, Request};
use super::rule::Rule;

/// One byte more than a body may have.
const TOO_LONG: usize = 64 * 1024 + 1;

impl Checker {
    pub(super) async fn collect(&mut self, held: Option<Cursor>) {
        // Nobody has drawn this one.
        let nowhere = format!("{:032x}", fastrand::u128(..) | 1);
        self.begins_alike(Rule::CollectHeader, pull::COLLECT, &nowhere).await;
        self.begins_alike(Rule::CollectHeader, pull::COLLECT, "all of them").await;
        let rules = [Rule::Collect, Rule::CollectRefused, Rule::CollectOnce];
        let list = |id: &str| format!("{{\"ids\":[\"{id}\"]}}");
        let post = |body: String| Request::new("POST").at(Place::Collect).sending(body);
        let Some(exchange) = self.ask(&post(list(&nowhere))).await else {
            return self.findings.none_seen(&rules, "no answer");
        };
        if exchange.status() == 404 {
            return self.findings.none_seen(&rules, "404: the target keeps no such traces");
        }
        self.judge_collected(&exchange, Some(0));
        for request in [
            post("{\"ids\":[]}".to_owned()),
            post(String::new()).asking(format!("ids={nowhere},1")),
            post(list(&nowhere.to_uppercase())),
        ] {
            if let Some(exchange) = self.ask(&request).await {
                self.judge_collected(&exchange, None);
            }
        }
        let many = vec![list(&nowhere)[8..42].to_owned(); COLLECT_IDS_MAX + 1].join(",");
        for (body, status) in [
            ("[]".to_owned(), 400),
            ("{}".to_owned(), 400),
            ("{\"ids\":[\"no id\"]}".to_owned(), 400),
            (format!("{{\"ids\":[{many}]}}"), 400),
            (format!("{{\"ids\":[],\"more\":\"{}\"}}", "x".repeat(TOO_LONG)), 413),
        ] {
            self.ask_refused(&post(body), Rule::CollectRefused, status).await;
        }
        for ids in ["ids=", "ids=no-id", "ids=no-id,1"] {
            let request = post(String::new()).asking(ids);
            self.ask_refused(&request, Rule::CollectRefused, 400).await;
        }
        self.collect_twice(held, &list).await;
    }

    /// One that is there, twice: nothing of it goes to the log a second time.
    async fn collect_twice(&mut self, held: Option<Cursor>, list: &impl Fn(&str) -> String) {
        let Some(id) = self.a_trace(held).await else {
            return self
                .findings
                .not_seen(Rule::CollectOnce, "the target holds no spans; see --for");
        };
        let request = Request::new("POST").at(Place::Collect).sending(list(&format!("{id}")));
        let Some(first) = self.ask(&request).await else { return };
        let Some(second) = self.ask(&request).await else { return };
        self.judge_collected(&first, None);
        let Some(count) = self.judge_collected(&second, None) else { return };
        let again = &second.again;
        let expected = "no spans, as they went to the log the first time";
        self.findings.judge(Rule::CollectOnce, count == 0, again, expected, count);
    }

    /// How many spans it says went to the log.
    fn judge_collected(&mut self, exchange: &Exchange, expected: Option<u64>) -> Option<u64> {
        let told: Option<Value> = serde_json::from_slice(&exchange.answer.body).ok();
        let count = told.as_ref().and_then(|told| told["spans"].as_u64());
        let cold = told.as_ref().and_then(|told| told["cold"].as_bool());
        let is_kept = exchange.status() == 200
            && cold.is_some()
            && count.is_some_and(|count| expected.is_none_or(|expected| count == expected))
            && (cold == Some(true) || count == Some(0));
        let number = expected.map_or("<n>".to_owned(), |count| count.to_string());
        let what =
            format_args!("200 with {{\"spans\":{number},\"cold\":<bool>}}, no spans without cold");
        let body: String =
            String::from_utf8_lossy(&exchange.answer.body).chars().take(200).collect();
        let came = format_args!("{} with {}", exchange.status(), body.trim());
        self.findings.judge(Rule::Collect, is_kept, &exchange.again, what, came);
        count
    }

    /// What an answer says was kept, which has to be in its body or in the next. Returns what is still to come.
    pub(super) fn judge_kept(
        &mut self,
        exchange: &Exchange,
        spans: &[Span],
        pending: &BTreeSet<TraceId>,
    ) -> BTreeSet<TraceId> {
        if exchange.status() != 200 {
            return pending.clone();
        }
        let again = &exchange.again;
        let here = |id: &TraceId| spans.iter().any(|span| span.trace_id.low() == id.low());
        if let Some(missing) = pending.iter().find(|id| !here(id)) {
            let expected =
                format_args!("spans of {missing}, which the answer before said was kept");
            self.findings.judge(Rule::Kept, false, again, expected, "neither there nor here");
        }
        let Some(text) = exchange.header(pull::KEPT) else { return BTreeSet::new() };
        let ids = pull::parse_trace_ids(text);
        let count = text.split(',').count();
        let is_spelled = count == ids.len() && count <= TRACE_IDS_MAX;
        let expected = format_args!("ids of at most {TRACE_IDS_MAX} traces, with commas between");
        let came = format_args!("Sigyn-Kept: {text}");
        self.findings.judge(Rule::Kept, is_spelled, again, expected, came);
        ids.into_iter().filter(|id| !here(id)).collect()
    }
}
