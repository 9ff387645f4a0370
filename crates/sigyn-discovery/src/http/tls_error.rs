//! Why TLS fails, in words that a person reads, and in those that people search for.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use rustls_pki_types::ServerName;

/// Why there is no TLS with a server.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl TlsError {
    /// The server says nothing.
    pub(super) fn timeout() -> Self {
        Self("no handshake in time (net/http: TLS handshake timeout)".to_owned())
    }

    /// A host that no certificate can be for.
    pub(super) fn no_name(host: &str) -> Self {
        Self(format!("no certificate can be for {host:?}"))
    }

    /// What ended a handshake.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error) => Self::from(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self("the server ended the connection in the handshake (EOF)".to_owned())
            }
            None => Self(error.to_string()),
        }
    }
}

impl From<&Error> for TlsError {
    fn from(error: &Error) -> Self {
        Self(match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::AlertReceived(alert) => of_alert(*alert),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                "the server does not speak it (http: server gave HTTP response to HTTPS client)"
                    .to_owned()
            }
            error => error.to_string(),
        })
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is not signed by a known authority \
             (x509: certificate signed by unknown authority)"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired \
             (x509: certificate has expired or is not yet valid)"
                .to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet \
             (x509: certificate has expired or is not yet valid)"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            of_name(expected, presented)
        }
        error => format!("the certificate is of no use ({error})"),
    }
}

fn of_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    // `DnsName("a.test")`, `IpAddress(127.0.0.1)`.
    let names: Vec<_> = presented
        .iter()
        .map(|name| name.split_once('(').map_or(name.as_str(), |(_, name)| name))
        .map(|name| name.trim_matches(['(', ')', '"']))
        .collect();
    if names.is_empty() {
        return format!(
            "the certificate names nobody \
             (x509: certificate is not valid for any names, but wanted to match {expected})"
        );
    }
    let names = names.join(", ");
    format!(
        "the certificate is for other names (x509: certificate is valid for {names}, not {expected})"
    )
}

fn of_alert(alert: AlertDescription) -> String {
    let (ours, go) = match alert {
        AlertDescription::CertificateRequired => {
            ("the server asks for a client certificate", "certificate required")
        }
        AlertDescription::BadCertificate => {
            ("the server does not take our certificate", "bad certificate")
        }
        AlertDescription::UnknownCA => (
            "the server does not know who has signed our certificate",
            "unknown certificate authority",
        ),
        AlertDescription::CertificateExpired => {
            ("the server finds our certificate expired", "expired certificate")
        }
        AlertDescription::ProtocolVersion => {
            ("the server speaks none of the versions that it may", "protocol version not supported")
        }
        AlertDescription::HandshakeFailure => {
            ("the server and we do not agree on how to speak it", "handshake failure")
        }
        AlertDescription::UnrecognisedName => {
            ("the server does not know the name that it is asked by", "unrecognized name")
        }
        alert => return format!("the server refuses it ({alert:?})"),
    };
    format!("{ours} (remote error: tls: {go})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_go_tells_them() {
        let check = |presented: &[&str], expected: &str| {
            let error = CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("127.0.0.1").unwrap(),
                presented: presented.iter().map(|name| (*name).to_owned()).collect(),
            };
            assert_eq!(TlsError::from(&Error::from(error)).to_string(), expected);
        };
        check(
            &["DnsName(\"*.a.test\")", "IpAddress(127.0.0.2)"],
            "the certificate is for other names (x509: certificate is valid for *.a.test, 127.0.0.2, not 127.0.0.1)",
        );
        check(
            &[],
            "the certificate names nobody (x509: certificate is not valid for any names, but wanted to match 127.0.0.1)",
        );
    }
}
