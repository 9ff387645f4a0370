//! Reading target files: which there are, what they hold, and what is gone since the last time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::matches;
use super::names::Names;
use crate::error_chain::chain;
use crate::group::TargetGroup;
use crate::mechanism::static_sd::{self, StaticConfig};
use crate::mechanism::{Context, Part, Whose};
use crate::metrics::Metrics;
use crate::yaml::{self, Fields, YamlError};

/// Reads all files of one provider, and remembers how many groups each had.
#[derive(Debug)]
pub(super) struct Reader {
    patterns: Vec<PathBuf>,
    /// By path, as it stands in the sources of groups.
    known: BTreeMap<String, usize>,
    /// For log lines.
    whose: Arc<Whose>,
    metrics: Arc<Metrics>,
}

/// Why a file's targets stay what they were.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no text.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    /// The text of a `.yml` or `.yaml` is not a list of groups.
    #[error("not valid YAML")]
    Yaml(#[from] YamlError),
    /// The text of a `.json` is not a list of groups.
    #[error("not valid JSON")]
    Json(#[from] serde_json::Error),
    /// There is not even a byte: whoever writes the file has begun, and is not done.
    #[error("the file is empty")]
    Empty,
    /// A group is null.
    #[error("nil target group item found (index {0})")]
    Null(usize),
}

impl Reader {
    /// A reader of files of which some groups are known already, by their sources.
    pub(super) fn new(patterns: Vec<PathBuf>, context: &Context) -> Self {
        let sources = &context.known;
        let mut known = BTreeMap::new();
        for (path, index) in sources.iter().filter_map(|source| source.rsplit_once(':')) {
            let count = known.entry(path.to_owned()).or_default();
            *count = index.parse().map_or(0, |index: usize| index + 1).max(*count);
        }
        let (whose, metrics) = (Arc::clone(&context.whose), Arc::clone(&context.metrics));
        Self { patterns, known, whose, metrics }
    }

    /// The directories in which a change may matter, and whose changes do.
    pub(super) fn directories(&self) -> BTreeMap<PathBuf, Names> {
        let mut directories = BTreeMap::<PathBuf, Names>::new();
        for pattern in &self.patterns {
            let dir = match pattern.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let names = directories.entry(dir.to_owned()).or_default();
            names.add(pattern);
            for file in matches(pattern) {
                names.add_links(dir, &file);
            }
        }
        directories
    }

    /// The groups of all files, and an empty group for each that is gone. A file that cannot be
    /// read or understood keeps the groups it had. `None` if there are files, but none could be
    /// read: that is no answer.
    pub(super) fn read(&mut self) -> Option<Vec<TargetGroup>> {
        let mut found = BTreeMap::new();
        let mut groups = Vec::new();
        let mut failures = 0;
        let paths: BTreeSet<PathBuf> =
            self.patterns.iter().flat_map(|pattern| matches(pattern)).collect();
        for path in paths {
            self.metrics.file_reads.increment();
            let name = path.display().to_string();
            match read_written(&path) {
                Ok(read) => {
                    self.whose.works(&Part::Named(name.clone()));
                    found.insert(name, read.len());
                    groups.extend(read);
                }
                Err(error) => {
                    self.metrics.file_read_errors.increment();
                    let kept_groups = self.known.get(&name).copied().unwrap_or_default();
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(config = %self.whose, discovery = "file", path = %path.display(), %error, cause, kept_groups, "cannot use target file");
                    failures += 1;
                    self.whose.failed(Part::Named(name.clone()), chain(&error));
                    found.insert(name, kept_groups);
                }
            }
        }
        self.whose.keep_failing(|part| match part {
            Part::Named(path) => found.contains_key(path),
            Part::Start | Part::Whole => true,
        });
        for (path, known) in &self.known {
            let remaining = found.get(path).copied().unwrap_or_default();
            let gone = (remaining..*known)
                .map(|index| TargetGroup { source: source(path, index), ..Default::default() });
            groups.extend(gone);
        }
        let answered = failures == 0 || failures < found.len() || !groups.is_empty();
        self.known = found;
        answered.then_some(groups)
    }
}

fn source(path: &str, index: usize) -> String {
    format!("{path}:{index}")
}

/// The groups of one target file.
pub fn read_file(path: &Path) -> Result<Vec<TargetGroup>, ReadError> {
    groups(path, &yaml::read_file(path)?)
}

/// The same of one that somebody may be writing right now.
fn read_written(path: &Path) -> Result<Vec<TargetGroup>, ReadError> {
    let text = yaml::read_file(path)?;
    if text.is_empty() { Err(ReadError::Empty) } else { groups(path, &text) }
}

fn groups(path: &Path, text: &str) -> Result<Vec<TargetGroup>, ReadError> {
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let sections = match (is_json, text.trim()) {
        // A list without groups to Prometheus, in YAML as well.
        (true, "null") => Vec::new(),
        (true, _) => static_sd::from_json(text.as_bytes())?,
        (false, _) => parse_yaml(text)?,
    };
    let name = path.display().to_string();
    let mut groups = Vec::with_capacity(sections.len());
    for (index, section) in sections.into_iter().enumerate() {
        let mut group = section.ok_or(ReadError::Null(index))?.into_group(source(&name, index));
        group.labels.set("__meta_filepath", path.to_string_lossy());
        groups.push(group);
    }
    Ok(groups)
}

fn parse_yaml(text: &str) -> Result<Vec<Option<StaticConfig>>, YamlError> {
    let sections: Option<Vec<Option<Fields<StaticConfig>>>> = yaml::from_yaml(text)?;
    Ok(sections.into_iter().flatten().map(|section| section.map(|fields| fields.0)).collect())
}
