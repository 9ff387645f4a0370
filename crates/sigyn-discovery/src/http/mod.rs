//! How servers are asked: credentials, TLS, proxies, redirects and headers, for the targets of jobs
//! and for whatever mechanisms ask.
//!
//! A section that has the client's keys reads them into a [`ClientConfig`] and checks them into a
//! [`Config`]. That holds the paths of secrets and certificates, not what is in the files: they are
//! read when they are needed, so that they may change.
//!
//! A [`Client`] asks as a [`Config`] says, over TLS where the URL says `https`, and through proxies:
//! it adds credentials, tokens and headers, and follows redirects without showing credentials to
//! strangers.

#[cfg(feature = "client")]
mod auth;
#[cfg(feature = "client")]
mod client;
mod config;
#[cfg(feature = "client")]
mod connect;
#[cfg(feature = "client")]
mod error;
mod headers;
#[cfg(feature = "client")]
mod identity;
#[cfg(feature = "client")]
mod jwt;
#[cfg(feature = "client")]
mod oauth2;
mod oauth2_config;
#[cfg(feature = "client")]
mod proxy;
mod proxy_config;
#[cfg(feature = "client")]
mod redirect;
#[cfg(feature = "client")]
mod room;
mod secret;
#[cfg(feature = "client")]
mod tls;
mod tls_config;
#[cfg(feature = "client")]
mod tls_error;
#[cfg(feature = "client")]
mod tunnel;
#[cfg(feature = "client")]
mod verifier;

#[cfg(feature = "client")]
pub use self::client::{Client, Options};
pub use self::config::{Authorization, ClientConfig, ClientConfigError, Config};
#[cfg(feature = "client")]
pub use self::error::ClientError;
pub use self::headers::Header;
#[cfg(feature = "client")]
pub use self::identity::{IdentityError, certificates, identity, provider};
#[cfg(feature = "client")]
pub use self::jwt::SignError;
#[cfg(feature = "gcp")]
pub(crate) use self::jwt::signed as signed_jwt;
#[cfg(feature = "client")]
pub use self::oauth2::TokenError;
pub use self::oauth2_config::{Grant, OAuth2, SignatureAlgorithm};
#[cfg(feature = "client")]
pub use self::proxy::ProxyError;
pub use self::proxy_config::Proxy;
#[cfg(feature = "client")]
pub use self::room::Room;
pub use self::secret::{Secret, Source, SourceError};
#[cfg(feature = "client")]
pub use self::tls::TlsConfigError;
pub use self::tls_config::{Tls, TlsVersion};
#[cfg(feature = "client")]
pub use self::tls_error::TlsError;
#[cfg(feature = "client")]
pub use self::tunnel::TunnelError;
