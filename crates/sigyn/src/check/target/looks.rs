//! What a target tells to people and to what helps them (§16).

use serde_json::Value;
use sigyn_model::TraceId;
use sigyn_model::pull::Cursor;

use super::checker::Checker;
use super::exchange::{Exchange, Offer, Place, Request};
use super::rule::Rule;

const RUNNING_MAX: usize = 1_000;
const JSON: &str = "application/json";

impl Checker {
    /// Of a target that holds this segment.
    pub(super) async fn looks(&mut self, held: Option<Cursor>) {
        let before = self.beginning().await;
        self.tracez(held).await;
        self.well_known().await;
        let after = self.beginning().await;
        let (Some((before, _)), Some((after, again))) = (before, after) else { return };
        // What comes meanwhile may take the place of others; nothing else may.
        if before.newest == after.newest {
            let is_kept = before == after;
            let expected = format_args!("{before}, as before somebody looked");
            self.findings.judge(Rule::Looks, is_kept, &again, expected, after);
        } else if after.lost == before.lost && after.first == before.first {
            self.findings.pass(Rule::Looks);
        } else {
            self.findings.not_seen(Rule::Looks, "spans came all the time");
        }
    }

    async fn tracez(&mut self, held: Option<Cursor>) {
        let look = |accept: &str| Request::get().at(Place::Tracez).with("accept", accept);
        let rules = [Rule::Tracez, Rule::Views];
        let Some(exchange) = self.ask(&look(JSON)).await else {
            return self.findings.none_seen(&rules, "no answer");
        };
        if exchange.status() == 404 {
            return self.findings.none_seen(&rules, "404: the target does not tell what runs");
        }
        self.judge_tracez(&exchange, None);
        for (accept, expected) in [
            ("*/*", "text/plain"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
            ("application/json;q=0.1, text/html", "text/html"),
            ("application/json, text/html;q=0.1", JSON),
            ("text/html;q=0, text/*", "text/plain"),
        ] {
            let Some(exchange) = self.ask(&look(accept)).await else { continue };
            let came = exchange.header("content-type").unwrap_or("no Content-Type");
            let essence = came.split(';').next().unwrap_or_default().trim();
            let is_kept = exchange.status() == 200 && essence.eq_ignore_ascii_case(expected);
            let came = format_args!("{} with {came}", exchange.status());
            self.findings.judge(Rule::Views, is_kept, &exchange.again, expected, came);
        }
        self.ask_refused_plainly(&look("image/png"), Rule::Views, 406).await;
        // One that runs, if one does; else one of those that are held.
        let running: Option<Value> = serde_json::from_slice(&exchange.answer.body).ok();
        let runs = running.as_ref().and_then(|told| told["running"][0]["traceId"].as_str());
        let id = match runs.and_then(|id| TraceId::parse(id).ok()) {
            Some(id) => Some(id),
            None => self.a_trace(held).await,
        };
        let Some(id) = id else { return };
        if let Some(exchange) = self.ask(&look(JSON).asking(format!("trace_id={id}"))).await {
            self.judge_tracez(&exchange, Some(id));
        }
    }

    fn judge_tracez(&mut self, exchange: &Exchange, of: Option<TraceId>) {
        let told: Option<Value> = serde_json::from_slice(&exchange.answer.body).ok();
        let told = told.filter(|_| exchange.status() == 200);
        let wrong = match &told {
            Some(told) => self.wrong_in_tracez(told, of),
            None => Some(format!("{}, which is no JSON", exchange.status())),
        };
        let expected = "200 with the object of section 16";
        let came = wrong.as_deref().unwrap_or_default();
        self.findings.judge(Rule::Tracez, wrong.is_none(), &exchange.again, expected, came);
    }

    fn wrong_in_tracez(&self, told: &Value, of: Option<TraceId>) -> Option<String> {
        let own = self.wrong_in_own(told);
        if own.is_some() {
            return own;
        }
        let Some(running) = told["running"].as_array() else {
            return Some("no list `running`".to_owned());
        };
        let total = told["runningTotal"].as_u64();
        if total.is_none_or(|total| total < running.len() as u64) || running.len() > RUNNING_MAX {
            return Some(format!("runningTotal {total:?} of {} that run", running.len()));
        }
        if let Some(span) = running.iter().find(|span| !is_running(span, of)) {
            return Some(format!("among those that run {span}"));
        }
        if !told.get("unsampledShown").is_none_or(Value::is_boolean) {
            return Some(format!("unsampledShown {}", told["unsampledShown"]));
        }
        let (bounds, operations) = (&told["bucketsBelowMicros"], &told["operations"]);
        if of.is_some() {
            return operations
                .is_array()
                .then(|| "operations, where one trace was asked".to_owned());
        }
        let numbers = |value: &Value| -> Option<Vec<u64>> {
            value.as_array()?.iter().map(Value::as_u64).collect()
        };
        let Some(bounds) = numbers(bounds).filter(|bounds| bounds.is_sorted()) else {
            return Some(format!("bucketsBelowMicros {bounds}"));
        };
        let Some(operations) = operations.as_array() else {
            return Some("no list `operations`".to_owned());
        };
        let is_row = |row: &&Value| {
            let buckets = numbers(&row["buckets"]);
            let counts = ["running", "errors"].iter().all(|name| row[name].is_u64());
            row["name"].is_string()
                && has_kind(row)
                && counts
                && buckets.is_some_and(|buckets| buckets.len() == bounds.len() + 1)
        };
        operations.iter().find(|row| !is_row(row)).map(|row| format!("among operations {row}"))
    }

    /// What both objects say of the process.
    fn wrong_in_own(&self, told: &Value) -> Option<String> {
        if !told["service"].is_string() {
            return Some(format!("service {}", told["service"]));
        }
        let text = told["epoch"].as_str().unwrap_or_default();
        let epoch = u64::from_str_radix(text, 16).ok().filter(|epoch| self.knows(*epoch));
        let is_spelled = epoch.is_some_and(|epoch| text == format!("{epoch:016x}"));
        (!is_spelled).then(|| format!("epoch {}, which is not that of its answers", told["epoch"]))
    }

    async fn well_known(&mut self) {
        let request = Request::get().at(Place::WellKnown).with("accept", "*/*");
        let Some(exchange) = self.ask(&request).await else {
            return self.findings.not_seen(Rule::WellKnown, "no answer");
        };
        if exchange.status() == 404 {
            let why = "404: the target does not tell what it offers";
            return self.findings.not_seen(Rule::WellKnown, why);
        }
        let told: Option<Value> = serde_json::from_slice(&exchange.answer.body).ok();
        let told = told.filter(|_| exchange.status() == 200);
        let wrong = match &told {
            Some(told) => self.wrong_in_well_known(told),
            None => Some(format!("{}, which is no JSON", exchange.status())),
        };
        let expected = "200 with the object of section 16, true of what it answers";
        let came = wrong.as_deref().unwrap_or_default();
        self.findings.judge(Rule::WellKnown, wrong.is_none(), &exchange.again, expected, came);
    }

    fn wrong_in_well_known(&self, told: &Value) -> Option<String> {
        let own = self.wrong_in_own(told);
        if own.is_some() {
            return own;
        }
        if !told["version"].is_string() {
            return Some(format!("version {}", told["version"]));
        }
        let pids = told["pids"].as_array().filter(|pids| pids.iter().all(Value::is_u64));
        if pids.is_none_or(Vec::is_empty) {
            return Some(format!("pids {}", told["pids"]));
        }
        let paths = ["traces", "collect", "tracez"].map(|name| &told["paths"][name]);
        let is_path = |path: &&Value| path.as_str().is_some_and(|path| path.starts_with('/'));
        if !paths.iter().all(is_path) {
            return Some(format!("paths {}", told["paths"]));
        }
        for name in ["hotBytesMax", "coldBytesMax", "valueBytesMax", "spanBytesMax"] {
            if !told[name].is_u64() {
                return Some(format!("{name} {}", told[name]));
            }
        }
        let texts = |name: &str| -> Vec<&str> {
            told[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let listed: Vec<_> =
            texts("formats").iter().filter_map(|text| Offer::named(text)).collect();
        // Without spans nobody knows what is offered.
        let Some((offered, codings)) = &self.offered else { return None };
        let differs =
            Offer::ALL.into_iter().find(|offer| listed.contains(offer) != offered.contains(offer));
        if let Some(offer) = differs {
            let verb =
                if listed.contains(&offer) { "is listed and not" } else { "is not listed but" };
            return Some(format!("formats in which {} {verb} offered", offer.media()));
        }
        let encodings = texts("encodings");
        let differs = ["zstd", "gzip"]
            .into_iter()
            .find(|name| encodings.contains(name) != codings.contains(name));
        differs.map(|name| format!("encodings {encodings:?}, of which {name} is not true"))
    }
}

fn has_kind(value: &Value) -> bool {
    let kinds = ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"];
    value.get("kind").is_none_or(|kind| kind.as_str().is_some_and(|kind| kinds.contains(&kind)))
}

fn is_running(span: &Value, of: Option<TraceId>) -> bool {
    let is_id = |name: &str| span[name].as_str().is_some_and(|id| TraceId::parse(id).is_ok());
    let trace = span["traceId"].as_str().and_then(|id| TraceId::parse(id).ok());
    trace.is_some_and(|id| of.is_none_or(|of| id.low() == of.low()))
        && is_id("id")
        && (span.get("parentId").is_none() || is_id("parentId"))
        && has_kind(span)
        && span["name"].is_string()
        && span["timestamp"].is_u64()
        && span["duration"].is_u64()
        && span.get("sampled").is_none_or(Value::is_boolean)
}
