//! The rules of the house that no compiler checks, as pure checks on the files' text.

mod arrows;
mod code;
mod dist;
mod doc_paths;
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::repo;

/// Something that breaks a rule, or strains it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    path: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("takes no arguments");
    }
    let root = repo::root();
    let files = repo::files(&root)?;
    let known: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for path in &files {
        let bytes = std::fs::metadata(root.join(path))
            .with_context(|| format!("cannot read {path}"))?
            .len();
        problems.extend(source::is_small_enough(path, bytes));
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            problems.extend(source::has_no_conflict(path, &text));
        }
        // What the UI's build writes follows that build's rules; `dist` asks whether it is current.
        if !path.starts_with(dist::FOLDER) {
            check_text(&root, path, &known, &mut problems, &mut warnings)?;
        }
    }
    problems.extend(dist::check(&root, &files)?);

    for warning in &warnings {
        println!("warning: {warning}");
    }
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems in {} files", problems.len(), files.len());
    }
    println!("tidy: {} files, {} warnings", files.len(), warnings.len());
    Ok(())
}

fn check_text(
    root: &Path,
    path: &str,
    known: &BTreeSet<&str>,
    problems: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) -> Result<()> {
    let (is_rust, is_markdown) = (path.ends_with(".rs"), path.ends_with(".md"));
    let is_manifest = path == "Cargo.toml" || path.ends_with("/Cargo.toml");
    if !(is_rust || is_markdown || is_manifest) {
        return Ok(());
    }
    let text =
        std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
    if is_manifest && path.starts_with("crates/") {
        problems.extend(arrows::check_manifest(path, &text));
    }
    if is_rust {
        let code = code::without_comments_and_literals(&text);
        problems.extend(source::opens_with_a_sentence(path, &text));
        problems.extend(source::has_no_unsafe(path, &code));
        problems.extend(arrows::check_wiring(path, &code));
        warnings.extend(source::is_short(path, &text));
    }
    if is_markdown {
        problems.extend(doc_paths::check(path, &text, known));
    }
    if is_rust || is_markdown {
        problems.extend(source::whitespace(path, &text));
    }
    Ok(())
}
