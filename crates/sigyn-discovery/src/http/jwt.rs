//! Statements that are signed with a key: JSON Web Tokens, RS256, RS384 and RS512.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::oauth2_config::SignatureAlgorithm;
use super::secret::Secret;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Nothing that can be read as one, at least.
    #[error("client_certificate_key is no RSA key in PEM")]
    NoKey,
    /// It is too short, or damaged.
    #[error("client_certificate_key cannot be used ({0})")]
    Key(String),
    /// The machine has no randomness, or so.
    #[error("cannot sign")]
    Sign,
}

/// The claims as a token, signed with a key in PEM.
pub(crate) fn signed(
    key: &Secret,
    key_id: &str,
    algorithm: SignatureAlgorithm,
    claims: &Map<String, Value>,
) -> Result<String, SignError> {
    let pair = match PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(SignError::NoKey),
    };
    let pair = pair.map_err(|error| SignError::Key(error.to_string()))?;
    let (name, encoding): (_, &'static dyn RsaEncoding) = match algorithm {
        SignatureAlgorithm::Rs256 => ("RS256", &RSA_PKCS1_SHA256),
        SignatureAlgorithm::Rs384 => ("RS384", &RSA_PKCS1_SHA384),
        SignatureAlgorithm::Rs512 => ("RS512", &RSA_PKCS1_SHA512),
    };
    let mut header = json!({"alg": name, "typ": "JWT"});
    if !key_id.is_empty() {
        header["kid"] = json!(key_id);
    }
    let claims = Value::from(claims.clone());
    let part = |value: &Value| BASE64.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .map_err(|_| SignError::Sign)?;
    Ok(format!("{message}.{}", BASE64.encode(signature)))
}

/// A name that nobody else has: a random UUID.
pub(super) fn unique_id() -> Result<String, SignError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SignError::Sign)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use ring::signature::{
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RsaParameters, UnparsedPublicKey,
    };

    use super::*;

    const PKCS8: &str = include_str!("../../tests/data/rsa_pkcs8.pem");
    const PKCS1: &str = include_str!("../../tests/data/rsa_pkcs1.pem");

    fn check(
        key: &str,
        key_id: &str,
        algorithm: SignatureAlgorithm,
        by: &'static RsaParameters,
        header: &str,
    ) {
        let claims = Map::from_iter([("iss".to_owned(), json!("me"))]);
        let token = signed(&key.into(), key_id, algorithm, &claims).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let parts: Vec<_> = message.split('.').map(|part| BASE64.decode(part).unwrap()).collect();
        assert_eq!(String::from_utf8_lossy(&parts[0]), header);
        assert_eq!(String::from_utf8_lossy(&parts[1]), r#"{"iss":"me"}"#);
        let PrivateKeyDer::Pkcs1(der) = PrivateKeyDer::from_pem_slice(PKCS1.as_bytes()).unwrap()
        else {
            panic!("no PKCS#1")
        };
        let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap();
        UnparsedPublicKey::new(by, pair.public().as_ref())
            .verify(message.as_bytes(), &BASE64.decode(signature).unwrap())
            .unwrap();
    }

    #[test]
    fn whoever_has_the_public_key_believes_it() {
        use SignatureAlgorithm::{Rs256, Rs384, Rs512};
        check(PKCS1, "", Rs256, &RSA_PKCS1_2048_8192_SHA256, r#"{"alg":"RS256","typ":"JWT"}"#);
        check(PKCS8, "", Rs384, &RSA_PKCS1_2048_8192_SHA384, r#"{"alg":"RS384","typ":"JWT"}"#);
        let with_id = r#"{"alg":"RS512","kid":"k 1","typ":"JWT"}"#;
        check(PKCS8, "k 1", Rs512, &RSA_PKCS1_2048_8192_SHA512, with_id);
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let refused = |key: &str| {
            let claims = Map::new();
            signed(&key.into(), "", SignatureAlgorithm::Rs256, &claims).unwrap_err().to_string()
        };
        assert_eq!(refused("hidden"), "client_certificate_key is no RSA key in PEM");
        let garbage = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let refused = refused(garbage);
        assert!(refused.starts_with("client_certificate_key cannot be used ("), "{refused}");
    }

    #[test]
    fn ids_are_random_uuids() {
        let (one, other) = (unique_id().unwrap(), unique_id().unwrap());
        assert_ne!(one, other);
        let at = |index: usize| one.as_bytes()[index];
        assert_eq!((one.len(), at(8), at(13), at(18), at(23)), (36, b'-', b'-', b'-', b'-'));
        assert!(at(14) == b'4' && b"89ab".contains(&at(19)), "{one}");
    }
}
