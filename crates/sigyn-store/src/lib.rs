//! Keeps spans: a write-ahead log, a head in memory, and immutable blocks that other programs can read.
//!
//! [`Store`] is all that a caller sees. Appending returns once a batch is durable and visible;
//! queries are synchronous and answer from the head and the blocks alike.

mod adoption;
mod ahead;
mod alike;
#[cfg(test)]
mod append_tests;
#[cfg(test)]
mod ask_tests;
mod block;
mod buried;
mod calls;
mod candidates;
#[cfg(test)]
mod carry_tests;
mod catalog;
mod check;
mod clock;
mod closed;
mod codec;
mod commit;
mod compaction;
#[cfg(test)]
mod compaction_tests;
mod counted;
#[cfg(test)]
mod crash_runs;
#[cfg(test)]
mod crash_tests;
mod damage;
#[cfg(test)]
mod damage_tests;
mod dependencies;
mod disk;
mod error;
mod facts;
#[cfg(test)]
mod find_tests;
#[cfg(test)]
mod full_tests;
mod gather;
mod groups;
mod head;
mod identify;
mod identity;
mod incoming;
#[cfg(test)]
mod large_tests;
mod least;
mod lists;
mod memory;
#[cfg(test)]
mod memory_tests;
mod merge;
mod merged;
mod misnamed;
mod names;
mod offline;
mod options;
mod outlined;
mod parted;
mod present;
mod progress;
mod quarantine;
mod queries;
mod query;
mod queue;
mod rarest;
mod recovery;
#[cfg(test)]
mod recycle_tests;
mod reserve;
mod retention;
mod room;
mod scan;
mod shared;
mod size;
mod spots;
mod stats;
mod stop;
mod store;
mod sweep;
mod taken_in;
mod tallies;
#[cfg(test)]
mod testing;
mod trace;
mod turn;
mod twins;
mod unread;
mod until;
mod view;
mod wal;
mod wanted;
mod worker;

pub use block::{BlockFailed, QueryFailed};
pub use damage::Damage;
pub use error::{AppendError, CloseError, DeleteError, OpenError, SealError};
pub use facts::Strictness;
pub use memory::{Memory, Share};
#[doc(hidden)]
pub use merged::Merged;
pub use offline::{BlockSummary, Copied, Files, LogSummary, Looked, Offline};
pub use options::{Durability, Options};
pub use outlined::Outlined;
pub use queries::Queries;
pub use stats::Stats;
pub use stop::Stop;
pub use store::Store;
pub use sweep::Swept;
#[doc(hidden)]
pub use taken_in::TakenIn;
