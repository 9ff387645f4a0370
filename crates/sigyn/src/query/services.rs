//! `sigyn query services`: who is stored, and what one of them does.

use serde_json::Value;

use super::style::{Style, plain};
use super::{Server, encode};

pub(super) async fn run(
    server: &Server,
    name: Option<&str>,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let Some(name) = name else {
        let services = server.json("/api/v2/services").await?;
        if json {
            return Ok(format!("{services}\n"));
        }
        let services = names(&services);
        if services.is_empty() {
            return Ok("No service is stored yet. `sigyn query targets` shows what is scraped.\n"
                .to_owned());
        }
        return Ok(services.iter().map(|name| format!("{name}\n")).collect());
    };
    let spans = server.json(&format!("/api/v2/spans?serviceName={}", encode(name))).await?;
    let remote =
        server.json(&format!("/api/v2/remoteServices?serviceName={}", encode(name))).await?;
    if json {
        let both = serde_json::json!({"serviceName": name, "spanNames": spans, "remoteServiceNames": remote});
        return Ok(format!("{both}\n"));
    }
    let (span_names, remotes) = (names(&spans), names(&remote));
    if span_names.is_empty() && remotes.is_empty() {
        let known = names(&server.json("/api/v2/services").await?);
        anyhow::ensure!(
            known.contains(&plain(&name.to_lowercase())),
            "no service {name} is stored"
        );
    }
    let mut out = String::new();
    for (title, list) in [("SPAN NAMES", span_names), ("REMOTE SERVICES", remotes)] {
        out.push_str(&style.faint(title));
        out.push('\n');
        if list.is_empty() {
            out.push_str("  none\n");
        }
        out.extend(list.iter().map(|name| format!("  {name}\n")));
    }
    Ok(out)
}

fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_str).map(plain).collect()
}
