//! The two laws under random histories: record, scrape, cut, evict, forget, shut down, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use sigyn_model::pull::{self, Cursor};
use sigyn_recorder::{Options, Peer};

use crate::target::{Answer, OTLP, Target, read_pieces, span};

#[derive(Clone, Debug)]
enum Step {
    Record {
        spans: u8,
        bytes: u16,
    },
    /// One request of a scraper; `cut`: its answer never arrives whole.
    Scrape {
        scraper: usize,
        bytes_max: Option<u16>,
        wait: bool,
        cut: bool,
    },
    /// A 2017 Loki server asks from an address, and reads so many pieces of the answer.
    Legacy {
        peer: u8,
        pieces: usize,
    },
    Peek {
        seq: u64,
    },
    /// A scraper loses what it knew, or goes back.
    Forget {
        scraper: usize,
        back: Option<u8>,
    },
    Pass {
        seconds: u16,
    },
    ShutDown,
    EndDrain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20_u8, 0..3_000_u16).prop_map(|(spans, bytes)| Step::Record { spans, bytes }),
        8 => (0..10_usize, proptest::option::of(0..6_000_u16), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(scraper, bytes_max, wait, cut)| Step::Scrape { scraper, bytes_max, wait, cut }),
        3 => (0..3_u8, 0..8_usize).prop_map(|(peer, pieces)| Step::Legacy { peer, pieces }),
        1 => (0..50_u64).prop_map(|seq| Step::Peek { seq }),
        1 => (0..10_usize, proptest::option::of(0..20_u8))
            .prop_map(|(scraper, back)| Step::Forget { scraper, back }),
        1 => (0..400_u16).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// A history, which may end in a shutdown.
fn history() -> impl Strategy<Value = Vec<Step>> {
    let steps = || prop::collection::vec(step(), 0..60);
    (steps(), any::<bool>(), steps(), any::<bool>(), steps()).prop_map(
        |(mut all, shut_down, then, end, rest)| {
            all.extend(shut_down.then_some(Step::ShutDown));
            all.extend(then);
            all.extend(end.then_some(Step::EndDrain));
            all.extend(rest);
            all
        },
    )
}

/// A scraper's books.
#[derive(Debug, Default)]
struct Scraper {
    cursor: Option<Cursor>,
    received: BTreeSet<u64>,
    lost: u64,
    /// It has followed the epoch from the start, and so the second law holds for it.
    follows: bool,
}

#[derive(Debug)]
struct World {
    target: Target,
    scrapers: Vec<Scraper>,
    legacy: Vec<Scraper>,
    next_id: u64,
    /// What each segment held, whoever read it.
    segments: BTreeMap<(u64, u64), Vec<u64>>,
}

impl World {
    fn new() -> Self {
        let options = Options {
            hot_bytes_max: 32 * 1024,
            value_bytes_max: 4_000,
            span_bytes_max: 3_000,
            ..Options::default()
        };
        let scrapers = (0..10).map(|_| Scraper { follows: true, ..Scraper::default() }).collect();
        Self {
            target: Target::with(options),
            scrapers,
            legacy: (0..3).map(|_| Scraper::default()).collect(),
            next_id: 1,
            segments: BTreeMap::new(),
        }
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Record { spans, bytes } => {
                for _ in 0..spans {
                    let mut span = span(self.next_id);
                    // Some are cut to fit, some do not fit at all.
                    span.name = "x".repeat(usize::from(bytes));
                    self.next_id += 1;
                    self.target.recorder.record(&span);
                }
            }
            Step::Scrape { scraper, bytes_max, wait, cut } => {
                let before = self.scrapers[scraper].cursor;
                let answer = self.request(scraper, bytes_max, wait).await;
                if !cut {
                    self.commit(scraper, before, &answer);
                }
            }
            Step::Legacy { peer, pieces } => self.ask_as(peer, pieces).await,
            Step::Peek { seq } => {
                let cursor = format!("{}: {}", pull::CURSOR, self.target.cursor(seq));
                let answer = self.target.get("/traces", &[&cursor]).await;
                self.note_segments(&answer);
            }
            Step::Forget { scraper, back } => {
                let scraper = &mut self.scrapers[scraper];
                scraper.follows = false;
                scraper.cursor = match (scraper.cursor, back) {
                    (Some(Cursor { epoch, seq }), Some(back)) => {
                        Some(Cursor { epoch, seq: seq.saturating_sub(u64::from(back)) })
                    }
                    _ => None,
                };
            }
            Step::Pass { seconds } => {
                self.target.clock.advance(Duration::from_secs(seconds.into()))
            }
            Step::ShutDown => self.target.recorder.shut_down(),
            Step::EndDrain => drop(self.target.recorder.drained(Duration::ZERO).await),
        }
    }

    async fn request(&mut self, scraper: usize, bytes_max: Option<u16>, wait: bool) -> Answer {
        let name = format!("{}: s{scraper}", pull::SCRAPER);
        let cursor = self.scrapers[scraper].cursor;
        let cursor = cursor.map(|cursor| format!("{}: {cursor}", pull::CURSOR));
        let accept = format!("Accept: {OTLP}");
        let mut headers = vec![name.as_str()];
        headers.extend(cursor.as_deref());
        headers.extend(wait.then_some("Prefer: wait=0"));
        // Odd scrapers speak another language, compressed.
        if scraper % 2 == 1 {
            headers.extend([accept.as_str(), "Accept-Encoding: zstd"]);
        }
        let query = bytes_max.map_or(String::new(), |bytes| format!("?max_bytes={bytes}"));
        let answer = self.target.get(&format!("/traces{query}"), &headers).await;
        self.note_segments(&answer);
        answer
    }

    /// It keeps what it read whole; that it gets nothing twice and misses nothing is the target's doing.
    async fn ask_as(&mut self, peer: u8, pieces: usize) {
        let address = Ipv4Addr::new(10, 0, 0, peer).into();
        let (parts, mut body) = self.target.ask_as(Peer(address)).await.into_parts();
        let Some(body) = read_pieces(&mut body, pieces).await else { return };
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        let server = &mut self.legacy[usize::from(peer)];
        for id in answer.ids() {
            assert!(server.received.insert(id), "span {id} came twice");
        }
        server.lost += answer.lost();
        let (received, dropped) = (server.received.len() as u64, answer.dropped());
        let known = received + server.lost + dropped.oversize + dropped.shutdown;
        assert_eq!(answer.finished(), known, "received {received}, lost {}", server.lost);
    }

    fn commit(&mut self, scraper: usize, before: Option<Cursor>, answer: &Answer) {
        let scraper = &mut self.scrapers[scraper];
        if let (Some((first, last, newest)), Some(cursor)) = (answer.range(), before) {
            assert!(cursor.seq <= first && first <= last && last <= newest);
        }
        for id in answer.ids() {
            let fresh = scraper.received.insert(id);
            assert!(fresh || !scraper.follows, "span {id} came twice");
        }
        scraper.lost += answer.lost();
        scraper.cursor = Some(answer.next());
        if scraper.follows && !answer.more() {
            let received = scraper.received.len() as u64;
            let dropped = answer.dropped();
            assert_eq!(
                answer.finished(),
                received + scraper.lost + dropped.oversize + dropped.shutdown,
                "received {received}, lost {}, {dropped:?}",
                scraper.lost
            );
        }
    }

    /// A segment is the same for everyone: told apart where an answer holds one alone.
    fn note_segments(&mut self, answer: &Answer) {
        let Some((first, last, _)) = answer.range() else {
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
            return;
        };
        let ids = answer.ids();
        assert!(!ids.is_empty());
        let known = self.segments.entry((first, last)).or_insert_with(|| ids.clone());
        assert_eq!(*known, ids, "segments {first} to {last}");
    }

    fn check_the_targets_law(&self) {
        let stats = self.target.recorder.stats();
        let dropped = stats.dropped.evicted + stats.dropped.oversize + stats.dropped.shutdown;
        assert_eq!(stats.finished, self.next_id - 1);
        assert_eq!(stats.finished, stats.delivered + stats.buffered + dropped, "{stats:?}");
        assert!(stats.bytes <= 32 * 1024, "{stats:?}");
        assert!(stats.scrapers.len() <= 8);
    }

    /// In the end every scraper catches up, and each span is accounted for.
    async fn settle(&mut self) {
        for scraper in 0..self.scrapers.len() {
            loop {
                let before = self.scrapers[scraper].cursor;
                let answer = self.request(scraper, None, false).await;
                self.commit(scraper, before, &answer);
                self.check_the_targets_law();
                if !answer.more() {
                    break;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_laws_hold_in_every_history(history in history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in history {
                world.apply(step).await;
                world.check_the_targets_law();
            }
            world.settle().await;
        });
    }
}

/// The same with real threads: recorders race scrapers, and the sums still come out even.
#[test]
fn both_laws_hold_under_threads() {
    let target = Target::sized(256 * 1024);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let target = &target;
            scope.spawn(move || target.record(thread * 10_000 + 1..=thread * 10_000 + 2_000));
        }
        for name in ["a", "b"] {
            let target = &target;
            scope.spawn(move || {
                runtime().block_on(async {
                    let (mut cursor, mut received, mut lost) = (None, BTreeSet::new(), 0);
                    loop {
                        let answer = target.scrape(name, cursor).await;
                        for id in answer.ids() {
                            assert!(received.insert(id), "span {id} came twice");
                        }
                        lost += answer.lost();
                        cursor = Some(answer.next());
                        if !answer.more() {
                            assert_eq!(answer.finished(), received.len() as u64 + lost);
                            if answer.finished() == 6_000 {
                                break;
                            }
                        }
                    }
                    target.scrape(name, cursor).await;
                });
            });
        }
    });
    let stats = target.recorder.stats();
    assert_eq!(stats.finished, stats.delivered + stats.dropped.evicted);
}
