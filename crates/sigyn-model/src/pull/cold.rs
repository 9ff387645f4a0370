//! What a target keeps of traces that nobody sampled, as it tells whoever asks for some.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{PullError, named, parse_count};

/// The memory for spans that nobody sampled ([`COLD`](super::COLD)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cold {
    /// How much it holds at most; 0: none are kept.
    pub max_bytes: u64,
    /// Spans of this epoch that were not put there, as they were too large.
    pub refused: u64,
    /// All others that finished in so much time until now are there; `None` if the target does not say.
    pub back: Option<Duration>,
}

impl FromStr for Cold {
    type Err = PullError;

    fn from_str(text: &str) -> Result<Self, PullError> {
        let read = || {
            let [max_bytes, refused, back] = named(text, ["max", "refused", "back"]);
            let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
            Some(Self {
                max_bytes: parse_count(max_bytes?)?,
                refused: refused.map_or(Some(0), parse_count)?,
                back: match back {
                    None => None,
                    Some(text) => Some(seconds(text)?),
                },
            })
        };
        let what = "what is kept of traces that nobody sampled (max=n,refused=n,back=seconds)";
        read().ok_or_else(|| PullError::new(what, text))
    }
}

impl fmt::Display for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max={}", self.max_bytes)?;
        if self.refused > 0 {
            write!(f, ",refused={}", self.refused)?;
        }
        match self.back {
            Some(back) => write!(f, ",back={:.3}", back.as_secs_f64()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        for (max_bytes, refused, back, text) in [
            (0, 0, None, "max=0"),
            (1 << 20, 0, Some(41_250), "max=1048576,back=41.250"),
            (1 << 20, 3, Some(0), "max=1048576,refused=3,back=0.000"),
        ] {
            let cold = Cold { max_bytes, refused, back: back.map(Duration::from_millis) };
            assert_eq!(cold.to_string(), text);
            assert_eq!(text.parse(), Ok(cold));
        }
        assert_eq!("max=0, newer=5".parse(), Ok(Cold::default()));
        for text in ["", "back=1", "max=-1", "max=1,back=-1", "max=1,refused=x"] {
            assert!(text.parse::<Cold>().is_err(), "{text}");
        }
    }
}
