//! `sigyn query keys` and `values`: what spans say.

use super::style::Style;
use super::table::{Align, Cell, Table};
use super::{Server, list, number, passed_over, question, text, time};
use crate::cli::WordsFlags;

pub(super) async fn keys(
    server: &Server,
    flags: &WordsFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    words(server, "/api/v1/keys", ("KEY", None), flags, json, style).await
}

pub(super) async fn values(
    server: &Server,
    key: &str,
    flags: &WordsFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    words(server, "/api/v1/values", ("VALUE", Some(key)), flags, json, style).await
}

async fn words(
    server: &Server,
    path: &str,
    (title, key): (&'static str, Option<&str>),
    flags: &WordsFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let limit = flags.limit.to_string();
    let parameters =
        [("key", key), ("prefix", flags.prefix.as_deref()), ("limit", Some(limit.as_str()))];
    let path = question(path, &flags.about, &parameters)?;
    if json {
        return Ok(server.text(&path).await? + "\n");
    }
    let answer = &server.json(&path).await?["data"];
    let words = list(&answer["words"]);
    let passed = passed_over(&answer["looked"]["tooLarge"]);
    if words.is_empty() {
        return Ok(format!("{passed}No span says any in the last {}.\n", flags.about.lookback));
    }
    let mut table = Table::new(&[
        (title, Align::Left),
        ("SPANS", Align::Right),
        ("FIRST SEEN", Align::Right),
        ("LAST SEEN", Align::Right),
    ]);
    let now = time::now_us();
    for word in words {
        table.row(vec![
            Cell::new(text(&word["word"])).paint(|text| style.bold(text)),
            Cell::new(time::count(number(&word["spans"]))),
            Cell::new(time::ago(now, number(&word["firstUs"]))),
            Cell::new(time::ago(now, number(&word["lastUs"]))),
        ]);
    }
    let mut out = table.render(style);
    if answer["limited"] == true {
        out.push_str(&style.faint("There are more: ask for them with -n or --prefix.\n"));
    }
    Ok(out + &style.faint(&passed))
}
