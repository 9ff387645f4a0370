//! A subscriber of the whole process. Alone in its program: `tracing` lets nobody in twice who has set
//! one for a thread, and everybody who has not.

use std::fmt;

use http::Request;
use http_body_util::BodyExt as _;
use sigyn_model::codec::json_v2;
use sigyn_recorder::{Exposition, Recorder};
use sigyn_tracing::SpanExt as _;
use tracing::field::{Empty, debug};
use tracing::{Span, info, info_span};
use tracing_subscriber::prelude::*;

/// Says something, and looks around, while it is written out.
struct Talkative;

impl fmt::Debug for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("being written");
        info_span!("writing").in_scope(|| info!("at it"));
        assert!(Span::current().context().is_some());
        f.write_str("written")
    }
}

#[tokio::test]
async fn values_may_use_tracing_while_they_are_written() {
    let recorder = Recorder::of_process();
    tracing_subscriber::registry().with(sigyn_tracing::layer(recorder.clone())).init();
    {
        let _outer = info_span!("outer").entered();
        let inner = info_span!("inner", at = ?Talkative, late = Empty).entered();
        inner.record("late", debug(Talkative));
        info!(value = ?Talkative, "said {:?}", Talkative);
    }
    let (request, ()) =
        Request::get("/traces").header("accept", "*/*").body(()).unwrap().into_parts();
    let body = Exposition::new(recorder).respond(&request).await.into_body();
    let spans = json_v2::decode_list(&body.collect().await.unwrap().to_bytes()).unwrap();
    let of = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let inner = of("inner").next().unwrap();
    let tags = inner.zipkin_tags();
    assert_eq!((tags["at"].as_ref(), tags["late"].as_ref()), ("written", "written"));
    assert_eq!(
        inner.annotations.iter().filter(|said| said.value.contains("said written")).count(),
        1,
        "{inner:?}"
    );
    assert_eq!(of("writing").count(), 4);
    assert!(inner.service_name().is_some_and(|name| name.starts_with("global")));
}
