//! An answer as it is written: within bounds, and for as long as somebody waits for it.

use http::StatusCode;
use sigyn_model::Span;
use sigyn_model::codec::json_v2;
use sigyn_store::{Memory, QueryFailed, Stop};

use crate::reply::ApiError;

/// What is held for one answer: spans as they are gathered, and then the text that is written of
/// them. A screen shows less than a hundredth of it.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer is larger than {} MiB: ask for fewer traces, or for a shorter time", bytes_max >> 20)]
    TooLarge { bytes_max: u64 },
    #[error("{0}: ask again")]
    NoRoom(QueryFailed),
    /// What is shown of it, that is.
    #[error("{}", too_large(*bytes, *bytes_max))]
    TraceTooLarge { bytes: u64, bytes_max: u64 },
    #[error("{}; /api/v1/trace/ID/columns and /spans show it with less", too_large(*bytes, *bytes_max))]
    WholeTraceTooLarge { bytes: u64, bytes_max: u64 },
    #[error("the trace is larger than {} MiB as text: /api/v1/trace/ID/columns and /spans show it in parts", bytes_max >> 20)]
    TextTooLarge { bytes_max: u64 },
    #[error("these spans are larger than {} MiB: ask for fewer rows", bytes_max >> 20)]
    RowsTooLarge { bytes_max: u64 },
    #[error(transparent)]
    Query(QueryFailed),
    #[error("cannot write the answer")]
    Write(#[from] serde_json::Error),
}

/// What is said of a trace that takes so much, with what would let it pass.
fn too_large(bytes: u64, bytes_max: u64) -> String {
    format!(
        "the trace takes about {} MiB, and one answer may take {} MiB, an eighth of --storage.memory \
         less {} MiB: --storage.memory={}MiB would do",
        bytes.div_ceil(1 << 20),
        bytes_max >> 20,
        Memory::APART >> 20,
        Memory::for_answer(bytes) >> 20
    )
}

impl AnswerError {
    /// Of an answer that is one whole trace: there are no fewer to ask for.
    pub(crate) fn of_one(error: impl Into<Self>) -> Self {
        match error.into() {
            Self::TooLarge { bytes_max } => Self::TextTooLarge { bytes_max },
            Self::TraceTooLarge { bytes, bytes_max } => {
                Self::WholeTraceTooLarge { bytes, bytes_max }
            }
            error => error,
        }
    }

    /// Of an answer that is some rows of one.
    pub(crate) fn of_rows(error: impl Into<Self>) -> Self {
        match error.into() {
            Self::TooLarge { bytes_max } => Self::RowsTooLarge { bytes_max },
            error => error,
        }
    }
}

impl From<QueryFailed> for AnswerError {
    fn from(error: QueryFailed) -> Self {
        match error {
            QueryFailed::TooLarge { bytes_max } => Self::TooLarge { bytes_max },
            QueryFailed::TraceTooLarge { bytes, bytes_max } => {
                Self::TraceTooLarge { bytes, bytes_max }
            }
            error @ QueryFailed::NoRoom => Self::NoRoom(error),
            error => Self::Query(error),
        }
    }
}

impl From<AnswerError> for ApiError {
    fn from(error: AnswerError) -> Self {
        match error {
            // The server is well, and will say the same to the same question.
            AnswerError::TooLarge { .. }
            | AnswerError::TraceTooLarge { .. }
            | AnswerError::WholeTraceTooLarge { .. }
            | AnswerError::TextTooLarge { .. }
            | AnswerError::RowsTooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            AnswerError::NoRoom(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            AnswerError::Query(error) => Self::failed(error),
            error => Self::failed(error),
        }
    }
}

/// Text that is written piece by piece, each a span or a trace.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    out: String,
    bytes_max: usize,
    stop: &'a Stop,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(stop: &'a Stop) -> Self {
        Self { out: String::new(), bytes_max: ANSWER_BYTES_MAX, stop }
    }

    /// Writes a piece, unless nobody waits for it any more or it has become too much.
    pub(crate) fn write(&mut self, piece: impl FnOnce(&mut String)) -> Result<(), AnswerError> {
        check(self.stop)?;
        piece(&mut self.out);
        within(self.out.len(), self.bytes_max)
    }

    /// A list of pieces.
    pub(crate) fn list<T>(
        &mut self,
        pieces: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> Result<(), AnswerError>,
    ) -> Result<(), AnswerError> {
        self.write(|out| out.push('['))?;
        for (at, piece) in pieces.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            write(self, piece)?;
        }
        self.write(|out| out.push(']'))
    }

    /// Spans of one trace, in Zipkin's JSON.
    pub(crate) fn spans(&mut self, spans: &[Span]) -> Result<(), AnswerError> {
        self.list(spans, |answer, span| answer.write(|out| json_v2::write_span(span, out)))
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }
}

/// Whether somebody waits.
pub(crate) fn check(stop: &Stop) -> Result<(), AnswerError> {
    if stop.is_stopped() { Err(AnswerError::Query(QueryFailed::Stopped)) } else { Ok(()) }
}

/// Whether so much is no more than one answer may be.
pub(crate) fn within(bytes: usize, bytes_max: usize) -> Result<(), AnswerError> {
    match bytes > bytes_max {
        true => Err(AnswerError::TooLarge { bytes_max: bytes_max as u64 }),
        false => Ok(()),
    }
}

/// Spans one by one, up to where nobody waits for them any more: what is made of them is then to be
/// thrown away, as [`check`] says.
pub(crate) fn while_wanted<'a>(
    spans: impl IntoIterator<Item = &'a Span>,
    stop: &Stop,
) -> impl Iterator<Item = &'a Span> {
    spans.into_iter().take_while(|_| !stop.is_stopped())
}

#[cfg(test)]
mod tests {
    use sigyn_model::{SpanId, TraceId};

    use super::*;

    fn spans(n: u64) -> Vec<Span> {
        let ids = (1..=n).map(|id| (format!("{id:x}"), format!("{id:x}")));
        let ids = ids.map(|(trace, id)| {
            Span::new(TraceId::parse(&trace).unwrap(), SpanId::parse(&id).unwrap())
        });
        ids.collect()
    }

    #[test]
    fn what_is_written_is_a_list() {
        let check = |n| {
            let (spans, stop) = (spans(n), Stop::default());
            let mut answer = Answer::new(&stop);
            answer.spans(&spans).unwrap();
            assert_eq!(answer.finish(), json_v2::encode_list(&spans));
        };
        check(0);
        check(1);
        check(3);
    }

    #[test]
    fn writing_ends_where_it_becomes_too_much() {
        let (spans, stop) = (spans(1_000), Stop::default());
        let mut answer = Answer { bytes_max: 1_000, ..Answer::new(&stop) };
        let error = ApiError::from(answer.spans(&spans).unwrap_err());
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(error.message.starts_with("the answer is larger than"), "{}", error.message);
        assert!(answer.finish().len() < 1_100);
    }

    #[test]
    fn who_asks_for_a_trace_that_is_too_large_is_told_what_would_do() {
        let query = || QueryFailed::TraceTooLarge { bytes: 19 << 20, bytes_max: 8 << 20 };
        let told = "the trace takes about 19 MiB, and one answer may take 8 MiB, an eighth of \
            --storage.memory less 32 MiB: --storage.memory=192MiB would do";
        assert_eq!(AnswerError::of_rows(query()).to_string(), told);
        let whole = "; /api/v1/trace/ID/columns and /spans show it with less";
        assert_eq!(AnswerError::of_one(query()).to_string(), format!("{told}{whole}"));
        assert!(Memory::within(192 << 20).answer() >= 19 << 20);
        let rows = AnswerError::of_rows(QueryFailed::TooLarge { bytes_max: 8 << 20 });
        assert_eq!(rows.to_string(), "these spans are larger than 8 MiB: ask for fewer rows");
        for error in [AnswerError::of_one(query()), rows] {
            assert_eq!(ApiError::from(error).status, StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[test]
    fn writing_ends_where_nobody_waits() {
        let (spans, stop) = (spans(3), Stop::default());
        let mut answer = Answer::new(&stop);
        answer.spans(&spans[..1]).unwrap();
        assert_eq!(while_wanted(&spans, &stop).count(), 3);
        stop.stop();
        assert!(matches!(answer.spans(&spans), Err(AnswerError::Query(QueryFailed::Stopped))));
        assert_eq!(while_wanted(&spans, &stop).count(), 0);
    }
}
