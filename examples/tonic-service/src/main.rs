//! A tonic service, as many are, that is a scrape target by two lines.

use std::pin::Pin;
use std::time::Duration;

use sigyn_recorder::{Kind, Recorder};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _, iter};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// How long requests have to end at SIGTERM, and scrapers to come for their spans.
const PATIENCE: Duration = Duration::from_secs(10);

#[expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "it is generated"
)]
mod cart {
    tonic::include_proto!("cart.v1.Cart");
}

use cart::cart_server::{Cart, CartServer};

#[derive(Clone, PartialEq, prost::Message)]
struct Wanted {
    #[prost(uint32, tag = "1")]
    id: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Items {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    // At SIGTERM: no new requests, then those that run, then the scrapers get what these have recorded.
    let mut shutdown = sigyn_tower::shutdown(Recorder::of_process(), &listener)?;
    let server = serve(listener, shutdown.signal());
    let drain = shutdown.drain(server, PATIENCE, PATIENCE).await?;
    eprintln!("{} spans lost", drain.lost);
    Ok(())
}

async fn serve(listener: TcpListener, end: impl Future<Output = ()>) -> anyhow::Result<()> {
    Server::builder()
        // The two lines: calls are recorded, and a scrape, which is HTTP/1.1, is answered.
        .accept_http1(true)
        .layer(sigyn_tower::server(Recorder::of_process()).with_traces())
        .add_service(CartServer::new(Carts))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), end)
        .await?;
    Ok(())
}

struct Carts;

#[tonic::async_trait]
impl Cart for Carts {
    async fn get(&self, request: Request<Wanted>) -> Result<Response<Items>, Status> {
        Ok(Response::new(load(request.into_inner().id).await?))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<Items, Status>> + Send>>;

    async fn watch(&self, request: Request<Wanted>) -> Result<Response<Self::WatchStream>, Status> {
        let items = load(request.into_inner().id).await?;
        let each = items.names.into_iter().map(|name| Ok(Items { names: vec![name] }));
        Ok(Response::new(Box::pin(iter(each).throttle(Duration::from_millis(3)))))
    }
}

/// A child of the call that it belongs to.
async fn load(id: u32) -> Result<Items, Status> {
    let mut span = sigyn_tower::current().map(|call| call.start("load", Some(Kind::Client)));
    tokio::time::sleep(Duration::from_millis(3)).await;
    if id == 0 {
        if let Some(span) = &mut span {
            span.error("there is no cart 0");
        }
        return Err(Status::internal("cannot load the cart"));
    }
    Ok(Items { names: vec!["three pears".to_owned(), "an apple".to_owned()] })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use sigyn_model::codec::json_v2;
    use sigyn_model::{Kind, Span};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::task::JoinSet;
    use tonic::transport::Channel;
    use tower::ServiceBuilder;

    use super::cart::cart_client::CartClient;
    use super::*;

    /// Until the service has answered and recorded, which is after it has answered.
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn scrape(address: SocketAddr, spans: usize) -> Vec<Span> {
        let start = Instant::now();
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request =
                "GET /traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: */*\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let found = json_v2::decode_list(body.as_bytes()).unwrap_or_default();
            if found.len() >= spans {
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "{found:#?}");
        }
    }

    #[tokio::test]
    async fn calls_are_spans_that_can_be_scraped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, std::future::pending()));

        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let layer = sigyn_tower::client(Recorder::of_process()).with_peer("cart");
        let traced = ServiceBuilder::new().layer(layer).service(channel);
        let mut client = CartClient::new(traced);
        let items = client.get(Wanted { id: 7 }).await.unwrap().into_inner();
        assert_eq!(items.names, ["three pears", "an apple"]);
        let mut stream = client.watch(Wanted { id: 7 }).await.unwrap().into_inner();
        let mut watched = 0;
        while let Some(items) = stream.message().await.unwrap() {
            watched += items.names.len();
        }
        assert_eq!(watched, 2);
        client.get(Wanted { id: 0 }).await.unwrap_err();

        // Of each call, the client's side, the server's, and what that did.
        let spans = scrape(address, 9).await;
        assert_eq!(spans.len(), 9, "{spans:#?}");
        for (name, calls, failed) in [("cart.v1.cart/get", 2, 1), ("cart.v1.cart/watch", 1, 0)] {
            let of = |kind| {
                let spans = spans.iter().filter(move |span| span.kind == Some(kind));
                spans.filter(|span| span.name == name).collect::<Vec<_>>()
            };
            let (calling, served) = (of(Kind::Client), of(Kind::Server));
            assert_eq!((calling.len(), served.len()), (calls, calls), "{spans:#?}");
            for side in [&calling, &served] {
                assert_eq!(side.iter().filter(|span| span.is_error()).count(), failed);
            }
            for span in served {
                assert!(calling.iter().any(|call| span.parent_id == Some(call.id)));
                let load = spans.iter().find(|child| child.parent_id == Some(span.id)).unwrap();
                assert_eq!((load.name.as_str(), load.is_error()), ("load", span.is_error()));
            }
        }
    }
}
