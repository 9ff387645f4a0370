//! TLS as `tls_config` says, made of certificates and keys that may change under way.

use std::sync::Arc;

use rustls::{ClientConfig, SupportedProtocolVersion, version};
use rustls_pki_types::ServerName;

use super::error::ClientError;
use super::identity::{IdentityError, certificates, identity, provider};
use super::secret::{Secret, Source, SourceError};
use super::tls_config::{Tls, TlsVersion};
use super::verifier::{Authorities, Verifier};

/// Why `tls_config` makes no client. The texts are Prometheus' where it has one.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// No version is left.
    #[error(
        "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified"
    )]
    Versions,
    /// Nobody should speak it any more, and we do not.
    #[error("tls_config.max_version is older than TLS12, the oldest version that is spoken")]
    TooOld,
    /// No certificate can be for it.
    #[error("tls_config.server_name {0:?} is neither a host's name nor an address")]
    ServerName(String),
    /// There is no certificate in it.
    #[error("unable to use specified CA cert {0}")]
    Authorities(String),
    /// Nobody would believe that we are who the certificate says.
    #[error("unable to use specified client cert ({certificate}) & key ({key})")]
    Identity {
        /// Where the certificate is.
        certificate: String,
        /// Where the key is.
        key: String,
        /// What is wrong with them.
        source: IdentityError,
    },
}

/// Certificates and keys as they were read, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Material {
    ca: Option<Secret>,
    cert: Option<Secret>,
    key: Option<Secret>,
}

impl Material {
    /// Whether it may change, so that it has to be read each time.
    pub(super) fn may_change(tls: &Tls) -> bool {
        [&tls.ca, &tls.cert, &tls.key]
            .into_iter()
            .any(|source| source.as_ref().is_some_and(|source| source.file().is_some()))
    }

    /// Reads all of it. It blocks as long as small files take.
    pub(super) fn read(tls: &Tls) -> Result<Self, ClientError> {
        let read = |what: &'static str, source: &Option<Source>| match source {
            None => Ok(None),
            Some(source) => {
                source.read().map(Some).map_err(|source| ClientError::Secret { what, source })
            }
        };
        Ok(Self {
            ca: read("CA cert", &tls.ca)?,
            cert: read("specified client cert", &tls.cert)?,
            key: read("specified client key", &tls.key)?,
        })
    }
}

/// Refuses what can never be had, and what makes no sense whatever is in the files.
pub(super) fn check(tls: &Tls) -> Result<(), ClientError> {
    for (what, source) in
        [("CA cert", &tls.ca), ("client cert", &tls.cert), ("client key", &tls.key)]
    {
        if let Some(Source::Reference(_)) = source {
            return Err(ClientError::Reference { what, source: SourceError::Reference });
        }
    }
    versions(tls)?;
    server_name(tls)?;
    Ok(())
}

/// The name that a server's certificate must have, if it is not the one it is asked by.
pub(super) fn server_name(tls: &Tls) -> Result<Option<ServerName<'static>>, TlsConfigError> {
    if tls.server_name.is_empty() {
        return Ok(None);
    }
    match ServerName::try_from(tls.server_name.clone()) {
        Ok(name) => Ok(Some(name)),
        Err(_) => Err(TlsConfigError::ServerName(tls.server_name.clone())),
    }
}

/// How to speak TLS. With `http2` it is offered beside HTTP/1.1.
pub(super) fn client_config(
    tls: &Tls,
    material: &Material,
    http2: bool,
) -> Result<ClientConfig, TlsConfigError> {
    let verifier = match (&material.ca, tls.insecure_skip_verify) {
        (_, true) => Verifier::Anybody,
        (None, false) => Verifier::System,
        (Some(ca), false) => {
            let certificates = certificates(ca);
            let authorities = Authorities::new(certificates);
            Verifier::These(
                authorities.ok_or_else(|| TlsConfigError::Authorities(place(tls.ca.as_ref())))?,
            )
        }
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(tls)?)
        // Whichever of them is left, there are ciphers for it.
        .map_err(|_| TlsConfigError::Versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            let identity = identity(cert, key).and_then(|(chain, key)| {
                builder.with_client_auth_cert(chain, key).map_err(IdentityError::from)
            });
            identity.map_err(|source| TlsConfigError::Identity {
                certificate: place(tls.cert.as_ref()),
                key: place(tls.key.as_ref()),
                source,
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    if http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(config)
}

/// The versions between the oldest and the newest that are wanted. Of what is older than TLS 1.2 as
/// the oldest, nothing is left but that others may be spoken too.
fn versions(tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>, TlsConfigError> {
    let min = tls.min_version.unwrap_or(TlsVersion::Tls10);
    let max = tls.max_version.unwrap_or(TlsVersion::Tls13);
    if max < min {
        return Err(TlsConfigError::Versions);
    }
    if max < TlsVersion::Tls12 {
        return Err(TlsConfigError::TooOld);
    }
    let spoken = [(TlsVersion::Tls12, &version::TLS12), (TlsVersion::Tls13, &version::TLS13)];
    let wanted = spoken.into_iter().filter(|(version, _)| (min..=max).contains(version));
    Ok(wanted.map(|(_, version)| version).collect())
}

/// Where a value is, as Prometheus says it.
fn place(source: Option<&Source>) -> String {
    match source.and_then(Source::file) {
        Some(path) => format!("file {}", path.display()),
        None => "inline".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

    use super::*;
    use crate::error_chain::chain;

    fn inline(text: &str) -> Option<Source> {
        Some(Source::Inline(text.into()))
    }

    fn made(tls: &Tls, http2: bool) -> Result<ClientConfig, ClientError> {
        check(tls)?;
        Ok(client_config(tls, &Material::read(tls)?, http2)?)
    }

    fn refusal(tls: &Tls) -> String {
        chain(&made(tls, true).unwrap_err())
    }

    #[test]
    fn versions_between_the_oldest_and_the_newest_of_those_that_are_spoken() {
        use TlsVersion::{Tls10, Tls11, Tls12, Tls13};
        let check = |min, max, expected: Result<&[&'static SupportedProtocolVersion], &str>| {
            let tls = Tls { min_version: min, max_version: max, ..Tls::default() };
            match (versions(&tls), expected) {
                (Ok(versions), Ok(expected)) => assert_eq!(versions, expected, "{min:?} {max:?}"),
                (versions, expected) => {
                    assert_eq!(versions.unwrap_err().to_string(), expected.unwrap_err());
                }
            }
        };
        let order = "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified";
        let old = "tls_config.max_version is older than TLS12, the oldest version that is spoken";
        check(None, None, Ok(&[&version::TLS12, &version::TLS13]));
        check(Some(Tls10), None, Ok(&[&version::TLS12, &version::TLS13]));
        check(Some(Tls11), Some(Tls12), Ok(&[&version::TLS12]));
        check(Some(Tls13), None, Ok(&[&version::TLS13]));
        check(Some(Tls13), Some(Tls12), Err(order));
        check(Some(Tls11), Some(Tls10), Err(order));
        check(None, Some(Tls11), Err(old));
    }

    #[test]
    fn what_makes_no_client_says_what_it_is() {
        let reference = || Some(Source::Reference("vault".to_owned()));
        let with = |change: fn(&mut Tls, Option<Source>), source| {
            let mut tls = Tls::default();
            change(&mut tls, source);
            refusal(&tls)
        };
        let never = ": cannot use secret ref without manager";
        assert_eq!(
            with(|tls, it| tls.ca = it, reference()),
            format!("unable to use CA cert{never}")
        );
        assert_eq!(
            with(|tls, it| tls.cert = it, reference()),
            format!("unable to use client cert{never}")
        );
        assert_eq!(
            with(|tls, it| tls.key = it, reference()),
            format!("unable to use client key{never}")
        );
        let garbage = with(|tls, it| tls.ca = it, inline("garbage"));
        assert_eq!(garbage, "unable to use specified CA cert inline");
        let missing = with(|tls, it| tls.ca = it, Some(Source::File("/none/ca.pem".into())));
        let expected = "unable to read CA cert: unable to read file /none/ca.pem: \
            No such file or directory (os error 2)";
        assert_eq!(missing, expected);
        let tls = Tls { server_name: "a b".to_owned(), ..Tls::default() };
        let expected = "tls_config.server_name \"a b\" is neither a host's name nor an address";
        assert_eq!(refusal(&tls), expected);
    }

    #[test]
    fn a_certificate_of_ours_needs_its_own_key() {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["me.test".to_owned()]).unwrap();
        let key = signing_key.serialize_pem();
        let other = KeyPair::generate().unwrap().serialize_pem();
        let tls =
            |cert: &str, key: &str| Tls { cert: inline(cert), key: inline(key), ..Tls::default() };
        made(&tls(&cert.pem(), &key), true).unwrap();
        let refused = |cert: &str, key: &str, why: &str| {
            let expected =
                format!("unable to use specified client cert (inline) & key (inline): {why}");
            assert_eq!(refusal(&tls(cert, key)), expected);
        };
        let mismatch = "tls: private key does not match public key";
        refused(&cert.pem(), &other, mismatch);
        refused("garbage", &key, "there is no certificate in PEM");
        refused(&cert.pem(), "garbage", "there is no private key in PEM");
    }

    #[test]
    fn http2_is_offered_where_it_is_wanted() {
        let offered = |http2| made(&Tls::default(), http2).unwrap().alpn_protocols;
        assert_eq!(offered(true), [&b"h2"[..], b"http/1.1"]);
        assert!(offered(false).is_empty());
    }
}
