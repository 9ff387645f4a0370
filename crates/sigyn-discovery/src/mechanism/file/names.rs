//! Which names in a directory matter to a provider: those of target files, and those of what links to
//! them lead through.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Links of links that are followed, as many as the system follows.
const LINKS_MAX: usize = 40;

/// Names in one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    exact: BTreeSet<OsString>,
    patterns: Vec<glob::Pattern>,
}

impl Names {
    /// Those that a path stands for, of which the last element may be a pattern.
    pub(super) fn add(&mut self, path: &Path) {
        let Some(name) = path.file_name() else { return };
        match glob::Pattern::new(&name.to_string_lossy()) {
            Ok(pattern) if name.to_string_lossy().contains(['*', '?', '[']) => {
                self.patterns.push(pattern);
            }
            // What is no pattern finds no files.
            _ => {
                self.exact.insert(name.to_owned());
            }
        }
    }

    /// What leads from a file in `dir` to another one in it: Kubernetes gives files new contents by
    /// giving a new target to the link `..data`, through which they all lead.
    pub(super) fn add_links(&mut self, dir: &Path, file: &Path) {
        let mut path = file.to_owned();
        for _ in 0..LINKS_MAX {
            let Ok(target) = path.read_link() else { return };
            let target = dir.join(target);
            let Ok(below) = target.strip_prefix(dir) else { return };
            let Some(name) = below.components().next() else { return };
            path = dir.join(name);
            self.exact.insert(name.as_os_str().to_owned());
        }
    }

    pub(super) fn contain(&self, name: &OsStr) -> bool {
        self.exact.contains(name)
            || self.patterns.iter().any(|pattern| pattern.matches(&name.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_are_those_of_patterns_and_of_links() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        symlink("..data/a.yml", dir.join("a.yml")).unwrap();
        symlink("..2026", dir.join("..data")).unwrap();
        symlink("b.yml", dir.join("b.yml")).unwrap();
        let mut names = Names::default();
        for path in ["a.yml", "b.yml", "x-*.json", "[.yml"] {
            names.add(&dir.join(path));
            names.add_links(dir, &dir.join(path));
        }
        let check = |name: &str, expected| {
            assert_eq!(names.contain(OsStr::new(name)), expected, "{name}");
        };
        for name in ["a.yml", "..data", "..2026", "b.yml", "x-.json", "x-1.json", "[.yml"] {
            check(name, true);
        }
        for name in ["a.log", "a.yml.swp", "c.yml", "y-1.json", "..data_tmp", "x-1.json~"] {
            check(name, false);
        }
    }
}
