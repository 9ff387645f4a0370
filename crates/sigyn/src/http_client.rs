//! A plain HTTP client for asking a running tracer, and for the demo's own calls.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Connections are kept and reused; every request has a deadline.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl HttpClient {
    pub(crate) fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Self { client, timeout }
    }

    pub(crate) async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.send("GET", url, HeaderMap::new()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: HeaderMap,
    ) -> anyhow::Result<Answer> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        anyhow::ensure!(
            uri.scheme_str() == Some("http"),
            "cannot ask {url}: only http:// is supported"
        );
        let mut request = Request::builder().method(method).uri(uri).body(Full::default())?;
        *request.headers_mut() = headers;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(Answer { status, body })
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await;
        let answer =
            answer.with_context(|| format!("{url} did not answer within {:?}", self.timeout))?;
        answer.with_context(|| format!("cannot ask {url}"))
    }
}
