//! One request and its answer: as it is repeated with curl, and as spans.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use sigyn_model::Span;
use sigyn_model::codec::{self, Limits};
use sigyn_model::pull::media;

use crate::http_client::Answer;
use crate::unpack::{self, Encoding};

/// A body that is sent is shown up to this.
const SHOWN_BYTES_MAX: usize = 200;
/// A body is not unpacked beyond this.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// What every format is called, and how it is read; in the order in which ties are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Otlp,
    ZipkinProto3,
    ZipkinJson,
    OtlpJson,
    Thrift,
}

impl Offer {
    pub(super) const ALL: [Self; 5] =
        [Self::Otlp, Self::ZipkinProto3, Self::ZipkinJson, Self::OtlpJson, Self::Thrift];

    pub(super) fn media(self) -> &'static str {
        match self {
            Self::Otlp => media::OTLP,
            Self::ZipkinProto3 => media::ZIPKIN_PROTO3,
            Self::ZipkinJson => media::ZIPKIN_JSON,
            Self::OtlpJson => media::OTLP_JSON,
            Self::Thrift => media::THRIFT,
        }
    }

    fn codec(self) -> codec::Format {
        match self {
            Self::Otlp => codec::Format::OtlpProto,
            Self::ZipkinProto3 => codec::Format::ZipkinProto3,
            Self::ZipkinJson => codec::Format::ZipkinJsonV2,
            Self::OtlpJson => codec::Format::OtlpJson,
            Self::Thrift => codec::Format::ZipkinThriftCompact,
        }
    }

    /// Which one a `Content-Type` names. Spaces, case and quotation marks make no difference.
    pub(super) fn named(content_type: &str) -> Option<Self> {
        let plain = |text: &str| {
            text.chars()
                .filter(|c| !c.is_whitespace() && *c != '"')
                .collect::<String>()
                .to_ascii_lowercase()
        };
        let wanted = plain(content_type);
        if wanted == media::PROTOBUF {
            return Some(Self::Otlp);
        }
        let without_charset = wanted.trim_end_matches(";charset=utf-8");
        Self::ALL.into_iter().find(|offer| plain(offer.media()) == without_charset)
    }
}

/// Where it is asked, as seen from where the spans are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Spans,
    Collect,
    Tracez,
    WellKnown,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    place: Place,
    query: Option<String>,
    pub(super) body: String,
    headers: Vec<(&'static str, String)>,
}

impl Request {
    pub(super) fn new(method: &'static str) -> Self {
        let (place, query, body) = (Place::Spans, None, String::new());
        Self { method, place, query, body, headers: Vec::new() }
    }

    pub(super) fn get() -> Self {
        Self::new("GET")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn asking(self, query: impl Into<String>) -> Self {
        Self { query: Some(query.into()), ..self }
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub(super) fn sending(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(super) fn accept(self, offer: Offer) -> Self {
        self.with("accept", offer.media())
    }

    /// Where it goes: the target's own query stays.
    pub(super) fn url(&self, base: &str) -> String {
        let (path, own) = base.split_once('?').unwrap_or((base, ""));
        let root = path.find("://").map_or(0, |at| at + 3);
        let origin = path[root..].find('/').map_or(path, |at| &path[..root + at]);
        let url = match self.place {
            Place::Spans => path.to_owned(),
            Place::Collect => format!("{path}/collect"),
            Place::Tracez => format!("{}/tracez", path.rsplit_once('/').map_or(path, |(at, _)| at)),
            Place::WellKnown => format!("{origin}/.well-known/sigyn"),
        };
        let queries = [own, self.query.as_deref().unwrap_or_default()];
        let queries: Vec<_> = queries.into_iter().filter(|query| !query.is_empty()).collect();
        if queries.is_empty() { url } else { format!("{url}?{}", queries.join("&")) }
    }

    /// Only what can be sent in a header is ever put into one.
    pub(super) fn headers(&self) -> HeaderMap {
        let pair = |(name, value): &(&'static str, String)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        };
        self.headers.iter().filter_map(pair).collect()
    }

    /// The same on a command line.
    pub(super) fn curl(&self, base: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let mut line = "curl -sSi -o-".to_owned();
        if self.method != "GET" {
            let _ = write!(line, " -X {}", self.method);
        }
        let mut accepts = false;
        for (name, value) in &self.headers {
            accepts |= *name == "accept";
            let _ = write!(line, " -H {}", quoted(&format!("{name}: {value}")));
        }
        if self.body.len() > SHOWN_BYTES_MAX {
            let _ = write!(line, " --data-raw '({} bytes)'", self.body.len());
        } else if !self.body.is_empty() {
            let _ = write!(line, " --data-raw {}", quoted(&self.body));
        }
        if !accepts {
            line.push_str(" -H 'accept:'");
        }
        let _ = write!(line, " {}", quoted(&self.url(base)));
        line
    }
}

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) again: String,
    pub(super) answer: Answer,
    /// When it was sent, and how long it took to the last byte.
    pub(super) sent: SystemTime,
    pub(super) took: Duration,
}

impl Exchange {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    pub(super) fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    /// Names of all headers of the protocol that are there.
    pub(super) fn own_headers(&self) -> Vec<&str> {
        self.answer
            .headers
            .keys()
            .map(HeaderName::as_str)
            .filter(|n| n.starts_with("sigyn-"))
            .collect()
    }

    pub(super) fn offer(&self) -> Option<Offer> {
        Offer::named(self.header("content-type")?)
    }

    /// The body without its compression.
    pub(super) fn plain(&self) -> Result<Vec<u8>, String> {
        let name = self.header("content-encoding").unwrap_or_default();
        let encoding = Encoding::named(name).ok_or_else(|| format!("Content-Encoding: {name}"))?;
        let body = &self.answer.body;
        let plain = unpack::unpack(encoding, body, UNPACKED_BYTES_MAX);
        Ok(plain.map_err(|error| error.to_string())?.unwrap_or_else(|| body.to_vec()))
    }

    /// All spans of the body, and how many more cannot be kept.
    pub(super) fn spans(&self) -> Result<(Vec<Span>, usize), String> {
        let named = self.header("content-type").unwrap_or("none");
        let offer = self.offer().ok_or_else(|| format!("Content-Type: {named}"))?;
        let read = codec::decode(offer.codec(), &self.plain()?, Limits::default());
        let decoded = read.map_err(|error| error.to_string())?;
        Ok((decoded.spans, decoded.rejected))
    }

    /// Our clock halfway between sending and receiving, in nanoseconds since the Unix epoch.
    pub(super) fn middle_ns(&self) -> i128 {
        let sent = self.sent.duration_since(UNIX_EPOCH).unwrap_or_default();
        (sent + self.took / 2).as_nanos().cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_repeated_on_a_command_line() {
        let request = Request::get().with("sigyn-scraper", "it's").asking("max_bytes=1");
        assert_eq!(
            request.curl("http://a/traces?b=c"),
            r"curl -sSi -o- -H 'sigyn-scraper: it'\''s' -H 'accept:' 'http://a/traces?b=c&max_bytes=1'"
        );
        let post = Request::new("POST").accept(Offer::ZipkinJson);
        assert_eq!(
            post.curl("http://a/traces"),
            "curl -sSi -o- -X POST -H 'accept: application/json' 'http://a/traces'"
        );
    }

    #[test]
    fn what_lies_beside_the_spans_is_asked_there() {
        let check = |base: &str, place: Place, expected: &str| {
            assert_eq!(Request::get().at(place).asking("x=1").url(base), expected);
        };
        check("http://a:1/traces", Place::Spans, "http://a:1/traces?x=1");
        check("http://a:1/b/traces?y=2", Place::Collect, "http://a:1/b/traces/collect?y=2&x=1");
        check("http://a:1/b/traces", Place::Tracez, "http://a:1/b/tracez?x=1");
        check("http://a:1/b/traces", Place::WellKnown, "http://a:1/.well-known/sigyn?x=1");
        let post = Request::new("POST").at(Place::Collect).sending("{}").with("accept", "*/*");
        assert_eq!(
            post.curl("http://a/traces"),
            "curl -sSi -o- -X POST -H 'accept: */*' --data-raw '{}' 'http://a/traces/collect'"
        );
    }

    #[test]
    fn content_types_name_formats() {
        for offer in Offer::ALL {
            assert_eq!(Offer::named(offer.media()), Some(offer));
        }
        assert_eq!(Offer::named("Application/JSON; charset=utf-8"), Some(Offer::ZipkinJson));
        assert_eq!(Offer::named("application/json;profile=otlp"), Some(Offer::OtlpJson));
        assert_eq!(Offer::named("application/x-protobuf"), Some(Offer::Otlp));
        assert_eq!(Offer::named("text/html"), None);
    }
}
