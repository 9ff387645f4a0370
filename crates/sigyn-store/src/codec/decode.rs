//! Bytes to spans. Any bytes: what is malformed is an error, and costs no more than its length.

use std::time::Duration;

use sigyn_model::pull::Cursor;
use sigyn_model::{
    Account, Endpoint, EpochAccount, Labels, Losses, Resource, Scope, Tags, TargetProgress,
    TraceId, Value,
};

use super::{EXPANDED_BYTES_MAX, Malformed, VALUE_DEPTH_MAX, value_type};

/// Reads one record, the mirror of [`Encoder`](super::Encoder).
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    strings: Vec<&'a str>,
    expanded: u64,
}

type Result<T> = std::result::Result<T, Malformed>;

const fn malformed(what: &'static str) -> Malformed {
    Malformed { what }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, strings: Vec::new(), expanded: 0 }
    }

    /// Errors if bytes are left over.
    pub(crate) fn end(&self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(malformed("bytes after the end")) }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(malformed("cut short"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(malformed("cut short"))?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number of more than 64 bits"))
    }

    pub(crate) fn uint_as<T: TryFrom<u64>>(&mut self) -> Result<T> {
        T::try_from(self.uint()?).map_err(|_| malformed("a number out of its range"))
    }

    /// A number of either sign.
    pub(crate) fn int(&mut self) -> Result<i64> {
        let zigzag = self.uint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// How many elements follow. Each has at least one byte, which bounds what is reserved.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let count = self.uint_as::<usize>()?;
        if count > self.bytes.len() {
            return Err(malformed("more elements than bytes"));
        }
        Ok(count)
    }

    /// The same where each has so many bytes at least.
    pub(crate) fn count_of(&mut self, bytes_min: usize) -> Result<usize> {
        let count = self.count()?;
        if count > self.bytes.len() / bytes_min {
            return Err(malformed("more elements than bytes"));
        }
        Ok(count)
    }

    pub(crate) fn list<T>(&mut self, element: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        // Elements may be far larger in memory than their byte here, so nothing is reserved at once.
        let count = self.count()?;
        let mut list = Vec::with_capacity(count.min(1_024));
        for _ in 0..count {
            self.expand(size_of::<T>())?;
            list.push(element(self)?);
        }
        Ok(list)
    }

    /// Notes what something takes in memory that is read.
    pub(crate) fn expand(&mut self, bytes: usize) -> Result<()> {
        self.expanded += bytes as u64;
        // More than the encoder allows, which counts values without their keys.
        if self.expanded > 8 * EXPANDED_BYTES_MAX {
            return Err(malformed("too large when expanded"));
        }
        Ok(())
    }

    pub(crate) fn fixed_u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn trace_id(&mut self) -> Result<TraceId> {
        let id = u128::from_be_bytes(self.array()?);
        TraceId::new(id).ok_or(malformed("a trace id of zero"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    pub(crate) fn optional<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.byte()? {
            0 => Ok(None),
            1 => value(self).map(Some),
            _ => Err(malformed("neither absent nor present")),
        }
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        let text = match self.uint_as::<usize>()? {
            0 => {
                let text = std::str::from_utf8(self.bytes()?);
                let text = text.map_err(|_| malformed("a text that is no UTF-8"))?;
                self.strings.push(text);
                text
            }
            number => self.strings.get(number - 1).ok_or(malformed("an unknown text"))?,
        };
        self.expand(text.len())?;
        Ok(text.to_owned())
    }

    pub(crate) fn duration(&mut self) -> Result<Duration> {
        let (secs, nanos) = (self.uint()?, self.uint_as::<u32>()?);
        if nanos >= 1_000_000_000 {
            return Err(malformed("a second of too many nanoseconds"));
        }
        Ok(Duration::new(secs, nanos))
    }

    pub(crate) fn endpoint(&mut self) -> Result<Endpoint> {
        let has = self.byte()?;
        let mut endpoint = Endpoint { service_name: self.string()?, ..Endpoint::default() };
        if has & 1 != 0 {
            endpoint.ipv4 = Some(self.array::<4>()?.into());
        }
        if has & 2 != 0 {
            endpoint.ipv6 = Some(self.array::<16>()?.into());
        }
        if has & 4 != 0 {
            endpoint.port = self.uint_as()?;
        }
        Ok(endpoint)
    }

    pub(crate) fn tags(&mut self) -> Result<Tags> {
        self.list(|decoder| Ok((decoder.string()?, decoder.value(0)?)))
    }

    pub(crate) fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > VALUE_DEPTH_MAX {
            return Err(malformed("a value nested too deep"));
        }
        Ok(match self.byte()? {
            value_type::EMPTY => Value::Empty,
            value_type::STR => Value::Str(self.string()?),
            value_type::FALSE => Value::Bool(false),
            value_type::TRUE => Value::Bool(true),
            value_type::INT => Value::Int(self.int()?),
            value_type::DOUBLE => Value::Double(f64::from_bits(self.fixed_u64()?)),
            value_type::BYTES => Value::Bytes(self.bytes()?.to_vec()),
            value_type::LIST => Value::List(self.list(|decoder| decoder.value(depth + 1))?),
            value_type::MAP => {
                Value::Map(self.list(|decoder| Ok((decoder.string()?, decoder.value(depth + 1)?)))?)
            }
            _ => return Err(malformed("an unknown type of value")),
        })
    }

    pub(crate) fn labels(&mut self) -> Result<Labels> {
        self.list(|decoder| Ok((decoder.string()?, decoder.string()?)))
    }

    pub(crate) fn resource_content(&mut self) -> Result<Resource> {
        Ok(Resource {
            tags: self.tags()?,
            dropped_tags: self.uint_as()?,
            schema_url: self.string()?,
        })
    }

    pub(crate) fn scope_content(&mut self) -> Result<Scope> {
        Ok(Scope {
            name: self.string()?,
            version: self.string()?,
            tags: self.tags()?,
            dropped_tags: self.uint_as()?,
            schema_url: self.string()?,
        })
    }

    pub(crate) fn progress(&mut self) -> Result<TargetProgress> {
        Ok(TargetProgress {
            target: self.string()?,
            cursor: self.optional(|decoder| {
                Ok(Cursor { epoch: decoder.fixed_u64()?, seq: decoder.uint()? })
            })?,
            account: self.account()?,
        })
    }

    /// Numbers that this version does not know yet are left out.
    fn account(&mut self) -> Result<Account> {
        let numbers = self.list(Self::uint)?;
        let n = |i: usize| numbers.get(i).copied().unwrap_or(0);
        Ok(Account {
            received: n(0),
            lost: Losses {
                evicted: n(1),
                before_first_scrape: n(2),
                oversize: n(3),
                shutdown: n(4),
                rejected: n(5),
                unexplained: n(6),
            },
            restarts: n(7),
            epoch: EpochAccount {
                received: n(8),
                lost: n(9),
                finished: n(10),
                oversize: n(11),
                shutdown: n(12),
                unexplained: n(13),
            },
        })
    }
}
