//! Chores of the project, run as `cargo xtask <chore>`. They need nothing but cargo, except where one says so.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]

mod bench;
mod ci;
mod command;
mod conformance;
mod crash;
mod fuzz;
mod repo;
mod server;
mod test;
mod threads;
mod tidy;
mod ui;

use std::process::ExitCode;

const HELP: &str = "\
Chores of the project.

Usage: cargo xtask <chore> [arguments]

  test [arguments]            every test of the workspace; arguments go to `cargo test`
  tidy                        the rules of the house that no compiler checks
  ui                          build the web UI into crates/sigyn-ui/dist (needs node and npm)
  ui --check                  build it elsewhere, test it, and fail on a byte of difference
  conformance [filter]        run the checks against foreign programs (needs python3, node and npm)
              [--bin PATH]    .. against this binary instead of building one
  fuzz [filter]               readers of spans against those of others (needs a C++ compiler)
       [--seconds N]          .. each so long instead of ten minutes
  crash [--runs N] [--seed N]  lives of a store on a disk that fails: 10000 of them, from seed 0
  loom                        the recorder's threads, in every order that they may take
  miri                        .. its threads and its mapping, where behaviour may be undefined (needs nightly with miri)
  tsan                        .. data races (needs nightly with rust-src)
  bench decode                how fast spans are read, beside prost and serde_json (valgrind counts instructions)
  bench count [--check]       instructions of the recorder's hot paths; with --check, no more than before (needs valgrind)
  bench store [filter]        what the store takes in, keeps and answers, beside others (Linux)
        [--spans N] [--rounds N] [--stored N] [--log MB] [--profile NAME]
  bench scrape [--targets N]  a farm of 10000 targets, 100 spans each every 15 s: CPU, memory, jitter, losses (Linux)
        [--failing PERCENT]   .. so many of which fail, in seven ways
        [--spans N] [--interval SECONDS] [--rounds N] [--long-polls N] [--profile NAME] [--bin PATH]
  soak [--spans N]            spans for a long time, merges, and questions all along: 50 million of them (Linux)
       [--memory MIB]         .. by a server that may take so much memory
  ci                          all of it, as .ci/run does, in this checkout's target folder
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let chore = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    let done = match chore.as_str() {
        "test" => test::run(&arguments),
        "tidy" => tidy::run(&arguments),
        "ui" => ui::run(&arguments),
        "conformance" => conformance::run(&arguments),
        "crash" => crash::run(&arguments),
        "fuzz" => fuzz::run(&arguments),
        "loom" => threads::loom(&arguments),
        "miri" => threads::miri(&arguments),
        "tsan" => threads::tsan(&arguments),
        "bench" => bench::run(&arguments),
        "soak" => bench::soak::run(&arguments),
        "ci" => ci::run(&arguments),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        unknown => {
            eprint!("unknown chore `{unknown}`\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask {chore}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
