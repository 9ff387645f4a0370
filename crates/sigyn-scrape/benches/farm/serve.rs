//! One target of the farm: an address, a log, and whoever asks for what is in it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sigyn_model::pull::{self, Range, media};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Plan;
use crate::failure::Failure;
use crate::log::{Log, Page};
use crate::punctual::Punctual;
use crate::request::Request;
use crate::spans;

/// What a span of ours weighs in a recorder's memory, and how much of it ends a long poll.
const SPAN_BYTES: u64 = 600;
const WAKE_BYTES: u64 = 64 << 10;
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Farmed {
    pub(crate) address: SocketAddr,
    pub(crate) failure: Option<Failure>,
    pub(crate) log: RefCell<Log>,
    pub(crate) punctual: RefCell<Punctual>,
    every: Duration,
    seed: Cell<Option<u64>>,
    is_up: Cell<bool>,
    /// The last answer said that more waits: what follows is the same scrape.
    told_of_more: Cell<bool>,
}

/// An answer with a body, before it goes out.
#[derive(Debug)]
pub(crate) struct Answer {
    headers: String,
    body: Vec<u8>,
}

impl Farmed {
    pub(crate) fn new(
        address: SocketAddr,
        hash: u64,
        failure: Option<Failure>,
        plan: &Plan,
    ) -> Self {
        let every = plan.interval / plan.spans.max(1);
        let epoch = spans::mixed(hash).max(1);
        Self {
            address,
            failure,
            log: RefCell::new(Log::new(epoch, every)),
            punctual: RefCell::new(Punctual::new(hash, plan.interval)),
            every,
            seed: Cell::new(None),
            is_up: Cell::new(false),
            told_of_more: Cell::new(false),
        }
    }

    /// It listens, or does not and is not to.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.get() || self.failure == Some(Failure::Refused)
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.seed.get().is_some()
    }

    pub(crate) fn measure(&self, on: bool) {
        self.punctual.borrow_mut().measure(on, self.seed.get());
    }

    /// Nothing is finished from now on.
    pub(crate) fn retire(&self) {
        self.log.borrow_mut().end();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.log.borrow().is_empty()
    }

    fn asked(&self, request: &Request) {
        let Some(seed) = request.seed else { return };
        self.seed.set(Some(seed));
        if !self.told_of_more.replace(false) {
            self.punctual.borrow_mut().asked(seed);
        }
    }

    /// Waits as a long poll does.
    async fn wait(&self, request: &Request, start: u64) {
        let Some(wait) = request.wait.filter(|_| !self.log.borrow().has(start)) else { return };
        let most = request.timeout.map_or(WAIT_MAX, |timeout| timeout * 4 / 5);
        let missing = (WAKE_BYTES / SPAN_BYTES).saturating_sub(self.log.borrow().waiting());
        let full = self.every.saturating_mul(u32::try_from(missing).unwrap_or(u32::MAX));
        tokio::time::sleep(wait.min(most).min(full)).await;
    }

    /// The answer to a request; `None` is a 204.
    async fn answer(&self, request: &Request) -> std::io::Result<Answer> {
        let start = self.log.borrow_mut().arrive(request.cursor);
        self.wait(request, start).await;
        let (page, epoch) = {
            let mut log = self.log.borrow_mut();
            if request.wait.is_none() || !log.has(start) {
                log.seal();
            }
            (log.read(start), log.epoch)
        };
        let mut body = Vec::new();
        let mut last = None;
        for segment in &page.segments {
            let more = spans::body(epoch, segment)?;
            let room = request.bytes_max.unwrap_or(usize::MAX).saturating_sub(body.len());
            if last.is_some() && more.len() > room {
                break;
            }
            body.extend_from_slice(&more);
            last = Some(segment);
        }
        let next = self.log.borrow_mut().tell(last);
        let Page { segments, newest, lost, finished, evicted } = &page;
        let is_more = next.seq <= *newest;
        self.told_of_more.set(is_more);
        let mut headers = String::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut add = |name: &str, value: &dyn std::fmt::Display| {
            let _ = write!(headers, "{name}: {value}\r\n");
        };
        add(pull::NEXT, &next);
        add(pull::MORE, &u8::from(is_more));
        add(pull::LOST, &format_args!("spans={lost}"));
        add(pull::FINISHED, finished);
        add(pull::DROPPED, &format_args!("evicted={evicted},oversize=0"));
        add(pull::CLOCK, &now);
        add(pull::FINAL, &0);
        if let (Some(first), Some(last)) = (segments.first(), last) {
            let range = Range { epoch, first: first.seq, last: last.seq, newest: *newest };
            add(pull::RANGE, &range);
            add("content-type", &media::OTLP);
            add("content-encoding", &"zstd");
        }
        Ok(Answer { headers, body })
    }
}

impl Answer {
    /// The same, about another body.
    pub(crate) fn with(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { headers, body } = self;
        let head = match body.len() {
            0 => format!("HTTP/1.1 204 No Content\r\n{headers}\r\n"),
            length => format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n"),
        };
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    pub(crate) async fn write(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(&self.bytes()).await
    }
}

/// Listens and answers until the process ends.
pub(crate) async fn run(
    target: Rc<Farmed>,
    mut healed: watch::Receiver<bool>,
) -> std::io::Result<()> {
    if target.failure == Some(Failure::Refused) {
        let _ = healed.wait_for(|healed| *healed).await;
    }
    let listener = TcpListener::bind(target.address).await?;
    target.is_up.set(true);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn_local(converse(Rc::clone(&target), stream, healed.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(
    target: Rc<Farmed>,
    mut stream: TcpStream,
    healed: watch::Receiver<bool>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(request) = Request::read(&mut stream).await? {
        target.asked(&request);
        let answer = target.answer(&request).await?;
        match target.failure.filter(|_| !*healed.borrow()) {
            None => answer.write(&mut stream).await?,
            Some(failure) => {
                if !failure.answer(&mut stream, answer).await? {
                    break;
                }
            }
        }
    }
    Ok(())
}
