//! The spans that are read: the shop's, in two formats.

use sigyn_model::Span;

use super::corpus::{Shop, as_zipkin_json, otlp};

/// The same spans in two formats.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(crate) spans: usize,
    /// `ExportTraceServiceRequest`s.
    pub(crate) otlp: Vec<Vec<u8>>,
    /// Lists of Zipkin's v2 JSON.
    pub(crate) zipkin: Vec<Vec<u8>>,
}

impl Corpus {
    /// At least so many spans.
    pub(crate) fn new(spans: usize) -> Self {
        let requests = requests(spans);
        Self {
            spans: requests.iter().map(Vec::len).sum(),
            otlp: requests.iter().map(|spans| otlp::encode(spans)).collect(),
            zipkin: requests.iter().map(|spans| as_zipkin_json(spans)).collect(),
        }
    }
}

/// Spans by request, in the order in which the requests are sent.
fn requests(spans: usize) -> Vec<Vec<Span>> {
    let mut shop = Shop::default();
    let mut requests = Vec::new();
    while shop.made < spans {
        shop.visit(|request| requests.push(request));
    }
    requests.extend(shop.waiting.into_iter().filter(|spans| !spans.is_empty()));
    requests
}
