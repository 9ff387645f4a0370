//! What the demo prints: what was started, where to look, and three things worth looking at.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::scene::Scene;
use crate::http_client::HttpClient;

/// How long the demo waits for its first interesting trace before it prints without one.
const PATIENCE: Duration = Duration::from_secs(9);

/// Services that take part in a checkout and are traced.
const CHECKOUT_SERVICES: usize = 6;

pub(super) fn opening(scene: &Scene, base: &str, asked: u16, port: u16, config: &Path) {
    let bold = |text: &str| paint("1", text);
    let faint = |text: &str| paint("2", text);
    let mut out = format!("\n{} is watching a small shop on loopback.\n\n", bold("Sigyn"));
    if asked != port && asked != 0 {
        out += &format!("  Port {asked} is taken, so the tracer listens on {port}.\n\n");
    }
    for service in scene.services.iter() {
        let note = match service.name {
            "inventory" => "its log is tiny: a stocktake loses spans, and they are counted",
            "legacy-auth" => "discovered, but not traced",
            "mailer" => "called without trace context",
            "catalog" if service.zone == "eu-1b" => "slow: it lost an index",
            "payment" if service.zone == "eu-1b" => "slow, and fails now and then",
            _ => "",
        };
        let line =
            format!("  {:<12} {:<18} http://{:<17}", service.name, service.pod, service.address);
        let line = if note.is_empty() { line } else { format!("{line} {}", faint(note)) };
        out += line.trim_end();
        out.push('\n');
    }
    let gone = format!("  {:<12} {:<18} http://{:<17}", "search", "search-old-4hq", scene.gone);
    out += &format!("{gone} {}\n", faint("gone, but discovery still lists it"));
    out += &format!("\n  Pages    {}\n", bold(&format!("{base}/")));
    out += &format!("  Config   {}\n", config.display());
    out += &format!("  Terminal {}\n", faint(&format!("sigyn query traces --server {base}")));
    say(&out);
}

/// Waits until there is something to see, then says where.
pub(super) async fn sights(client: &HttpClient, base: &str) {
    let found = tokio::time::timeout(PATIENCE, slow_checkout(client, base)).await;
    let checkout = match found {
        Ok(id) => format!("{base}/zipkin/traces/{id}"),
        Err(_) => format!("{base}/zipkin/?serviceName=storefront&minDuration=100000"),
    };
    let mut out = String::from("\n  Three things worth looking at:\n\n");
    let sights = [
        ("Why was this checkout slow?", checkout),
        (
            "Which payments failed?",
            format!("{base}/zipkin/?serviceName=payment&annotationQuery=error&lookback=15m"),
        ),
        ("Who is lossy, who is not traced?", format!("{base}/targets")),
    ];
    for (i, (question, link)) in sights.iter().enumerate() {
        out += &format!("  {}. {:<34}{}\n", i + 1, question, paint("36", link));
    }
    out += "\n  Ctrl-C stops everything and leaves nothing behind.\n\n";
    say(&out);
}

pub(super) fn closing() {
    say("\nStopping the shop and its tracer.\n");
}

/// The id of a checkout that shows something: many services, and a failure or a long wait.
async fn slow_checkout(client: &HttpClient, base: &str) -> String {
    let url = format!("{base}/api/v1/search?serviceName=shipping&limit=50");
    loop {
        if let Ok(answer) = client.get(&url).await
            && let Ok(body) = serde_json::from_slice::<Value>(&answer.body)
        {
            let traces = body["data"]["traces"].as_array().map_or(&[][..], Vec::as_slice);
            // Whole ones only: every service that takes part in a checkout has been scraped.
            let whole = |trace: &&Value| {
                trace["root"]["service"] == "storefront"
                    && trace["missing"] == 0
                    && trace["services"].as_array().map_or(0, Vec::len) >= CHECKOUT_SERVICES
            };
            let traces: Vec<&Value> = traces.iter().filter(whole).collect();
            let best = traces.iter().max_by_key(|trace| {
                (trace["errors"].as_u64() > Some(0), trace["durationUs"].as_u64())
            });
            let id = best.and_then(|trace| trace["traceId"].as_str());
            if let (Some(id), true) = (id, traces.len() >= 5) {
                return id.to_owned();
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn paint(code: &str, text: &str) -> String {
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn say(text: &str) {
    // Nobody may be reading any more; the demo goes on.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
