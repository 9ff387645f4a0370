//! Whether the committed build of the web UI belongs to the sources beside it, found out without Node.
//!
//! What the digest is taken over is described in `ui/README.md`; the build computes the same one.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Finding;

/// Where the build is.
pub(super) const FOLDER: &str = "crates/sigyn-ui/dist/";

/// The digest of the sources that the build was made from.
const RECORD: &str = "crates/sigyn-ui/dist/SOURCES";

const UI: &str = "ui/";

/// What the build depends on, below [`UI`]: files, and folders ending in `/`.
const SOURCES: [&str; 6] =
    ["src/", "public/", "index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];

pub(super) fn check(root: &Path, files: &[String]) -> Result<Option<Finding>> {
    if !files.iter().any(|path| path == RECORD) {
        return Ok(Some(Finding::new(RECORD, 0, "is missing: run `cargo xtask ui`")));
    }
    let recorded = std::fs::read_to_string(root.join(RECORD))
        .with_context(|| format!("cannot read {RECORD}"))?;
    let mut sources = Vec::new();
    for name in files.iter().filter_map(|path| path.strip_prefix(UI)).filter(|name| is_source(name))
    {
        let contents = std::fs::read(root.join(UI).join(name))
            .with_context(|| format!("cannot read {UI}{name}"))?;
        sources.push((name, contents));
    }
    Ok(compare(&recorded, &digest(&mut sources)))
}

fn compare(recorded: &str, digest: &str) -> Option<Finding> {
    let stale = || {
        Finding::new(RECORD, 1, "the build is older than its sources in ui/: run `cargo xtask ui`")
    };
    (recorded.trim_end() != digest).then(stale)
}

fn is_source(name: &str) -> bool {
    SOURCES
        .iter()
        .any(|source| name == *source || (source.ends_with('/') && name.starts_with(source)))
}

/// SHA-256, in hexadecimal, over each file's name, a zero byte and its contents, in the order of the names' bytes.
fn digest(sources: &mut [(&str, Vec<u8>)]) -> String {
    sources.sort();
    let mut hash = Sha256::new();
    for (name, contents) in sources {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(contents);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `printf 'index.html\0<p>src/a.ts\0x' | sha256sum`.
    const DIGEST: &str = "6a36c0d7dc02d4ef3075f2328dba8f9d4f8a71e4b16ef931f67535c3f235e01e";

    #[test]
    fn the_digest_is_over_names_and_contents_in_the_order_of_names() {
        let mut sources = [("src/a.ts", b"x".to_vec()), ("index.html", b"<p>".to_vec())];
        assert_eq!(digest(&mut sources), DIGEST);
        sources[0].1.push(b' ');
        assert_ne!(digest(&mut sources), DIGEST);
    }

    #[test]
    fn a_build_of_other_sources_is_stale() {
        assert_eq!(compare(&format!("{DIGEST}\n"), DIGEST), None);
        assert!(compare("", DIGEST).is_some());
        assert!(compare(&DIGEST.replace('1', "2"), DIGEST).is_some());
    }

    #[test]
    fn only_what_the_build_reads_is_a_source() {
        for name in ["src/main.tsx", "public/favicon.svg", "index.html", "package-lock.json"] {
            assert!(is_source(name), "{name}");
        }
        for name in ["README.md", "e2e/index.html", "package.json", "src", "srcs/x.ts"] {
            assert!(!is_source(name), "{name}");
        }
    }
}
