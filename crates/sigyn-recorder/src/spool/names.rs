//! Names and keys that records hold as numbers, written down for those who read the file later.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::layout::{NAME_HEAD, NAMES_MAX};
use crate::intern::{self, Glossary};

/// So much of it has its memory at once: programs say some hundred short names.
const FIRST: u64 = 16 * 1024;
/// What stands before each name.
const MARK: u8 = 1;
/// Said of a number without a name.
const UNKNOWN: &str = "(name lost)";

#[derive(Debug)]
pub(crate) struct Names {
    file: File,
    next: Mutex<u64>,
    end: u64,
    unwritten: AtomicU64,
}

impl Names {
    /// Writes all names that there are, and each new one from now on before anybody has its number.
    pub(super) fn begin(file: File, at: u64) -> io::Result<Arc<Self>> {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), at, FIRST)?;
        let end = at + NAMES_MAX;
        let names =
            Arc::new(Self { file, next: Mutex::new(at), end, unwritten: AtomicU64::new(0) });
        intern::tell(&names);
        Ok(names)
    }

    pub(crate) fn add(&self, id: u16, text: &str) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entry = Vec::with_capacity(NAME_HEAD + text.len());
        entry.push(MARK);
        entry.extend(id.to_le_bytes());
        entry.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
        entry.extend(text.as_bytes());
        let after = *next + entry.len() as u64;
        if after > self.end || self.file.write_all_at(&entry, *next).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *next = after;
    }

    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }
}

/// All names of a file.
pub(super) fn read(file: &File, at: u64) -> Glossary {
    const STEP: usize = 64 * 1024;
    let mut bytes: Vec<u8> = Vec::new();
    let mut names: Vec<Cow<'static, str>> = Vec::new();
    let mut from = 0;
    loop {
        let len = bytes.len();
        if len as u64 >= NAMES_MAX {
            break;
        }
        bytes.resize(len + STEP, 0);
        let read = file.read_at(&mut bytes[len..], at + len as u64).unwrap_or(0);
        bytes.truncate(len + read);
        while let Some((id, text, next)) = entry(&bytes, from) {
            let id = usize::from(id);
            if names.len() <= id {
                names.resize(id + 1, Cow::Borrowed(UNKNOWN));
            }
            names[id] = Cow::Owned(text.to_owned());
            from = next;
        }
        // What is left is the end, or half a name.
        if read == 0 || bytes.get(from).is_some_and(|mark| *mark != MARK) {
            break;
        }
    }
    Glossary::from(names)
}

fn entry(bytes: &[u8], from: usize) -> Option<(u16, &str, usize)> {
    let mut rest = crate::layout::Bytes(bytes.get(from..)?);
    if rest.u8()? != MARK {
        return None;
    }
    let (id, len) = (rest.u16()?, usize::from(rest.u16()?));
    let text = std::str::from_utf8(rest.take(len)?).ok()?;
    Some((id, text, from + NAME_HEAD + len))
}
