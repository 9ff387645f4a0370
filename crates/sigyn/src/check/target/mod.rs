//! `sigyn check target`: the pull protocol, asked of a live target, and what it violates.

mod checker;
mod collect;
mod cursors;
mod exchange;
mod findings;
mod formats;
mod kept;
mod looks;
mod others;
mod polls;
mod rule;
mod siblings;
#[cfg(test)]
mod tests;
mod told;
mod watch;
mod wishes;

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sigyn_discovery::config::parse_duration;
use sigyn_model::pull::Cursor;

use self::checker::{Checker, Scraped, seconds};
use self::exchange::Offer;
use self::findings::Told;
use self::rule::{BEYOND, Beyond, Level, Rule};
use super::{INVALID, LINTED, VALID, complain, say};
use crate::cli::TargetFlags;
use crate::http_client::HttpClient;

/// One answer may take so long; long polls are asked to be shorter.
const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Where spans are, if the URL does not say.
const PATH: &str = "/traces";

/// The status to end with.
pub(super) fn run(flags: &TargetFlags) -> u8 {
    match check(flags) {
        Ok(status) => status,
        Err(error) => {
            complain(format_args!("{error:#}"));
            INVALID
        }
    }
}

fn check(flags: &TargetFlags) -> anyhow::Result<u8> {
    let time = parse_duration(&flags.time).with_context(|| format!("--for={}", flags.time))?;
    let client = HttpClient::configured(flags.http_config_file.as_deref(), TIMEOUT)?;
    let client = client.with_answer_bytes_max(ANSWER_BYTES_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut checker = Checker::new(client, with_path(&flags.url));
    if !flags.json {
        say(format_args!(
            "Asking {} as {} and as one more, which keep leases of 5 minutes there.",
            checker.url, checker.name
        ));
    }
    runtime.block_on(examine(&mut checker, time, flags.burst))?;
    tell(&checker, flags.json)?;
    let findings = &checker.findings;
    Ok(match (findings.is_violated(Level::Must), findings.is_violated(Level::Should)) {
        (true, _) => INVALID,
        (false, true) if flags.lint_fatal => LINTED,
        (false, _) => VALID,
    })
}

/// Everything there is to ask, in an order in which nothing spoils what comes after it.
async fn examine(checker: &mut Checker, time: Duration, burst: bool) -> anyhow::Result<()> {
    let watched = checker.watch(time).await;
    if let Some(error) = checker.unreachable() {
        return Err(error).context("cannot scrape the target");
    }
    if watched.as_ref().is_some_and(|watched| watched.begins_anew) {
        let why = "without cursors there is nothing to follow";
        checker.findings.none_seen(&Rule::ALL, why);
        return Ok(());
    }
    let is_final = watched.as_ref().is_some_and(|watched| watched.is_final);
    checker.second_reader().await;
    let first = checker.scrape(&checker.named().accept(Offer::Otlp).asking("max_bytes=1")).await;
    let newest = first.and_then(|Scraped { told, .. }| told.range);
    let held = newest.map(|range| Cursor { epoch: range.epoch, seq: range.newest });
    checker.cursors(newest).await;
    checker.formats(held).await;
    checker.polls(held, is_final).await;
    checker.method().await;
    checker.wishes().await;
    checker.traces(held).await;
    checker.collect(held).await;
    checker.looks(held).await;
    checker.siblings().await;
    checker.findings.not_seen(Rule::Clock, "no answer tells it");
    if burst {
        checker.burst().await;
        checker.ninth().await;
    }
    checker.findings.not_seen(Rule::Leases, "it takes all leases that are free; see --burst");
    checker
        .findings
        .not_seen(Rule::Busy, "it was not asked more than it could answer; see --burst");
    checker.legacy().await;
    // What was seen is acknowledged, so that the target need not wait for us when it ends.
    if let Some(Scraped { told, .. }) = checker.scrape(&checker.named().accept(Offer::Otlp)).await {
        let end = Cursor { epoch: told.next.epoch, seq: told.newest() + 1 };
        checker.scrape(&checker.at(end).accept(Offer::Otlp)).await;
    }
    Ok(())
}

fn tell(checker: &Checker, as_json: bool) -> anyhow::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Report<'a> {
        target: &'a str,
        scraper: &'a str,
        /// The target's clock minus ours, and how wrong that may be.
        clock_offset_seconds: Option<f64>,
        clock_error_seconds: Option<f64>,
        rules: Vec<Told>,
        /// What nobody can see from outside, by section.
        beyond: Vec<Beyond>,
    }
    let clock = checker.clock;
    if as_json {
        let report = Report {
            target: &checker.url,
            scraper: &checker.name,
            clock_offset_seconds: clock.map(|clock| seconds(clock.offset_ns)),
            clock_error_seconds: clock.map(|clock| seconds(clock.error_ns)),
            rules: checker.findings.json(),
            beyond: BEYOND.to_vec(),
        };
        say(serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    say(checker.findings.lines().trim_end());
    say("not to be seen from outside, and not looked at:");
    for Beyond { section, what } in BEYOND {
        say(format_args!("  §{section:<2} {what}"));
    }
    if let Some(clock) = clock {
        let (offset, error) = (seconds(clock.offset_ns), seconds(clock.error_ns));
        say(format_args!("its clock is {offset:+.3} s from ours, give or take {error:.3} s"));
    }
    Ok(())
}

/// A URL without a path means the usual one.
fn with_path(url: &str) -> String {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    match rest.find(['/', '?']) {
        None => url + PATH,
        Some(at) if &rest[at..] == "/" => url.trim_end_matches('/').to_owned() + PATH,
        Some(_) => url,
    }
}
