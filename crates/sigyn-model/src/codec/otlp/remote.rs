//! The other side of a call, as OpenTelemetry's conventions tell it in attributes.

use std::net::IpAddr;

use crate::codec::draft::EndpointDraft;
use crate::codec::shapes::Shape;
use crate::codec::sink::{TagRef, Text, ValueRef};
use crate::{Endpoint, Kind, Tags, Value};

/// An attribute that tells of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    PeerService,
    ClientAddress,
    ClientPort,
    ServerAddress,
    ServerPort,
    NetworkPeerAddress,
    NetworkPeerPort,
    NetPeerName,
    NetPeerIp,
    NetPeerPort,
    NetSockPeerAddr,
    NetSockPeerPort,
}

const KEYS: usize = Key::NetSockPeerPort as usize + 1;

/// Addresses with their ports, the surest first. Names before 2023 stand behind those of today.
const OF_SERVER: &[(Key, Key)] = &[
    (Key::ClientAddress, Key::ClientPort),
    (Key::NetworkPeerAddress, Key::NetworkPeerPort),
    (Key::NetPeerName, Key::NetPeerPort),
    (Key::NetPeerIp, Key::NetPeerPort),
    (Key::NetSockPeerAddr, Key::NetSockPeerPort),
];
const OF_OTHERS: &[(Key, Key)] = &[
    (Key::ServerAddress, Key::ServerPort),
    (Key::NetworkPeerAddress, Key::NetworkPeerPort),
    (Key::NetPeerName, Key::NetPeerPort),
    (Key::NetPeerIp, Key::NetPeerPort),
    (Key::NetSockPeerAddr, Key::NetSockPeerPort),
];

impl Key {
    /// Most keys are none of these, at first sight.
    #[inline]
    fn of(text: &[u8]) -> Option<Self> {
        match text {
            [b'p' | b'c' | b's' | b'n', ..] if (11..=20).contains(&text.len()) => Self::find(text),
            _ => None,
        }
    }

    #[inline(never)]
    fn find(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"peer.service" => Self::PeerService,
            b"client.address" => Self::ClientAddress,
            b"client.port" => Self::ClientPort,
            b"server.address" => Self::ServerAddress,
            b"server.port" => Self::ServerPort,
            b"network.peer.address" => Self::NetworkPeerAddress,
            b"network.peer.port" => Self::NetworkPeerPort,
            b"net.peer.name" => Self::NetPeerName,
            b"net.peer.ip" => Self::NetPeerIp,
            b"net.peer.port" => Self::NetPeerPort,
            b"net.sock.peer.addr" => Self::NetSockPeerAddr,
            b"net.sock.peer.port" => Self::NetSockPeerPort,
            _ => return None,
        })
    }
}

/// The remote endpoint that a span's attributes describe.
///
/// `peer.service` names it, else the first address that is a host name does. The first address that
/// is an IP address is its address. The port is that of the first address taken which has one. A span
/// without kind calls nobody, so only `peer.service` counts: `server.address` may be its own.
pub(in crate::codec) fn endpoint(kind: Option<Kind>, tags: &Tags) -> Option<Endpoint> {
    let value = |key: Key| {
        tags.iter().find(|(k, _)| Key::of(k.as_bytes()) == Some(key)).map(|(_, value)| value)
    };
    let text = |key| match value(key) {
        Some(Value::Str(text)) => Some(Text::Str(text)),
        _ => None,
    };
    let port = |key| match value(key)? {
        Value::Int(port) => u16::try_from(*port).ok(),
        Value::Str(port) => port.parse().ok(),
        _ => None,
    };
    let EndpointDraft { service_name, address } = described(kind, text, port);
    Endpoint { service_name: service_name.to_lowercase().into_owned(), ..address }.into_option()
}

/// Which of a span's tags tell of the other side, found while they are read.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::codec) struct Seen {
    /// By [`Key`]: the place among the tags, and one more. Zero means that it is not there.
    at: [u16; KEYS],
}

impl Seen {
    pub(in crate::codec) fn among(tags: &[TagRef<'_>]) -> Self {
        let mut seen = Self::default();
        for (at, tag) in tags.iter().enumerate() {
            seen.see(&tag.key, at);
        }
        seen
    }

    /// Takes note of the tag that stands there.
    fn see(&mut self, key: &Text<'_>, at: usize) {
        let key = match key {
            Text::Bytes(key) => Key::of(key),
            Text::Str(key) => Key::of(key.as_bytes()),
            Text::Escaped(_) | Text::Owned(_) => Key::of(key.read().as_bytes()),
        };
        if let Some(key) = key {
            self.at[key as usize] = u16::try_from(at + 1).unwrap_or(0);
        }
    }

    /// The remote endpoint that these tags describe, by the rules of [`endpoint`].
    pub(in crate::codec) fn endpoint<'a>(
        &self,
        kind: Option<Kind>,
        tags: &[TagRef<'a>],
    ) -> EndpointDraft<'a> {
        if self.at == [0; KEYS] {
            return EndpointDraft::default();
        }
        let value = |key: Key| {
            let at = usize::from(self.at[key as usize]).checked_sub(1)?;
            tags.get(at).map(|tag| &tag.value)
        };
        let text = |key| match value(key) {
            Some(ValueRef::Text(text)) => Some(text.clone()),
            Some(ValueRef::Owned(Value::Str(text))) => Some(Text::Owned(text.clone())),
            _ => None,
        };
        let port = |key| match value(key)? {
            ValueRef::Int(port) | ValueRef::Owned(Value::Int(port)) => u16::try_from(*port).ok(),
            ValueRef::Text(port) => port.read().parse().ok(),
            ValueRef::Owned(Value::Str(port)) => port.parse().ok(),
            _ => None,
        };
        described(kind, text, port)
    }
}

/// Where spans of one shape say it: it is looked for once.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// By number of the shape.
    of_shapes: Vec<Option<Seen>>,
}

impl Peers {
    /// Which of these tags, whose keys have this shape, tell of the other side.
    #[inline]
    pub(super) fn of(&mut self, shape: Shape, tags: &[TagRef<'_>]) -> Seen {
        let Some(number) = shape.number() else { return Seen::among(tags) };
        if let Some(Some(seen)) = self.of_shapes.get(number) {
            return *seen;
        }
        self.look(number, tags)
    }

    #[cold]
    fn look(&mut self, number: usize, tags: &[TagRef<'_>]) -> Seen {
        if self.of_shapes.len() <= number {
            self.of_shapes.resize(number + 1, None);
        }
        *self.of_shapes[number].insert(Seen::among(tags))
    }
}

fn described<'a>(
    kind: Option<Kind>,
    text: impl Fn(Key) -> Option<Text<'a>>,
    port: impl Fn(Key) -> Option<u16>,
) -> EndpointDraft<'a> {
    let mut endpoint = EndpointDraft::named(text(Key::PeerService).unwrap_or_default());
    let addresses = match kind {
        Some(Kind::Server) => OF_SERVER,
        Some(Kind::Client | Kind::Producer | Kind::Consumer) => OF_OTHERS,
        None => &[],
    };
    for (address_key, port_key) in addresses {
        let Some(text) = text(*address_key) else { continue };
        if is_host_name(&text) {
            if endpoint.service_name.is_empty() {
                endpoint.service_name = text;
                if endpoint.address.port == 0 {
                    endpoint.address.port = port(*port_key).unwrap_or(0);
                }
            }
            continue;
        }
        let address = text.read();
        let known = endpoint.address.ipv4.is_some() || endpoint.address.ipv6.is_some();
        let taken = match address.parse::<IpAddr>() {
            Ok(_) if known => false,
            Ok(ip) => {
                endpoint.address.set_ip(ip, &address);
                true
            }
            // A path is the address of a Unix socket, which names nobody.
            Err(_) if address.is_empty() || address.contains('/') => false,
            Err(_) if endpoint.service_name.is_empty() => {
                drop(address);
                endpoint.service_name = text;
                true
            }
            Err(_) => false,
        };
        if taken && endpoint.address.port == 0 {
            endpoint.address.port = port(*port_key).unwrap_or(0);
        }
    }
    endpoint
}

/// Whether it is one at first sight, as most are: a letter tells it from an address.
fn is_host_name(text: &Text<'_>) -> bool {
    let bytes = match text {
        Text::Bytes(bytes) => bytes,
        Text::Str(text) => text.as_bytes(),
        Text::Owned(text) => text.as_bytes(),
        Text::Escaped(_) => return false,
    };
    let of_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    !bytes.iter().all(of_address) && !bytes.contains(&b'/')
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
