//! Whatever breaks between a target and two tracers, every span is stored once by each, or counted as lost.
//!
//! `SIGYN_CHAOS_SPANS` is how many spans there are; what is told of the run is printed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use sigyn_model::{Span, SpanId, Timestamp, TraceId};
use sigyn_recorder::{Clock, Exposition, Options, Recorder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::exported;
use crate::program::{DEADLINE, Tracer};

/// Of the log, for a span of these: a guess, which says when there is too little room.
const SPAN_BYTES: u64 = 125;
const HOUR: Duration = Duration::from_secs(3600);

/// Numbers in an order that a seed fixes, as far as threads take turns.
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What became of answers on their way.
#[derive(Debug, Default)]
struct Fates {
    whole: AtomicU64,
    cut: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
}

/// A wire between tracers and the target, which breaks.
struct Wire {
    address: SocketAddr,
    fates: Arc<Fates>,
    is_calm: Arc<AtomicBool>,
}

impl Wire {
    fn start(runtime: &Runtime, to: SocketAddr) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (fates, is_calm) = (Arc::<Fates>::default(), Arc::<AtomicBool>::default());
        let shared = (Arc::clone(&fates), Arc::clone(&is_calm));
        let dice = Arc::new(Dice(AtomicU64::new(7)));
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (fates, is_calm) = shared.clone();
                let dice = Arc::clone(&dice);
                connections.spawn(async move {
                    let _ = carry(client, to, &fates, &is_calm, &dice).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, fates, is_calm }
    }
}

/// One request and its answer, as far as it comes.
async fn carry(
    mut client: TcpStream,
    to: SocketAddr,
    fates: &Fates,
    is_calm: &AtomicBool,
    dice: &Dice,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let fate = if is_calm.load(Ordering::Relaxed) { 0 } else { dice.roll(20) };
    if fate == 19 {
        fates.refused.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    let mut target = TcpStream::connect(to).await?;
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"connection: close\r\n\r\n");
    target.write_all(&head).await?;
    let mut answer = Vec::new();
    target.read_to_end(&mut answer).await?;
    match fate {
        0..=8 => {
            fates.whole.fetch_add(1, Ordering::Relaxed);
        }
        9..=13 => {
            fates.cut.fetch_add(1, Ordering::Relaxed);
            // Answers are as likely to break early as late.
            let len = answer.len() as u64;
            answer.truncate(usize::try_from(dice.roll(len.max(1))).unwrap());
        }
        _ => {
            fates.late.fetch_add(1, Ordering::Relaxed);
            // All but the last byte, until the other side has had enough.
            answer.pop();
            client.write_all(&answer).await?;
            while client.read_buf(&mut head).await? > 0 {}
            return Ok(());
        }
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// One life of the target: its recorder, and a server that ends with it.
struct Life {
    recorder: Recorder,
    clock: Clock,
    began: Instant,
    told: Duration,
    server: JoinSet<()>,
}

impl Life {
    fn start(
        runtime: &Runtime,
        address: SocketAddr,
        log_spans: u64,
        clock: Clock,
    ) -> (Self, SocketAddr) {
        let options = Options {
            service_name: "shop".to_owned(),
            hot_bytes_max: usize::try_from(SPAN_BYTES * log_spans).unwrap(),
            clock: clock.clone(),
            ..Options::default()
        };
        let recorder = Recorder::new(options);
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(64).unwrap()
        });
        let address = listener.local_addr().unwrap();
        let exposition = Exposition::new(recorder.clone());
        let mut server = JoinSet::new();
        let serve = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(exposition.clone());
                let http = hyper::server::conn::http1::Builder::new();
                connections.spawn(http.serve_connection(TokioIo::new(stream), service));
                while connections.try_join_next().is_some() {}
            }
        };
        server.spawn_on(serve, runtime.handle());
        let (began, told) = (Instant::now(), Duration::ZERO);
        (Self { recorder, clock, began, told, server }, address)
    }

    /// Time goes on for the target as it does here.
    fn tick(&mut self) {
        let now = self.began.elapsed();
        self.clock.advance(now - self.told);
        self.told = now;
    }

    fn record(&self, ids: std::ops::Range<u64>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        for id in ids {
            let trace = TraceId::new(u128::from(id / 8 + 1)).unwrap();
            let mut span = Span::new(trace, SpanId::new(id).unwrap());
            span.name = "work".to_owned();
            span.timestamp = Timestamp::from_micros(u64::try_from(now.as_micros()).unwrap());
            span.duration = Some(Duration::from_micros(id % 1000 + 1));
            self.recorder.record(&span);
        }
    }

    /// Ends when both tracers have everything.
    fn end(mut self, runtime: &Runtime) {
        let done = AtomicBool::new(false);
        let recorder = self.recorder.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    self.tick();
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            });
            let drain = runtime.block_on(recorder.drained(2 * DEADLINE));
            done.store(true, Ordering::Relaxed);
            assert_eq!(drain.lost, 0, "nobody fetched the rest: {:?}", recorder.stats());
        });
        runtime.block_on(self.server.shutdown());
    }
}

fn configure(folder: &Path, target: SocketAddr) {
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    fs::write(folder.join("sigyn.yml"), config).unwrap();
}

fn account(tracer: &Tracer, target: SocketAddr) -> Option<Value> {
    Some(tracer.target(&target.to_string())?["sigyn"].clone())
}

#[test]
fn every_span_is_stored_once_or_counted_as_lost() {
    let spans = std::env::var("SIGYN_CHAOS_SPANS").map_or(20_000, |text| text.parse().unwrap());
    let lives = 4;
    // With so many unread the recording waits, most of the time; the log holds twice as many.
    let unread_max = (spans / 200).clamp(2_000, 50_000);
    let log_spans = 2 * unread_max;
    let began = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dice = Dice(AtomicU64::new(1));
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut life, address) =
        Life::start(&runtime, free, log_spans, Clock::manual(SystemTime::now()));
    let wire = Wire::start(&runtime, address);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let tracers = folders.each_ref().map(|folder| {
        configure(folder.path(), wire.address);
        Tracer::start(folder.path())
    });

    let mut next = 1;
    for turn in 1..=lives {
        let end = spans * turn / lives + 1;
        while next < end {
            // Now and then nobody waits for readers, and what the log has no room for goes.
            let is_flood = dice.roll(16) == 0;
            let burst = if is_flood { 3 * unread_max } else { unread_max / 4 };
            let burst = burst.min(end - next);
            life.record(next..next + burst);
            next += burst;
            life.tick();
            if dice.roll(16) == 0 {
                let now = SystemTime::now();
                let clocks = [now - HOUR, now, now + HOUR];
                life.clock.set_wall(clocks[usize::try_from(dice.roll(3)).unwrap()]);
            }
            let since = Instant::now();
            while life.recorder.stats().buffered > unread_max && since.elapsed() < DEADLINE {
                life.tick();
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        // A lease of each, so that the drain waits for both.
        crate::program::until("both tracers have a lease", || {
            life.tick();
            (life.recorder.stats().scrapers.len() == 2).then_some(())
        });
        life.end(&runtime);
        let ahead = [SystemTime::now() - HOUR, SystemTime::now() + HOUR];
        let clock = Clock::manual(ahead[usize::try_from(turn % 2).unwrap()]);
        life = Life::start(&runtime, address, log_spans, clock).0;
    }

    wire.is_calm.store(true, Ordering::Relaxed);
    let books = tracers.each_ref().map(|tracer| {
        crate::program::until("the books are closed", || {
            life.tick();
            let account = account(tracer, wire.address)?;
            let sum = account["received"].as_u64()? + account["lost"].as_u64()?;
            let restarts = account["restarts"].as_u64()?;
            (sum == spans && restarts == lives).then_some(account)
        })
    });
    for tracer in tracers {
        assert!(tracer.stop().0.success());
    }
    for (books, folder) in books.iter().zip(&folders) {
        let (received, lost) =
            (books["received"].as_u64().unwrap(), books["lost"].as_u64().unwrap());
        assert_eq!(books["lostByReason"]["unexplained"], 0, "{books}");
        let times = exported::times(folder.path(), spans);
        let stored = times.iter().filter(|times| **times > 0).count() as u64;
        let twice = times.iter().filter(|times| **times > 1).count();
        println!(
            "{spans} spans: stored {stored}, counted as lost {lost} ({}), stored twice {twice}",
            books["lostByReason"]
        );
        assert_eq!((stored, twice, times[0]), (received, 0, 0));
        assert_eq!(spans - stored, lost);
    }
    println!("answers: {:?}; {} lives; {:.1?}", wire.fates, lives, began.elapsed());
}
