//! Fakes for both ends: targets that answer by script, and a store that remembers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sigyn_discovery::config::Job;
use sigyn_discovery::{Groups, Labels, TargetGroup};
use sigyn_model::codec::json_v2;
use sigyn_model::pull::{Cursor, Range};
use sigyn_model::{Span, SpanId, TargetProgress, TraceId};
use sigyn_scrape::{Commit, CommitError, Manager, Options, ScrapeJob, Status, TargetStatus};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

/// Longer than any test takes unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `check` gives something.
pub(crate) async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn span(id: u64) -> Span {
    let mut span = Span::new(TraceId::new(u128::from(id)).unwrap(), SpanId::new(id).unwrap());
    span.name = format!("span-{id}");
    span
}

pub(crate) fn spans(ids: impl IntoIterator<Item = u64>) -> Vec<Span> {
    ids.into_iter().map(span).collect()
}

/// One request as a target saw it; header names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// The certificate that the client has shown, in DER.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn cursor(&self) -> Option<Cursor> {
        self.header("sigyn-cursor").map(|text| text.parse().unwrap())
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        let text = self.line.split("max_bytes=").nth(1).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }
}

/// What a target does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes; the connection stays.
    Keep(Vec<u8>),
    /// These bytes, then the connection ends.
    Close(Vec<u8>),
    /// What a proxy says to `CONNECT`; then the connection is the other end's.
    Tunnel(SocketAddr),
    /// These bytes, once somebody says so.
    Later(Arc<Notify>, Vec<u8>),
    /// Nothing, ever.
    Hang,
}

/// A whole response with a `Content-Length`.
pub(crate) fn response(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !status.starts_with("204") {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A target on a port of its own. Ends with the test.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _server: JoinSet<()>,
}

impl Target {
    pub(crate) async fn start(reply: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self::start_on("127.0.0.1", reply).await
    }

    pub(crate) async fn start_on(
        host: &str,
        reply: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        Self::start_with(host, None, reply).await
    }

    /// Over TLS.
    pub(crate) async fn secured(
        tls: ServerConfig,
        reply: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        Self::start_with("127.0.0.1", Some(TlsAcceptor::from(Arc::new(tls))), reply).await
    }

    async fn start_with(
        host: &str,
        tls: Option<TlsAcceptor>,
        mut reply: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        let seen = Arc::clone(&asked);
        server.spawn(async move {
            let reply = Arc::new(Mutex::new(move |asked: &Asked| reply(asked)));
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                let reply = move |request: Asked| {
                    seen.lock().unwrap().push(request.clone());
                    (reply.lock().unwrap())(&request)
                };
                match tls.clone() {
                    Some(tls) => connections.spawn(serve_secured(tls, stream, reply)),
                    None => connections.spawn(serve(stream, None, reply)),
                };
            }
        });
        Self { address, asked, _server: server }
    }

    /// Answers with each of these in turn, and with the last one for ever.
    pub(crate) async fn scripted(replies: Vec<Reply>) -> Self {
        let mut replies = VecDeque::from(replies);
        Self::start(move |_| match replies.len() {
            1 => replies[0].clone(),
            _ => replies.pop_front().unwrap(),
        })
        .await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve_secured(tls: TlsAcceptor, stream: TcpStream, reply: impl FnMut(Asked) -> Reply) {
    match tls.accept(stream).into_fallible().await {
        Ok(stream) => {
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.and_then(|chain| chain.first()).map(|first| first.to_vec());
            serve(stream, shown, reply).await;
        }
        // To end with bytes unread would take back the alert that says why.
        Err((_, mut stream)) => {
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    certificate: Option<Vec<u8>>,
    mut reply: impl FnMut(Asked) -> Reply,
) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        let head = String::from_utf8(read.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let line = lines.next().unwrap().to_owned();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        while read.len() < length {
            match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let body = String::from_utf8(read.drain(..length).collect()).unwrap();
        match reply(Asked { line, headers, body, certificate: certificate.clone() }) {
            Reply::Later(ready, bytes) => {
                ready.notified().await;
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::Keep(bytes) => {
                // TLS keeps what is written until it is told.
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::Close(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Tunnel(address) => {
                let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                let mut other = TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
                return;
            }
            Reply::Hang => std::future::pending().await,
        }
    }
}

/// A log that obeys the pull protocol, a segment a `seal`.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) epoch: u64,
    segments: Vec<(u64, Vec<Span>)>,
    evicted: Vec<(u64, u64)>,
    newest: u64,
    finished: u64,
    pub(crate) is_final: bool,
    /// Segments in one answer, unless little is asked for: then one.
    pub(crate) page: usize,
    /// Segments whose bytes nobody can read.
    pub(crate) rotten: Vec<u64>,
    /// Cursors below it were acknowledged in this epoch.
    pub(crate) acknowledged: u64,
}

impl Log {
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            segments: Vec::new(),
            evicted: Vec::new(),
            newest: 0,
            finished: 0,
            is_final: false,
            page: 2,
            rotten: Vec::new(),
            acknowledged: 0,
        }
    }

    pub(crate) fn seal(&mut self, spans: Vec<Span>) {
        self.newest += 1;
        self.finished += spans.len() as u64;
        self.segments.push((self.newest, spans));
    }

    pub(crate) fn evict_oldest(&mut self) {
        let (seq, spans) = self.segments.remove(0);
        self.evicted.push((seq, spans.len() as u64));
    }

    pub(crate) fn answer_to(&mut self, asked: &Asked) -> Vec<u8> {
        let page = self.page;
        if asked.max_bytes() < 1000 {
            self.page = 1;
        }
        let answer = self.answer(asked.cursor());
        self.page = page;
        answer
    }

    pub(crate) fn answer(&mut self, cursor: Option<Cursor>) -> Vec<u8> {
        let from = match cursor {
            Some(cursor) if cursor.epoch == self.epoch && cursor.seq <= self.newest + 1 => {
                self.acknowledged = self.acknowledged.max(cursor.seq);
                cursor.seq
            }
            _ => 1,
        };
        let lost: u64 =
            self.evicted.iter().filter(|(seq, _)| *seq >= from).map(|(_, spans)| spans).sum();
        let page: Vec<_> =
            self.segments.iter().filter(|(seq, _)| *seq >= from).take(self.page).collect();
        let last = page.last().map_or(self.newest, |(seq, _)| *seq);
        let epoch = self.epoch;
        let mut headers = vec![
            ("Sigyn-Next", Cursor { epoch, seq: last + 1 }.to_string()),
            ("Sigyn-More", u8::from(last < self.newest).to_string()),
            ("Sigyn-Lost", format!("spans={lost}")),
            ("Sigyn-Finished", self.finished.to_string()),
            ("Sigyn-Dropped", "evicted=0,oversize=0".to_owned()),
            ("Sigyn-Final", u8::from(self.is_final).to_string()),
        ];
        let Some((first, _)) = page.first() else {
            return response("204 No Content", &borrowed(&headers), b"");
        };
        let range = Range { epoch, first: *first, last, newest: self.newest };
        headers.push(("Sigyn-Range", range.to_string()));
        headers.push(("Content-Type", "application/json".to_owned()));
        let mut body = json_v2::encode_list(page.iter().flat_map(|(_, spans)| spans));
        if page.iter().any(|(seq, _)| self.rotten.contains(seq)) {
            body.truncate(body.len() - 2);
        }
        response("200 OK", &borrowed(&headers), body.as_bytes())
    }
}

fn borrowed<'a>(headers: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A target that serves a shared log.
pub(crate) async fn logging_target(log: Log) -> (Target, Arc<Mutex<Log>>) {
    let log = Arc::new(Mutex::new(log));
    let shared = Arc::clone(&log);
    let target =
        Target::start(move |asked| Reply::Keep(shared.lock().unwrap().answer_to(asked))).await;
    (target, log)
}

/// A batch as the store has it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) spans: Vec<Span>,
    pub(crate) progress: Option<TargetProgress>,
}

/// What the store was given. Refuses as many commits as it is told to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    kept: Arc<Mutex<Vec<Kept>>>,
    refuse: Arc<Mutex<u32>>,
    /// Spans that it takes at once.
    spans_max: Arc<Mutex<Option<usize>>>,
    /// While held, commits wait.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl Store {
    pub(crate) fn refuse(&self, commits: u32) {
        *self.refuse.lock().unwrap() = commits;
    }

    pub(crate) fn takes_at_once(&self, spans: usize) {
        *self.spans_max.lock().unwrap() = Some(spans);
    }

    /// Takes no commit until the guard is dropped.
    pub(crate) async fn block(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.gate).lock_owned().await
    }

    async fn run(self, mut commits: mpsc::Receiver<Commit>) {
        while let Some(Commit { batch, done }) = commits.recv().await {
            drop(self.gate.lock().await);
            let refused = {
                let mut left = self.refuse.lock().unwrap();
                let refused = *left > 0;
                *left = left.saturating_sub(1);
                refused
            };
            let spans_max = self.spans_max.lock().unwrap().unwrap_or(usize::MAX);
            if batch.spans.len() > spans_max {
                let _ = done.send(Err(CommitError::TooLarge));
            } else if refused {
                let _ = done.send(Err(CommitError::Failed("disk full".to_owned())));
            } else {
                let spans = batch.spans.rows().map(Span::from).collect();
                self.kept.lock().unwrap().push(Kept { spans, progress: batch.progress });
                let _ = done.send(Ok(()));
            }
        }
    }

    pub(crate) fn commits(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    pub(crate) fn batches(&self) -> Vec<Kept> {
        self.kept.lock().unwrap().clone()
    }

    /// Ids of all spans kept, in order of arrival.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.spans().iter().map(|span| span.id.as_u64()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().iter().flat_map(|batch| batch.spans.clone()).collect()
    }

    /// The newest progress of every target, as the store would give it after a restart.
    pub(crate) fn progress(&self) -> Vec<TargetProgress> {
        let mut newest = BTreeMap::new();
        for progress in self.kept.lock().unwrap().iter().filter_map(|batch| batch.progress.clone())
        {
            newest.insert(progress.target.clone(), progress);
        }
        newest.into_values().collect()
    }
}

/// A manager at work, with everything that it talks to.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) status: Status,
    pub(crate) store: Store,
    pub(crate) jobs: watch::Sender<Arc<Vec<ScrapeJob>>>,
    pub(crate) groups: watch::Sender<Arc<Groups>>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
}

pub(crate) fn job(name: &str) -> ScrapeJob {
    let mut job = Job::new(name);
    job.scrape_interval = Duration::from_millis(100);
    job.scrape_timeout = Duration::from_millis(100);
    ScrapeJob::new(job, "/traces")
}

pub(crate) fn group(addresses: &[SocketAddr]) -> Vec<Arc<TargetGroup>> {
    let targets = addresses
        .iter()
        .map(|address| Labels::from_iter([("__address__", address.to_string())]))
        .collect();
    let group = TargetGroup { source: "test".to_owned(), labels: Labels::default(), targets };
    vec![Arc::new(group)]
}

impl Scraper {
    pub(crate) fn start(jobs: Vec<ScrapeJob>, groups: Groups) -> Self {
        Self::restart(jobs, groups, Vec::new(), Store::default())
    }

    /// One job `api` with these targets.
    pub(crate) fn of(targets: &[&Target]) -> Self {
        let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
        Self::start(vec![job("api")], Groups::from([("api".to_owned(), group(&addresses))]))
    }

    pub(crate) fn restart(
        jobs: Vec<ScrapeJob>,
        groups: Groups,
        progress: Vec<TargetProgress>,
        store: Store,
    ) -> Self {
        Self::with(Options::default(), jobs, groups, progress, store)
    }

    pub(crate) fn with(
        options: Options,
        jobs: Vec<ScrapeJob>,
        groups: Groups,
        progress: Vec<TargetProgress>,
        store: Store,
    ) -> Self {
        let options = Options { scraper_name: "sigyn-test".to_owned(), ..options };
        let (jobs, jobs_rx) = watch::channel(Arc::new(jobs));
        let (groups, groups_rx) = watch::channel(Arc::new(groups));
        let (commits, commits_rx) = mpsc::channel(4);
        let (manager, status) = Manager::new(options, jobs_rx, groups_rx, progress, commits);
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(manager.run(shutdown.clone()));
        tasks.spawn(store.clone().run(commits_rx));
        Self { status, store, jobs, groups, shutdown, tasks }
    }

    /// The first target of the first pool, once it is as `check` wants it.
    pub(crate) async fn target(
        &self,
        what: &str,
        mut check: impl FnMut(&TargetStatus) -> bool,
    ) -> TargetStatus {
        eventually(what, || {
            let pools = self.status.pools();
            let target = pools.first()?.active.first()?;
            check(target).then(|| target.clone())
        })
        .await
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}
