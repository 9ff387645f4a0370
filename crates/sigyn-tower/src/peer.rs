//! Who sent a request, as far as the server around us says.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;
use sigyn_recorder::{Endpoint, Peer};

/// The address, and the port if that is known, too.
pub(crate) fn of(extensions: &Extensions) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(info) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0);
    }
    #[cfg(feature = "tonic")]
    if let Some(info) = extensions.get::<tonic::transport::server::TcpConnectInfo>() {
        return info.remote_addr();
    }
    extensions.get::<SocketAddr>().copied().or_else(|| {
        let Peer(ip) = extensions.get()?;
        Some(SocketAddr::new(*ip, 0))
    })
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    let mut endpoint = Endpoint { port: address.port(), ..Endpoint::default() };
    // A socket of IPv6 that takes both has IPv4 in IPv6's clothes.
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => endpoint.ipv4 = Some(ip),
        IpAddr::V6(ip) => endpoint.ipv6 = Some(ip),
    }
    endpoint
}
