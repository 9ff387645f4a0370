//! The names of a certificate's owner, read from its bytes: what `client_allowed_sans` is compared
//! with. TLS libraries tell DNS names alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `id-ce-subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[3]` of a certificate: its extensions.
const EXTENSIONS: u8 = 0xa3;
/// What a general name may be.
const MAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// Its DNS names, mail addresses, IP addresses and URIs, as they stand there. `None` if it is no
/// certificate.
pub(super) fn of(certificate: &[u8]) -> Option<Vec<String>> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    while !fields.is_empty() {
        let (tag, content, rest) = element(fields)?;
        if tag == EXTENSIONS {
            let (extensions, _) = expect(content, SEQUENCE)?;
            return alternative_names(extensions);
        }
        fields = rest;
    }
    Some(Vec::new())
}

fn alternative_names(mut extensions: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while !extensions.is_empty() {
        let (extension, rest) = expect(extensions, SEQUENCE)?;
        extensions = rest;
        let (id, value) = expect(extension, OBJECT_ID)?;
        if id != ALTERNATIVE_NAMES {
            continue;
        }
        let value = expect(value, BOOLEAN).map_or(value, |(_, rest)| rest);
        let (value, _) = expect(value, OCTETS)?;
        let (mut names, _) = expect(value, SEQUENCE)?;
        while !names.is_empty() {
            let (tag, name, rest) = element(names)?;
            found.extend(text(tag, name));
            names = rest;
        }
    }
    Some(found)
}

/// One name; `None` if it is of another kind.
fn text(tag: u8, name: &[u8]) -> Option<String> {
    match tag {
        MAIL | DNS | URI => String::from_utf8(name.to_vec()).ok(),
        ADDRESS => {
            let address = match name.len() {
                4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(name).ok()?)),
                16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(name).ok()?)),
                _ => return None,
            };
            Some(address.to_canonical().to_string())
        }
        _ => None,
    }
}

/// The content of the first element, if it has this tag, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        // So many bytes of length follow. Certificates are shorter than 16 MiB.
        long @ 0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(long - 0x80)?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_of_four_kinds_are_told_as_go_prints_them() {
        let names = vec![
            SanType::DnsName("a.test".try_into().unwrap()),
            SanType::Rfc822Name("ann@a.test".try_into().unwrap()),
            SanType::IpAddress("127.0.0.7".parse().unwrap()),
            SanType::IpAddress("::1".parse().unwrap()),
            SanType::IpAddress("::ffff:127.0.0.8".parse().unwrap()),
            SanType::URI("spiffe://a.test/shop".try_into().unwrap()),
        ];
        let expected =
            ["a.test", "ann@a.test", "127.0.0.7", "::1", "127.0.0.8", "spiffe://a.test/shop"];
        assert_eq!(of(&certificate(names)).unwrap(), expected);
        assert_eq!(of(&certificate(Vec::new())), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_is_no_certificate() {
        let whole = certificate(vec![SanType::DnsName("a.test".try_into().unwrap())]);
        for length in 0..whole.len() {
            assert_eq!(of(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_do_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
        ) {
            static CERTIFICATE: LazyLock<Vec<u8>> =
                LazyLock::new(|| certificate(vec![SanType::DnsName("a.test".try_into().unwrap())]));
            let _ = of(&bytes);
            let mut certificate = CERTIFICATE.clone();
            let at = at.index(certificate.len());
            certificate[at] ^= bytes.first().copied().unwrap_or(1);
            let _ = of(&certificate);
        }
    }
}
