//! Secrets, and where they are kept. Neither logs nor errors show one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::joined;

/// A text that nobody may see by accident.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever needs it to speak to a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a value is that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// In the configuration.
    Inline(Secret),
    /// In a file, which is read each time.
    File(PathBuf),
    /// In a secret manager, by name. There is none, so that it cannot be had.
    Reference(String),
}

/// Why a value cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read, or is not UTF-8.
    #[error("unable to read file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is kept where nobody can look.
    #[error("cannot use secret ref without manager")]
    Reference,
}

impl Source {
    /// The one of three keys that is written: the value itself, a file, a reference. `None` if none
    /// is. That there are not two of them is the caller's to check.
    pub(super) fn of(inline: &Secret, file: &str, reference: &str, dir: &Path) -> Option<Self> {
        if !inline.is_empty() {
            Some(Self::Inline(inline.clone()))
        } else if !file.is_empty() {
            Some(Self::File(joined(dir, file)))
        } else if !reference.is_empty() {
            Some(Self::Reference(reference.to_owned()))
        } else {
            None
        }
    }

    /// The value now. What a file holds is trimmed. It blocks as long as a small file takes.
    pub fn read(&self) -> Result<Secret, SourceError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Secret::from(text.trim())),
                Err(source) => Err(SourceError::File { path: path.clone(), source }),
            },
            Self::Reference(_) => Err(SourceError::Reference),
        }
    }

    /// The file, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Inline(_) | Self::Reference(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain::chain;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from("hunter2");
        assert_eq!(
            format!("{secret:?} {:?}", Source::Inline(secret.clone())),
            "<secret> Inline(<secret>)"
        );
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_file_is_read_each_time_and_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::of(&Secret::default(), "token", "", dir.path()).unwrap();
        let path = dir.path().join("token");
        assert_eq!(source.file(), Some(path.as_path()));
        let error = chain(&source.read().unwrap_err());
        let expected = format!(
            "unable to read file {}: No such file or directory (os error 2)",
            path.display()
        );
        assert_eq!(error, expected);
        for (text, expected) in [("abc\n", "abc"), (" \td e\r\n\n", "d e"), ("", "")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(source.read().unwrap().reveal(), expected);
        }
        std::fs::write(&path, [0xff]).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert_eq!(error, format!("unable to read file {}", path.display()));
    }

    #[test]
    fn the_first_of_three_keys_counts_and_none_is_none() {
        let check = |inline: &str, file: &str, reference: &str, expected: Option<Source>| {
            let source = Source::of(&inline.into(), file, reference, Path::new("/etc/sigyn"));
            assert_eq!(source, expected);
        };
        check("", "", "", None);
        check(" x ", "", "", Some(Source::Inline(" x ".into())));
        check("", "../x", "", Some(Source::File("/etc/x".into())));
        check("", "/x", "", Some(Source::File("/x".into())));
        check("", "", "x", Some(Source::Reference("x".to_owned())));
        let error = Source::Reference("x".to_owned()).read().unwrap_err().to_string();
        assert_eq!(error, "cannot use secret ref without manager");
    }
}
