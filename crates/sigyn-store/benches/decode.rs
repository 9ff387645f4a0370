//! How long reading takes, in CPU time of the thread: `cargo xtask bench decode` makes a table of it.

mod log;
mod work;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};
use sigyn_model::codec::Format;
use sigyn_model::columns::Columns;
use sigyn_store::TakenIn;
use work::{Corpus, Work};

const SPANS: usize = 100_000;

/// Under callgrind, which takes fifty times as long.
const SPANS_ONCE: usize = 10_000;

/// Three row groups, and one under callgrind.
const SPANS_SEALED: usize = 400_000;
const SPANS_SEALED_ONCE: usize = 130_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--once", name] => once(name, SPANS_ONCE),
        ["--once", name, spans] => once(name, spans.parse().expect("a number of spans")),
        ["--seal", directory] => seal(directory.as_ref()),
        ["--seal-once", name, directory] => seal_once(name, directory.as_ref()),
        ["--log"] => log::measure(&Corpus::new(SPANS)),
        _ => measure(),
    }
}

/// Does one work once, for callgrind, or `nothing`, and says how many spans there are.
fn once(name: &str, spans: usize) {
    let corpus = Corpus::new(spans);
    let of_name = |work: &&Work| format!("{}/{}", work.group(), work.name) == name;
    if name != "nothing" {
        let work = Work::ALL.iter().find(of_name).expect("a work of this name");
        assert_eq!(work.run(&corpus), corpus.spans);
    }
    eprintln!("spans : {}", corpus.spans);
}

/// Makes blocks in this directory, and says what each span costs in them: bytes, and time to seal it.
fn seal(directory: &Path) {
    let corpus = Corpus::new(SPANS_SEALED);
    for (number, format, bodies) in
        [(1, Format::OtlpProto, &corpus.otlp), (2, Format::ZipkinJsonV2, &corpus.zipkin)]
    {
        let taken_in = taken_in(format, bodies);
        let sealed = || {
            let begin = now();
            let bytes = taken_in.seal(directory, number).expect("a block");
            (now().saturating_sub(begin), bytes)
        };
        let (took, bytes) = (0..3).map(|_| sealed()).min().expect("three rounds");
        let spans = corpus.spans as u64;
        eprintln!(
            "{format:?}: {spans} spans, {:.2} bytes a span, {} ns of CPU a span",
            bytes as f64 / spans as f64,
            took.as_nanos() / u128::from(spans),
        );
    }
}

/// Makes one block in this directory, for callgrind: it is told to count what happens in
/// `TakenIn::seal` alone.
fn seal_once(name: &str, directory: &Path) {
    let corpus = Corpus::new(SPANS_SEALED_ONCE);
    let (format, bodies) = match name {
        "otlp" => (Format::OtlpProto, &corpus.otlp),
        _ => (Format::ZipkinJsonV2, &corpus.zipkin),
    };
    let bytes = taken_in(format, bodies).seal(directory, 1).expect("a block");
    eprintln!("spans : {}, bytes: {bytes}", corpus.spans);
}

fn taken_in(format: Format, bodies: &[Vec<u8>]) -> TakenIn {
    let mut taken_in = TakenIn::default();
    for body in bodies {
        let mut columns = Columns::default();
        columns.read(format, body).expect("spans of the corpus");
        taken_in.take_in(&columns, &mut Vec::new());
    }
    taken_in
}

fn measure() {
    let corpus = Corpus::new(SPANS);
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime(WallTime))
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for work in Work::ALL {
        let mut group = criterion.benchmark_group(work.group());
        group.throughput(Throughput::Elements(corpus.spans as u64));
        group.bench_function(work.name, |bencher| bencher.iter(|| work.run(black_box(&corpus))));
        group.finish();
    }
    criterion.final_summary();
}

/// The time that this thread had a processor: others on the machine take it, but are not counted.
struct CpuTime(WallTime);

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, start: Duration) -> Duration {
        now().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
