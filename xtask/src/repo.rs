//! The checkout: where it is, and which files belong to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    // Cargo says at run time where we are; what was true when we were compiled may be another checkout.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// Every file that is committed or about to be: known to git, or neither known nor ignored. Sorted, `/`-separated,
/// relative to the top.
pub(crate) fn files(root: &Path) -> Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    if !listed.status.success() {
        bail!(
            "git cannot list the files of {}: {}",
            root.display(),
            String::from_utf8_lossy(&listed.stderr).trim()
        );
    }
    let listed = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
    let mut files: Vec<String> = listed
        .split_terminator('\0')
        .filter(|path| root.join(path).is_file())
        .map(String::from)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// A folder of our own for the time of a chore, removed with all it holds when dropped.
#[derive(Debug)]
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("sigyn-{purpose}-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Copies files of one tree into another, given relative to both.
pub(crate) fn copy<'a>(
    from: &Path,
    to: &Path,
    files: impl IntoIterator<Item = &'a String>,
) -> Result<()> {
    for file in files {
        let target = to.join(file);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        std::fs::copy(from.join(file), &target).with_context(|| format!("cannot copy {file}"))?;
    }
    Ok(())
}
