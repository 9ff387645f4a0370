//! The programs that are the targets, and what they say in the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Options;
use crate::bench::process;
use crate::bench::store::load::figure;

/// Each has an address of its own, in 127.1.0.0/16.
pub(super) const TARGETS_MAX: u32 = 60_000;
/// A program may have so many files open, and needs two for a target.
const TARGETS_EACH: usize = 4_000;
/// Targets in one network of 256 addresses.
const IN_ONE_NET: u32 = 250;

/// Some programs, each with its part of the targets. They end by themselves, or with this.
pub(super) struct Farm {
    parts: Vec<Part>,
    targets: Vec<SocketAddr>,
}

struct Part {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    late: PathBuf,
}

/// What became of the spans of some targets.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) targets: u64,
    pub(super) finished: u64,
    pub(super) stored: u64,
    pub(super) lost: u64,
    /// Of those that are lost.
    reasons: BTreeMap<String, u64>,
    pub(super) unaccounted: u64,
    pub(super) twice: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) scrapes: u64,
    pub(super) missed: u64,
    pub(super) between: u64,
    /// Targets that have something left.
    pub(super) unread: u64,
    pub(super) well: Books,
    pub(super) failing: Books,
    /// Sorted.
    late_us: Vec<u32>,
}

impl Farm {
    pub(super) fn start(program: &Path, options: &Options, scratch: &Path) -> Result<Self> {
        // The same port for all: it was free a moment ago, and their addresses are nobody else's.
        let port = TcpListener::bind((Ipv4Addr::new(127, 1, 0, 1), 0))?.local_addr()?.port();
        let targets: Vec<SocketAddr> =
            (0..options.targets).map(|at| (address(at), port).into()).collect();
        let mut farm = Self { parts: Vec::new(), targets };
        for (at, targets) in farm.targets.chunks(TARGETS_EACH).enumerate() {
            let addresses = scratch.join(format!("addresses-{at}"));
            let text: String = targets.iter().map(|target| format!("{target}\n")).collect();
            std::fs::write(&addresses, text)?;
            let late = scratch.join(format!("late-{at}"));
            let mut child = Command::new(program)
                .arg(format!("--addresses={}", addresses.display()))
                .arg(format!("--late={}", late.display()))
                .arg(format!("--failing={}", options.failing))
                .arg(format!("--spans={}", options.spans))
                .arg(format!("--rounds={}", options.rounds))
                .arg(format!("--interval-ms={}", options.interval.as_millis()))
                .arg(format!("--timeout-ms={}", options.timeout().as_millis()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot start {}", program.display()))?;
            let stdin = child.stdin.take().context("no way to the farm")?;
            let stdout = BufReader::new(child.stdout.take().context("no way from the farm")?);
            farm.parts.push(Part { child, stdin, stdout, late });
        }
        Ok(farm)
    }

    /// All targets, as a discovery's file.
    pub(super) fn targets_file(&self) -> String {
        let mut text = "[{\"targets\": [".to_owned();
        for (at, target) in self.targets.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}\"{target}\"");
        }
        text.push_str("]}]\n");
        text
    }

    /// Waits until all have said this.
    pub(super) fn heard(&mut self, word: &str) -> Result<()> {
        for part in &mut self.parts {
            let line = part.line()?;
            ensure!(line == word, "the farm says `{line}`, not `{word}`");
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        for part in &mut self.parts {
            writeln!(part.stdin, "{line}").context("the farm does not listen")?;
        }
        Ok(())
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        self.parts.iter().map(|part| process::cpu_seconds(part.child.id())).sum()
    }

    /// Waits for the end of all, and adds up what they say.
    pub(super) fn end(mut self) -> Result<Came> {
        let mut came = Came::default();
        for part in &mut self.parts {
            let said = part.line()?;
            came.add(&said)?;
            let status = part.child.wait()?;
            ensure!(status.success(), "a part of the farm ended with {status}");
            let late =
                std::fs::read_to_string(&part.late).context("cannot read how late it was")?;
            for line in late.lines() {
                came.late_us.push(line.parse()?);
            }
        }
        came.late_us.sort_unstable();
        Ok(came)
    }
}

impl Part {
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).context("cannot hear the farm")? == 0 {
            bail!("a part of the farm ended: {}", self.child.wait()?);
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After its own end both find nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Came {
    fn add(&mut self, said: &str) -> Result<()> {
        self.scrapes += figure::<u64>(said, "scrapes")?;
        self.missed += figure::<u64>(said, "missed")?;
        self.between += figure::<u64>(said, "between")?;
        self.unread += figure::<u64>(said, "unread")?;
        self.well.add(said, "well")?;
        self.failing.add(said, "failing")
    }

    /// How late scrapes were, in milliseconds: no later than this were so many of a hundred.
    pub(super) fn late_ms(&self, part: usize) -> f64 {
        let last = self.late_us.len().saturating_sub(1);
        self.late_us.get(last * part / 100).map_or(f64::NAN, |late| f64::from(*late) / 1e3)
    }
}

impl Books {
    fn add(&mut self, said: &str, who: &str) -> Result<()> {
        let of = |what: &str| figure::<u64>(said, &format!("{who}_{what}"));
        self.targets += of("targets")?;
        self.finished += of("finished")?;
        self.stored += of("stored")?;
        self.lost += of("lost")?;
        self.unaccounted += of("unaccounted")?;
        self.twice += of("twice")?;
        let reasons: String = figure(said, &format!("{who}_reasons"))?;
        for (reason, count) in reasons.split(',').filter_map(|reason| reason.split_once(':')) {
            *self.reasons.entry(reason.to_owned()).or_default() += count.parse::<u64>()?;
        }
        Ok(())
    }

    pub(super) fn reasons(&self) -> String {
        let reasons = self.reasons.iter().map(|(reason, count)| format!("{reason}: {count}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        if reasons.is_empty() { "-".to_owned() } else { reasons }
    }
}

fn address(at: u32) -> Ipv4Addr {
    let [.., net, host] = (at / IN_ONE_NET * 256 + at % IN_ONE_NET + 1).to_be_bytes();
    Ipv4Addr::new(127, 1, net, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_an_address_of_its_own() {
        let addresses: std::collections::BTreeSet<_> = (0..TARGETS_MAX).map(address).collect();
        assert_eq!(addresses.len(), TARGETS_MAX as usize);
        assert_eq!(address(0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(address(250), Ipv4Addr::new(127, 1, 1, 1));
    }

    #[test]
    fn what_the_parts_say_is_added_up() -> Result<()> {
        let said = "scrapes=3 missed=0 between=1 unread=0 \
            well_targets=1 well_finished=5 well_stored=4 well_lost=1 well_reasons=evicted:1 well_unaccounted=0 well_twice=0 \
            failing_targets=0 failing_finished=0 failing_stored=0 failing_lost=0 failing_reasons=- failing_unaccounted=0 failing_twice=0";
        let mut came = Came::default();
        came.add(said)?;
        came.add(said)?;
        assert_eq!((came.scrapes, came.well.stored, came.well.lost), (6, 8, 2));
        assert_eq!(
            (came.well.reasons(), came.failing.reasons()),
            ("evicted: 2".into(), "-".into())
        );
        came.late_us = (1..=101).map(|ms| ms * 1_000).collect();
        let told = [50, 99, 100].map(|part| came.late_ms(part).to_string());
        assert_eq!(told, ["51", "100", "101"]);
        Ok(())
    }
}
