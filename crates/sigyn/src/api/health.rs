//! Whether the tracer is well and which it is, as Zipkin's probes and operators ask.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use sigyn_store::Store;

/// What Spring's clients expect below `/actuator`.
const ACTUATOR: &str = "application/vnd.spring-boot.actuator.v2+json; charset=utf-8";

/// `/health` and `/info`, and the same below `/actuator`. Always there, whatever else is turned off.
pub(crate) fn router(store: Store) -> Router {
    let only_get = async || StatusCode::METHOD_NOT_ALLOWED;
    Router::new()
        .route("/health", get(health))
        .route("/actuator/health", get(async |state| actuator(health(state).await)))
        .route("/info", get(info).fallback(only_get))
        .route("/actuator/info", get(async || actuator(info().await)).fallback(only_get))
        .with_state(store)
}

/// Whether spans can be stored: 200 while they can, 503 from the moment they cannot.
async fn health(State(store): State<Store>) -> Response {
    let stats = store.stats();
    let failed = stats.poisoned.or(stats.refusing);
    let status = if failed.is_some() { "DOWN" } else { "UP" };
    let details = failed.map_or(String::new(), |cause| {
        let cause = serde_json::Value::String(cause.to_string());
        format!(",\n        \"details\" : {{\n          \"error\" : {cause}\n        }}")
    });
    let body = format!(
        r#"{{
  "status" : "{status}",
  "zipkin" : {{
    "status" : "{status}",
    "details" : {{
      "SigynStore{{}}" : {{
        "status" : "{status}"{details}
      }}
    }}
  }}
}}"#
    );
    let mut response = utf8_json(body);
    if status == "DOWN" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn info() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    utf8_json(format!(r#"{{"zipkin":{{"version":"{version}","commit":"sigyn"}}}}"#))
}

fn utf8_json(body: String) -> Response {
    let type_ = HeaderValue::from_static("application/json; charset=utf-8");
    ([(CONTENT_TYPE, type_)], body).into_response()
}

fn actuator(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ACTUATOR));
    response
}
