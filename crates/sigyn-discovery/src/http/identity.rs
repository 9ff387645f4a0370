//! Certificates and the key to one of them, in PEM: of whoever asks, and of whoever answers.

use std::sync::{Arc, LazyLock};

use rustls::InconsistentKeys;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::secret::Secret;

/// What is wrong with a certificate of ours and its key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not in PEM, at least.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// Not in PEM, at least.
    #[error("there is no private key in PEM")]
    NoKey,
    /// One of them may have been renewed a moment before the other.
    #[error("tls: private key does not match public key")]
    Mismatch,
    /// It is of a kind that nobody uses.
    #[error("they cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl From<rustls::Error> for IdentityError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::Mismatch,
            error => Self::Unusable(error),
        }
    }
}

/// All certificates of a text that can be read.
pub fn certificates(pem: &Secret) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.reveal().as_bytes()).filter_map(Result::ok).collect()
}

/// A certificate with those that vouch for it, and its key. Whether they fit is found out by whoever
/// uses them.
pub fn identity(
    cert: &Secret,
    key: &Secret,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
    let chain = certificates(cert);
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes());
    Ok((chain, key.map_err(|_| IdentityError::NoKey)?))
}

/// The ciphers.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}
