//! `sigyn query collect`: fetches a trace that nobody sampled from everybody who may still have it.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use sigyn_model::TraceId;
use sigyn_model::pull;

use super::style::Style;
use super::{Server, number, trace};
use crate::cli::CollectFlags;

pub(super) async fn run(
    server: &Server,
    flags: &CollectFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let read = |id: &String| {
        let read = TraceId::parse(&id.trim().to_lowercase());
        read.map_err(|error| anyhow::anyhow!("{id:?} is no trace id: {error}"))
    };
    let ids = flags.ids.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let before = stored(server, &ids).await?;
    let path = format!("/api/v1/traces/collect?timeout={}", super::encode(&flags.timeout));
    let answer = server.post(&path, pull::collect_body(&ids)).await?;
    let after = stored(server, &ids).await?;
    if json {
        let mut answer = answer["data"].clone();
        answer["spans"] = after.iter().sum::<u64>().into();
        answer["newSpans"] = after.iter().sum::<u64>().saturating_sub(before.iter().sum()).into();
        return Ok(format!("{answer}\n"));
    }
    let mut out = told(&answer["data"], style);
    for ((id, before), after) in ids.iter().zip(before).zip(after) {
        let _ = writeln!(out, "{id}: {}", change(before, after));
    }
    if let ([id], true) = (&*ids, out.contains(" now")) {
        out.push('\n');
        out += &trace::run(server, &id.to_string(), false, false, style).await?;
    }
    Ok(out)
}

/// How many spans of each are stored.
async fn stored(server: &Server, ids: &[TraceId]) -> anyhow::Result<Vec<u64>> {
    let mut counts = Vec::with_capacity(ids.len());
    for id in ids {
        let columns = server.found(&format!("/api/v1/trace/{id}/columns")).await?;
        counts.push(columns.map_or(0, |columns| number(&columns["n"])));
    }
    Ok(counts)
}

fn told(answer: &Value, style: Style) -> String {
    let [targets, given, failed, waiting] =
        ["targets", "given", "failed", "waiting"].map(|name| number(&answer[name]));
    let mut out = match targets {
        0 => "There is no target to ask that is up and speaks the pull protocol.\n".to_owned(),
        1 => "Asked 1 target: ".to_owned(),
        n => format!("Asked {n} targets: "),
    };
    if targets > 0 {
        let _ = write!(out, "{given} gave what {} had", if given == 1 { "it" } else { "they" });
        for (count, what) in [(failed, "failed"), (waiting, "did not answer in time")] {
            if count > 0 {
                out += &style.amber(&format!(", {count} {what}"));
            }
        }
        out.push_str(".\n");
    }
    out
}

fn change(before: u64, after: u64) -> String {
    match (before, after) {
        (_, 0) => "no span of it is stored, and nobody had any".to_owned(),
        (before, after) if before == after => format!("{after} spans are stored, as before"),
        (before, after) => {
            format!("{after} spans are stored now, {} of them new", after.saturating_sub(before))
        }
    }
}

impl Server {
    /// Like `json`, and `None` for what is not there.
    async fn found(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.client.get(&format!("{}{path}", self.base)).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.json(path).await.map(Some)
    }

    async fn post(&self, path: &str, body: String) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let headers = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]);
        let answer = self.client.send("POST", &url, headers, Bytes::from(body)).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let told = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
        if answer.status.is_success() {
            return Ok(told);
        }
        let message = told["error"].as_str().unwrap_or(text.trim());
        anyhow::bail!("{} answers {}: {message}", self.base, answer.status)
    }
}

/// Longer than the tracer waits for its targets.
pub(super) fn patience(flags: &CollectFlags) -> Duration {
    let timeout = sigyn_discovery::config::parse_duration(&flags.timeout);
    timeout.unwrap_or_default() + super::TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ColorChoice;

    #[test]
    fn it_says_who_gave_what() {
        let style = Style::new(ColorChoice::Never);
        let told = |targets: u64, given: u64, failed: u64, waiting: u64| {
            let answer = serde_json::json!({
                "targets": targets, "given": given, "failed": failed, "waiting": waiting
            });
            told(&answer, style)
        };
        assert_eq!(told(1, 1, 0, 0), "Asked 1 target: 1 gave what it had.\n");
        assert_eq!(
            told(9, 6, 2, 1),
            "Asked 9 targets: 6 gave what they had, 2 failed, 1 did not answer in time.\n"
        );
        assert!(told(0, 0, 0, 0).starts_with("There is no target"));
        assert_eq!(change(2, 7), "7 spans are stored now, 5 of them new");
        assert_eq!(change(2, 2), "2 spans are stored, as before");
        assert_eq!(change(0, 0), "no span of it is stored, and nobody had any");
    }
}
