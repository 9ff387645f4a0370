//! Which addresses are bound, before anything else is done: a second server on a machine fails at once,
//! and touches no data.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use crate::config::{Listen, Settings};
use crate::server;

/// Every address of a tracer, bound.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// For everything.
    pub(crate) main: Vec<TcpListener>,
    pub(crate) otlp_grpc: Option<TcpListener>,
    pub(crate) otlp_http: Option<TcpListener>,
    /// For Jaeger's clients. Either takes both of their protocols; clients have one port for each.
    pub(crate) jaeger_udp: Vec<UdpSocket>,
}

impl Listeners {
    pub(crate) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let mut main = Vec::with_capacity(settings.listen.len());
        for address in &settings.listen {
            main.push(server::bind(address).await?);
        }
        let mut jaeger_udp = Vec::new();
        for address in settings.jaeger_udp_compact.iter().chain(&settings.jaeger_udp_binary) {
            jaeger_udp.push(server::bind_udp(address).await?);
        }
        Ok(Self {
            main,
            otlp_grpc: bind(&settings.otlp_grpc, "--otlp.grpc.listen-address").await?,
            otlp_http: bind(&settings.otlp_http, "--otlp.http.listen-address").await?,
            jaeger_udp,
        })
    }

    /// The main addresses, with their real ports.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.main.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The other ones, and what is spoken there.
    pub(crate) fn others(&self) -> Vec<(&'static str, SocketAddr)> {
        let otlp = [("OTLP over gRPC", &self.otlp_grpc), ("OTLP over HTTP", &self.otlp_http)];
        let otlp = otlp.into_iter().filter_map(|(protocol, listener)| {
            Some((protocol, listener.as_ref()?.local_addr().ok()?))
        });
        let jaeger = self
            .jaeger_udp
            .iter()
            .filter_map(|socket| Some(("Jaeger thrift over UDP", socket.local_addr().ok()?)));
        otlp.chain(jaeger).collect()
    }
}

async fn bind(listen: &Listen, flag: &'static str) -> anyhow::Result<Option<TcpListener>> {
    match listen {
        Listen::Nowhere => Ok(None),
        Listen::At(address) => server::bind(address).await.map(Some),
        Listen::Perhaps(address) => Ok(match server::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(flag, error, "OTLP is taken at the main address only");
                None
            }
        }),
    }
}
