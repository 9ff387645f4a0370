//! An error with its causes, in one line.

use std::error::Error;

/// What failed, then why, and why that: `cannot read a.pem: no such file or directory`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_what_they_caused() {
        assert_eq!(chain(&Outer(std::io::Error::other("no disk"))), "cannot start: no disk");
        assert_eq!(chain(&std::io::Error::other("no disk")), "no disk");
    }
}
