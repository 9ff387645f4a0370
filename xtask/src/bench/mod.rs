//! Measurements: what they need, and one table of what came out.

mod decode;

use anyhow::{Result, bail};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what] if what == "decode" => decode::run(),
        _ => bail!("usage: cargo xtask bench decode"),
    }
}
