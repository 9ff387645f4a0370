//! Networks, and the labels that they give to what is in them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::labels::{Labels, sanitized};
use crate::mechanism::ask::nullable;

/// A network.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::mechanism) struct Network {
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    scope: String,
    #[serde(default, deserialize_with = "nullable")]
    internal: bool,
    #[serde(default, deserialize_with = "nullable")]
    ingress: bool,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

impl Network {
    /// What others name it by.
    pub(in crate::mechanism) fn id(&self) -> &str {
        &self.id
    }

    /// Its labels, with names that begin with `prefix`.
    pub(in crate::mechanism) fn labels(&self, prefix: &str) -> Labels {
        let mut labels = Labels::new();
        for (label, value) in [
            ("id", self.id.as_str()),
            ("name", &self.name),
            ("scope", &self.scope),
            ("internal", if self.internal { "true" } else { "false" }),
            ("ingress", if self.ingress { "true" } else { "false" }),
        ] {
            labels.set(format!("{prefix}network_{label}"), value);
        }
        for (label, value) in &self.labels {
            labels.set(format!("{prefix}network_label_{}", sanitized(label)), value);
        }
        labels
    }
}
