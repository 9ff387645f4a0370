//! All spans of a store, in a form that others read.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use sigyn_model::Span;
use sigyn_model::codec::{json_v2, otlp};
use sigyn_store::{Offline, QueryFailed, Stop};

use super::output::Output;
use super::progress::Progress;
use super::{counted, offline};
use crate::Failure;
use crate::cli::{ExportFlags, ExportFormat};
use crate::stdout::failed;

pub(super) fn run(path: &Path, flags: &ExportFlags) -> Result<(), Failure> {
    // The latter may be a file, to which whoever started us has sent what we write.
    let is_standard_output = [Path::new("-"), Path::new("/dev/stdout")].contains(&&*flags.to);
    if is_standard_output && flags.format == ExportFormat::Parquet {
        let error =
            "blocks are several files: they are copied to a folder, and not to standard output";
        return Err(anyhow!(error).into());
    }
    let store = offline(path)?;
    if !is_standard_output {
        refuse_inside(path, &flags.to)?;
    }
    if flags.format == ExportFormat::Parquet {
        return Ok(copy_blocks(&store, path, &flags.to)?);
    }
    let write = |file: &mut dyn Write| write_spans(&store, flags.format, file);
    let spans = if is_standard_output {
        write(&mut io::stdout().lock()).map_err(failed)?
    } else {
        let mut file = Output::create(&flags.to)?;
        // It may be a pipe, too.
        let spans = write(&mut file).map_err(failed)?;
        file.finish().map_err(failed)?;
        spans
    };
    eprintln!("sigyn store: wrote {}", counted(spans, "span", "spans"));
    // What cannot be read is left out, and nobody should take the rest for all.
    let damaged = counted(store.damages().0, "file of the store is", "files of the store are");
    if store.damages().0 > 0 {
        return Err(anyhow!("{damaged} damaged: their spans are missing").into());
    }
    Ok(())
}

/// Nothing is written among the files of a store, where it would be taken for one of them.
fn refuse_inside(store: &Path, to: &Path) -> anyhow::Result<()> {
    let whole = |path: &Path| {
        let path = if path == Path::new("") { Path::new(".") } else { path };
        path.canonicalize()
    };
    let store = whole(store).with_context(|| format!("cannot find {}", store.display()))?;
    // As far as it is there already.
    let there = to.ancestors().find_map(|path| whole(path).ok());
    ensure!(
        there.is_none_or(|there| !there.starts_with(&store)),
        "{} is inside the folder of the store: export to somewhere else",
        to.display()
    );
    Ok(())
}

/// Blocks of two exports are of the same names, or have the same spans twice.
fn refuse_again(to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot list {}", to.display());
    for entry in fs::read_dir(to).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ensure!(
            !(name.starts_with("B-") && name.ends_with(".parquet")),
            "{} is there already, from another export: export to a new folder, or remove that one",
            path.display()
        );
    }
    Ok(())
}

/// Writes all spans, and returns how many they are.
fn write_spans(store: &Offline, format: ExportFormat, file: &mut dyn Write) -> anyhow::Result<u64> {
    let all = store.spans();
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
    Ok(done)
}

/// Copies all blocks to a folder, which is made if it is not there, and makes one there of what is in the log.
/// Blocks that have what was deleted are written anew without it.
fn copy_blocks(store: &Offline, path: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    refuse_again(to)?;
    let blocks: Vec<_> = store.blocks().collect();
    let all = blocks.iter().map(|block| block.bytes).sum();
    let (mut progress, mut done) = (Progress::new("copying blocks"), 0);
    let (mut copied_files, mut spans, mut left_out) = (0, 0, 0);
    for block in blocks {
        progress.at(done, all);
        done += block.bytes;
        let name = Path::new(&block.file).file_name().unwrap_or_default();
        let cannot = || format!("cannot copy {}", block.file);
        match store.copy_undeleted(&block.file, to) {
            Ok(None) => {}
            Ok(Some(made)) => {
                copied_files += made.len() as u64;
                spans += made.iter().map(|one| one.spans).sum::<u64>();
                continue;
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::error!(block = block.file, error, "cannot copy a block; it is left out");
                left_out += 1;
                continue;
            }
        }
        // One that cannot be read must not keep anybody from the others.
        let mut file = Output::create(&to.join(name))?;
        let copied =
            File::open(path.join(&block.file)).and_then(|mut from| io::copy(&mut from, &mut file));
        match copied {
            Err(error) if !is_full(&error) => {
                tracing::error!(block = block.file, %error, "cannot copy a block; it is left out");
                left_out += 1;
            }
            copied => {
                copied.with_context(cannot)?;
                file.finish()?;
                (copied_files, spans) = (copied_files + 1, spans + block.spans);
            }
        }
    }
    if let Some(log) = store.copy_log(to).context("cannot make a block of what is in the log")? {
        (copied_files, spans) = (copied_files + 1, spans + log.spans);
    }
    let (files, spans) = (counted(copied_files, "file", "files"), counted(spans, "span", "spans"));
    eprintln!("sigyn store: wrote {files} with {spans}");
    let missing = counted(left_out, "file of the store", "files of the store");
    ensure!(left_out == 0, "{missing} cannot be read: their spans are missing");
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
