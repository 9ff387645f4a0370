//! What is asked of many spans, and how quickly it is to be answered.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// A search asks for traces of this long before a known one, and a second after it.
const LOOKBACK_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * LOOKBACK_MS;
/// How often each is asked at least, as far as there is time.
const TIMES: usize = 100;

/// Something to ask, many times over.
pub(super) struct Question {
    pub(super) name: &'static str,
    /// Milliseconds that the median may take, and that 99 of 100 may.
    pub(super) p50_max_ms: Option<f64>,
    pub(super) p99_max_ms: Option<f64>,
    pub(super) paths: Vec<String>,
}

/// A trace that the sender wrote down.
struct Sample {
    id: String,
    service: String,
    at_ms: u64,
    needle: Option<String>,
}

fn read(samples: &Path) -> Result<Vec<Sample>> {
    let text = std::fs::read_to_string(samples).context("cannot read what was sent")?;
    // The last line may not be written to its end.
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let read = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [id, service, at_ms, needle] = words[..] else { bail!("a sample of other parts") };
        Ok(Sample {
            id: id.to_owned(),
            service: service.to_owned(),
            at_ms: at_ms.parse()?,
            needle: (needle != "-").then(|| needle.to_owned()),
        })
    });
    read.collect()
}

/// Questions about the traces that the sender wrote down.
pub(super) fn questions(samples: &Path) -> Result<Vec<Question>> {
    let samples = read(samples)?;
    let last = samples.last().context("nothing was sent")?;
    let end = last.at_ms + 1_000;
    // Spread over all that is stored.
    let some: Vec<&Sample> = samples.iter().step_by((samples.len() / 1_000).max(1)).collect();
    let each = |path: &dyn Fn(&Sample) -> String| some.iter().map(|sample| path(sample)).collect();
    let often = |path: String| vec![path; TIMES];
    let needles: Vec<String> = samples.iter().filter_map(|sample| sample.needle.clone()).collect();
    let needles = needles.iter().cycle().take(if needles.is_empty() { 0 } else { TIMES });
    let day = format!("endTs={end}&lookback={DAY_MS}");
    let question =
        |name, (p50_max_ms, p99_max_ms), paths| Question { name, p50_max_ms, p99_max_ms, paths };
    let no_gate = (None, None);
    Ok(vec![
        question(
            "trace by id",
            (Some(2.0), Some(5.0)),
            each(&|sample| format!("/api/v2/trace/{}", sample.id)),
        ),
        question(
            "search: service, tag, duration; newest 20",
            (None, Some(20.0)),
            each(&|Sample { service, at_ms, .. }| {
                let end = at_ms + 1_000;
                format!("/api/v2/traces?serviceName={service}&annotationQuery=http.request.method%3DGET&minDuration=1000&limit=20&endTs={end}&lookback={LOOKBACK_MS}")
            }),
        ),
        question(
            "a tag value that one trace has, anywhere",
            (None, Some(50.0)),
            needles
                .map(|needle| format!("/api/v2/traces?annotationQuery=bench.needle%3D{needle}&limit=20&endTs={end}&lookback={end}"))
                .collect(),
        ),
        question(
            "rate, errors, durations of all services, a day",
            (None, Some(50.0)),
            often(format!("/api/v1/red?by=service&{day}")),
        ),
        question(
            "the same by service, name, kind and status",
            no_gate,
            often(format!("/api/v1/red?by=service,name,kind,status&{day}")),
        ),
        question(
            "the same of one service by a tag, an hour",
            no_gate,
            each(&|Sample { service, at_ms, .. }| format!("/api/v1/red?by=http.request.method&q=service%3D{service}&endTs={at_ms}&lookback={LOOKBACK_MS}")),
        ),
        question("heat map of spans, a day", no_gate, often(format!("/api/v1/heatmap?of=spans&{day}"))),
        question(
            "search: status code of 500 and more; newest 20",
            no_gate,
            often(format!("/api/v1/search?q=http.response.status_code%3E%3D500&limit=20&{day}")),
        ),
        question("keys with counts, a day", no_gate, often(format!("/api/v1/keys?{day}"))),
        question(
            "values of a tag with counts, a day",
            no_gate,
            often(format!("/api/v1/values?key=http.request.method&{day}")),
        ),
        question(
            "dependencies, an hour",
            no_gate,
            often(format!("/api/v2/dependencies?endTs={end}&lookback={LOOKBACK_MS}")),
        ),
        question("names of services", no_gate, often("/api/v2/services".to_owned())),
    ])
}

/// What is asked while spans still come in: some of each kind, of the newest.
pub(super) fn along(samples: &Path, times: usize) -> Result<Vec<Question>> {
    let mut questions = questions(samples)?;
    for question in &mut questions {
        let first = question.paths.len().saturating_sub(times);
        question.paths.drain(..first);
    }
    Ok(questions)
}

/// Whether a gate holds, in words.
pub(super) fn verdict(measured_ms: f64, max_ms: Option<f64>) -> String {
    match max_ms {
        None => "-".to_owned(),
        Some(max_ms) if measured_ms <= max_ms => format!("{max_ms:.0} holds"),
        Some(max_ms) => format!("{max_ms:.0} does NOT hold"),
    }
}
