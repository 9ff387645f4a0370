//! `static_configs`: targets that stand in the configuration itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess};

use crate::config::{Form, Key};
use crate::group::TargetGroup;
use crate::labels::Labels;
use crate::yaml::{Entry, Section};

/// A job's static groups; the source of each is its index.
pub type Config = Vec<Arc<TargetGroup>>;

/// An entry of `static_configs`, as written. Files and servers answer in the same shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfig {
    /// `targets`: addresses.
    pub targets: Vec<String>,
    /// `labels`: what all of them get.
    pub labels: Labels,
}

impl Section for StaticConfig {
    const NAME: &'static str = "struct";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "targets" => self.targets = entry.texts()?,
            "labels" => entry.labels_onto(&mut self.labels)?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// A group, as it is shown.
pub(super) const SHOWN: &[Key] =
    &[Key::new("targets", Form::Texts), Key::new("labels", Form::Words).unless_empty()];

impl StaticConfig {
    /// The group it stands for.
    pub fn into_group(self, source: String) -> TargetGroup {
        let targets =
            self.targets.into_iter().map(|address| Labels::from_iter([("__address__", address)]));
        TargetGroup { source, labels: self.labels, targets: targets.collect() }
    }
}

/// Reads a list of groups in JSON, as files and servers have them. What is `null` in it is for the
/// caller to complain of.
pub(super) fn from_json(text: &[u8]) -> Result<Vec<Option<StaticConfig>>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Group {
        targets: Option<Vec<Option<String>>>,
        labels: Option<BTreeMap<String, Option<String>>>,
    }

    let groups: Vec<Option<Group>> = serde_json::from_slice(text)?;
    let section = |group: Group| {
        let mut section = StaticConfig::default();
        section.targets.extend(group.targets.into_iter().flatten().map(Option::unwrap_or_default));
        for (name, value) in group.labels.into_iter().flatten() {
            if name.is_empty() {
                return Err(serde_json::Error::custom("\"\" is not a valid label name"));
            }
            section.labels.set(name, value.unwrap_or_default());
        }
        Ok(section)
    };
    groups.into_iter().map(|group| group.map(section).transpose()).collect()
}
