//! `sigyn query status`: what is stored, what it takes in memory, and what is wrong with it.

use serde_json::Value;

use super::style::{Style, plain};
use super::table::{Align, Cell, Table};
use super::{Server, list, number, text, time};

pub(super) async fn run(server: &Server, json: bool, style: Style) -> anyhow::Result<String> {
    let path = "/api/v1/status/store";
    if json {
        return Ok(server.text(path).await? + "\n");
    }
    Ok(shown(&server.json(path).await?["data"], style))
}

fn shown(store: &Value, style: Style) -> String {
    let figure = |name: &str| time::count(number(&store[name]));
    let bytes = |name: &str| size(number(&store[name]));
    let mut out = format!(
        "{} spans: in blocks ({}) {}, in no block yet {}; the log {}\n",
        style.bold(&figure("spans")),
        figure("blocks"),
        bytes("blockBytes"),
        figure("headSpans"),
        bytes("walBytes"),
    );
    let memory = &store["memory"];
    out += &match store["refusing"].as_str() {
        Some(cause) => style.red(&format!("no spans can be stored: {}\n", plain(cause))),
        None => format!(
            "spans are taken, durability {}; at most {} of memory\n",
            plain(text(&store["durability"])),
            size(number(&memory["maxBytes"]))
        ),
    };
    if let Some(cause) = store["unsealable"].as_str() {
        out += &style.red(&format!("no blocks can be made: {}\n", plain(cause)));
    }
    let mut table =
        Table::new(&[("SHARE", Align::Left), ("USED", Align::Right), ("OF", Align::Right)]);
    for (name, share) in memory["shares"].as_object().into_iter().flatten() {
        table.row(vec![
            Cell::new(name.as_str()),
            Cell::new(size(number(&share["usedBytes"]))),
            Cell::new(size(number(&share["maxBytes"]))),
        ]);
    }
    out += &table.render(style);
    for damaged in list(&store["damaged"]) {
        let [file, cause] = ["file", "cause"].map(|name| plain(text(&damaged[name])));
        out += &style.red(&format!("damaged: {file}: {cause}\n"));
    }
    out
}

/// `12.3 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ColorChoice;

    #[test]
    fn sizes_have_units() {
        let check = |bytes: u64, expected: &str| assert_eq!(size(bytes), expected, "{bytes}");
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_024, "1.0 KiB");
        check((1 << 20) - 1, "1.0 MiB");
        check(12_897_485, "12.3 MiB");
        check(u64::MAX, "16384.0 PiB");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut store = serde_json::json!({
            "durability": "fsync", "spans": 1_234, "headSpans": 34, "blocks": 2,
            "blockBytes": 2_048, "walBytes": 100,
            "memory": {"maxBytes": 64 << 20, "shares": {"cache": {"usedBytes": 0, "maxBytes": 3 << 20}}},
            "damaged": [{"file": "wal/1.wal", "cause": "a stretch"}],
        });
        let told = |store: &Value| shown(store, Style::new(ColorChoice::Never));
        assert_eq!(
            told(&store),
            "1,234 spans: in blocks (2) 2.0 KiB, in no block yet 34; the log 100 B\n\
             spans are taken, durability fsync; at most 64.0 MiB of memory\n\
             SHARE  USED       OF\n\
             cache   0 B  3.0 MiB\n\
             damaged: wal/1.wal: a stretch\n"
        );
        store["unsealable"] = "no inode left".into();
        assert!(told(&store).contains("\nno blocks can be made: no inode left\nSHARE"));
        store["refusing"] = "no space left".into();
        assert!(told(&store).contains("\nno spans can be stored: no space left\n"));
    }
}
