//! A file that is written: under its name once it is whole, and never over what somebody may want to keep.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

/// What follows the name of a file that is not whole. One that was left behind is written anew.
const PARTIAL: &str = ".partial";

/// Gone without a trace if it is dropped before it is finished.
#[derive(Debug)]
pub(super) struct Output {
    file: BufWriter<File>,
    path: PathBuf,
    /// The name until then; none where there is no file to be had, but a pipe or a device.
    partial: Option<PathBuf>,
}

impl Output {
    /// Errors if there is a file of this name.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let to = || path.to_owned();
        let of = |file, partial| Self { file: BufWriter::new(file), path: to(), partial };
        match fs::metadata(path) {
            Ok(there) if is_written_through(&there.file_type()) => {
                let file = OpenOptions::new().write(true).open(path);
                return Ok(of(file.with_context(|| cannot_write(path))?, None));
            }
            Ok(_) => return Err(is_there(path)),
            // A link that leads nowhere is not followed.
            Err(_) => refuse_if_there(path)?,
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&partial);
        let file = file.with_context(|| cannot_write(&partial))?;
        let is_ours = file.try_lock().is_ok() && is_at(&file, &partial).unwrap_or(false);
        if !is_ours {
            return Err(anyhow!("somebody else is writing {}", partial.display()));
        }
        let output = of(file, Some(partial));
        output.file.get_ref().set_len(0).with_context(|| cannot_write(path))?;
        Ok(output)
    }

    /// Gives it its name once all of it is on the disk.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let cannot = || cannot_write(&self.path);
        self.file.flush().with_context(cannot)?;
        let Some(partial) = &self.partial else { return Ok(()) };
        self.file.get_ref().sync_all().with_context(cannot)?;
        refuse_if_there(&self.path)?;
        fs::rename(partial, &self.path).with_context(cannot)?;
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).with_context(cannot)?;
        self.partial = None;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            let _ = fs::remove_file(partial);
        }
    }
}

/// Whether it keeps nothing: a pipe, or a device.
fn is_written_through(kind: &fs::FileType) -> bool {
    kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
}

/// Whether a file still has this name; whoever wrote it may have finished just now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

fn refuse_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(is_there(path)),
        Err(_) => Ok(()),
    }
}

fn is_there(path: &Path) -> anyhow::Error {
    let path = path.display();
    anyhow!("{path} is there already, and is not written over: give another name, or remove it")
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let mut left = Output::create(&path).unwrap();
        left.write_all(b"0123456789").unwrap();
        left.flush().unwrap();
        assert_eq!(names(folder.path()), ["x.json.partial"]);
        let told = Output::create(&path).unwrap_err().to_string();
        assert!(told.starts_with("somebody else is writing"), "{told}");
        // As one that was killed leaves it.
        left.partial = None;
        drop(left);
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"whole").unwrap();
        output.finish().unwrap();
        assert_eq!(names(folder.path()), ["x.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let told = Output::create(&path).unwrap_err().to_string();
        assert!(told.contains("is not written over"), "{told}");
    }

    #[test]
    fn what_fails_or_comes_too_late_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        drop(Output::create(&path).unwrap());
        assert!(names(folder.path()).is_empty());
        let output = Output::create(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        assert!(output.finish().is_err());
        assert_eq!(names(folder.path()), ["x.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(Output::create(&path).is_err());
        assert!(Output::create(folder.path()).is_err());
    }

    #[test]
    fn a_device_is_written_through() {
        let mut null = Output::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.finish().unwrap();
        let mut full = Output::create(Path::new("/dev/full")).unwrap();
        full.write_all(b"x").unwrap();
        let told = format!("{:#}", full.finish().unwrap_err());
        assert!(told.starts_with("cannot write /dev/full: No space left"), "{told}");
    }
}
