//! The program: reads its flags and hands over to the subcommand they name.

mod api;
mod app;
mod check;
mod checksum;
mod cli;
mod collect;
mod config;
mod connection;
mod demo;
mod environment;
mod external_url;
mod go_json;
mod grpc;
mod http_client;
mod import;
mod listeners;
mod logging;
mod memory;
mod metrics;
mod query;
mod reload;
mod reply;
mod server;
mod stdout;
mod store_command;
mod unpack;
mod web_config;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Memory that is given back goes to other threads, and to the machine: questions are answered by many threads, and
/// what one took must not stay with it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    let outcome = match cli.command {
        None => app::serve(cli.serve),
        Some(Command::Serve(flags)) => app::serve(*flags),
        Some(Command::Demo(flags)) => demo::run(&flags),
        Some(Command::Query(flags)) => query::run(&flags),
        Some(Command::Import(flags)) => import::run(&flags),
        Some(Command::Store(flags)) => store_command::run(&flags),
        Some(Command::Check(flags)) => return check::run(&flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe knows.
        Err(Failure { code: Failure::PIPE_CLOSED, .. }) => ExitCode::from(Failure::PIPE_CLOSED),
        Err(failure) => {
            // The one place where a chain of causes is printed.
            eprintln!("sigyn: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}

/// Why the program ends without success, and the status that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// What a shell tells of a program that wrote to a pipe nobody reads: 128 and the number of SIGPIPE.
    pub(crate) const PIPE_CLOSED: u8 = 141;

    /// Something went wrong while working.
    pub(crate) fn work(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 1, error: error.into() }
    }

    /// Flags or configuration make no sense: Prometheus' status for a bad configuration.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 2, error: error.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::work(error)
    }
}
