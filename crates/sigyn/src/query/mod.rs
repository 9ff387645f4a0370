//! `sigyn query`: the tracer's answers in a terminal.

mod collect;
mod differences;
mod heatmap;
mod links;
mod red;
mod services;
mod status;
pub(crate) mod style;
pub(crate) mod table;
mod targets;
pub(crate) mod time;
mod trace;
mod traces;
mod words;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::Failure;
use crate::api::percent_decode;
use crate::cli::{AboutFlags, OutputFormat, QueryCommand, QueryFlags};
use crate::http_client::HttpClient;
use crate::reply::WARNING;
use crate::stdout;
use style::Style;

/// How long the tracer may take to answer: longer than it allows a query to take.
const TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) fn run(flags: &QueryFlags) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let base = base_url(&flags.server).context("--server").map_err(Failure::usage)?;
    let timeout = match &flags.what {
        QueryCommand::Collect(flags) => collect::patience(flags),
        _ => TIMEOUT,
    };
    let client = HttpClient::configured(flags.http_config_file.as_deref(), timeout);
    let server = Server { base, client: client.map_err(Failure::usage)? };
    let style = Style::new(flags.color);
    let json = flags.output == OutputFormat::Json;
    let text = runtime.block_on(async {
        match &flags.what {
            QueryCommand::Traces(flags) => traces::run(&server, flags, json, style).await,
            QueryCommand::Trace { id, tags } => trace::run(&server, id, *tags, json, style).await,
            QueryCommand::Collect(flags) => collect::run(&server, flags, json, style).await,
            QueryCommand::Red(flags) => red::run(&server, flags, json, style).await,
            QueryCommand::Heatmap(flags) => heatmap::run(&server, flags, json, style).await,
            QueryCommand::Keys(flags) => words::keys(&server, flags, json, style).await,
            QueryCommand::Values { key, flags } => {
                words::values(&server, key, flags, json, style).await
            }
            QueryCommand::Differences(flags) => differences::run(&server, flags, json, style).await,
            QueryCommand::Links(about) => links::run(&server, about, json, style).await,
            QueryCommand::Services { name } => {
                services::run(&server, name.as_deref(), json, style).await
            }
            QueryCommand::Targets { problems } => {
                targets::run(&server, *problems, json, style).await
            }
            QueryCommand::Status => status::run(&server, json, style).await,
        }
    })?;
    stdout::print(&text)
}

/// `host:port` alone means http. A login is refused, and not repeated: no part of an address is secret
/// then, and any may be told and kept.
pub(crate) fn base_url(server: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        !server.contains('@'),
        "an address with a login (an @) is not supported: give it as http://HOST:PORT"
    );
    let base = server.trim_end_matches('/');
    Ok(if base.contains("://") { base.to_owned() } else { format!("http://{base}") })
}

/// The tracer that is asked.
#[derive(Debug)]
struct Server {
    base: String,
    client: HttpClient,
}

impl Server {
    /// The body of a successful answer; else what the server says is wrong.
    async fn text(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.base);
        let answer = self.client.get(&url).await?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status.is_success() {
            for warning in answer.headers.get_all(WARNING) {
                eprintln!("sigyn query: {}", style::plain(warning.to_str().unwrap_or_default()));
            }
            return Ok(body);
        }
        let told = serde_json::from_str::<Value>(&body).unwrap_or(Value::Null);
        let message = told["error"].as_str().unwrap_or(body.trim());
        let shown = underlined(path, &told["at"]).unwrap_or_default();
        anyhow::bail!("{} answers {}: {message}{shown}", self.base, answer.status)
    }

    async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let body = self.text(path).await?;
        let answer: Value = serde_json::from_str(&body)
            .with_context(|| format!("{}{path} does not answer in JSON", self.base))?;
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            eprintln!("sigyn query: {}", style::plain(warning.as_str().unwrap_or_default()));
        }
        Ok(answer)
    }
}

/// The filter that was asked with, and what is wrong in it, as far as an answer says so.
fn underlined(path: &str, at: &Value) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, encoded) = pairs.find(|(name, _)| Some(*name) == at["parameter"].as_str())?;
    let text = style::plain(&percent_decode(encoded).ok()?);
    let place = |name: &str| usize::try_from(at[name].as_u64()?).ok();
    let (from, to) = (place("from")?, place("to")?);
    let marks = "^".repeat(to.saturating_sub(from).clamp(1, text.chars().count().max(1)));
    Some(format!("\n  {text}\n  {}{marks}", " ".repeat(from.min(text.chars().count()))))
}

/// The path of a question with its parameters; those that are not there are left out.
fn question(
    path: &str,
    about: &AboutFlags,
    parameters: &[(&str, Option<&str>)],
) -> anyhow::Result<String> {
    let lookback = time::duration_ms(&about.lookback)?;
    let end = about.end.as_deref().map(time::end_ms).transpose()?.map(|ms| ms.to_string());
    let window = [
        ("q", about.filter.as_deref()),
        ("lookback", Some(lookback.as_str())),
        ("endTs", end.as_deref()),
    ];
    let all = window.iter().chain(parameters);
    let pairs = all.filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?))));
    Ok(format!("{path}?{}", pairs.collect::<Vec<_>>().join("&")))
}

/// A number in an answer; not one is none.
fn number(value: &Value) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded count or duration; saturates"
    )]
    let rounded = |number: f64| number.round() as u64;
    value.as_u64().or_else(|| value.as_f64().map(rounded)).unwrap_or(0)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// What an answer leaves out, in a line; nothing if it is all.
fn passed_over(too_large: &Value) -> String {
    match number(too_large) {
        0 => String::new(),
        n => format!(
            "Left out: {} too large to be held (more --storage.memory helps).\n",
            if n == 1 { "1 trace that is".to_owned() } else { format!("{n} traces that are") }
        ),
    }
}

/// Makes a text safe inside a query string.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_a_filter_is_underlined() {
        let check = |path: &str, at: Value, expected: Option<&str>| {
            assert_eq!(underlined(path, &at).as_deref(), expected, "{path}");
        };
        let at = |from, to| serde_json::json!({"parameter": "q", "from": from, "to": to});
        let path = format!("/api/v1/red?by=service&q={}", encode("größe > x"));
        check(&path, at(8, 9), Some("\n  größe > x\n          ^"));
        check(&path, at(9, 9), Some("\n  größe > x\n           ^"));
        check(&path, at(0, 5), Some("\n  größe > x\n  ^^^^^"));
        check(&path, Value::Null, None);
        check("/api/v1/red", at(0, 1), None);
    }

    #[test]
    fn what_is_left_out_is_told() {
        let check = |told: Value, expected: &str| assert_eq!(passed_over(&told), expected);
        check(Value::Null, "");
        let (one, more) = ("1 trace that is", "7 traces that are");
        let helps = "too large to be held (more --storage.memory helps).\n";
        check(1.into(), &format!("Left out: {one} {helps}"));
        check(7.into(), &format!("Left out: {more} {helps}"));
    }

    #[test]
    fn an_address_is_completed_and_a_login_is_not_repeated() {
        let check = |text, expected: &str| assert_eq!(base_url(text).unwrap(), expected);
        check("127.0.0.1:9411", "http://127.0.0.1:9411");
        check("http://zipkin:9411/", "http://zipkin:9411");
        for text in ["http://u:secret@127.0.0.1", "u:secret@127.0.0.1", "http://u:se/cret@h"] {
            let error = base_url(text).unwrap_err().to_string();
            assert!(!error.contains("cret"), "{error}");
        }
    }
}
