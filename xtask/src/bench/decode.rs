//! Reading spans, by us and by others: CPU time from criterion, instructions from callgrind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{PROFILE, built_bench};
use crate::command;

/// What is measured, as the bench names it; then what it is.
const WORKS: [(&str, &str); 10] = [
    ("otlp/columns", "OTLP into a batch's columns"),
    ("otlp/count", "OTLP, reading alone"),
    ("otlp/owned", "OTLP into owned spans"),
    ("otlp/taken_in", "OTLP as the server takes it in: columns, frame of the log, head"),
    ("otlp/prost", "prost, decoding alone"),
    ("zipkin_json/columns", "Zipkin v2 JSON into a batch's columns"),
    ("zipkin_json/count", "Zipkin v2 JSON, reading alone"),
    ("zipkin_json/owned", "Zipkin v2 JSON into owned spans"),
    ("zipkin_json/taken_in", "Zipkin v2 JSON as the server takes it in"),
    ("zipkin_json/serde_json", "serde_json into owned spans"),
];

/// Ours, theirs, and how many times more spans per CPU second ours has to read.
const GATES: [(&str, &str, f64); 2] =
    [("otlp/columns", "otlp/prost", 2.0), ("zipkin_json/columns", "zipkin_json/serde_json", 3.0)];

/// What came out for one work, for each span.
struct Measured {
    ns: f64,
    /// Where callgrind is there.
    instructions: Option<f64>,
}

pub(crate) fn run() -> Result<()> {
    let bench = built_bench("sigyn-store", "decode", PROFILE)?;
    let home = std::env::temp_dir().join(format!("sigyn-bench-{}", std::process::id()));
    command::run(Command::new(&bench).arg("--bench").env("CRITERION_HOME", &home))?;
    let count = command::is_installed("valgrind");
    if !count {
        println!("valgrind is not installed: no instructions are counted");
    }
    let mut measured = Vec::new();
    for (work, _) in WORKS {
        let instructions = if count { Some(instructions(&bench, work)?) } else { None };
        let (estimates, about) = ("new/estimates.json", "new/benchmark.json");
        let round_ns =
            number_in(&home.join(work).join(estimates), &["\"median\":", "\"point_estimate\":"])?;
        let spans = number_in(&home.join(work).join(about), &["\"Elements\":"])?;
        let ns = round_ns / spans;
        measured.push(Measured { ns, instructions });
    }
    std::fs::remove_dir_all(&home).context("cannot remove what criterion wrote")?;
    print_table(&measured);
    Ok(())
}

/// Instructions for each span of a work: those of the whole program, without what it takes to make the
/// spans. The program has no symbols by which to count one function alone.
fn instructions(bench: &Path, work: &str) -> Result<f64> {
    let (with, spans) = count(bench, work)?;
    let (without, _) = count(bench, "nothing")?;
    Ok((with - without) / spans)
}

/// How many instructions, and for how many spans.
fn count(bench: &Path, work: &str) -> Result<(f64, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(bench)
        .args(["--once", work])
        .output()
        .context("cannot start valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let number = |what: &str| -> Option<f64> {
        let (_, number) = text.lines().find_map(|line| line.split_once(what))?;
        number.trim().parse().ok()
    };
    match (number("Collected : "), number("spans : ")) {
        (Some(count), Some(spans)) => Ok((count, spans)),
        _ => bail!("callgrind counted nothing for {work}: {text}"),
    }
}

/// The number that follows these words, one after the other, in a file of criterion's.
fn number_in(path: &Path, words: &[&str]) -> Result<f64> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    number_after(&text, words).with_context(|| format!("no {words:?} in {}", path.display()))
}

fn number_after(mut text: &str, words: &[&str]) -> Option<f64> {
    for word in words {
        text = text.split_once(word)?.1;
    }
    text.split([',', '}']).next()?.trim().parse().ok()
}

fn print_table(measured: &[Measured]) {
    println!("\n| what | ns/span | spans per CPU second | instructions/span |");
    println!("|---|---|---|---|");
    for ((_, what), Measured { ns, instructions }) in WORKS.iter().zip(measured) {
        let instructions = instructions.map_or("-".to_owned(), |count| format!("{count:.0}"));
        println!("| {what} | {ns:.0} | {:.0} | {instructions} |", 1e9 / ns);
    }
    let of = |work: &str| {
        let at = WORKS.iter().position(|(name, _)| *name == work)?;
        measured.get(at)
    };
    for (ours, theirs, gate) in GATES {
        let (Some(ours_measured), Some(theirs_measured)) = (of(ours), of(theirs)) else { continue };
        let ratio = theirs_measured.ns / ours_measured.ns;
        let verdict = if ratio >= gate { "holds" } else { "does NOT hold" };
        println!(
            "\n{ours} beside {theirs}: {ratio:.2} times the spans per CPU second; {gate} {verdict}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_words() {
        let text = r#"{"mean":{"point_estimate":1.0},"median":{"confidence_interval":{"lower_bound":2.0},"point_estimate":3.5,"standard_error":0.1}}"#;
        assert_eq!(number_after(text, &["\"median\":", "\"point_estimate\":"]), Some(3.5));
        assert_eq!(number_after("{}", &["x"]), None);
    }
}
