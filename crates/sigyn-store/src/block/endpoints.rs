//! The columns of endpoints: a span's own, and its peer's.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::dictionary::Dictionary;
use super::per_source::PerSource;
use super::source::Source;
use super::sparse::Sparse;

/// An endpoint, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndpointParts {
    service: Option<u32>,
    address: Option<u32>,
    port: Option<u32>,
    /// The address and the port, as tags that say the same know them.
    pub(super) said: Peer,
    /// Whether these do not bring it back: it has two addresses, or nothing in it.
    pub(super) is_odd: bool,
}

/// An address and a port, in numbers from one; zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: u32,
    pub(super) port: u16,
}

/// Numbers of addresses, whoever says them.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<IpAddr, u32, RandomState>);

impl Addresses {
    fn number(&mut self, address: IpAddr) -> u32 {
        let next = u32::try_from(self.0.len() + 1).unwrap_or(0);
        *self.0.entry(address).or_insert(next)
    }

    /// That of a text which is what a column of addresses would have; zero for any other.
    pub(super) fn number_of_text(&mut self, text: &[u8]) -> u32 {
        const LEN_MAX: usize = 45;
        let is_hex = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        let may_be = text.len() <= LEN_MAX
            && text.iter().all(is_hex)
            && text.iter().any(|byte| matches!(byte, b'.' | b':'));
        if !may_be {
            return 0;
        }
        let address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        // There is one way to write one of four bytes.
        let same = address
            .filter(|address: &IpAddr| address.is_ipv4() || address.to_string().as_bytes() == text);
        same.map_or(0, |address| self.number(address))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// What the endpoints of a row group say.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    known: PerSource<EndpointParts>,
    pub(super) services: Dictionary,
    pub(super) addresses: Dictionary,
    pub(super) local: EndpointColumns,
    pub(super) remote: EndpointColumns,
}

#[derive(Debug, Default)]
pub(super) struct EndpointColumns {
    pub(super) services: Sparse<u32>,
    pub(super) addresses: Sparse<u32>,
    pub(super) ports: Sparse<u32>,
}

impl Endpoints {
    pub(super) fn begin_source(&mut self) {
        self.known.clear();
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.services.clear();
        self.addresses.clear();
        self.local.clear();
        self.remote.clear();
    }

    /// Adds those of a row, but for what its tags say of the remote one.
    pub(super) fn push(&mut self, row: u32, [local, remote]: [EndpointParts; 2], tags: Peer) {
        self.local.push(row, local);
        self.remote.push(
            row,
            EndpointParts {
                address: remote.address.filter(|_| tags.address == 0),
                port: remote.port.filter(|_| tags.port == 0),
                ..remote
            },
        );
    }

    /// What an endpoint says, by its number in the source.
    pub(super) fn parts(
        &mut self,
        source: &dyn Source,
        endpoint: u32,
        numbers: &mut Addresses,
    ) -> EndpointParts {
        let Self { known, services, addresses, .. } = self;
        known.get_or_insert_with(endpoint, || {
            let Some(endpoint) = source.endpoint(endpoint) else {
                return EndpointParts::default();
            };
            let service = endpoint.service_name;
            let address = endpoint.ipv4.map(IpAddr::V4).or(endpoint.ipv6.map(IpAddr::V6));
            let of_text = |list: &mut Dictionary, text: &str| {
                list.find_or_push(|out| out.extend_from_slice(text.as_bytes()))
            };
            let parts = EndpointParts {
                service: (!service.is_empty()).then(|| of_text(services, service)),
                address: address.map(|address| of_text(addresses, &address.to_string())),
                port: (endpoint.port != 0).then_some(u32::from(endpoint.port)),
                said: Peer::default(),
                is_odd: false,
            };
            let said = Peer {
                address: address.map_or(0, |address| numbers.number(address)),
                port: endpoint.port,
            };
            let has_two = endpoint.ipv4.is_some() && endpoint.ipv6.is_some();
            let has_none = service.is_empty() && address.is_none() && endpoint.port == 0;
            EndpointParts { said, is_odd: has_two || has_none, ..parts }
        })
    }
}

impl EndpointColumns {
    fn push(&mut self, row: u32, parts: EndpointParts) {
        self.services.push_some(row, parts.service);
        self.addresses.push_some(row, parts.address);
        self.ports.push_some(row, parts.port);
    }

    fn clear(&mut self) {
        self.services.clear();
        self.addresses.clear();
        self.ports.clear();
    }
}
