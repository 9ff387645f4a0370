//! `--no-x` beside every flag `--x` that is on or off, as Prometheus has it.

use std::io::{IsTerminal as _, Write as _};

use clap::{Arg, ArgAction, Command};

/// The command and all below it, with a flag for each switch that leaves it off. Help shows both as one: `--[no-]x`.
pub(super) fn negatable(command: Command) -> Command {
    let is_switch = |arg: &Arg| matches!(arg.get_action(), ArgAction::SetTrue);
    let switches: Vec<_> = command
        .get_arguments()
        .filter(|arg| is_switch(arg))
        .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
        .collect();
    let command = command.mut_args(|arg| match arg.get_long() {
        Some(long) if is_switch(&arg) => {
            let long = long.to_owned();
            arg.long(name(format!("[no-]{long}"))).alias(name(long))
        }
        _ => arg,
    });
    let command = switches.into_iter().fold(command, |command, (id, long)| {
        let off = name(format!("no-{long}"));
        // One of both, and once, as there.
        let arg = Arg::new(off).long(off).action(ArgAction::SetTrue).hide(true).conflicts_with(id);
        command.arg(arg)
    });
    command.mut_subcommands(negatable)
}

/// Ends the program, as clap would. In errors a flag is called what it is: only help shows both in one.
pub(super) fn exit(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let text = error.render();
    let is_terminal = std::io::stderr().is_terminal();
    let text = if is_terminal { text.ansi().to_string() } else { text.to_string() };
    let _ = write!(std::io::stderr(), "{}", told(&text));
    std::process::exit(error.exit_code());
}

fn told(text: &str) -> String {
    text.replace("--[no-]", "--")
}

/// For as long as the program runs: a few dozen of them are made, once.
fn name(text: String) -> &'static str {
    text.leak()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::Cli;

    fn read(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let matches = negatable(Cli::command()).try_get_matches_from(arguments)?;
        Cli::from_arg_matches(&matches)
    }

    /// Every command with its path, from the program's own on.
    fn all(command: Command, path: &[String]) -> Vec<(Vec<String>, Command)> {
        let path = [path, &[command.get_name().to_owned()]].concat();
        let below = command.get_subcommands().cloned().collect::<Vec<_>>();
        let below = below.into_iter().flat_map(|below| all(below, &path)).collect();
        [vec![(path.clone(), command)], below].concat()
    }

    #[test]
    fn every_switch_can_be_left_off_and_help_says_so() {
        negatable(Cli::command()).debug_assert();
        let mut count = 0;
        for (path, command) in all(Cli::command(), &[]) {
            for arg in command.get_arguments() {
                let (ArgAction::SetTrue, Some(long)) = (arg.get_action(), arg.get_long()) else {
                    continue;
                };
                count += 1;
                let asked = |flags: &[String]| {
                    let words = [&path[..], flags].concat();
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    read(&words).err().map(|error| (error.kind(), error.to_string()))
                };
                let (on, off) = (format!("--{long}"), format!("--no-{long}"));
                for flag in [&on, &off] {
                    let unknown = asked(std::slice::from_ref(flag));
                    let unknown = unknown
                        .filter(|(kind, _)| *kind == clap::error::ErrorKind::UnknownArgument);
                    assert_eq!(unknown, None, "{path:?} {flag}");
                }
                let both = asked(&[on, off]).map(|(kind, _)| kind);
                assert_eq!(both, Some(clap::error::ErrorKind::ArgumentConflict), "{path:?} {long}");
                let (_, help) = asked(&["--help".to_owned()]).unwrap();
                assert!(help.contains(&format!("--[no-]{long}")), "{path:?} {long}: {help}");
                assert!(!help.contains(&format!("--no-{long}")), "{path:?} {long}: {help}");
            }
        }
        assert!(count >= 12, "{count}");
    }

    #[test]
    fn errors_name_flags_as_they_are_given() {
        for (arguments, expected) in [
            (["--web.enable-lifecycle=x", "--web.enable-admin-api"], "'--web.enable-lifecycle'"),
            (["--web.enable-lifecycle", "--no-web.enable-lifecycle"], "'--web.enable-lifecycle'"),
            (["--web.enable-lifecycle", "--web.enable-lifecycle"], "'--web.enable-lifecycle'"),
            (["--web.enable-lifecycl", "--web.enable-admin-api"], "'--web.enable-lifecycle'"),
        ] {
            let error = read(&["sigyn", arguments[0], arguments[1]]).unwrap_err();
            let text = told(&error.to_string());
            assert!(text.contains(expected) && !text.contains("[no-]"), "{arguments:?}: {text}");
        }
    }

    #[test]
    fn a_switch_is_off_unless_it_is_put_on() {
        let check = |flags: &[&str], expected: (bool, bool)| {
            let cli = read(&[&["sigyn"], flags].concat()).unwrap();
            let given = (cli.serve.enable_lifecycle, cli.serve.auto_reload);
            assert_eq!(given, expected, "{flags:?}");
        };
        check(&[], (false, false));
        check(&["--web.enable-lifecycle"], (true, false));
        check(&["--no-web.enable-lifecycle", "--config.auto-reload"], (false, true));
        check(&["--no-web.enable-lifecycle", "--no-config.auto-reload"], (false, false));
        for wrong in [
            "--no-storage.path",
            "--no-web.listen-address=127.0.0.1:1",
            "--no-web.enable-lifecycle=x",
        ] {
            assert!(read(&["sigyn", wrong]).is_err(), "{wrong}");
        }
    }
}
