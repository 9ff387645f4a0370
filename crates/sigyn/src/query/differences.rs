//! `sigyn query differences`: what some traces have that the others have not.

use super::style::Style;
use super::table::{Align, Cell, Table};
use super::{Server, list, number, passed_over, question, text, time};
use crate::cli::DifferencesFlags;

pub(super) async fn run(
    server: &Server,
    flags: &DifferencesFlags,
    json: bool,
    style: Style,
) -> anyhow::Result<String> {
    let limit = flags.limit.to_string();
    let of = if flags.spans { "spans" } else { "traces" };
    let end = flags.select_end.as_deref().map(time::end_ms).transpose()?.map(|ms| ms.to_string());
    let lookback = flags.select_lookback.as_deref().map(time::duration_ms).transpose()?;
    let parameters = [
        ("select", flags.selected.as_deref().or(flags.select.as_deref())),
        ("selectEndTs", end.as_deref()),
        ("selectLookback", lookback.as_deref()),
        ("against", flags.against.as_deref()),
        ("of", Some(of)),
        ("limit", Some(limit.as_str())),
    ];
    let path = question("/api/v1/differences", &flags.about, &parameters)?;
    if json {
        return Ok(server.text(&path).await? + "\n");
    }
    let answer = &server.json(&path).await?["data"];
    let (selected, others) = (number(&answer["selected"]), number(&answer["others"]));
    let found = list(&answer["differences"]);
    let passed = passed_over(&answer["looked"]["tooLarge"]);
    if selected == 0 || others == 0 {
        return Ok(format!(
            "{passed}{} {of} are selected in the last {}, and {} others: there is nothing to compare.\n",
            time::count(selected),
            flags.about.lookback,
            time::count(others)
        ));
    }
    let mut table = Table::new(&[
        ("KEY", Align::Left),
        ("VALUE", Align::Left),
        ("SELECTED", Align::Right),
        ("OTHERS", Align::Right),
    ]);
    for one in found {
        let share = |name: &str| {
            let share = one[name].as_f64().unwrap_or(0.0);
            Cell::new(format!("{:.1} %", share * 100.0))
        };
        table.row(vec![
            Cell::new(text(&one["key"])),
            Cell::new(text(&one["value"])).paint(|text| style.bold(text)),
            share("selectedShare").paint(|text| style.amber(text)),
            share("othersShare"),
        ]);
    }
    let counts = format!(
        "{} {of} selected, against {} others.\n",
        time::count(selected),
        time::count(others)
    );
    Ok(table.render(style) + &style.faint(&(counts + &passed)))
}
