//! Names of scrapers, and what scrapers want of a target beside its spans (§6).

use sigyn_model::pull::{self, Sampled};

use super::checker::{Checker, Scraped};
use super::exchange::{Offer, Request};
use super::rule::Rule;

/// Others may come with wishes of their own just now.
const ATTEMPTS_MAX: u32 = 3;
const NAME_BYTES_MAX: usize = 128;
/// One scraper more than hold a lease at once.
const SCRAPERS: usize = 9;
/// Less than anybody records.
const LITTLE: &str = "0.001";

impl Checker {
    /// The longest name that there is, which is another scraper than we are.
    fn other(&self) -> String {
        format!("{:x<width$}", format!("{}-", self.name), width = NAME_BYTES_MAX)
    }

    fn other_asks(&self) -> Request {
        Request::get().with(pull::SCRAPER, self.other()).accept(Offer::Otlp).asking("max_bytes=1")
    }

    pub(super) async fn wishes(&mut self) {
        self.name_lengths().await;
        for (name, value) in [
            (pull::INTERVAL, "soon"),
            (pull::BUDGET, "many"),
            (pull::SAMPLING, "everything"),
            (pull::SAMPLING, "rate=2"),
            (pull::SCRAPE_TIMEOUT, "never"),
            ("prefer", "wait=long"),
        ] {
            self.begins_alike(Rule::Wishes, name, value).await;
        }
        self.budget_of_one().await;
        self.sampling_of_one().await;
    }

    async fn name_lengths(&mut self) {
        let longest = self.other_asks();
        let Some(exchange) = self.ask(&longest).await else {
            return self.findings.not_seen(Rule::Name, "no answer");
        };
        let is_served = matches!(exchange.status(), 200 | 204);
        let expected = format!("200 or 204, for a name of {NAME_BYTES_MAX} bytes");
        self.findings.judge(Rule::Name, is_served, &exchange.again, expected, exchange.status());
        let longer = Request::get().with(pull::SCRAPER, self.other() + "x").accept(Offer::Otlp);
        self.ask_refused(&longer.asking("max_bytes=1"), Rule::Name, 400).await;
    }

    /// What the last answer says of what is left out, as it stands there.
    fn sampled(scraped: &Scraped) -> Option<Sampled> {
        scraped.exchange.header(pull::SAMPLED)?.parse().ok()
    }

    /// The budget of one scraper while another, we, has none.
    async fn budget_of_one(&mut self) {
        for attempt in 1..=ATTEMPTS_MAX {
            let plain = self.named().accept(Offer::Otlp).asking("max_bytes=1");
            let Some(before) = self.scrape(&plain).await else { return };
            let Some(before) = Self::sampled(&before) else {
                return self.findings.not_seen(Rule::Budgets, "the target tells no Sigyn-Sampled");
            };
            if before.share < 1.0 {
                return self.findings.not_seen(
                    Rule::Budgets,
                    "budgets of others hold, so that there was no lease for us",
                );
            }
            let asked = self.other_asks().with(pull::BUDGET, LITTLE);
            let Some(after) = self.scrape(&asked).await else { return };
            let told = Self::sampled(&after);
            // It wants all again, in any case.
            self.scrape(&self.other_asks()).await;
            let is_kept = told.is_some_and(|told| told.share >= before.share);
            if is_kept || attempt == ATTEMPTS_MAX {
                let came = after.exchange.header(pull::SAMPLED).unwrap_or("no Sigyn-Sampled");
                let expected = format_args!(
                    "share={}, as before: {} holds a lease and wants all",
                    before.share, self.name
                );
                let again = &after.exchange.again;
                self.findings.judge(Rule::Budgets, is_kept, again, expected, came);
                return;
            }
        }
    }

    /// What one scraper wants of operations while another, we, wants what the target is set to.
    async fn sampling_of_one(&mut self) {
        let operation = format!("sigyn-check-{:016x}", fastrand::u64(..));
        for attempt in 1..=ATTEMPTS_MAX {
            let plain = self.other_asks();
            let Some(before) = self.scrape(&plain).await else { return };
            let told = Self::sampled(&before);
            let Some((rate, operations)) =
                told.and_then(|told| Some((told.rate?, told.operations?)))
            else {
                let rules = [Rule::Sampling, Rule::SamplingApplied];
                let why = "the target does not say what it applies (Sigyn-Sampled: rate=…)";
                return self.findings.none_seen(&rules, why);
            };
            let wanted = format!("rate=0,operation:{operation}=1");
            let asked = self.other_asks().with(pull::SAMPLING, wanted);
            let Some(with) = self.scrape(&asked).await else { return };
            let Some(after) = self.scrape(&plain).await else { return };
            let applied = |scraped: &Scraped| {
                let told = Self::sampled(scraped);
                told.and_then(|told| Some((told.rate?, told.operations?)))
            };
            let (came, left) = (applied(&with), applied(&after));
            let keeps_rate = came.is_some_and(|(now, _)| now >= rate);
            let is_applied = came.is_some_and(|(_, now)| now == operations + 1)
                && left.is_some_and(|(_, now)| now == operations);
            if (keeps_rate && is_applied) || attempt == ATTEMPTS_MAX {
                let again = &with.exchange.again;
                let said = |scraped: &Scraped| {
                    scraped.exchange.header(pull::SAMPLED).unwrap_or("no Sigyn-Sampled").to_owned()
                };
                let expected = format_args!(
                    "rate={rate}, as before: {} wants what the target is set to",
                    self.name
                );
                self.findings.judge(Rule::Sampling, keeps_rate, again, expected, said(&with));
                let expected = format_args!(
                    "operations={} while it is wanted, and {operations} afterwards (if fewer than eight others hold leases)",
                    operations + 1
                );
                let came = format_args!("{}, and afterwards {}", said(&with), said(&after));
                self.findings.judge(Rule::SamplingApplied, is_applied, again, expected, came);
                return;
            }
        }
    }

    /// More scrapers than may hold a lease. It takes all that are free.
    pub(super) async fn ninth(&mut self) {
        for number in 1..=SCRAPERS {
            let name = format!("{}-{number}", self.name);
            let request = Request::get().with(pull::SCRAPER, name).accept(Offer::Otlp);
            let Some(exchange) = self.ask(&request.asking("max_bytes=1")).await else {
                return self.findings.not_seen(Rule::Leases, "no answer");
            };
            let is_served = matches!(exchange.status(), 200 | 204);
            let again = &exchange.again;
            let expected = format!("200 or 204, for scraper {number} of this check");
            self.findings.judge(Rule::Leases, is_served, again, expected, exchange.status());
        }
    }
}
