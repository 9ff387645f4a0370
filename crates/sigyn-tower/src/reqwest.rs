//! Calls with reqwest, whose requests are its own and go past layers that speak of `http`.

use std::any::type_name;
use std::future::Future;

use http::{Extensions, Method, Uri};
use reqwest::{Body, Request, RequestBuilder, Response, ResponseBuilderExt as _};

use crate::body::traced;
use crate::client::ClientLayer;
use crate::failure;

/// Sends requests of reqwest in spans of their own.
///
/// ```no_run
/// use sigyn_recorder::Recorder;
/// use sigyn_tower::SendTraced as _;
///
/// # async fn call() -> reqwest::Result<()> {
/// let traced = sigyn_tower::client(Recorder::of_process()).with_peer("cart");
/// let client = reqwest::Client::new();
/// let cart = client.get("http://127.0.0.1:8080/cart/7").send_traced(&traced).await?;
/// println!("{}", cart.text().await?);
/// # Ok(())
/// # }
/// ```
pub trait SendTraced {
    /// Like `send`. Redirects that the client follows, and what it tries again, are in the same span. A
    /// response's body ends it; one that is not read ends it when it is dropped, and counts as cancelled.
    fn send_traced(
        self,
        by: &ClientLayer,
    ) -> impl Future<Output = reqwest::Result<Response>> + Send;
}

impl SendTraced for RequestBuilder {
    fn send_traced(
        self,
        by: &ClientLayer,
    ) -> impl Future<Output = reqwest::Result<Response>> + Send {
        let by = by.clone();
        let (client, request) = self.build_split();
        async move { by.execute(&client, request?).await }
    }
}

impl ClientLayer {
    /// Sends a request with reqwest's `execute`, in a span of its own: see [`SendTraced`].
    pub async fn execute(
        &self,
        client: &reqwest::Client,
        mut request: Request,
    ) -> reqwest::Result<Response> {
        let method: Method = request.method().clone();
        // Whatever reqwest can send is one.
        let uri: Uri = request.url().as_str().parse().unwrap_or_default();
        let mut call = self.begin(&method, &uri, request.headers_mut(), &Extensions::new());
        let sending = client.execute(request);
        let mut sending = std::pin::pin!(sending);
        let sent = std::future::poll_fn(|task| call.enter(|| sending.as_mut().poll(task))).await;
        match sent {
            Ok(response) => {
                let url = response.url().clone();
                let response: http::Response<Body> =
                    traced(call, http::Response::<Body>::from(response)).map(Body::wrap);
                let (mut parts, body) = response.into_parts();
                // It is told by an extension which only this makes.
                if let Ok(told) = http::Response::builder().url(url).body(()) {
                    parts.extensions.extend(told.into_parts().0.extensions);
                }
                Ok(http::Response::from_parts(parts, body).into())
            }
            Err(error) => {
                // It says the whole address, and people put keys into that.
                let text = failure::text(&error);
                let url = error.url().map(|url| format!(" for url ({url})")).unwrap_or_default();
                call.fail_with(type_name::<reqwest::Error>(), &text.replace(&url, ""));
                Err(error)
            }
        }
    }
}
