//! All spans of a store, in a form that others read.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use sigyn_model::Span;
use sigyn_model::codec::{json_v2, otlp};
use sigyn_store::{QueryFailed, Stop, Store};

use super::progress::Progress;
use super::{offline, online};
use crate::Failure;
use crate::cli::{ExportFlags, ExportFormat};

pub(super) fn run(path: &Path, flags: &ExportFlags) -> Result<(), Failure> {
    let is_standard_output = flags.to == Path::new("-");
    if is_standard_output && flags.format == ExportFormat::Parquet {
        let error =
            "blocks are several files: they are copied to a folder, and not to standard output";
        return Err(anyhow!(error).into());
    }
    let store = online(path)?;
    if flags.format == ExportFormat::Parquet {
        store.seal().context("cannot make a block of what is in the log")?;
        store.close()?;
        drop(store);
        return Ok(copy_blocks(path, &flags.to)?);
    }
    let write = |file: &mut dyn Write| write_spans(&store, flags.format, file);
    let cannot = || format!("cannot write {}", flags.to.display());
    if is_standard_output {
        write(&mut io::stdout().lock())?;
    } else {
        // Not over what somebody may want to keep.
        let mut file = BufWriter::new(File::create_new(&flags.to).with_context(cannot)?);
        write(&mut file)?;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .with_context(cannot)?;
    }
    Ok(store.close()?)
}

fn write_spans(store: &Store, format: ExportFormat, file: &mut dyn Write) -> anyhow::Result<()> {
    let stats = store.stats();
    let all = stats.head_spans + stats.block_spans;
    let (mut progress, mut done) = (Progress::new("writing spans"), 0);
    let (stop, mut failed) = (Stop::default(), None);
    let outcome = store.each_spans(&stop, |spans: Vec<Span>| {
        let bytes = match format {
            // Requests that follow each other are one.
            ExportFormat::Otlp => otlp::encode(&spans),
            ExportFormat::ZipkinJson | ExportFormat::Parquet => {
                let mut line = json_v2::encode_list(&spans);
                line.push('\n');
                line.into_bytes()
            }
        };
        if failed.is_none()
            && let Err(error) = file.write_all(&bytes)
        {
            failed = Some(error);
            stop.stop();
        }
        done += spans.len() as u64;
        progress.at(done, all);
    });
    if let Some(error) = failed {
        return Err(error).context("cannot write spans");
    }
    match outcome {
        Err(QueryFailed::Stopped) | Ok(()) => {}
        Err(error) => return Err(error).context("cannot read spans"),
    }
    file.flush().context("cannot write spans")?;
    // What cannot be read is left out, and nobody should take the rest for all.
    let damaged = store.stats().damaged_files;
    ensure!(damaged == 0, "{damaged} files of the store are damaged: their spans are missing");
    Ok(())
}

/// Copies all blocks to a folder, which is made if it is not there.
fn copy_blocks(path: &Path, to: &Path) -> anyhow::Result<()> {
    let store = offline(path)?;
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let blocks: Vec<_> = store.blocks().collect();
    let all = blocks.iter().map(|block| block.bytes).sum();
    let (mut progress, mut done, mut left_out) = (Progress::new("copying blocks"), 0, 0);
    for block in blocks {
        progress.at(done, all);
        done += block.bytes;
        let name = Path::new(&block.file).file_name().unwrap_or_default();
        let cannot = || format!("cannot copy {}", block.file);
        // One that cannot be read must not keep anybody from the others.
        let copy = to.join(name);
        let mut file = File::create_new(&copy).with_context(cannot)?;
        let copied =
            File::open(path.join(&block.file)).and_then(|mut from| io::copy(&mut from, &mut file));
        match copied.and_then(|_| file.sync_all()) {
            Err(error) if !is_full(&error) => {
                tracing::error!(block = block.file, %error, "cannot copy a block; it is left out");
                fs::remove_file(&copy).with_context(cannot)?;
                left_out += 1;
            }
            copied => copied.with_context(cannot)?,
        }
    }
    ensure!(left_out == 0, "{left_out} files of the store cannot be read: their spans are missing");
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
