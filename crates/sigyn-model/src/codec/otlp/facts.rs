//! What Zipkin knows of a span and OTLP has no field for: attributes under `zipkin.`, put there by the
//! writer and taken out again by the reader.
//!
//! | attribute | type | of | says |
//! |---|---|---|---|
//! | `zipkin.debug` | bool | span | debug |
//! | `zipkin.shared` | bool | span | shared |
//! | `zipkin.duration_ns` | string | span | a duration that start and end cannot say |
//! | `zipkin.zero_id` | bool | span | the id really is zero |
//! | `zipkin.local.service_name` | string | span | the local service's name, where the resource says otherwise |
//! | `zipkin.local.ipv4`, `.ipv6`, `.port` | string, string, int | span | the local address |
//! | `zipkin.remote.service_name`, `.ipv4`, `.ipv6`, `.port` | the same | span | the remote endpoint, where the other attributes say otherwise |
//! | `zipkin.synthetic` | bool | resource | the resource was made up from the local endpoint |
//! | `zipkin.tag.<key>` | any | both | a tag whose own key is one of these |
//!
//! One of these with a value that it cannot have is an ordinary tag.

use std::borrow::Cow;
use std::time::Duration;

use crate::codec::sink::Text;
use crate::span::DURATION_MAX;
use crate::{Endpoint, Span, Value};

pub(in crate::codec) const SYNTHETIC: &str = "zipkin.synthetic";
const PREFIX: &str = "zipkin.";
const DEBUG: &str = "zipkin.debug";
const SHARED: &str = "zipkin.shared";
const DURATION: &str = "zipkin.duration_ns";
const ZERO_ID: &str = "zipkin.zero_id";
const ESCAPED: &str = "zipkin.tag.";
const LOCAL: Side = Side {
    service_name: "zipkin.local.service_name",
    ipv4: "zipkin.local.ipv4",
    ipv6: "zipkin.local.ipv6",
    port: "zipkin.local.port",
};
const REMOTE: Side = Side {
    service_name: "zipkin.remote.service_name",
    ipv4: "zipkin.remote.ipv4",
    ipv6: "zipkin.remote.ipv6",
    port: "zipkin.remote.port",
};

/// The attributes of one endpoint.
struct Side {
    service_name: &'static str,
    ipv4: &'static str,
    ipv6: &'static str,
    port: &'static str,
}

/// The facts of one span, as they are found among its attributes.
#[derive(Debug, Default)]
pub(in crate::codec) struct Facts {
    pub(in crate::codec) debug: bool,
    pub(in crate::codec) shared: bool,
    pub(in crate::codec) duration: Option<Duration>,
    pub(in crate::codec) zero_id: bool,
    local: Endpoint,
    /// Whether the local name stands in `local`, which may be to say that there is none.
    local_name: bool,
    remote: Option<Endpoint>,
}

impl Facts {
    /// Takes an attribute if it is a fact; else gives back the tag that it is.
    pub(in crate::codec) fn take(&mut self, key: String, value: Value) -> Option<(String, Value)> {
        if is_reserved(&key) && self.learn(&key, &value).is_some() {
            return None;
        }
        Some((unescaped(key), value))
    }

    /// `None` if it is no fact.
    fn learn(&mut self, key: &str, value: &Value) -> Option<()> {
        match (key, value) {
            (DEBUG, Value::Bool(true)) => self.debug = true,
            (SHARED, Value::Bool(true)) => self.shared = true,
            (ZERO_ID, Value::Bool(true)) => self.zero_id = true,
            (DURATION, Value::Str(text)) => self.duration = Some(duration(text)?),
            _ if LOCAL.learn(&mut self.local, key, value).is_some() => {
                self.local_name |= key == LOCAL.service_name;
            }
            _ => {
                let known = self.remote.is_some();
                let learnt = REMOTE.learn(self.remote.get_or_insert_default(), key, value);
                if learnt.is_none() && !known {
                    self.remote = None;
                }
                return learnt;
            }
        }
        Some(())
    }

    /// The local endpoint, of a span whose resource names this service.
    pub(in crate::codec) fn local_endpoint(&mut self, service_name: &str) -> Option<Endpoint> {
        let mut local = std::mem::take(&mut self.local);
        if !self.local_name {
            service_name.clone_into(&mut local.service_name);
        }
        local.into_option()
    }

    /// The remote endpoint, if there are facts about it. An empty one says that there is none.
    pub(in crate::codec) fn remote(&mut self) -> Option<Endpoint> {
        self.remote.take()
    }
}

impl Side {
    fn learn(&self, endpoint: &mut Endpoint, key: &str, value: &Value) -> Option<()> {
        match value {
            Value::Str(name) if key == self.service_name => {
                endpoint.service_name = name.to_lowercase();
            }
            Value::Str(ip) if key == self.ipv4 => endpoint.ipv4 = Some(ip.parse().ok()?),
            Value::Str(ip) if key == self.ipv6 => endpoint.ipv6 = Some(ip.parse().ok()?),
            Value::Int(port) if key == self.port => endpoint.port = u16::try_from(*port).ok()?,
            _ => return None,
        }
        Some(())
    }

    fn tell_address(&self, endpoint: &Endpoint, put: &mut impl FnMut(&'static str, Value)) {
        if let Some(ip) = endpoint.ipv4 {
            put(self.ipv4, Value::Str(ip.to_string()));
        }
        if let Some(ip) = endpoint.ipv6 {
            put(self.ipv6, Value::Str(ip.to_string()));
        }
        if endpoint.port != 0 {
            put(self.port, Value::Int(i64::from(endpoint.port)));
        }
    }
}

/// Tells all facts of a span that its reader could not see elsewhere: `service_name` is what its
/// resource says, `remote` what its attributes say, and `duration_seen` whether start and end say it.
pub(in crate::codec) fn tell(
    span: &Span,
    service_name: &str,
    remote: Option<&Endpoint>,
    duration_seen: bool,
    mut put: impl FnMut(&'static str, Value),
) {
    if span.debug {
        put(DEBUG, Value::Bool(true));
    }
    if span.shared {
        put(SHARED, Value::Bool(true));
    }
    if span.id.as_u64() == 0 {
        put(ZERO_ID, Value::Bool(true));
    }
    if let (Some(duration), false) = (span.duration, duration_seen) {
        put(DURATION, Value::Str(duration.min(DURATION_MAX).as_nanos().to_string()));
    }
    let name = span.service_name().unwrap_or("");
    if name != service_name {
        put(LOCAL.service_name, Value::Str(name.to_owned()));
    }
    if let Some(local) = &span.local_endpoint {
        LOCAL.tell_address(local, &mut put);
    }
    if span.remote_endpoint.as_ref() != remote {
        let nobody = Endpoint::default();
        let remote = span.remote_endpoint.as_ref().unwrap_or(&nobody);
        // An endpoint without name says so only if it says nothing else: then it is none.
        if !remote.service_name.is_empty() || remote.is_empty() {
            put(REMOTE.service_name, Value::Str(remote.service_name.clone()));
        }
        REMOTE.tell_address(remote, &mut put);
    }
}

/// Whether a key has to be looked into: most keys are none of these, at first sight.
#[inline]
pub(in crate::codec) fn may_be_reserved(key: &Text<'_>) -> bool {
    match key {
        Text::Bytes(key) => key.starts_with(PREFIX.as_bytes()),
        Text::Str(key) => key.starts_with(PREFIX),
        Text::Owned(key) => key.starts_with(PREFIX),
        Text::Escaped(_) => true,
    }
}

/// A tag's key as it is written: out of the way of the facts.
pub(in crate::codec) fn escaped(key: &str) -> Cow<'_, str> {
    if is_reserved(key) { Cow::Owned(format!("{ESCAPED}{key}")) } else { Cow::Borrowed(key) }
}

/// A tag's key as it was before it was written.
pub(in crate::codec) fn unescaped(key: String) -> String {
    match key.strip_prefix(ESCAPED) {
        Some(inner) if is_reserved(inner) => inner.to_owned(),
        _ => key,
    }
}

fn is_reserved(key: &str) -> bool {
    if !key.starts_with(PREFIX) {
        return false;
    }
    let of_side = |side: &Side| [side.service_name, side.ipv4, side.ipv6, side.port].contains(&key);
    [DEBUG, SHARED, DURATION, ZERO_ID, SYNTHETIC].contains(&key)
        || of_side(&LOCAL)
        || of_side(&REMOTE)
        || key.starts_with(ESCAPED)
}

/// Nanoseconds in decimal.
fn duration(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_nanos)
}
