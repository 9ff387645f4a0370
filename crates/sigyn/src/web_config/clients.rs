//! Whether a client may come in by its certificate.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use sigyn_discovery::http::provider;

use super::names;
use super::tls::ClientAuth;

/// `client_auth_type`, `client_ca` and `client_allowed_sans` at work. Whoever it is must have the key
/// to the certificate that they show.
#[derive(Debug)]
pub(super) struct Clients {
    auth: ClientAuth,
    authorities: Authorities,
    allowed_names: Option<BTreeSet<String>>,
}

/// Whose signature counts.
#[derive(Debug)]
enum Authorities {
    /// Those of the system, as Go has it where nobody is named.
    System,
    These(Known),
}

#[derive(Debug)]
struct Known {
    certificates: Vec<CertificateDer<'static>>,
    /// `None` if no certificate among them can be used.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// Read once, when the first client is to be believed by them.
static SYSTEM: LazyLock<Known> =
    LazyLock::new(|| Known::new(rustls_native_certs::load_native_certs().certs));

impl Known {
    fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        Self { certificates, verifier: builder.build().ok() }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = self.verifier.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        match verifier.verify_client_cert(end_entity, intermediates, now) {
            // Whoever signs their own certificate often says in it that it may sign others. Where it
            // is named as an authority, Go takes it for the client's, too. webpki does not, but says
            // so only after it has found the certificate to be of this time.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.certificates.iter().any(|known| known.as_ref() == end_entity.as_ref()) =>
            {
                Ok(ClientCertVerified::assertion())
            }
            verdict => verdict,
        }
    }
}

impl Clients {
    pub(super) fn new(
        auth: ClientAuth,
        authorities: Option<Vec<CertificateDer<'static>>>,
        allowed_names: Option<Vec<String>>,
    ) -> Self {
        let authorities = authorities.map(Known::new);
        Self {
            auth,
            authorities: authorities.map_or(Authorities::System, Authorities::These),
            allowed_names: allowed_names.map(BTreeSet::from_iter),
        }
    }

    /// Whether one of the certificate's names is allowed, if that matters.
    fn check_names(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(allowed) = &self.allowed_names else { return Ok(()) };
        let found = names::of(certificate).ok_or(CertificateError::BadEncoding)?;
        match found.iter().any(|name| allowed.contains(name)) {
            true => Ok(()),
            false => Err(Error::General(format!(
                "could not find allowed SANs in client cert, found: [{}]",
                found.join(" ")
            ))),
        }
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.auth != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        self.auth.is_required()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.authorities {
            Authorities::These(Known { verifier: Some(verifier), .. }) if self.auth.verifies() => {
                verifier.root_hint_subjects()
            }
            // Who takes any certificate, or those of a hundred authorities, names none.
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.auth.verifies() {
            let known = match &self.authorities {
                Authorities::System => &*SYSTEM,
                Authorities::These(known) => known,
            };
            known.verify(end_entity, intermediates, now)?;
        }
        self.check_names(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
