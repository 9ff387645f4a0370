//! What spans cost on their way from a batch's columns into the log and the head, and back from the log.

use std::time::Duration;

use sigyn_model::codec::Format;
use sigyn_model::columns::Columns;
use sigyn_store::TakenIn;

use crate::work::Corpus;

/// The best of so many rounds is told.
const ROUNDS: usize = 5;

/// Prints a table, for people.
pub(crate) fn measure(corpus: &Corpus) {
    for (name, format, bodies) in [
        ("otlp", Format::OtlpProto, &corpus.otlp),
        ("zipkin_json", Format::ZipkinJsonV2, &corpus.zipkin),
    ] {
        let batches: Vec<Columns> = bodies.iter().map(|body| batch(format, body)).collect();
        let mut best = [Duration::MAX; 2];
        let mut sizes = [0; 2];
        for _ in 0..ROUNDS {
            let start = crate::now();
            let mut taken = TakenIn::default();
            let mut frames: Vec<Vec<u8>> = Vec::new();
            for batch in &batches {
                let mut frame = Vec::new();
                taken.take_in(batch, &mut frame);
                frames.push(frame);
            }
            best[0] = best[0].min(crate::now() - start);
            sizes = [
                frames.iter().map(Vec::len).sum(),
                usize::try_from(taken.head_bytes()).unwrap_or(0),
            ];
            let start = crate::now();
            let mut again = TakenIn::default();
            assert!(frames.iter().all(|frame| again.replay(frame)));
            best[1] = best[1].min(crate::now() - start);
            assert_eq!((taken.spans(), again.spans()), (corpus.spans as u64, corpus.spans as u64));
        }
        let each = |total: usize| total as f64 / corpus.spans as f64;
        let ns = |took: Duration| took.as_secs_f64() * 1e9 / corpus.spans as f64;
        eprintln!(
            "{name}: {:.1} bytes in the log, {:.1} in the head; {:.0} ns into both, {:.0} ns from the log",
            each(sizes[0]),
            each(sizes[1]),
            ns(best[0]),
            ns(best[1]),
        );
    }
}

/// A body, as a door would hand it over.
fn batch(format: Format, body: &[u8]) -> Columns {
    let mut columns = Columns::default();
    columns.read(format, body).expect("good spans");
    columns
}
