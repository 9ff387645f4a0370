//! Instructions of the recorder's hot paths, counted by callgrind, against ceilings that a change may not break unseen.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::built_bench;
use crate::{command, repo};

/// What is counted; of which other work it is the excess.
const WORKS: [(&str, &str, &str); 4] = [
    ("record", "nothing", "a span with four tags, begun and ended"),
    ("unsampled", "nothing", "the same, of a trace that is not sampled"),
    ("encode", "record", "one that is encoded as OTLP"),
    ("zstd", "record", "the same, and compressed"),
];
const CEILINGS: &str = "xtask/instructions.txt";
/// So many percent more are not worth a word: compilers differ.
const SLACK: f64 = 1.05;

/// `check`: more than the ceilings is an error.
pub(crate) fn run(check: bool) -> Result<()> {
    if !command::is_installed("valgrind") {
        return command::skip("instructions of the recorder", &["valgrind"]);
    }
    let bench = built_bench("sigyn-recorder", "count", "bench")?;
    let path = repo::root().join(CEILINGS);
    let ceilings =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {CEILINGS}"))?;
    let mut too_many = Vec::new();
    println!("| per span | instructions | ceiling |\n|---|---|---|");
    for (work, without, what) in WORKS {
        let (all, spans) = count(&bench, work)?;
        let instructions = (all - count(&bench, without)?.0) / spans;
        let ceiling = ceiling(&ceilings, work);
        let shown = ceiling.map_or("none".to_owned(), |ceiling| format!("{ceiling:.0}"));
        println!("| {what} | {instructions:.0} | {shown} |");
        if ceiling.is_none_or(|ceiling| instructions > ceiling * SLACK) {
            too_many.push(work);
        }
    }
    if check && !too_many.is_empty() {
        bail!("more instructions than {CEILINGS} allows: {}", too_many.join(", "));
    }
    Ok(())
}

fn ceiling(text: &str, work: &str) -> Option<f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut pairs = lines.filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == work)?.1.trim().parse().ok()
}

/// How many instructions, and for how many spans. The program says by two calls of the C library where it begins and ends.
fn count(bench: &Path, work: &str) -> Result<(f64, f64)> {
    let folder = std::env::temp_dir().join(format!("sigyn-count-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("cannot make a folder")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--zero-before=getppid*", "--dump-before=getpid*"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(bench)
        .arg(work)
        .output()
        .context("cannot start valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let dump = std::fs::read_to_string(folder.join("out.1"));
    std::fs::remove_dir_all(&folder).context("cannot remove what callgrind wrote")?;
    let number = |text: &str, what: &str| -> Option<f64> {
        let (_, number) = text.lines().find_map(|line| line.split_once(what))?;
        number.trim().parse().ok()
    };
    let count = dump.ok().and_then(|dump| number(&dump, "totals: "));
    match (count, number(&told, "spans : ")) {
        (Some(count), Some(spans)) => Ok((count, spans)),
        _ => bail!("callgrind counted nothing for {work}: {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_found_by_its_work() {
        let text = "# per span\nrecord 100\nrecord-more 7\n";
        assert_eq!(ceiling(text, "record"), Some(100.0));
        assert_eq!(ceiling(text, "zstd"), None);
    }
}
