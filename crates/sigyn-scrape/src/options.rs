//! How this server scrapes, whatever the job.

use std::time::Duration;

use sigyn_model::columns::Spares;

/// Settings of the whole component; a job's own come with its [`crate::ScrapeJob`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Names this server to its targets. It must be its own and outlive restarts: a target counts
    /// what each scraper has acknowledged.
    pub scraper_name: String,
    pub user_agent: String,
    /// The bound on a body, unpacked, for jobs that set none. A third of the memory bounds all bodies.
    pub body_bytes_max: u64,
    /// The bound on what is scraped and not stored yet, bodies and spans of all targets together.
    /// A scrape that finds no room waits until its next turn, and is then given up.
    pub memory_bytes_max: u64,
    /// What people raise to have more memory for that, in errors.
    pub memory_setting: &'static str,
    /// Moves all targets' instants, so that two servers do not ask at the same time.
    pub seed: u64,
    /// Intervals without a span after which a target counts as silent. Losses, and whether context
    /// is passed on, are looked at over the same time.
    pub silent_after: u32,
    /// Changes of jobs and targets that come within this time of others are taken together.
    pub sync_pause: Duration,
    /// Requests of all targets together that wait until there are spans. A target that would be one
    /// more is asked at its instants alone.
    pub long_polls_max: usize,
    /// How long scrapes that are under way may take to end at shutdown, each within its own timeout.
    pub stop_patience: Duration,
    /// Where columns for spans are taken from. Whoever stores spans gives them back there.
    pub spares: Spares,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scraper_name: "sigyn".to_owned(),
            user_agent: concat!("Sigyn/", env!("CARGO_PKG_VERSION")).to_owned(),
            body_bytes_max: 64 << 20,
            memory_bytes_max: 512 << 20,
            memory_setting: "memory_bytes_max",
            seed: 0,
            silent_after: 10,
            sync_pause: Duration::from_millis(100),
            long_polls_max: 1_000,
            // Kubernetes leaves 30 seconds, and the store is to be closed after it.
            stop_patience: Duration::from_secs(20),
            spares: Spares::default(),
        }
    }
}
