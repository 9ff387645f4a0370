//! The other side of a call, as OpenTelemetry's conventions tell it in attributes.

use std::net::IpAddr;

use crate::{Endpoint, Kind, Tags, Value};

/// Addresses with their ports, the surest first. Names before 2023 stand behind those of today.
const OF_SERVER: &[(&str, &str)] = &[
    ("client.address", "client.port"),
    ("network.peer.address", "network.peer.port"),
    ("net.peer.name", "net.peer.port"),
    ("net.peer.ip", "net.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
];
const OF_OTHERS: &[(&str, &str)] = &[
    ("server.address", "server.port"),
    ("network.peer.address", "network.peer.port"),
    ("net.peer.name", "net.peer.port"),
    ("net.peer.ip", "net.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
];

/// The remote endpoint that a span's attributes describe.
///
/// `peer.service` names it, else the first address that is a host name does. The first address that
/// is an IP address is its address. The port is that of the first address taken which has one. A span
/// without kind calls nobody, so only `peer.service` counts: `server.address` may be its own.
pub(in crate::codec) fn endpoint(kind: Option<Kind>, tags: &Tags) -> Option<Endpoint> {
    let value = |key: &str| tags.iter().find(|(k, _)| k == key).map(|(_, value)| value);
    let mut endpoint = match value("peer.service") {
        Some(Value::Str(name)) => Endpoint::named(name),
        _ => Endpoint::default(),
    };
    let addresses = match kind {
        Some(Kind::Server) => OF_SERVER,
        Some(Kind::Client | Kind::Producer | Kind::Consumer) => OF_OTHERS,
        None => &[],
    };
    for (address, port) in addresses {
        let Some(Value::Str(address)) = value(address) else { continue };
        let taken = match address.parse::<IpAddr>() {
            Ok(_) if endpoint.ipv4.is_none() && endpoint.ipv6.is_none() => {
                endpoint.set_ip_text(address);
                true
            }
            Ok(_) => false,
            // A path is the address of a Unix socket, which names nobody.
            Err(_) if address.is_empty() || address.contains('/') => false,
            Err(_) if endpoint.service_name.is_empty() => {
                endpoint.service_name = address.to_lowercase();
                true
            }
            Err(_) => false,
        };
        if taken && endpoint.port == 0 {
            endpoint.port = value(port).and_then(as_port).unwrap_or(0);
        }
    }
    endpoint.into_option()
}

fn as_port(value: &Value) -> Option<u16> {
    match value {
        Value::Int(port) => u16::try_from(*port).ok(),
        Value::Str(port) => port.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name ip port`, with `-` for what is absent.
    fn check(kind: Option<Kind>, tags: &[(&str, Value)], expected: &str) {
        let tags: Tags = tags.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let endpoint = endpoint(kind, &tags).unwrap_or_default();
        let name = Some(endpoint.service_name).filter(|name| !name.is_empty());
        let ip = endpoint.ipv4.map(IpAddr::V4).or(endpoint.ipv6.map(IpAddr::V6));
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let port = (endpoint.port > 0).then(|| endpoint.port.to_string());
        let got = [or_dash(name), or_dash(ip.map(|ip| ip.to_string())), or_dash(port)].join(" ");
        assert_eq!(got, expected, "{tags:?}");
    }

    #[test]
    fn the_surest_attribute_wins() {
        let client = Some(Kind::Client);
        let server = Some(Kind::Server);
        let text = |text: &str| Value::from(text);
        check(client, &[], "- - -");
        check(client, &[("peer.service", text("DB"))], "db - -");
        check(None, &[("peer.service", text("DB")), ("server.address", text("1.2.3.4"))], "db - -");
        check(
            client,
            &[("server.address", text("Db.local")), ("server.port", Value::Int(5432))],
            "db.local - 5432",
        );
        check(
            client,
            &[
                ("peer.service", text("db")),
                ("server.address", text("db.local")),
                ("server.port", Value::Int(5432)),
                ("network.peer.address", text("127.0.0.1")),
                ("network.peer.port", text("6000")),
            ],
            "db 127.0.0.1 6000",
        );
        check(
            client,
            &[
                ("server.address", text("db.local")),
                ("server.port", Value::Int(5432)),
                ("network.peer.address", text("::1")),
                ("network.peer.port", Value::Int(6000)),
            ],
            "db.local ::1 5432",
        );
        check(
            server,
            &[
                ("server.address", text("me.local")),
                ("client.address", text("192.0.2.1")),
                ("network.peer.address", text("127.0.0.1")),
                ("network.peer.port", Value::Int(1)),
            ],
            "- 192.0.2.1 -",
        );
        check(
            Some(Kind::Consumer),
            &[("net.peer.name", text("kafka")), ("net.peer.port", Value::Int(9092))],
            "kafka - 9092",
        );
        check(client, &[("server.address", text("/var/run/x.sock"))], "- - -");
        check(client, &[("server.address", Value::Int(1))], "- - -");
        check(
            client,
            &[("server.address", text("a")), ("server.port", Value::Int(70_000))],
            "a - -",
        );
    }
}
