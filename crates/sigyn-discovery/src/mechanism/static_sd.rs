//! `static_configs`: targets that stand in the configuration itself.

use std::sync::Arc;

use serde::de::MapAccess;

use crate::group::TargetGroup;
use crate::labels::Labels;
use crate::yaml::{Entry, LabelMap, Section};

/// A job's static groups; the source of each is its index.
pub type Config = Vec<Arc<TargetGroup>>;

/// An entry of `static_configs`, as written. File SD reads the same shape.
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
            "labels" => self.labels = entry.read::<LabelMap>()?.0,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl StaticConfig {
    /// The group it stands for.
    pub fn into_group(self, source: String) -> TargetGroup {
        let targets =
            self.targets.into_iter().map(|address| Labels::from_iter([("__address__", address)]));
        TargetGroup { source, labels: self.labels, targets: targets.collect() }
    }
}
