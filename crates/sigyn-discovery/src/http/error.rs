//! Why a request brought no answer, in words that a person reads.

use std::error::Error as StdError;
use std::{io, iter};

use super::connect::NoConnection;
use super::oauth2::TokenError;
use super::proxy::ProxyError;
use super::secret::SourceError;
use super::tls::TlsConfigError;
use super::tls_error::TlsError;
use super::tunnel::TunnelError;

/// Why a client cannot be made, or has no answer. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or nobody can be reached.
    #[error("cannot connect to {address}")]
    Connect {
        /// `host:port`.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is a connection, but no TLS over it.
    #[error("TLS with {address} failed")]
    Tls {
        /// `host:port`.
        address: String,
        /// Why.
        source: TlsError,
    },
    /// `tls_config` is of no use.
    #[error(transparent)]
    TlsConfig(#[from] TlsConfigError),
    /// No proxy can be made of the configuration.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// There is a proxy, but no way through it.
    #[error("no way to {address} through the proxy {proxy}")]
    Tunnel {
        /// `host:port` of the proxy.
        proxy: String,
        /// `host:port` of whom to ask.
        address: String,
        /// Why.
        source: TunnelError,
    },
    /// There is no token to show.
    #[error("cannot get a token from {address}")]
    Token {
        /// `host:port` of the token's server.
        address: String,
        /// Why.
        source: Box<TokenError>,
    },
    /// There can be no token either.
    #[error("oauth2 client secret is required")]
    NoSecret,
    /// The connection ended before there was an answer.
    #[error("no answer from {address}")]
    Lost {
        /// `host:port`.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// What came back is something else.
    #[error("the answer is not HTTP (malformed HTTP response)")]
    NotHttp {
        /// Where it stops being HTTP.
        source: io::Error,
    },
    /// The headers that came back are more than anybody needs.
    #[error("the answer's headers are more than {}, or than 256 KiB", super::client::HEADERS_MAX)]
    HeadTooLarge,
    /// The time for it is over.
    #[error("no whole answer in time")]
    Timeout,
    /// The body is larger than whoever asked can use.
    #[error("answer larger than {limit} bytes")]
    TooLarge {
        /// So many bytes would have been read.
        limit: usize,
    },
    /// The body is larger than there is room for.
    #[error("answer larger than the {limit} bytes that there is room for: {} gives more", .setting)]
    NoRoom {
        /// So many bytes would have been read.
        limit: usize,
        /// What says how much room there is.
        setting: &'static str,
    },
    /// Other answers took all the room until the time was over.
    #[error("no room for the answer: others take it all, and {} gives more", .setting)]
    Crowded {
        /// What says how much room there is.
        setting: &'static str,
    },
    /// The body broke off.
    #[error("the answer broke off")]
    Cut {
        /// Why.
        source: hyper::Error,
    },
    /// A secret cannot be had now.
    #[error("unable to read {what}")]
    Secret {
        /// Which.
        what: &'static str,
        /// Why.
        source: SourceError,
    },
    /// A secret can never be had: the configuration names a manager that there is not.
    #[error("unable to use {what}")]
    Reference {
        /// Which.
        what: &'static str,
        /// Why.
        source: SourceError,
    },
    /// A header has a name that cannot be sent.
    #[error("invalid header field name {0:?}")]
    HeaderName(String),
    /// A header has a value that cannot be sent, such as one with a line break in it.
    #[error("invalid header field value for {0:?}")]
    HeaderValue(String),
    /// Servers sent us on and on.
    #[error("stopped after {} redirects", super::redirect::REQUESTS_MAX)]
    Redirects,
    /// A server sent us where we cannot go.
    #[error("cannot follow the redirect to {location:?}")]
    Location {
        /// Where.
        location: String,
    },
    /// What should be asked is no URL.
    #[error("cannot read the URL {url:?}")]
    Url {
        /// It.
        url: String,
        /// Why.
        source: http::uri::InvalidUri,
    },
}

impl ClientError {
    /// What became of a request without an answer.
    pub(super) fn of_request(
        error: &hyper_util::client::legacy::Error,
        address: impl Into<String>,
    ) -> Self {
        let address = address.into();
        let (mut is_parse, mut is_too_large, mut is_closed) = (false, false, false);
        for cause in causes(error) {
            if let Some(error) = cause.downcast_ref().and_then(NoConnection::take) {
                return error;
            }
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::Tls { address, source: error.into() };
            }
            is_parse |= cause.downcast_ref().is_some_and(hyper::Error::is_parse);
            is_closed |= cause.downcast_ref().is_some_and(hyper::Error::is_incomplete_message);
            is_too_large |= cause.downcast_ref().is_some_and(hyper::Error::is_parse_too_large);
        }
        let source = innermost(error);
        match () {
            () if error.is_connect() => Self::Connect { address, source },
            () if is_too_large => Self::HeadTooLarge,
            () if is_parse => Self::NotHttp { source },
            () if is_closed => {
                let text = "the connection was closed (EOF)";
                Self::Lost { address, source: io::Error::new(io::ErrorKind::UnexpectedEof, text) }
            }
            () => Self::Lost { address, source },
        }
    }
}

/// An error and its causes. What an [`io::Error`] is about counts among them, though it does not
/// call it its source.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The bottom of an error's chain, which is what an operator needs of a client's error.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> io::Error {
    let last = causes(error).last().unwrap_or(error);
    match last.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        Some(code) => of_system(&io::Error::from_raw_os_error(code)),
        None => io::Error::other(last.to_string()),
    }
}

/// In the words that Go has for it, which people look for: `connection refused`.
fn of_system(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let text = text.rsplit_once(" (os error ").map_or(text.as_str(), |(text, _)| text);
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    io::Error::new(error.kind(), first.to_lowercase() + rest)
}
