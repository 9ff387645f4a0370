//! Sends made spans to a server, or asks it: the half of `cargo xtask bench store` that is not the server.

mod ask;
#[path = "../corpus/mod.rs"]
mod corpus;
mod grow;
mod http;
mod push;
mod rows;
mod sources;

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options by their name.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(
        arguments: impl Iterator<Item = String>,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut options = HashMap::new();
        for argument in arguments {
            let option = argument.strip_prefix("--").and_then(|option| option.split_once('='));
            let (name, value) = option.ok_or_else(|| format!("`{argument}` is no --name=value"))?;
            options.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self(options))
    }

    fn text(&self, name: &str) -> Result<&str, Box<dyn Error + Send + Sync>> {
        Ok(self.0.get(name).ok_or_else(|| format!("--{name}=… is missing"))?)
    }

    fn number(&self, name: &str) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("--{name}={text} is no number").into())
    }

    fn address(&self) -> Result<SocketAddr, Box<dyn Error + Send + Sync>> {
        let text = self.text("to")?;
        let address: SocketAddr = text.parse().map_err(|_| format!("--to={text} is no address"))?;
        if address.ip().is_loopback() { Ok(address) } else { Err("only to this machine".into()) }
    }
}

#[expect(clippy::print_stdout, reason = "the figures go to whoever started it")]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(command) = arguments.next() else {
        println!("`cargo xtask bench store` runs this: push --to=…, or ask --to=…");
        return Ok(());
    };
    let options = Options::parse(arguments)?;
    match command.as_str() {
        "push" => {
            let pushed = push::run(&push::Job {
                to: options.address()?,
                path: options.text("path")?.to_owned(),
                format: options.text("format")?.parse()?,
                corpus: options.text("corpus")?.parse()?,
                spans: options.number("spans")?,
                connections: options.number("connections")?,
                is_made_before: options.text("made")? == "before",
                is_of_now: options.text("made")? == "now",
                samples: PathBuf::from(options.text("samples")?),
            })?;
            println!("{pushed}");
        }
        "ask" => {
            let at_most = Duration::from_secs(options.number("seconds")? as u64);
            println!("{}", ask::run(options.address()?, at_most, std::io::stdin().lines())?);
        }
        "grow" => {
            let (path, bytes) = (options.text("path")?, options.number("bytes")? as u64);
            println!("{}", grow::run(path.as_ref(), bytes)?);
        }
        "rows" => {
            let (source, spans) = (options.text("corpus")?.parse()?, options.number("spans")?);
            println!("spans={}", rows::write(source, spans, options.text("out")?.as_ref())?);
        }
        other => return Err(format!("`{other}` is none of push, ask, rows and grow").into()),
    }
    Ok(())
}
