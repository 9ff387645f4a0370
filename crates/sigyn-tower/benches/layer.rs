//! What the layers add to a request: `cargo bench -p sigyn-tower --bench layer`.
//!
//! The service within answers at once, and nothing is sent anywhere: what is measured is what comes on top
//! of what a service does. It is the least of many short measurements, since on a shared machine whatever
//! else comes on top is somebody else's; allocations are counted by the program's allocator.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::alloc::System;
use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use sigyn_recorder::{Options, Recorder};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer as _, Service, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests in one measurement, and measurements of one case.
const REQUESTS: u32 = 1_000;
const ROUNDS: usize = 400;

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<()>) -> Result<Answer, Infallible> {
    black_box(request);
    Ok(Response::new(Full::from("three pears\n")))
}

fn request(b3: Option<&'static str>) -> Request<()> {
    let mut request = Request::get("http://127.0.0.1:8080/cart/7").body(()).expect("a request");
    if let Some(b3) = b3 {
        request.headers_mut().insert("b3", HeaderValue::from_static(b3));
    }
    request
}

/// Asks, and reads the answer: nothing of it ever waits.
fn ask<S, B>(service: &mut S, b3: Option<&'static str>)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
{
    let mut task = Context::from_waker(Waker::noop());
    let response = pin!(service.call(request(b3))).poll(&mut task).map(Result::ok);
    let std::task::Poll::Ready(Some(response)) = response else { return };
    let mut body = pin!(response.into_body());
    while !body.is_end_stream() {
        let _ = black_box(body.as_mut().poll_frame(&mut task));
    }
}

fn case(name: &str, mut once: impl FnMut()) {
    (0..REQUESTS).for_each(|_| once());
    let region = Region::new(ALLOCATOR);
    (0..REQUESTS).for_each(|_| once());
    let change = region.change();
    let allocations = (change.allocations + change.reallocations) as f64 / f64::from(REQUESTS);
    let mut all: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..REQUESTS).for_each(|_| once());
            start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
        })
        .collect();
    all.sort_by(f64::total_cmp);
    println!("{name:<46} {:>8.1} {:>8.1} {allocations:>8.2}", all[0], all[ROUNDS / 2]);
}

fn main() {
    const SAMPLED: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
    const UNSAMPLED: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0";
    let recorder = Recorder::new(Options { service_name: "bench".into(), ..Options::default() });
    println!("{:<46} {:>8} {:>8} {:>8}", "a request", "ns least", "median", "allocs");
    let mut bare = service_fn(answer);
    case("without a layer", || ask(&mut bare, Some(SAMPLED)));
    let mut server = sigyn_tower::server(recorder.clone()).layer(service_fn(answer));
    case("server, a trace begins", || ask(&mut server, None));
    case("server, child of a caller's span", || ask(&mut server, Some(SAMPLED)));
    case("server, not sampled", || ask(&mut server, Some(UNSAMPLED)));
    let mut client = sigyn_tower::client(recorder).layer(service_fn(answer));
    case("client, two headers", || ask(&mut client, None));
}
