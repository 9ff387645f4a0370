//! How far it is, on standard error: a bar where a person looks, else a line now and then.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::Tally;
use crate::cli::ProgressChoice;

/// How often a line is written where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The bar's full length, whatever is measured.
const BAR_LENGTH: u64 = 10_000;

/// Shared by all that have something to tell.
#[derive(Debug)]
pub(super) struct Progress {
    form: Form,
    /// Nothing is stored, only counted.
    dry: bool,
}

#[derive(Debug)]
enum Form {
    Bar(ProgressBar),
    Lines { last: Mutex<Instant> },
    Silent,
}

impl Progress {
    pub(super) fn new(choice: ProgressChoice, dry: bool) -> Self {
        let bar = choice == ProgressChoice::Auto && std::io::stderr().is_terminal();
        let form = match choice {
            ProgressChoice::Never => Form::Silent,
            _ if bar => Form::Bar(bar_of_windows()),
            _ => Form::Lines { last: Mutex::new(Instant::now()) },
        };
        Self { form, dry }
    }

    /// Where it goes on from: what was done before says nothing about how quick it is now.
    pub(super) fn begin(&self, done: u64, all: u64, tally: &Tally) {
        if let Form::Bar(bar) = &self.form {
            self.at(done, all, tally);
            bar.reset_eta();
        }
    }

    /// `done` of `all`, in whatever unit.
    pub(super) fn at(&self, done: u64, all: u64, tally: &Tally) {
        let part = u128::from(done) * u128::from(BAR_LENGTH) / u128::from(all.max(1));
        let part = u64::try_from(part).unwrap_or(BAR_LENGTH).min(BAR_LENGTH);
        match &self.form {
            Form::Bar(bar) => {
                bar.set_position(part);
                bar.set_message(tally.brief(self.dry));
            }
            Form::Lines { last } => {
                let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    eprintln!(
                        "sigyn import: {} %, {}",
                        part * 100 / BAR_LENGTH,
                        tally.brief(self.dry)
                    );
                }
            }
            Form::Silent => {}
        }
    }

    /// Something that a person should know even if no progress is wanted.
    pub(super) fn tell(&self, message: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| eprintln!("sigyn import: {message}")),
            Form::Lines { .. } | Form::Silent => eprintln!("sigyn import: {message}"),
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn end(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn bar_of_windows() -> ProgressBar {
    let bar = ProgressBar::new(BAR_LENGTH);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
