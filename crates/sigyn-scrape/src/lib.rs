//! Asks: schedules, scrapes, decodes, and accounts for every span of every target.
//!
//! It knows the pull protocol and Prometheus' rhythm, and nothing of storage: what was read leaves
//! as a [`Commit`], and a target's cursor moves once that is answered.

mod account;
mod answer;
mod asking;
mod body;
mod books;
mod called;
mod callers;
mod clients;
mod commit;
mod context;
mod counts;
mod decode;
mod door;
mod early;
mod failure_log;
mod lives;
mod manager;
mod memory;
mod options;
mod pool;
mod request;
mod schedule;
mod scrape;
mod scrape_error;
mod scrape_loop;
mod siblings;
mod status;
mod target;
mod trouble;
mod unpack;
mod waiting;
mod wanted;

pub use asking::{CollectOutcome, Collected, CollectedFrom, NotAsked, NotAskedWhy, TargetAnswer};
pub use callers::Busy;
pub use commit::{Commit, CommitError};
pub use counts::{Counts, INTERVAL_PARTS, PoolCounts, SYNC_SECONDS, Spread, Waits};
pub use door::AskError;
pub use manager::Manager;
pub use options::Options;
pub use pool::ScrapeJob;
pub use status::{
    FailureCause, Failures, Health, LastFailure, LossWindow, PoolStatus, ScrapeRecord, State,
    Status, TargetStatus, Waiting,
};
