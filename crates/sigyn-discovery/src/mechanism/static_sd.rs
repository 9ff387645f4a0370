//! `static_configs`: targets that stand in the configuration itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

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

/// A group in JSON, as Go reads it: keys count in any case, and of those that are there twice the last.
#[derive(Default)]
struct Group {
    targets: Option<Vec<Option<String>>>,
    labels: Option<BTreeMap<String, Option<String>>>,
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Group;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a group with `targets` and `labels`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Group, A::Error> {
                let mut group = Group::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.to_ascii_lowercase().as_str() {
                        "targets" => group.targets = map.next_value()?,
                        "labels" => group.labels = map.next_value()?,
                        _ => return Err(A::Error::unknown_field(&key, &["targets", "labels"])),
                    }
                }
                Ok(group)
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// Reads a list of groups in JSON, as files and servers have them. What is `null` in it is for the
/// caller to complain of.
pub(super) fn from_json(text: &[u8]) -> Result<Vec<Option<StaticConfig>>, serde_json::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_json_are_read_as_go_reads_them() {
        let read = |text: &str| {
            let groups = from_json(text.as_bytes())?;
            Ok::<_, serde_json::Error>(groups.into_iter().flatten().next().unwrap_or_default())
        };
        let group = read(r#"[{"Targets": ["a", null], "LABELS": {"b": "c", "d": null}}]"#).unwrap();
        assert_eq!(group.targets, ["a", ""]);
        assert_eq!(group.labels, Labels::from_iter([("b", "c")]));
        let twice = read(r#"[{"targets": ["a"], "targets": ["b"]}]"#).unwrap();
        assert_eq!(twice.targets, ["b"]);
        let error = read(r#"[{"targats": []}]"#).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `targats`"), "{error}");
        assert!(read("[null]").is_ok() && read("{}").is_err());
    }
}
