//! Standard output and pipes, which whoever reads them may close: `sigyn query | head` is no failure to be told.

use std::io::{self, Write as _};

use anyhow::Context as _;

use crate::Failure;

/// Prints an answer.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("cannot write the answer").map_err(failed)
}

/// Why something could not be written, unless nobody reads it any more.
pub(crate) fn failed(error: anyhow::Error) -> Failure {
    let io = error.root_cause().downcast_ref::<io::Error>();
    let is_closed = io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if is_closed { Failure { code: Failure::PIPE_CLOSED, error } } else { Failure::work(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_is_closed_is_told_from_a_full_disk() {
        let code = |kind: io::ErrorKind| {
            failed(anyhow::Error::from(io::Error::from(kind)).context("cannot write")).code
        };
        assert_eq!(code(io::ErrorKind::BrokenPipe), Failure::PIPE_CLOSED);
        assert_eq!(code(io::ErrorKind::StorageFull), 1);
        assert_eq!(failed(anyhow::anyhow!("another")).code, 1);
    }
}
