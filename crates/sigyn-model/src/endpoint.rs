//! A network peer of a span: its service's name and its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Zipkin's endpoint. One with nothing in it is absent: see [`Endpoint::into_option`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Lower case; empty means absent.
    pub service_name: String,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Zero means absent.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint that is known by name alone. The name is lower-cased, as everywhere in Zipkin.
    pub fn named(service_name: &str) -> Self {
        Self { service_name: service_name.to_lowercase(), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn into_option(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }

    /// Takes an address from text, by its content and not by the field it came in: an IPv4 address
    /// in IPv6's clothes (`::ffff:1.2.3.4`, `::1.2.3.4`) is IPv4. Whatever is no address is ignored.
    pub fn set_ip_text(&mut self, text: &str) {
        let Ok(ip) = text.parse::<IpAddr>() else {
            self.ipv4 = ipv4_with_zeros(text).or(self.ipv4);
            return;
        };
        self.set_ip(ip, text);
    }

    /// Takes the address that was found in a text, by the rules of [`Self::set_ip_text`].
    pub(crate) fn set_ip(&mut self, ip: IpAddr, text: &str) {
        match ip {
            IpAddr::V4(ip) => self.ipv4 = Some(ip),
            IpAddr::V6(ip) if text.contains('.') => match ip.to_ipv4() {
                Some(ip) => self.ipv4 = Some(ip),
                None => self.ipv6 = Some(ip),
            },
            IpAddr::V6(ip) => self.ipv6 = Some(ip),
        }
    }

    /// Takes an address from its bytes, by their number. An IPv4 address may come as the IPv6 address
    /// that is compatible with it (`::1.2.3.4`, unlike `::ffff:1.2.3.4`), so all zeros are IPv4 too.
    /// Whatever is no address is ignored.
    pub fn set_ip_bytes(&mut self, bytes: &[u8]) {
        if let Ok(ip) = <[u8; 4]>::try_from(bytes) {
            self.ipv4 = Some(Ipv4Addr::from(ip));
        } else if let Ok(ip) = <[u8; 16]>::try_from(bytes) {
            match ip {
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
                    if [a, b, c, d] != [0, 0, 0, 1] =>
                {
                    self.ipv4 = Some(Ipv4Addr::new(a, b, c, d));
                }
                _ => self.ipv6 = Some(Ipv6Addr::from(ip)),
            }
        }
    }
}

/// Reads `52.0.0.04`, which is decimal to Zipkin and no address to the standard library.
fn ipv4_with_zeros(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut words = text.split('.');
    for octet in &mut octets {
        let word = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = word.parse().ok().filter(|_| word.len() <= 3)?;
    }
    words.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, Option<String>) {
        let mut endpoint = Endpoint::default();
        endpoint.set_ip_text(text);
        (endpoint.ipv4.map(|ip| ip.to_string()), endpoint.ipv6.map(|ip| ip.to_string()))
    }

    #[test]
    fn an_address_is_read_by_its_content() {
        let v4 = || (Some("1.2.3.4".to_owned()), None);
        assert_eq!(parsed("1.2.3.4"), v4());
        assert_eq!(parsed("001.02.3.4"), v4());
        assert_eq!(parsed("::ffff:1.2.3.4"), v4());
        assert_eq!(parsed("::1.2.3.4"), v4());
        assert_eq!(parsed("::1"), (None, Some("::1".to_owned())));
        assert_eq!(parsed("::ffff:102:304").0, None);
        for not_an_address in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.0004",
            "1.2..4",
            "1.2.+3.4",
            "localhost",
            "[::1]",
            "fe80::1%eth0",
        ] {
            assert_eq!(parsed(not_an_address), (None, None), "{not_an_address}");
        }
    }
}
