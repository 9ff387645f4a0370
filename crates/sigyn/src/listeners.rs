//! Which addresses are bound, before anything else is done: a second server on a machine fails at once,
//! and touches no data.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::{Listen, Settings};
use crate::server;

/// Every address of a tracer, bound.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// For everything.
    pub(crate) main: Vec<TcpListener>,
    pub(crate) otlp_grpc: Option<TcpListener>,
    pub(crate) otlp_http: Option<TcpListener>,
}

impl Listeners {
    pub(crate) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let mut main = Vec::with_capacity(settings.listen.len());
        for address in &settings.listen {
            main.push(server::bind(address).await?);
        }
        Ok(Self {
            main,
            otlp_grpc: bind(&settings.otlp_grpc, "--otlp.grpc.listen-address").await?,
            otlp_http: bind(&settings.otlp_http, "--otlp.http.listen-address").await?,
        })
    }

    /// The main addresses, with their real ports.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.main.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The other ones, and what is spoken there.
    pub(crate) fn others(&self) -> Vec<(&'static str, SocketAddr)> {
        let doors = [("OTLP over gRPC", &self.otlp_grpc), ("OTLP over HTTP", &self.otlp_http)];
        let bound = doors.into_iter().filter_map(|(protocol, listener)| {
            Some((protocol, listener.as_ref()?.local_addr().ok()?))
        });
        bound.collect()
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
                tracing::warn!(
                    error,
                    "OTLP is taken at the main address only; {flag} names another"
                );
                None
            }
        }),
    }
}
