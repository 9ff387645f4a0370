//! A target group: targets that were discovered together and share labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::labels::Labels;

/// Targets of one source. The newest group of a source replaces the one before; a group without
/// targets and labels removes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Where the group comes from, unique within its provider (`/etc/sd/a.yml:0`).
    pub source: String,
    /// What all targets of the group have in common. A target's own label wins.
    pub labels: Labels,
    /// One label set a target; `__address__` is among them.
    pub targets: Vec<Labels>,
}

impl TargetGroup {
    /// Gives back room that was made for more than there is: groups are kept for long.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.source.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.targets.shrink_to_fit();
        self.targets.iter_mut().for_each(Labels::shrink_to_fit);
    }
}

/// Everything discovered now: job name to target groups. A job without groups is listed, empty.
///
/// Groups are shared: where one of thousands changes, the others are the same ones as before.
pub type Groups = BTreeMap<String, Vec<Arc<TargetGroup>>>;
