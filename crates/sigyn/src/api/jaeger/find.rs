//! Jaeger's parameters for finding traces, as a query.

use std::collections::BTreeMap;
use std::time::Duration;

use sigyn_model::{QueryParams, TagTerm, TraceId, TraceQuery};

use crate::api::Params;
use crate::api::zipkin::now_ms;
use crate::reply::ApiError;

/// Jaeger's default for `limit`.
const LIMIT: i64 = 100;
/// Jaeger's default for how far a search looks back, in microseconds.
const LOOKBACK_US: i64 = 2 * 24 * 60 * 60 * 1_000_000;

/// A search in Jaeger's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) service: String,
    pub(super) operation: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) start_us: Option<i64>,
    pub(super) end_us: Option<i64>,
    pub(super) min_duration: Option<Duration>,
    pub(super) max_duration: Option<Duration>,
    /// Zero means that none is said.
    pub(super) limit: i64,
}

impl Search {
    pub(super) fn query(self) -> Result<TraceQuery, ApiError> {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let max = self.max_duration.filter(|max| !max.is_zero()).map(micros);
        let min = self.min_duration.filter(|min| !min.is_zero()).map(micros);
        if let (Some(min), Some(max)) = (min, max)
            && max < min
        {
            return Err(ApiError::bad("'maxDuration' should be greater than 'minDuration'"));
        }
        if self.limit < 0 {
            let limit = self.limit;
            return Err(ApiError::bad(format!("'limit' is {limit}: it must be 1 or more")));
        }
        let end_us =
            self.end_us.unwrap_or_else(|| now_ms().saturating_mul(1_000).saturating_add(999));
        let start_us = self.start_us.unwrap_or_else(|| end_us.saturating_sub(LOOKBACK_US));
        if start_us > end_us {
            return Err(ApiError::bad("the start of the search is after its end"));
        }
        if end_us < 1 {
            return Err(ApiError::bad(format!(
                "the end of the search is {end_us}: it must be 1 or more"
            )));
        }
        let micros_of = |us: i64| u64::try_from(us).unwrap_or(0);
        let query = TraceQuery::new(&QueryParams {
            service_name: Some(self.service),
            span_name: Some(self.operation),
            // Any duration, where only the longest is said.
            min_duration_us: min.or(max.map(|_| 1)),
            max_duration_us: max,
            // Whatever it is: the window is said in microseconds.
            end_ts_ms: 1,
            lookback_ms: 1,
            limit: if self.limit == 0 { LIMIT } else { self.limit },
            ..QueryParams::default()
        });
        let query = query.map_err(|error| ApiError::bad(error.to_string()))?;
        let query = query.with_window_us((micros_of(start_us), micros_of(end_us)));
        Ok(query.with_terms(self.tags.into_iter().map(term).collect()))
    }
}

/// `error=true` is what Jaeger says of a failed span, whatever its error.
fn term((key, value): (String, String)) -> TagTerm {
    let any = key == "error" && value == "true";
    TagTerm { key, value: (!any).then_some(value) }
}

/// The parameters of `/api/traces`.
pub(super) fn search(params: &Params) -> Result<TraceQuery, ApiError> {
    let service = params.text("service").filter(|service| !service.is_empty());
    let service = service.ok_or_else(|| ApiError::bad("parameter 'service' is required"))?;
    let mut tags = BTreeMap::new();
    for pair in params.all("tag") {
        let (key, value) = pair.split_once(':').ok_or_else(|| {
            let message =
                format!("malformed 'tag' parameter, expecting key:value, received: {pair}");
            ApiError::bad(message)
        })?;
        tags.insert(key.to_owned(), value.to_owned());
    }
    for text in params.all("tags").filter(|text| !text.is_empty()) {
        tags.append(&mut tags_of_json(text)?);
    }
    let search = Search {
        service,
        operation: params.text("operation").unwrap_or_default(),
        tags,
        start_us: number(params, "start")?,
        end_us: number(params, "end")?,
        min_duration: duration_of(params, "minDuration")?,
        max_duration: duration_of(params, "maxDuration")?,
        limit: number(params, "limit")?.unwrap_or(0),
    };
    search.query()
}

/// `{"key":"value"}`.
pub(super) fn tags_of_json(text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    serde_json::from_str(text).map_err(|error| {
        ApiError::bad(format!("malformed 'tags' parameter, cannot unmarshal JSON: {error}"))
    })
}

/// A trace's id in hexadecimal digits of either case.
pub(super) fn trace_id(text: &str) -> Result<TraceId, ApiError> {
    TraceId::parse(&text.trim().to_ascii_lowercase())
        .map_err(|error| ApiError::bad(error.to_string()))
}

/// A number above zero, or the default.
pub(super) fn positive(params: &Params, name: &'static str, default: i64) -> Result<u64, ApiError> {
    let n = number(params, name)?.unwrap_or(default);
    u64::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| {
        ApiError::bad(format!("unable to parse param '{name}': {n} is not above zero"))
    })
}

fn number(params: &Params, name: &'static str) -> Result<Option<i64>, ApiError> {
    let text = params.first(name).filter(|text| !text.is_empty());
    let number = text.map(|text| {
        text.parse().map_err(|_| {
            ApiError::bad(format!("unable to parse param '{name}': {text:?} is no number"))
        })
    });
    number.transpose()
}

fn duration_of(params: &Params, name: &'static str) -> Result<Option<Duration>, ApiError> {
    let text = params.first(name).filter(|text| !text.is_empty());
    let duration = text.map(|text| {
        duration(text).ok_or_else(|| {
            ApiError::bad(format!("unable to parse param '{name}': {text:?} is no duration"))
        })
    });
    duration.transpose()
}

/// A duration as Go writes it: `1.2s`, `1h2m3.5s`, `100us`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let check = |text, expected: Option<u64>| {
            assert_eq!(duration(text), expected.map(Duration::from_micros), "{text}");
        };
        check("1.2s", Some(1_200_000));
        check("100us", Some(100));
        check("100\u{b5}s", Some(100));
        check("1h2m3.5s", Some(3_723_500_000));
        check("250ms", Some(250_000));
        check("0", Some(0));
        for text in ["", "1", "s", "1.2.3s", "1d", "-1s", "1 s", ".", "1e400h"] {
            check(text, None);
        }
    }

    fn refused(query: &str) -> String {
        search(&Params::parse(query).unwrap()).unwrap_err().message
    }

    #[test]
    fn a_search_needs_a_service_and_makes_sense() {
        assert_eq!(refused("limit=1"), "parameter 'service' is required");
        assert!(refused("service=a&tag=x").starts_with("malformed 'tag' parameter"));
        assert!(refused("service=a&tags=x").starts_with("malformed 'tags' parameter"));
        assert!(refused("service=a&start=x").starts_with("unable to parse param 'start'"));
        let message = "'maxDuration' should be greater than 'minDuration'";
        assert_eq!(refused("service=a&minDuration=2s&maxDuration=1s"), message);
    }

    #[test]
    fn parameters_become_a_query() {
        let text = "service=Web&operation=GET&start=1000001&end=2000001&limit=5&maxDuration=1s\
                    &tag=a:b:c&tags=%7B%22error%22%3A%22true%22%2C%22q%22%3A%221%20and%202%22%7D";
        let query = search(&Params::parse(text).unwrap()).unwrap();
        assert_eq!(query.service_name(), Some("web"));
        assert_eq!(query.span_name(), Some("get"));
        assert_eq!(query.window_us(), (1_000_001, 2_000_001));
        assert_eq!(query.limit(), 5);
        let terms: Vec<_> =
            query.terms().iter().map(|t| (t.key.as_str(), t.value.as_deref())).collect();
        assert_eq!(terms, [("a", Some("b:c")), ("error", None), ("q", Some("1 and 2"))]);
    }
}
