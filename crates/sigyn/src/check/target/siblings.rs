//! Epochs of other processes, which a target may tell (§18). They are read as peeks: nothing of them is acknowledged, as
//! what somebody has acknowledged whole is deleted soon.

use std::collections::BTreeSet;

use sigyn_model::pull::{self, Cursor};

use super::checker::{Checker, Scraped};
use super::exchange::{Exchange, Offer, Request};
use super::rule::Rule;
use super::watch::PAGE;

/// So many of them are read.
const EPOCHS_MAX: usize = 4;
const PAGES_MAX: u32 = 256;
const FOLLOWS: &str = "1";

impl Checker {
    pub(super) async fn siblings(&mut self) {
        let rules = [Rule::Siblings, Rule::OtherEpochs, Rule::Ended];
        let mut cursor: Option<Cursor> = None;
        for _ in 0..PAGES_MAX {
            let ask = |request: Request| {
                let request = request.accept(Offer::Otlp).asking(PAGE);
                match cursor {
                    None => request,
                    Some(cursor) => request.with(pull::CURSOR, cursor),
                }
            };
            let plain = ask(self.named());
            let follows = ask(self.named()).with(pull::SIBLINGS, FOLLOWS);
            let Some(Scraped { exchange, .. }) = self.scrape(&plain).await else { return };
            let told = exchange.header(pull::SIBLINGS);
            let expected = "no Sigyn-Siblings, as it was not asked for";
            let came = format!("Sigyn-Siblings: {}", told.unwrap_or_default());
            let is_kept = told.is_none();
            self.findings.judge(Rule::Siblings, is_kept, &exchange.again, expected, came);
            let Some(Scraped { exchange, told }) = self.scrape(&follows).await else { return };
            if cursor.is_some_and(|cursor| told.begins_anew(cursor)) {
                break;
            }
            if told.has_more() {
                cursor = Some(told.next);
                continue;
            }
            let Some(text) = exchange.header(pull::SIBLINGS) else {
                return self.findings.none_seen(&rules[1..], "the target tells no other epochs");
            };
            let others = self.judge_listed(&exchange, text, told.next.epoch);
            if others.is_empty() {
                return self.findings.none_seen(&rules, "there is no epoch of another process");
            }
            self.siblings.extend(others.iter().map(|cursor| cursor.epoch));
            for cursor in others.into_iter().take(EPOCHS_MAX) {
                self.other_epoch(cursor.epoch, told.next.epoch).await;
            }
            return self.findings.not_seen(Rule::Ended, "none of those processes has ended");
        }
        self.findings.none_seen(&rules, "the target always has more");
    }

    fn judge_listed(&mut self, exchange: &Exchange, text: &str, own: u64) -> Vec<Cursor> {
        let items: Vec<_> =
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        let cursors: Vec<Cursor> = items.iter().filter_map(|item| item.parse().ok()).collect();
        let epochs: BTreeSet<_> = cursors.iter().map(|cursor| cursor.epoch).collect();
        let is_kept = cursors.len() == items.len()
            && epochs.len() == cursors.len()
            && !epochs.contains(&own)
            && cursors.iter().all(|cursor| cursor.seq > 0);
        let expected = "cursors of other epochs than its own, one for each";
        let came = format_args!("Sigyn-Siblings: {text}, in an answer of {own:016x}");
        self.findings.judge(Rule::Siblings, is_kept, &exchange.again, expected, came);
        cursors.into_iter().filter(|cursor| cursor.epoch != own).collect()
    }

    /// All of one that is listed.
    async fn other_epoch(&mut self, epoch: u64, own: u64) {
        let ask = |cursor: Cursor, follows: bool| {
            let request =
                Request::get().with(pull::CURSOR, cursor).accept(Offer::Otlp).asking(PAGE);
            if follows { request.with(pull::SIBLINGS, FOLLOWS) } else { request }
        };
        let mut cursor = Cursor { epoch, seq: 1 };
        // One that is over is told to everybody.
        let Some(first) = self.scrape(&ask(cursor, false)).await else { return };
        let is_over = first.told.next.epoch == epoch;
        if is_over {
            let again = &first.exchange.again;
            let came = format!("Sigyn-Final: {}", u8::from(first.told.is_final));
            let expected = "Sigyn-Final: 1, where it is told to whom follows nobody";
            let is_final = first.told.is_final;
            self.findings.judge(Rule::OtherEpochs, is_final, again, expected, came);
        }
        let (mut received, mut lost) = (0, 0);
        for _ in 0..PAGES_MAX {
            let Some(Scraped { exchange, told }) = self.scrape(&ask(cursor, !is_over)).await else {
                return;
            };
            let again = &exchange.again;
            if told.next.epoch != epoch {
                let why = "it was deleted meanwhile";
                return match exchange.header(pull::ENDED).is_some() {
                    // All of it was in the answer before, or there never was anything.
                    true => self.findings.not_seen(Rule::OtherEpochs, "it has no spans"),
                    false => self.findings.not_seen(Rule::OtherEpochs, why),
                };
            }
            if told.begins_anew(cursor) {
                let expected = format_args!("segments from {} on", cursor.seq);
                let came = format_args!("segments from {} on", told.first().unwrap_or_default());
                return self.findings.judge(Rule::OtherEpochs, false, again, expected, came);
            }
            let Some((spans, rejected)) = self.spans_of(&exchange) else { return };
            received += (spans.len() + rejected) as u64;
            lost += told.lost;
            if told.is_final {
                let left_out = [pull::LOG, pull::SAMPLED];
                let said = left_out.into_iter().find(|name| exchange.header(name).is_some());
                let expected =
                    "neither Sigyn-Log nor Sigyn-Sampled, which are about the target itself";
                let came = said.unwrap_or_default();
                self.findings.judge(Rule::OtherEpochs, said.is_none(), again, expected, came);
            }
            if told.has_more() {
                cursor = told.next;
                continue;
            }
            let (oversize, shutdown) = (told.dropped.oversize, told.dropped.shutdown);
            let explained = received + lost + oversize + shutdown;
            // One that runs may have more by now.
            let is_kept = told.finished == explained;
            let expected = format!("the law of epoch {epoch:016x}");
            let came = format!(
                "finished {} = {received} received + {lost} lost + {oversize} oversize + {shutdown} shutdown",
                told.finished
            );
            self.findings.judge(Rule::OtherEpochs, is_kept, again, expected, came);
            if is_over {
                self.end_of(told.next, own).await;
            }
            return;
        }
        self.findings.not_seen(Rule::OtherEpochs, "it always has more");
    }

    /// Behind the last segment of one that is over.
    async fn end_of(&mut self, end: Cursor, own: u64) {
        let request =
            Request::get().with(pull::CURSOR, end).accept(Offer::Otlp).asking("max_bytes=1");
        let Some(Scraped { exchange, told }) = self.scrape(&request).await else { return };
        let said = exchange.header(pull::ENDED);
        let is_kept = said == Some(&*end.to_string()) && told.next.epoch == own;
        let expected = format_args!("an answer about {own:016x}, with Sigyn-Ended: {end}");
        let came = format_args!("Sigyn-Next: {}, Sigyn-Ended: {said:?}", told.next);
        self.findings.judge(Rule::Ended, is_kept, &exchange.again, expected, came);
    }
}
