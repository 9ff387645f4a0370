//! Services to be scraped: a real one with a recorder, and one that answers as it is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sigyn_model::{Kind, Span, SpanId, Timestamp, TraceId};
use sigyn_recorder::{Exposition, Options, Recorder};

/// A service whose recorder is served at `/traces`, on a runtime of its own.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) recorder: Recorder,
    pub(crate) address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Service {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_at(name, "127.0.0.1:0".parse().unwrap(), Options::default().hot_bytes_max)
    }

    pub(crate) fn start_at(name: &str, address: SocketAddr, hot_bytes_max: usize) -> Self {
        let options =
            Options { service_name: name.to_owned(), hot_bytes_max, ..Options::default() };
        Self::with(address, options)
    }

    pub(crate) fn with(address: SocketAddr, options: Options) -> Self {
        let recorder = Recorder::new(options);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(64).unwrap()
        });
        let address = listener.local_addr().unwrap();
        let exposition = Exposition::new(recorder.clone());
        runtime.handle().spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(exposition.clone());
                let http = hyper::server::conn::http1::Builder::new();
                connections.spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { recorder, address, runtime: Some(runtime) }
    }

    /// Records `count` spans named after their number, each its own trace, the first being `from`.
    pub(crate) fn record(&self, from: u64, count: u64) {
        for n in from..from + count {
            self.recorder.record(&numbered(n));
        }
    }

    /// Gone without a word, as after SIGKILL.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Span `n` of a test: its trace id tells which it is.
pub(crate) fn numbered(n: u64) -> Span {
    let mut span = Span::new(TraceId::new(u128::from(n)).unwrap(), SpanId::new(n).unwrap());
    span.name = format!("span {n}");
    span.kind = Some(Kind::Server);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    span.timestamp = Timestamp::from_micros(u64::try_from(now.as_micros()).unwrap());
    span.duration = Some(std::time::Duration::from_micros(n));
    span
}

/// A listener that answers every request with the same bytes, whatever they are, and closes.
#[derive(Debug)]
pub(crate) struct Parrot {
    pub(crate) address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Parrot {
    /// `None` never answers.
    pub(crate) fn start(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        std::thread::spawn({
            let stopped = Arc::clone(&stopped);
            move || {
                let mut held = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(mut stream) = stream else { continue };
                    let mut head = [0u8; 4096];
                    let _ = stream.read(&mut head);
                    match &answer {
                        Some(answer) => {
                            let _ = stream.write_all(answer);
                        }
                        None => held.push(stream),
                    }
                }
            }
        });
        Self { address, stopped }
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener so that its thread sees the flag.
        let _ = std::net::TcpStream::connect(self.address);
    }
}
