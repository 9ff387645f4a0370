//! What Sigyn's own section says of single jobs.

use std::collections::BTreeMap;

use serde::de::MapAccess;
use sigyn_discovery::yaml::{Entry, Place, Section};

/// Settings by `job_name`.
#[derive(Debug, Default)]
pub(super) struct JobsSection(pub(super) BTreeMap<String, JobSection>);

impl Section for JobsSection {
    const NAME: &'static str = "sigyn.Jobs";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let (name, place) = (entry.key().to_owned(), entry.place());
        let job: JobSection = entry.section()?;
        self.0.insert(name, JobSection { place, ..job });
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct JobSection {
    pub(super) place: Place,
    pub(super) traces_path: String,
    pub(super) long_poll: bool,
    /// How often a target may give spans between two of its instants.
    pub(super) early_pulls: Option<u32>,
    /// Spans that each target is to finish in a second, at most.
    pub(super) span_budget: Option<u32>,
}

impl Section for JobSection {
    const NAME: &'static str = "sigyn.Job";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "traces_path" => {
                let read = |text: &str| match text {
                    path if path.starts_with('/') => Ok(path.to_owned()),
                    other => Err(format!("traces_path {other:?} must begin with a slash")),
                };
                self.traces_path = entry.parsed(read)?.unwrap_or_default();
            }
            "long_poll" => self.long_poll = entry.boolean()?.unwrap_or_default(),
            "early_pulls" => {
                self.early_pulls = Some(u32::try_from(entry.integer()?).unwrap_or(u32::MAX));
            }
            "span_budget" => {
                let budget = u32::try_from(entry.integer()?).unwrap_or(u32::MAX);
                self.span_budget = Some(budget).filter(|budget| *budget > 0);
            }
            _ => entry.unknown()?,
        }
        Ok(())
    }
}
