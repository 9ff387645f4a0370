//! Flags of `sigyn store`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputFormat;

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "A running server has its store open, and nobody else can have it then: stop the server, or ask it.\nStatus: 0 if all is well, 1 if something is damaged or went wrong, 2 if the flags make no sense."
)]
pub(crate) struct StoreFlags {
    /// Folder of the store, as the server has it
    #[arg(long = "storage.path", global = true, value_name = "DIR", default_value = "data/")]
    pub(crate) path: PathBuf,
    #[command(subcommand)]
    pub(crate) what: StoreCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show what is stored: blocks, their sizes and times, and what columns cost
    Inspect {
        /// What is printed
        #[arg(long, short, visible_alias = "format", value_enum, default_value_t = OutputFormat::Table)]
        output: OutputFormat,
    },
    /// Read everything and compare it with checksums and indexes: status 1 if something is damaged
    Verify {
        /// What is printed
        #[arg(long, short, visible_alias = "format", value_enum, default_value_t = OutputFormat::Table)]
        output: OutputFormat,
    },
    /// Write all spans to a file, or copies of the blocks to a folder
    Export(ExportFlags),
    /// Delete traces by their ids
    Delete {
        /// Trace ids: 1 to 32 lower-case hexadecimal digits
        #[arg(required = true, value_name = "TRACE_ID")]
        ids: Vec<String>,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ExportFlags {
    /// File that is written, or folder for parquet; - is standard output, but for parquet
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    /// What is written
    #[arg(long, value_enum, default_value_t = ExportFormat::ZipkinJson)]
    pub(crate) format: ExportFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Zipkin v2 JSON: a list of spans per line
    ZipkinJson,
    /// OTLP protobuf: one request
    Otlp,
    /// Blocks without what was deleted, for DuckDB and others, and one of what is in the log
    Parquet,
}
