//! Long polls: that they wait, and no longer than they may.

use std::time::Duration;

use sigyn_model::pull::{self, Cursor};

use super::checker::{Checker, Scraped};
use super::exchange::Offer;
use super::rule::Rule;

/// Machines are busy: what comes late is asked again before it is held against anybody.
const ATTEMPTS_MAX: u32 = 3;
const ONE: &str = "max_bytes=1";

impl Checker {
    pub(super) async fn polls(&mut self, held: Option<Cursor>, is_final: bool) {
        if let Some(held) = held {
            // Long enough to be told from an answer at once, and short enough to wait for.
            self.returns_within(Rule::AtOnce, Some(held), "3", None, Duration::from_millis(1500))
                .await;
        }
        if is_final {
            let rules = [Rule::Waits, Rule::InTime];
            return self
                .findings
                .none_seen(&rules, "the target is shutting down, where nobody waits");
        }
        self.returns_within(Rule::InTime, None, "0", None, Duration::from_secs(1)).await;
        self.returns_within(Rule::InTime, None, "1", Some("10"), Duration::from_secs(2)).await;
        self.returns_within(Rule::InTime, None, "30", Some("1.5"), Duration::from_millis(1500))
            .await;
        self.waits().await;
    }

    /// Whether a long poll ends in time, as one of several at least.
    async fn returns_within(
        &mut self,
        rule: Rule,
        cursor: Option<Cursor>,
        wait: &str,
        timeout: Option<&str>,
        longest: Duration,
    ) {
        for attempt in 1..=ATTEMPTS_MAX {
            let Some(cursor) = self.or_end(cursor).await else { return };
            let mut request = self.at(cursor).accept(Offer::Otlp).asking(ONE);
            request = request.with("prefer", format_args!("wait={wait}"));
            if let Some(timeout) = timeout {
                request = request.with(pull::SCRAPE_TIMEOUT, timeout);
            }
            let Some(Scraped { exchange, .. }) = self.scrape(&request).await else { return };
            let is_kept = exchange.took <= longest;
            if is_kept || attempt == ATTEMPTS_MAX {
                let expected = format_args!("an answer within {longest:?}");
                let came = format_args!("{} after {:.1?}", exchange.status(), exchange.took);
                return self.findings.judge(rule, is_kept, &exchange.again, expected, came);
            }
        }
    }

    /// Whether a long poll without spans waits at all.
    async fn waits(&mut self) {
        for attempt in 1..=ATTEMPTS_MAX {
            let Some(cursor) = self.or_end(None).await else { return };
            let request = self.at(cursor).accept(Offer::Otlp).asking(ONE).with("prefer", "wait=1");
            let Some(Scraped { exchange, told }) = self.scrape(&request).await else { return };
            let waited = exchange.took >= Duration::from_millis(700);
            if exchange.status() == 204 && (waited || attempt == ATTEMPTS_MAX) && !told.is_final {
                let came = format_args!("204 after {:.1?}", exchange.took);
                return self.findings.judge(
                    Rule::Waits,
                    waited,
                    &exchange.again,
                    "204 after 1 s",
                    came,
                );
            }
            if exchange.status() == 200 && waited {
                return self.findings.pass(Rule::Waits);
            }
        }
        self.findings.not_seen(Rule::Waits, "spans came all the time");
    }

    /// This cursor, or the end of the log.
    async fn or_end(&mut self, cursor: Option<Cursor>) -> Option<Cursor> {
        if cursor.is_some() {
            return cursor;
        }
        let Scraped { told, .. } =
            self.scrape(&self.named().accept(Offer::Otlp).asking(ONE)).await?;
        Some(Cursor { epoch: told.next.epoch, seq: told.newest() + 1 })
    }
}
