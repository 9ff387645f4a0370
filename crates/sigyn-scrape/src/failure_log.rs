//! Files that failed scrapes are written to, a line of JSON each, as Prometheus does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tracing::warn;

/// One file. Jobs that name the same one share it.
#[derive(Debug)]
pub(crate) struct FailureLog {
    path: PathBuf,
    /// `None` while it cannot be opened or written: what fails then is not in it.
    file: Mutex<Option<File>>,
}

/// All files that jobs name, by path.
#[derive(Debug, Default)]
pub(crate) struct FailureLogs(HashMap<PathBuf, Arc<FailureLog>>);

impl FailureLogs {
    /// The file of this path, opened if it is not.
    pub(crate) fn of(&mut self, path: &Path) -> Arc<FailureLog> {
        let log = self.0.entry(path.to_owned()).or_insert_with(|| {
            let file = Mutex::new(open(path));
            Arc::new(FailureLog { path: path.to_owned(), file })
        });
        Arc::clone(log)
    }

    /// Opens all of them again, so that one that was moved away is made anew, and forgets those that no job names.
    pub(crate) fn reopen(&mut self, is_named: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _| is_named(path));
        for log in self.0.values() {
            *log.lock() = open(&log.path);
        }
    }
}

impl FailureLog {
    /// Writes a line in one piece, with the place that it comes from, as Prometheus does. A file on a disk that is full is given up until the next reload.
    #[track_caller]
    pub(crate) fn write(&self, at: SystemTime, error: &str, job: &str, target: &str) {
        let line = line(at, Location::caller(), error, job, target);
        let mut file = self.lock();
        let written = file.as_mut().map(|file| file.write_all(line.as_bytes()));
        if let Some(Err(error)) = written {
            warn!(file = %self.path.display(), %error, "cannot write failed scrapes");
            *file = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        // A file is whole whoever held it.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> Option<File> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    if let Err(error) = &opened {
        warn!(file = %path.display(), %error, "cannot open the file for failed scrapes");
    }
    opened.ok()
}

fn line(at: SystemTime, from: &Location<'_>, error: &str, job: &str, target: &str) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or_default();
    let file = Path::new(from.file()).file_name().unwrap_or_default().to_string_lossy();
    let source = format!("{file}:{}", from.line());
    let mut line = format!("{{\"time\":\"{at}\",\"level\":\"ERROR\"");
    for (key, text) in
        [("source", source.as_str()), ("msg", error), ("job_name", job), ("target", target)]
    {
        let _ = write!(line, ",\"{key}\":\"");
        escape(text, &mut line);
        line.push('"');
    }
    line.push_str("}\n");
    line
}

/// What errors say may be anything that a target has sent.
fn escape(text: &str, into: &mut String) {
    for char in text.chars() {
        match char {
            '"' | '\\' => into.extend(['\\', char]),
            '\n' => into.push_str("\\n"),
            char if char.is_control() => {
                let _ = write!(into, "\\u{:04x}", u32::from(char));
            }
            char => into.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const AT: SystemTime = UNIX_EPOCH;

    #[test]
    fn a_line_is_json_whatever_the_error_says() {
        let at = AT + Duration::from_millis(1_500);
        let here = Location::caller();
        let written = line(at, here, "no \"answer\"\n\u{7}", "a\\b", "http://h:1/traces");
        let source = format!(r#","source":"failure_log.rs:{}""#, here.line());
        let expected = r#"{"time":"1970-01-01T00:00:01.5Z","level":"ERROR","msg":"no \"answer\"\n\u0007","job_name":"a\\b","target":"http://h:1/traces"}"#;
        assert_eq!(written.replace(&source, ""), format!("{expected}\n"));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let [path, moved] = ["failures", "moved"].map(|name| folder.path().join(name));
        let mut logs = FailureLogs::default();
        let (one, other) = (logs.of(&path), logs.of(&path));
        one.write(AT, "first", "a", "t");
        std::fs::rename(&path, &moved).unwrap();
        other.write(AT, "second", "b", "t");
        logs.reopen(|_| true);
        one.write(AT, "third", "a", "t");
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&moved), lines(&path)), (2, 1));
        logs.reopen(|_| false);
        assert!(logs.0.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_opened_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = FailureLogs::default().of(&folder.path().join("not/there"));
        log.write(AT, "lost", "a", "t");
    }
}
