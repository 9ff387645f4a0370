//! From files.

use std::sync::Arc;

use super::progress::Progress;
use super::tally::Tally;
use super::tracer::Tracer;
use crate::Failure;
use crate::cli::ImportFlags;

pub(super) async fn import(
    flags: &ImportFlags,
    tracer: &Tracer,
    progress: &Arc<Progress>,
) -> Result<Tally, Failure> {
    let _ = (flags, tracer, progress);
    Err(Failure::work(anyhow::anyhow!("files cannot be read yet")))
}
