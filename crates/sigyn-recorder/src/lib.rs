//! In-process spans: recorded into bounded memory, read by any number of scrapers, every loss counted.

mod caps;
mod clock;
mod encode;
mod exposition;
mod negotiate;
pub mod propagation;
mod record;
mod ring;
mod scrapers;
mod span;
mod stats;

pub use clock::Clock;
pub use exposition::Exposition;
pub use propagation::Context;
pub use record::{Drain, Options, Recorder};
pub use span::ActiveSpan;
pub use stats::{Activity, ScraperStats, Stats};
