//! Every path that a document names exists.

use std::collections::BTreeSet;

use super::Finding;

/// What a path in backticks begins with if it means this repository.
const TOP_FOLDERS: [&str; 9] =
    [".cargo/", ".ci/", "conformance/", "crates/", "docs/", "examples/", "fuzz/", "ui/", "xtask/"];

/// Files of the top folder, named without a folder.
const TOP_FILES: [&str; 11] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// `known` has every file of the repository. Only what a clean clone has counts as existing.
pub(super) fn check(path: &str, text: &str, known: &BTreeSet<&str>) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let exists = |named: &str| exists(named, known);
    let mut findings = Vec::new();
    for (index, line) in prose(text) {
        for named in code_spans(line).filter_map(repository_path) {
            if !exists(named) && !resolve(folder, named).is_some_and(|resolved| exists(&resolved)) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("names `{named}`, which does not exist"),
                ));
            }
        }
        for target in links(line).filter_map(relative_target) {
            if !resolve(folder, target).is_some_and(|resolved| exists(&resolved)) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("links to {target}, which does not exist"),
                ));
            }
        }
    }
    findings
}

/// The lines outside fenced blocks, with their indices.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The path a code span names, if it is one of this repository's: no pattern, no command, no placeholder.
fn repository_path(span: &str) -> Option<&str> {
    if span.contains(|c: char| c.is_whitespace() || "<>{}[]*$|,;=…".contains(c))
        || span.contains("..")
    {
        return None;
    }
    // crates/sigyn-store/src/lib.rs:12
    let named = span.split([':', '#']).next().unwrap_or(span);
    let is_ours =
        TOP_FILES.contains(&named) || TOP_FOLDERS.iter().any(|folder| named.starts_with(folder));
    is_ours.then_some(named)
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// The path of a link into this repository.
fn relative_target(target: &str) -> Option<&str> {
    let path = target.split('#').next().unwrap_or(target);
    (!path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")).then_some(path)
}

/// `named` as seen from `folder`, from the top. None if it leaves the repository.
fn resolve(folder: &str, named: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in named.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a file, or a folder with a file in it, is known. The top folder is.
fn exists(named: &str, known: &BTreeSet<&str>) -> bool {
    let named = named.trim_end_matches('/');
    let folder = format!("{named}/");
    named.is_empty()
        || known.contains(named)
        || known.range(folder.as_str()..).next().is_some_and(|path| path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = [
        "README.md",
        "crates/sigyn-store/README.md",
        "crates/sigyn-store/src/lib.rs",
        "docs/formats/wal.md",
        "docs/guide.md",
        "ui/package.json",
    ];

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = super::check(path, text, &BTreeSet::from(KNOWN))
            .iter()
            .map(|finding| finding.message.clone())
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_is_there_may_be_named() {
        check(
            "README.md",
            "See `docs/formats/wal.md`, `docs/formats/`, `crates/sigyn-store/src/lib.rs:7` and `README.md`.",
            &[],
        );
        check(
            "README.md",
            "[the log](docs/formats/wal.md#frames), [up](#top), [there](https://example.org/docs/none)",
            &[],
        );
        check(
            "docs/guide.md",
            "[the log](formats/wal.md), [home](../README.md), [formats](./formats/), `ui/package.json`",
            &[],
        );
        check("crates/sigyn-store/README.md", "[source](src/lib.rs)", &[]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        check("README.md", "`docs/gone.md`", &["names `docs/gone.md`, which does not exist"]);
        check(
            "README.md",
            "`crates/sigyn-sto`",
            &["names `crates/sigyn-sto`, which does not exist"],
        );
        check("README.md", "`CHANGELOG.md`", &["names `CHANGELOG.md`, which does not exist"]);
        check(
            "README.md",
            "a [link](docs/gone.md)",
            &["links to docs/gone.md, which does not exist"],
        );
        check(
            "docs/guide.md",
            "![picture](picture.png \"title\")",
            &["links to picture.png, which does not exist"],
        );
        check(
            "docs/guide.md",
            "[out](../../elsewhere.md)",
            &["links to ../../elsewhere.md, which does not exist"],
        );
    }

    #[test]
    fn what_only_looks_like_a_path_is_left_alone() {
        check(
            "README.md",
            "`cargo run -p x docs/gone`, `docs/*.md`, `crates/{a,b}`, `ui/<name>`, `/api/v2/spans`, `src/x.rs`",
            &[],
        );
        check("README.md", "```\n`docs/gone.md` [x](docs/gone.md)\n```\n", &[]);
    }
}
