//! Colour, only where a person looks: on a terminal, and not where `NO_COLOR` is set.

use std::io::IsTerminal as _;

use crate::cli::ColorChoice;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    color: bool,
}

impl Style {
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let auto = || std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let color = match choice {
            ColorChoice::Auto => auto(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Self { color }
    }

    pub(crate) fn has_color(self) -> bool {
        self.color
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn amber(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A server's text without what could steer the terminal.
pub(crate) use sigyn_model::plain;
