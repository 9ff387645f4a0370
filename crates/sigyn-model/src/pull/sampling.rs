//! Which traces a scraper wants of those that begin at a target (`Sigyn-Sampling`).

use std::fmt;
use std::str::FromStr;

use super::PullError;

/// Marks an item that is about one operation.
const OPERATION: &str = "operation:";

/// Shares are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Of traces that begin there. `None`: what the target itself is set to.
    pub rate: Option<f64>,
    /// Of traces that begin with this operation, which is the name of their first span.
    pub operations: Vec<(String, f64)>,
}

impl Sampling {
    /// Operations that may be named; a header does not hold many more.
    pub const OPERATIONS_MAX: usize = 64;

    /// What is wanted of an operation; `None` if nothing is said about it.
    pub fn rate_of(&self, operation: &str) -> Option<f64> {
        let named = self.operations.iter().find(|(name, _)| name.eq_ignore_ascii_case(operation));
        named.map(|(_, rate)| *rate).or(self.rate)
    }

    pub fn is_empty(&self) -> bool {
        self.rate.is_none() && self.operations.is_empty()
    }
}

impl FromStr for Sampling {
    type Err = PullError;

    /// Items that are not known are left out: a newer scraper may say more.
    fn from_str(text: &str) -> Result<Self, PullError> {
        let read = || {
            let mut sampling = Self::default();
            for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                let (name, share) = item.split_once('=').unwrap_or((item, ""));
                let share = || {
                    let share: f64 = share.trim().parse().ok()?;
                    (0.0..=1.0).contains(&share).then_some(share)
                };
                if name.trim() == "rate" {
                    sampling.rate = Some(share()?);
                } else if let Some(name) = name.trim().strip_prefix(OPERATION) {
                    sampling.operations.push((decode(name)?, share()?));
                }
            }
            (sampling.operations.len() <= Self::OPERATIONS_MAX).then_some(sampling)
        };
        read().ok_or_else(|| {
            PullError::new("what is wanted of traces (rate=0.1,operation:get%20%2F=1)", text)
        })
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        if let Some(rate) = self.rate {
            write!(f, "rate={rate}")?;
            comma = ",";
        }
        for (name, rate) in &self.operations {
            write!(f, "{comma}{OPERATION}")?;
            for byte in name.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        write!(f, "{}", char::from(byte))?;
                    }
                    _ => write!(f, "%{byte:02X}")?,
                }
            }
            write!(f, "={rate}")?;
            comma = ",";
        }
        Ok(())
    }
}

/// `None` for half of an escape, or what is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'%' {
            let (digits, behind) = behind.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_told_in_a_line() {
        let sampling = Sampling {
            rate: Some(0.25),
            operations: vec![("get /, ü=1".into(), 1.0), ("%".into(), 0.0)],
        };
        let told = "rate=0.25,operation:get%20%2F%2C%20%C3%BC%3D1=1,operation:%25=0";
        assert_eq!(sampling.to_string(), told);
        assert_eq!(told.parse(), Ok(sampling.clone()));
        assert_eq!(sampling.rate_of("%"), Some(0.0));
        assert_eq!(sampling.rate_of("other"), Some(0.25));
        assert_eq!("".parse(), Ok(Sampling::default()));
        assert_eq!(
            " later=x, rate=1,foo,operations:a ".parse(),
            Ok(Sampling { rate: Some(1.0), ..Sampling::default() })
        );
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "rate",
            "operation:a",
            "rate=",
            "rate=1.1",
            "rate=-1",
            "rate=NaN",
            "operation:%2=1",
            "operation:%ff=1",
            "operation:%+1=1",
        ] {
            assert!(text.parse::<Sampling>().is_err(), "{text}");
        }
        let many = "operation:a=1,".repeat(Sampling::OPERATIONS_MAX + 1);
        assert!(many.parse::<Sampling>().is_err());
    }

    proptest! {
        #[test]
        fn it_reads_back_as_written(
            rate in prop::option::of(0.0..=1.0f64),
            operations in prop::collection::vec((".{0,20}", 0.0..=1.0f64), 0..4),
        ) {
            let sampling = Sampling { rate, operations };
            let text = sampling.to_string();
            prop_assert!(text.is_ascii() && !text.contains(' '));
            prop_assert_eq!(text.parse(), Ok(sampling));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}|(rate|operation:[a%0-9]{0,5})=[0-9.]{0,3}") {
            let _ = text.parse::<Sampling>();
        }
    }
}
