//! Whether a server is who it says: by its certificate, and whoever has signed that.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::identity::provider;

/// Whom to believe. Whoever it is must have the key to the certificate that they show.
#[derive(Debug)]
pub(super) enum Verifier {
    /// Any server at all.
    Anybody,
    /// Whoever the system's authorities vouch for.
    System,
    /// Whoever these vouch for.
    These(Authorities),
}

/// Certificates whose signature counts.
#[derive(Debug)]
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

/// Read once, when the first server is to be believed by them.
static SYSTEM: LazyLock<Option<Authorities>> =
    LazyLock::new(|| Authorities::new(rustls_native_certs::load_native_certs().certs));

impl Authorities {
    /// `None` if none of them can be used.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        Some(Self { certificates, verifier: builder.build().ok()? })
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, &[], now);
        // Whoever signs their own certificate often says in it that it may sign others. Where it is
        // named as an authority, Go takes it for the server's, too. webpki does not, but says so
        // only after it has found the certificate to be of this time: the name is left to check.
        let is_known =
            || self.certificates.iter().any(|known| known.as_ref() == end_entity.as_ref());
        match verdict {
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if is_known() => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authorities = match self {
            Self::Anybody => return Ok(ServerCertVerified::assertion()),
            Self::System => SYSTEM.as_ref().ok_or(CertificateError::UnknownIssuer)?,
            Self::These(authorities) => authorities,
        };
        authorities.verify(end_entity, intermediates, server_name, now)
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn self_signed(is_ca: IsCa, not_after: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.not_after = date_time_ymd(not_after, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// Whether `server`, asked as `name`, is believed by `authorities`, and if not why.
    fn verdict(
        authorities: &[&CertificateDer<'static>],
        server: &CertificateDer<'_>,
        name: &str,
    ) -> String {
        let authorities = Authorities::new(authorities.iter().copied().cloned().collect());
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let verifier = Verifier::These(authorities.unwrap());
        match verifier.verify_server_cert(server, &[], &name, &[], UnixTime::now()) {
            Ok(_) => "believed".to_owned(),
            Err(Error::InvalidCertificate(error)) => {
                let text = format!("{error:?}");
                text.split([' ', '(']).next().unwrap_or_default().to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_certificate_that_is_its_own_authority() {
        let may_sign = || IsCa::Ca(BasicConstraints::Unconstrained);
        let other = self_signed(may_sign(), 2999);
        for is_ca in [IsCa::NoCa, may_sign()] {
            let server = self_signed(is_ca, 2999);
            assert_eq!(verdict(&[&other, &server], &server, "a.test"), "believed");
            let unnamed = verdict(&[&server], &server, "b.test");
            assert_eq!(unnamed, "NotValidForNameContext");
            let expired = self_signed(is_ca, 2001);
            assert_eq!(verdict(&[&expired], &expired, "a.test"), "ExpiredContext");
        }
        let stranger = self_signed(IsCa::NoCa, 2999);
        assert_eq!(verdict(&[&other], &stranger, "a.test"), "BadSignature");
        let stranger = self_signed(may_sign(), 2999);
        assert!(verdict(&[&other], &stranger, "a.test").starts_with("Other"));
    }

    #[test]
    fn nobody_vouches_without_certificates() {
        assert!(Authorities::new(Vec::new()).is_none());
        assert!(Authorities::new(vec![CertificateDer::from(vec![1, 2, 3])]).is_none());
    }
}
