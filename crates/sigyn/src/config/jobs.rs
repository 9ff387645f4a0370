//! What Sigyn's own section says of single jobs.

use std::collections::BTreeMap;

use serde::de::MapAccess;
use sigyn_discovery::yaml::{Entry, Place, Section};
use sigyn_model::pull::Sampling;

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
    /// What is wanted of traces that begin at its targets.
    pub(super) sampling: Sampling,
}

/// `sampling` of a job.
#[derive(Debug, Default)]
struct SamplingSection(Sampling);

impl Section for SamplingSection {
    const NAME: &'static str = "sigyn.Sampling";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "rate" => self.0.rate = entry.parsed(share)?,
            "operations" => self.0.operations = entry.section::<OperationsSection>()?.0,
            _ => entry.unknown()?,
        }
        Ok(())
    }
}

/// Shares by the names of operations.
#[derive(Debug, Default)]
struct OperationsSection(Vec<(String, f64)>);

impl Section for OperationsSection {
    const NAME: &'static str = "sigyn.Operations";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let name = entry.key().to_owned();
        let is_one_too_many = self.0.len() >= Sampling::OPERATIONS_MAX;
        let rate = entry.parsed(|text| {
            if is_one_too_many {
                let max = Sampling::OPERATIONS_MAX;
                return Err(format!("no more than {max} operations can have a rate of their own"));
            }
            share(text)
        })?;
        self.0.extend(rate.map(|rate| (name, rate)));
        Ok(())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("a share of traces is a number from 0 to 1, and {text:?} is not"))
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
            "sampling" => self.sampling = entry.section::<SamplingSection>()?.0,
            _ => entry.unknown()?,
        }
        Ok(())
    }
}
