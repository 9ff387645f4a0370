//! What questions have in common: filters in their parameters, and answers to those that make no sense.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use sigyn_model::{Filter, FilterError};

use super::Params;
use crate::reply::{ApiError, failure, json};

/// Why a question is not answered.
#[derive(Debug)]
pub(super) enum Refused {
    Filter { parameter: &'static str, error: FilterError },
    Other(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl IntoResponse for Refused {
    /// Prometheus' envelope. For a filter it says beside the message where the filter is wrong.
    fn into_response(self) -> Response {
        let (parameter, error) = match self {
            Self::Filter { parameter, error } => (parameter, error),
            Self::Other(error) => return failure(&error),
        };
        let body = serde_json::json!({
            "status": "error",
            "errorType": "bad_data",
            "error": format!("{parameter}: {error}"),
            "at": { "parameter": parameter, "from": error.from, "to": error.to },
        });
        let mut response = json(body.to_string());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

/// The filter in a parameter; one that is not there lets everything pass.
pub(super) fn filter(params: &Params, parameter: &'static str) -> Result<Filter, Refused> {
    let text = params.first(parameter).unwrap_or("");
    text.parse().map_err(|error| Refused::Filter { parameter, error })
}
