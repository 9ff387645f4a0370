//! What is answered in each vector, and what a scraper has to make of it.

use std::ops::RangeInclusive;

use sigyn_model::codec::json_v2;
use sigyn_model::pull::media;

use super::{Books, Format, Step, Vector, gzip, hex, numbered};

const EPOCH: &str = "9f3c51d2a07be846";
const AFTER_RESTART: &str = "03b1e4c95a2f7d60";
const CLOCK: &str = "1795414855123456789";

/// A vector in the making: the state of the target, and the books of the scraper.
struct Making {
    about: &'static str,
    epoch: &'static str,
    answers: Vec<Step>,
    cursor: Option<String>,
    books: Books,
}

impl Making {
    fn new(about: &'static str) -> Self {
        let books = Books::default();
        Self { about, epoch: EPOCH, answers: Vec::new(), cursor: None, books }
    }

    /// What every answer has, with the next cursor and the counts.
    fn step(&self, status: u16, next: u64, finished: u64, lost: u64) -> Step {
        let headers = [
            ("sigyn-next", format!("{}:{next}", self.epoch)),
            ("sigyn-more", "0".to_owned()),
            ("sigyn-lost", format!("spans={lost}")),
            ("sigyn-finished", finished.to_string()),
            ("sigyn-dropped", "evicted=0,oversize=0".to_owned()),
            ("sigyn-clock", CLOCK.to_owned()),
            ("sigyn-final", "0".to_owned()),
            ("vary", "Accept, Accept-Encoding".to_owned()),
        ];
        Step {
            cursor: self.cursor.clone(),
            may_collect: None,
            status,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: String::new(),
            cut_after: None,
            spans: serde_json::json!([]),
            books: self.books.clone(),
            at_once: false,
        }
    }

    /// 200 with these segments, of these spans, in OTLP.
    fn spans(
        &self,
        segments: RangeInclusive<u64>,
        newest: u64,
        ids: RangeInclusive<u64>,
        (finished, lost): (u64, u64),
    ) -> Step {
        let (first, last) = segments.into_inner();
        let mut step = self.step(200, last + 1, finished, lost);
        let more = u8::from(last < newest).to_string();
        step.at_once = last < newest;
        put(&mut step, "sigyn-range", &format!("{}:{first}-{last}/{newest}", self.epoch));
        put(&mut step, "sigyn-more", &more);
        write(&mut step, ids, Format::Otlp, media::OTLP);
        step
    }

    /// An answer that is committed: its books and its cursor count from now on.
    fn committed(&mut self, mut step: Step, change: impl FnOnce(&mut Books)) {
        self.books.received += step.spans.as_array().map_or(0, Vec::len) as u64;
        change(&mut self.books);
        step.books = self.books.clone();
        self.cursor = step.headers.get("sigyn-next").cloned();
        self.answers.push(step);
    }

    /// One that is not.
    fn ignored(&mut self, mut step: Step) {
        step.at_once = false;
        self.answers.push(step);
    }

    fn done(self) -> Vector {
        Vector { about: self.about.to_owned(), answers: self.answers, last_cursor: self.cursor }
    }
}

fn put(step: &mut Step, name: &str, value: &str) {
    step.headers.insert(name.to_owned(), value.to_owned());
}

fn write(step: &mut Step, ids: RangeInclusive<u64>, format: Format, media: &str) {
    let spans = numbered(ids);
    step.body = hex(&format.write(&spans));
    step.spans = serde_json::from_str(&json_v2::encode_list(&spans)).unwrap();
    put(step, "content-type", media);
}

pub(super) fn vectors() -> Vec<(&'static str, Vector)> {
    vec![
        ("first-scrape", first_scrape()),
        ("pages", pages()),
        ("cut", cut()),
        ("loss", loss()),
        ("restart", restart()),
        ("restart-without-spans", restart_without_spans()),
        ("final", last()),
        ("unexplained", unexplained()),
        ("contradiction", contradiction()),
        ("busy", busy()),
        ("formats", formats()),
        ("reasons", reasons()),
        ("kept", kept()),
        ("siblings", siblings()),
        ("ended", ended()),
        ("foreign", foreign()),
    ]
}

fn first_scrape() -> Vector {
    let mut making = Making::new("A first scrape, one with nothing new, and one with a new span.");
    making.committed(making.step(204, 1, 0, 0), |_| {});
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    making.committed(making.step(204, 2, 3, 0), |_| {});
    making.committed(making.spans(2..=2, 2, 4..=4, (4, 0)), |_| {});
    making.done()
}

fn pages() -> Vector {
    let mut making = Making::new("More waits: it is asked for at once, once this is committed.");
    making.committed(making.spans(1..=1, 3, 1..=2, (6, 0)), |_| {});
    making.committed(making.spans(2..=2, 3, 3..=4, (6, 0)), |_| {});
    making.committed(making.spans(3..=3, 3, 5..=6, (6, 0)), |_| {});
    making.done()
}

fn cut() -> Vector {
    let mut making = Making::new(
        "A body that is cut commits nothing, its loss included, and is asked for again.",
    );
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    for after in [0, 1, 20] {
        let mut step = making.spans(4..=4, 4, 6..=9, (9, 2));
        step.cut_after = Some(after);
        making.ignored(step);
    }
    making.committed(making.spans(4..=4, 4, 6..=9, (9, 2)), |books| books.evicted += 2);
    making.done()
}

fn loss() -> Vector {
    let mut making =
        Making::new("What was lost before the first answer is told apart from what is lost later.");
    making.committed(making.spans(3..=3, 3, 8..=9, (9, 7)), |books| books.before_first_scrape += 7);
    let mut step = making.spans(6..=6, 6, 15..=15, (15, 5));
    put(&mut step, "sigyn-dropped", "evicted=12,oversize=0");
    making.committed(step, |books| books.evicted += 5);
    making.done()
}

fn restart() -> Vector {
    let mut making = Making::new(
        "Another epoch: a restart, whose losses belong to the new epoch, and count as evicted.",
    );
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    making.epoch = AFTER_RESTART;
    making.committed(making.spans(2..=2, 2, 4..=4, (3, 2)), |books| {
        books.restarts += 1;
        books.evicted += 2;
    });
    making.committed(making.step(204, 3, 3, 0), |_| {});
    making.done()
}

fn restart_without_spans() -> Vector {
    let mut making =
        Making::new("A restarted target without spans: the 204's cursor is committed.");
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    making.epoch = AFTER_RESTART;
    making.committed(making.step(204, 1, 0, 0), |books| books.restarts += 1);
    making.committed(making.spans(1..=1, 1, 4..=4, (1, 0)), |_| {});
    making.done()
}

fn last() -> Vector {
    let mut making = Making::new(
        "The target shuts down: the acknowledgement follows at once, and two spans came too late.",
    );
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    let mut step = making.spans(2..=2, 2, 4..=4, (6, 0));
    put(&mut step, "sigyn-final", "1");
    put(&mut step, "sigyn-dropped", "evicted=0,oversize=0,shutdown=2");
    step.at_once = true;
    making.committed(step, |books| books.shutdown += 2);
    making.done()
}

fn unexplained() -> Vector {
    let mut making = Making::new(
        "Spans that no term explains count once they are left over at two answers in a row.",
    );
    making.committed(making.spans(1..=1, 1, 1..=3, (5, 0)), |_| {});
    making.committed(making.step(204, 2, 5, 0), |books| books.unexplained += 2);
    making.committed(making.step(204, 2, 5, 0), |_| {});
    making.done()
}

fn contradiction() -> Vector {
    let mut making =
        Making::new("An answer whose headers contradict each other, or the protocol, is not kept.");
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    for (name, value) in [
        ("sigyn-next", "9f3c51d2a07be846:2"),
        ("sigyn-next", "03b1e4c95a2f7d60:3"),
        ("sigyn-range", "9f3c51d2a07be846:3-2/2"),
        ("sigyn-lost", "2"),
        ("sigyn-lost", "spans=5"),
        ("sigyn-finished", "+4"),
    ] {
        let mut step = making.spans(2..=2, 2, 4..=4, (4, 0));
        put(&mut step, name, value);
        making.ignored(step);
    }
    making.committed(making.spans(2..=2, 2, 4..=4, (4, 0)), |_| {});
    making.done()
}

fn busy() -> Vector {
    let mut making = Making::new("429 and 5xx are failed scrapes: nothing moves.");
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    let bare = |status| {
        let mut step = making.step(status, 1, 0, 0);
        step.headers.clear();
        step
    };
    let mut wait = bare(429);
    put(&mut wait, "retry-after", "0");
    let fails = bare(503);
    making.ignored(wait);
    making.ignored(fails);
    making.committed(making.spans(2..=2, 2, 4..=4, (4, 0)), |_| {});
    making.done()
}

fn formats() -> Vector {
    let mut making = Making::new(
        "Every format; gzip of several members and zstd of several frames are read whole.",
    );
    let all = [
        (Format::Otlp, media::OTLP),
        (Format::Otlp, "application/x-protobuf"),
        (Format::ZipkinProto3, media::ZIPKIN_PROTO3),
        (Format::ZipkinJson, "application/json; charset=utf-8"),
        (Format::OtlpJson, media::OTLP_JSON),
        (Format::Thrift, media::THRIFT),
    ];
    let mut seq = 0;
    for (format, media) in all {
        for coding in ["", "gzip", "zstd"] {
            seq += 1;
            let mut step = making.spans(seq..=seq, seq, 2 * seq - 1..=2 * seq, (2 * seq, 0));
            write(&mut step, 2 * seq - 1..=2 * seq, format, media);
            let whole = super::bytes(&step.body);
            // Wherever it is parted, as segments are.
            let (one, two) = whole.split_at(whole.len() / 2);
            let packed = match coding {
                "gzip" => [gzip(one), gzip(two)].concat(),
                "zstd" => [one, two].map(|part| zstd::encode_all(part, 1).unwrap()).concat(),
                _ => whole,
            };
            step.body = hex(&packed);
            if !coding.is_empty() {
                put(&mut step, "content-encoding", coding);
            }
            making.committed(step, |_| {});
        }
    }
    making.done()
}

fn reasons() -> Vector {
    let mut making = Making::new(
        "Reasons in another order, and ones that nobody knows; epochs in other spellings.",
    );
    let mut step = making.spans(1..=1, 1, 1..=3, (4, 0));
    put(&mut step, "sigyn-dropped", "new=7, oversize=1, evicted=0");
    making.committed(step, |books| books.oversize += 1);
    let mut step = making.spans(2..=2, 2, 4..=4, (5, 0));
    put(&mut step, "sigyn-dropped", "evicted=0,oversize=1");
    put(&mut step, "sigyn-range", "9F3C51D2A07BE846:2-2/2");
    making.committed(step, |_| {});
    making.done()
}

fn kept() -> Vector {
    let mut making = Making::new(
        "The target kept traces that nobody had sampled: others are asked for the rest, each once, and this one may be.",
    );
    let ids = [0x1001_u128, 0x1002].map(|id| format!("{id:032x}")).join(",");
    let mut step = making.spans(1..=1, 1, 1..=3, (3, 0));
    put(&mut step, "sigyn-kept", &ids);
    making.committed(step, |_| {});
    let mut step = making.spans(2..=2, 2, 4..=5, (5, 0));
    step.may_collect = Some(ids);
    making.committed(step, |_| {});
    // What cannot be read is as if it had not been sent.
    let mut step = making.step(204, 3, 5, 0);
    put(&mut step, "sigyn-kept", "some of them");
    making.committed(step, |_| {});
    making.committed(making.step(204, 3, 5, 0), |_| {});
    making.done()
}

fn siblings() -> Vector {
    let mut making = Making::new(
        "Processes that share a spool: each is read to its end, and none of them is a restart. The last one has ended.",
    );
    let told = |mut step: Step, siblings: &str| {
        put(&mut step, "sigyn-siblings", siblings);
        step
    };
    let other = format!("{AFTER_RESTART}:1");
    let mut step = told(making.spans(1..=1, 1, 1..=3, (3, 0)), &other);
    step.at_once = true;
    making.committed(step, |_| {});
    // Once more, so that it is known there how far it was read.
    let mut step = told(making.step(204, 2, 3, 0), &other);
    step.at_once = true;
    making.committed(step, |_| {});
    let home = making.cursor.replace(other);
    making.epoch = AFTER_RESTART;
    let mut step = told(making.spans(1..=1, 1, 4..=5, (3, 0)), &format!("{EPOCH}:2"));
    put(&mut step, "sigyn-final", "1");
    put(&mut step, "sigyn-dropped", "evicted=0,oversize=0,shutdown=1");
    step.at_once = true;
    making.committed(step, |books| books.shutdown += 1);
    // At its end the answer is about the epoch that was read first, where it goes on.
    making.epoch = EPOCH;
    let mut step = told(making.step(204, 2, 3, 0), "");
    put(&mut step, "sigyn-ended", &format!("{AFTER_RESTART}:2"));
    making.committed(step, |_| {});
    making.cursor = home;
    making.committed(told(making.spans(2..=2, 2, 6..=6, (4, 0)), ""), |_| {});
    making.done()
}

fn ended() -> Vector {
    let mut making = Making::new(
        "A process that ended without a word, and the one that tells its spool: what was left comes first, and that is no \
         restart whose tail is unknown.",
    );
    making.committed(making.spans(1..=1, 1, 1..=3, (3, 0)), |_| {});
    let mut step = making.spans(2..=2, 2, 4..=5, (5, 0));
    put(&mut step, "sigyn-final", "1");
    step.at_once = true;
    making.committed(step, |_| {});
    making.epoch = AFTER_RESTART;
    let mut step = making.spans(1..=1, 1, 6..=6, (1, 0));
    put(&mut step, "sigyn-ended", &format!("{EPOCH}:3"));
    making.committed(step, |_| {});
    making.committed(making.step(204, 2, 1, 0), |_| {});
    making.done()
}

fn foreign() -> Vector {
    let mut making = Making::new(
        "A 2017 Loki client: no headers of the protocol and no type. There is no cursor to send.",
    );
    for ids in [1..=3, 4..=4] {
        let mut step = making.step(200, 1, 0, 0);
        step.headers.clear();
        write(&mut step, ids, Format::Thrift, "");
        step.headers.clear();
        making.committed(step, |_| {});
    }
    making.done()
}
