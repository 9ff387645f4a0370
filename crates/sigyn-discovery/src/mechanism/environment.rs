//! Variables that the tools of providers look at, too.

use std::collections::BTreeMap;
use std::fmt;

/// Where variables are looked up.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Environment {
    /// This process has them.
    #[default]
    Process,
    /// These, and no others.
    Given(BTreeMap<String, String>),
}

#[cfg_attr(
    not(any(feature = "aws", feature = "azure", feature = "gcp")),
    expect(dead_code, reason = "who looks there is not built in")
)]
impl Environment {
    /// What is set to nothing is not set.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::Process => std::env::var(name).ok(),
            Self::Given(variables) => variables.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }
}

/// Variables may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "Process",
            Self::Given(_) => "Given(<secret>)",
        })
    }
}
