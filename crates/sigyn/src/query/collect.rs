//! `sigyn query collect`: fetches a trace that nobody sampled from everybody who may still have it.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use sigyn_model::TraceId;
use sigyn_model::pull;

use super::style::{Style, plain};
use super::{Server, number, time, trace};
use crate::cli::CollectFlags;

/// Targets that are named in one sentence.
const NAMES_MAX: usize = 10;

pub(super) async fn run(
    server: &Server,
    flags: &CollectFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let read = |id: &String| {
        let read = TraceId::parse(&id.trim().to_lowercase());
        read.map_err(|_| {
            anyhow::anyhow!(
                "{id:?} is no trace id: 1 to 32 hexadecimal digits, and not all of them 0"
            )
        })
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
    let asked = Asked::of(&answer["data"]);
    for ((id, before), after) in ids.iter().zip(before).zip(after) {
        let _ = writeln!(out, "{id}: {}", change(before, after, asked));
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
    out += &not_asked(&answer["notAsked"], style);
    let from = answer["from"].as_array().map_or(&[][..], Vec::as_slice);
    let count = |name: &str| number(&answer[name]);
    let those = |of: &dyn Fn(&Value) -> bool| {
        let names = from.iter().filter(|from| of(from)).map(name_of);
        names.collect::<Vec<_>>()
    };
    let gave: Vec<_> = from.iter().filter(|from| number(&from["spans"]) > 0).collect();
    for from in gave.iter().take(NAMES_MAX) {
        let _ = writeln!(out, "  {} of them from {}", spans(number(&from["spans"])), name_of(from));
    }
    if gave.len() > NAMES_MAX {
        let _ = writeln!(out, "  and more from {} others", gave.len() - NAMES_MAX);
    }
    let has = |from: &Value, outcome: &str| from["outcome"] == outcome;
    for (outcome, count, what) in
        [("failed", failed, "Failed"), ("waiting", waiting, "Not answered in time")]
    {
        if count > 0 && !from.is_empty() {
            out += &line(what, count, &those(&|from| has(from, outcome)));
        }
    }
    let (without, unknown) = (count("withoutRing"), count("ringUnknown"));
    if without > 0 {
        let what = format!("{} no ring of unsampled spans", targets_keep(without));
        out += &line(&what, without, &those(&|from| from["keepsRing"] == false));
    }
    if unknown > 0 {
        let what = format!("{} whether there is one", targets_do_not_say(unknown));
        let is_silent = |from: &Value| has(from, "given") && from["keepsRing"].is_null();
        out += &line(&what, unknown, &those(&is_silent));
    }
    out + &reach(from) + &left_out(from)
}

/// Who was not asked and why: where there may be spans yet, first.
fn not_asked(told: &Value, style: Style) -> String {
    let from = told["from"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    for (name, reason, why, may_have) in [
        ("down", "down", "down", true),
        ("unknown", "unknown", "not scraped yet", true),
        ("notTraced", "not_traced", "answering without spans", false),
        ("foreign", "foreign", "giving spans without the pull protocol", false),
    ] {
        let count = number(&told[name]);
        if count == 0 {
            continue;
        }
        let those = from.iter().filter(|from| from["why"] == reason);
        let names: Vec<_> = those
            .map(|from| match from["error"].as_str() {
                Some(error) => format!("{} ({})", name_of(from), plain(error)),
                None => name_of(from),
            })
            .collect();
        let it_is = if count == 1 { "it is" } else { "they are" };
        let and = if may_have { ", and may still have spans" } else { "" };
        let what = format!("{} not asked, as {it_is} {why}{and}", targets_were(count));
        let told = line(&what, count, &names);
        out += &if may_have { style.amber(&told) } else { told };
    }
    out
}

/// `3 targets were`.
fn targets_were(n: u64) -> String {
    if n == 1 { "1 target was".to_owned() } else { format!("{n} targets were") }
}

/// `3 targets keep`.
fn targets_keep(n: u64) -> String {
    if n == 1 { "1 target keeps".to_owned() } else { format!("{n} targets keep") }
}

fn targets_do_not_say(n: u64) -> String {
    if n == 1 { "1 target does not say".to_owned() } else { format!("{n} targets do not say") }
}

fn spans(n: u64) -> String {
    if n == 1 { "1 span".to_owned() } else { format!("{n} spans") }
}

/// Some of those that it is about; `count` may be more than are named.
fn line(what: &str, count: u64, names: &[String]) -> String {
    let shown = &names[..names.len().min(NAMES_MAX)];
    let more = count.saturating_sub(shown.len() as u64);
    let more =
        if more > 0 && !shown.is_empty() { format!(" and {more} more") } else { String::new() };
    let colon = if shown.is_empty() { "" } else { ": " };
    format!("{what}{colon}{}{more}.\n", shown.join(", "))
}

fn name_of(from: &Value) -> String {
    let text = |name: &str| plain(from[name].as_str().unwrap_or(""));
    match (text("job"), text("target")) {
        (job, target) if job.is_empty() => target,
        (job, target) => format!("{job} {target}"),
    }
}

/// How far back it was looked, by what targets say.
fn reach(from: &[Value]) -> String {
    let us = |from: &Value| Duration::try_from_secs_f64(from["backSeconds"].as_f64()?).ok();
    let mut reaches: Vec<_> = from.iter().filter_map(|from| Some((us(from)?, from))).collect();
    reaches.sort_by_key(|(reach, _)| *reach);
    let words =
        |reach: Duration| time::duration(u64::try_from(reach.as_micros()).unwrap_or(u64::MAX));
    match &*reaches {
        [] => String::new(),
        [(reach, from)] => format!(
            "{} still has everything unsampled that finished in the last {}, and only some of what is older.\n",
            name_of(from),
            words(*reach)
        ),
        [(least, from), .., (most, _)] => format!(
            "{} targets still have everything unsampled that finished lately, and only some of what is older: \
             in the last {} ({}) to {}.\n",
            reaches.len(),
            words(*least),
            name_of(from),
            words(*most)
        ),
    }
}

fn left_out(from: &[Value]) -> String {
    let mut out = String::new();
    let counts = from.iter().map(|from| (number(&from["tooLarge"]), from));
    for (n, from) in counts.filter(|(n, _)| *n > 0).take(NAMES_MAX) {
        let were = if n == 1 { "was" } else { "were" };
        let _ = writeln!(
            out,
            "{} of {} {were} too large for its ring since it started, of whatever trace.",
            spans(n),
            name_of(from)
        );
    }
    out
}

/// How many targets could say whether they have spans of it.
#[derive(Clone, Copy)]
struct Asked {
    targets: u64,
    given: u64,
    not_asked: u64,
}

impl Asked {
    fn of(answer: &Value) -> Self {
        Self {
            targets: number(&answer["targets"]),
            given: number(&answer["given"]),
            not_asked: number(&answer["notAsked"]["targets"]),
        }
    }
}

fn change(before: u64, after: u64, asked: Asked) -> String {
    match (before, after) {
        (_, 0) => {
            let mut told = match asked {
                Asked { targets: 0, .. } => "no span of it is stored, and nobody was asked",
                Asked { targets, given, .. } if given < targets => {
                    "no span of it is stored, and not everybody has answered"
                }
                Asked { not_asked: 0, .. } => "no span of it is stored, and no target has any",
                _ => "no span of it is stored, and those that were asked have none",
            }
            .to_owned();
            if asked.not_asked > 0 {
                let _ = write!(told, "; {} not asked", targets_were(asked.not_asked));
            }
            told
        }
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
        let asked = |targets, given, not_asked| Asked { targets, given, not_asked };
        assert_eq!(change(2, 7, asked(2, 1, 0)), "7 spans are stored now, 5 of them new");
        assert_eq!(change(2, 2, asked(2, 2, 0)), "2 spans are stored, as before");
        for (asked, end) in [
            (asked(2, 2, 0), "no target has any"),
            (asked(2, 2, 1), "those that were asked have none; 1 target was not asked"),
            (asked(2, 1, 0), "not everybody has answered"),
            (asked(2, 1, 3), "not everybody has answered; 3 targets were not asked"),
            (asked(0, 0, 3), "nobody was asked; 3 targets were not asked"),
            (asked(0, 0, 0), "nobody was asked"),
        ] {
            assert_eq!(change(0, 0, asked), format!("no span of it is stored, and {end}"));
        }
    }

    #[test]
    fn it_says_who_was_not_asked_and_why() {
        let answer = serde_json::json!({
            "targets": 0, "given": 0, "failed": 0, "waiting": 0,
            "notAsked": {
                "targets": 14, "down": 12, "unknown": 1, "notTraced": 0, "foreign": 1,
                "from": [
                    {"job": "shop", "target": "a", "why": "down", "error": "connection\u{1b} refused"},
                    {"job": "shop", "target": "b", "why": "down", "error": "no answer in 10s"},
                    {"job": "shop", "target": "c", "why": "unknown"},
                    {"job": "logs", "target": "d", "why": "foreign"},
                ]
            }
        });
        let expected = "\
There is no target to ask that is up and speaks the pull protocol.
12 targets were not asked, as they are down, and may still have spans: shop a (connection\u{fffd} refused), shop b (no answer in 10s) and 10 more.
1 target was not asked, as it is not scraped yet, and may still have spans: shop c.
1 target was not asked, as it is giving spans without the pull protocol: logs d.
";
        assert_eq!(told(&answer, Style::new(ColorChoice::Never)), expected);
    }

    #[test]
    fn it_says_who_could_have_nothing_to_give() {
        let from = |name: &str, outcome: &str, more: Value| {
            let mut from = serde_json::json!({
                "job": "shop", "target": name, "outcome": outcome, "spans": 0
            });
            from.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            from
        };
        let answer = serde_json::json!({
            "targets": 16, "given": 14, "failed": 1, "waiting": 1,
            "withRing": 2, "withoutRing": 11, "ringUnknown": 1,
            "from": [
                from("a", "given", serde_json::json!({
                    "spans": 3, "keepsRing": true, "backSeconds": 41.25, "tooLarge": 1
                })),
                from("b", "given", serde_json::json!({"keepsRing": true, "backSeconds": 900.0, "tooLarge": 0})),
                from("c", "failed", serde_json::json!({})),
                from("d\u{1b}[2J", "waiting", serde_json::json!({})),
                from("e", "given", serde_json::json!({"keepsRing": false})),
                from("f", "given", serde_json::json!({"keepsRing": false})),
                from("g", "given", serde_json::json!({})),
            ]
        });
        let expected = "\
Asked 16 targets: 14 gave what they had, 1 failed, 1 did not answer in time.
  3 spans of them from shop a
Failed: shop c.
Not answered in time: shop d\u{fffd}[2J.
11 targets keep no ring of unsampled spans: shop e, shop f and 9 more.
1 target does not say whether there is one: shop g.
2 targets still have everything unsampled that finished lately, and only some of what is older: in the last 41.2 s (shop a) to 15 min.
1 span of shop a was too large for its ring since it started, of whatever trace.
";
        assert_eq!(told(&answer, Style::new(ColorChoice::Never)), expected);
        let one = serde_json::json!({
            "targets": 1, "given": 1, "failed": 0, "waiting": 0,
            "from": [from("b", "given", serde_json::json!({"keepsRing": true, "backSeconds": 9.0, "tooLarge": 0}))]
        });
        assert_eq!(
            told(&one, Style::new(ColorChoice::Never)),
            "Asked 1 target: 1 gave what it had.\n\
             shop b still has everything unsampled that finished in the last 9 s, and only some of what is older.\n"
        );
    }
}
