//! How a process hears that a sibling is asked for its spans: it seals what waits, since nobody else can.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Weak;

use super::directory::Directory;
use crate::record::Shared;

/// A pipe with a name, on which one thread waits.
#[derive(Debug)]
pub(super) struct Bell(File);

impl Bell {
    pub(super) fn hang(directory: &Directory, epoch: u64) -> io::Result<Self> {
        directory.make_bell(epoch).map(Self)
    }

    /// Wakes the thread that waits for it.
    pub(super) fn ring(&self) {
        let _ = (&self.0).write(&[0]);
    }

    /// Wakes a sibling. It is no error that there is none.
    pub(super) fn ring_at(directory: &Directory, epoch: u64) {
        let _ = directory.bell(epoch).and_then(|mut bell| bell.write(&[0]));
    }
}

/// Seals whenever a sibling rings, until the recorder is gone.
pub(crate) fn listen(shared: Weak<Shared>) -> io::Result<()> {
    let bell = {
        let Some(shared) = shared.upgrade() else { return Ok(()) };
        let Some(spool) = shared.ring.spool() else { return Ok(()) };
        spool.bell.0.try_clone()?
    };
    let wait = move || {
        let mut rings = [0; 64];
        while let Ok(count) = (&bell).read(&mut rings) {
            let Some(shared) = shared.upgrade() else { return };
            if count == 0 {
                return;
            }
            shared.ring.seal_for_sibling(shared.clock.monotonic());
        }
    };
    std::thread::Builder::new().name("sigyn-spool".to_owned()).spawn(wait).map(drop)
}
