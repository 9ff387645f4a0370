//! `/zipkin/config.json`: what Zipkin's web UI is told about its server.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::environment::UiSettings;
use crate::reply;

pub(crate) fn router(settings: &UiSettings) -> Router {
    let document = Document::new(settings);
    let only_get = async || StatusCode::METHOD_NOT_ALLOWED;
    Router::new().route("/zipkin/config.json", get(config).fallback(only_get)).with_state(document)
}

#[derive(Clone, Debug)]
struct Document {
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    /// Keys, order and nulls as Zipkin writes them.
    fn new(ui: &UiSettings) -> Self {
        let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, |text| json!(text));
        let body = format!(
            r#"{{
  "environment" : {},
  "queryLimit" : {},
  "defaultLookback" : {},
  "searchEnabled" : {},
  "logsUrl" : {},
  "supportUrl" : {},
  "archivePostUrl" : {},
  "archiveUrl" : {},
  "dependency" : {{
    "enabled" : {},
    "lowErrorRate" : {},
    "highErrorRate" : {}
  }}
}}"#,
            json!(ui.environment),
            ui.query_limit,
            ui.default_lookback_ms,
            ui.search_enabled,
            text(&ui.logs_url),
            text(&ui.support_url),
            text(&ui.archive_post_url),
            text(&ui.archive_url),
            ui.dependency_enabled,
            json!(ui.low_error_rate),
            json!(ui.high_error_rate),
        );
        let etag = reply::etag(body.as_bytes());
        Self { body: body.into(), etag }
    }
}

async fn config(State(document): State<Document>, headers: HeaderMap) -> Response {
    let cached =
        [(CACHE_CONTROL, HeaderValue::from_static("max-age=600")), (ETAG, document.etag.clone())];
    if reply::is_fresh(&headers, &document.etag) {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    let type_ = HeaderValue::from_static("application/json; charset=utf-8");
    (cached, [(CONTENT_TYPE, type_)], document.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_variables_it_is_zipkins() {
        let expected = r#"{
  "environment" : "",
  "queryLimit" : 10,
  "defaultLookback" : 900000,
  "searchEnabled" : true,
  "logsUrl" : null,
  "supportUrl" : null,
  "archivePostUrl" : null,
  "archiveUrl" : null,
  "dependency" : {
    "enabled" : true,
    "lowErrorRate" : 0.5,
    "highErrorRate" : 0.75
  }
}"#;
        assert_eq!(Document::new(&UiSettings::default()).body, expected);
    }

    #[test]
    fn what_is_set_is_quoted() {
        let ui = UiSettings {
            logs_url: Some("http://logs/\"{traceId}\"".to_owned()),
            ..UiSettings::default()
        };
        let document: Value = serde_json::from_slice(&Document::new(&ui).body).unwrap();
        assert_eq!(document["logsUrl"], "http://logs/\"{traceId}\"");
    }
}
