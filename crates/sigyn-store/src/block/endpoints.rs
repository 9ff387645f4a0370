//! The columns of endpoints: a span's own, and its peer's.

use std::net::IpAddr;

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
    /// Whether these do not bring it back: it has two addresses, or nothing in it.
    pub(super) is_odd: bool,
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

    /// Adds those of a row, by their numbers in the source.
    pub(super) fn push(
        &mut self,
        row: u32,
        source: &dyn Source,
        local: u32,
        remote: u32,
    ) -> [EndpointParts; 2] {
        let parts = [local, remote].map(|endpoint| self.parts(source, endpoint));
        self.local.push(row, parts[0]);
        self.remote.push(row, parts[1]);
        parts
    }

    fn parts(&mut self, source: &dyn Source, endpoint: u32) -> EndpointParts {
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
                is_odd: false,
            };
            let has_two = endpoint.ipv4.is_some() && endpoint.ipv6.is_some();
            let has_none = service.is_empty() && address.is_none() && endpoint.port == 0;
            EndpointParts { is_odd: has_two || has_none, ..parts }
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
