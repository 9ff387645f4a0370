//! What an error says, with its causes where they can be had.

use std::any::Any;
use std::error::Error;
use std::fmt::{Display, Write as _};

/// Causes of an error that are told; one that is its own cause has no end of them.
const CAUSES_MAX: usize = 16;

/// Services fail with anything that can be shown, boxed errors among it, which are no errors themselves:
/// so those that are known to have causes are looked for.
pub(crate) fn text<E: Display + 'static>(error: &E) -> String {
    let any: &dyn Any = error;
    let mut causes: Option<&(dyn Error + 'static)> = None;
    if let Some(boxed) = any.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        causes = boxed.source();
    }
    if let Some(boxed) = any.downcast_ref::<Box<dyn Error + Send>>() {
        causes = boxed.source();
    }
    if let Some(error) = any.downcast_ref::<std::io::Error>() {
        causes = error.source();
    }
    #[cfg(feature = "hyper-util")]
    if let Some(error) = any.downcast_ref::<hyper_util::client::legacy::Error>() {
        causes = error.source();
    }
    #[cfg(feature = "tonic")]
    if let Some(error) = any.downcast_ref::<tonic::transport::Error>() {
        causes = error.source();
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = any.downcast_ref::<reqwest::Error>() {
        causes = error.source();
    }
    chain(error, causes)
}

fn chain(error: &dyn Display, cause: Option<&(dyn Error + 'static)>) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(cause, |&cause| cause.source()).take(CAUSES_MAX) {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
    }
    text
}
