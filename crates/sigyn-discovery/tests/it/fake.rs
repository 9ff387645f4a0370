//! A server that answers HTTP/1.1 by script, over TCP or a unix socket, and notes what it is asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// One request as the server saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, or the whole URL if it was sent to a proxy.
    pub(crate) target: String,
    /// In the order they came, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The value of a header, several joined by commas.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| value.clone()).reduce(|before, value| format!("{before}, {value}"))
    }
}

/// What a server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// An answer; the connection stays.
    Answer(Answer),
    /// What servers ought not to do.
    Trouble(Trouble),
}

/// A whole response, but for its `Content-Length`.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// 200 with a body of JSON.
    pub(crate) fn json(body: &str) -> Self {
        Self::new(200, body).with("Content-Type", "application/json")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(self.body.len()).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn head(&self, length: usize) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        format!("HTTP/1.1 {} As Scripted\r\n{headers}Content-Length: {length}\r\n\r\n", self.status)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// Ways for a server to fail its client. All but the first two are over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing, ever.
    Hang,
    /// A good answer, each half of it after such a while.
    Slow(Duration),
    /// This status, with a body that says so.
    Status(u16),
    /// A body that is neither JSON nor anything else, though its type says JSON.
    Malformed,
    /// Half of what was announced, then the end of the connection.
    CutBody,
    /// A body of so many bytes, valid JSON all through.
    Huge(usize),
    /// The end of the connection instead of an answer.
    Close,
    /// A good answer whose `Content-Type` says that it is a page.
    WrongType,
    /// `null`, which is no list.
    Null,
    /// A list of what nobody asked for.
    Foreign,
}

impl Trouble {
    /// Each of them once. `slow` and `huge` are more than the client under test puts up with.
    pub(crate) fn all(slow: Duration, huge: usize) -> [Self; 11] {
        [
            Self::Hang,
            Self::Slow(slow),
            Self::Status(500),
            Self::Status(404),
            Self::Malformed,
            Self::CutBody,
            Self::Huge(huge),
            Self::Close,
            Self::WrongType,
            Self::Null,
            Self::Foreign,
        ]
    }
}

/// A server that ends with the test.
#[derive(Debug)]
pub(crate) struct Fake {
    /// What to name in a configuration; of one behind a unix socket there is none.
    address: Option<SocketAddr>,
    script: Arc<Mutex<Script>>,
    _server: JoinSet<()>,
}

/// What was asked, and what is to be answered.
struct Script {
    asked: Vec<Asked>,
    reply: Box<dyn FnMut(&Asked) -> Reply + Send>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Fake {
    /// On a port of its own. `reply` decides about each request.
    pub(crate) async fn start(reply: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script::new(reply);
        let mut server = JoinSet::new();
        let shared = Arc::clone(&script);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address: Some(address), script, _server: server }
    }

    /// Over TLS, at `https://127.0.0.1:PORT`; also the certificate to trust, as PEM.
    #[cfg(feature = "client")]
    pub(crate) async fn start_tls(
        reply: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> (Self, String) {
        use tokio_rustls::TlsAcceptor;
        use tokio_rustls::rustls::ServerConfig;
        use tokio_rustls::rustls::crypto::ring::default_provider;
        use tokio_rustls::rustls::pki_types::PrivateKeyDer;

        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script::new(reply);
        let mut server = JoinSet::new();
        let shared = Arc::clone(&script);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, script).await;
                    }
                });
            }
        });
        (Self { address: Some(address), script, _server: server }, own.cert.pem())
    }

    /// Behind a unix socket at `path`.
    pub(crate) fn start_unix(
        path: &Path,
        reply: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let script = Script::new(reply);
        let mut server = JoinSet::new();
        let shared = Arc::clone(&script);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address: None, script, _server: server }
    }

    /// Answers with each of these in turn, and with the last one for ever.
    pub(crate) async fn scripted(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::start(move |_| match replies.len() {
            1 => replies[0].clone(),
            _ => replies.pop_front().unwrap(),
        })
        .await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    /// From now on, `reply` decides.
    pub(crate) fn change(&self, reply: impl FnMut(&Asked) -> Reply + Send + 'static) {
        self.script.lock().unwrap().reply = Box::new(reply);
    }
}

impl Script {
    fn new(reply: impl FnMut(&Asked) -> Reply + Send + 'static) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { asked: Vec::new(), reply: Box::new(reply) }))
    }

    fn next(&mut self, asked: Asked) -> Reply {
        let reply = (self.reply)(&asked);
        self.asked.push(asked);
        reply
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: Arc<Mutex<Script>>) {
    let mut read = Vec::new();
    while let Some(asked) = request(&mut stream, &mut read).await {
        let reply = script.lock().unwrap().next(asked);
        let stays = match reply {
            // TLS keeps what is written until it is told.
            Reply::Answer(answer) => {
                stream.write_all(&answer.bytes()).await.is_ok() && stream.flush().await.is_ok()
            }
            Reply::Trouble(trouble) => misbehave(&mut stream, trouble).await,
        };
        if !stays {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// The next request of a connection; `None` at its end.
pub(crate) async fn request(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
) -> Option<Asked> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, read).await?;
    };
    let head = String::from_utf8(read.drain(..end).collect()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let mut asked = Asked { method: words.next()?, target: words.next()?, ..Asked::default() };
    asked.headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while read.len() < length {
        more(stream, read).await?;
    }
    asked.body = read.drain(..length).collect();
    Some(asked)
}

async fn more(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(read).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

/// Whether the connection stays.
async fn misbehave(stream: &mut (impl AsyncWrite + Unpin), trouble: Trouble) -> bool {
    let json = || Answer::json("[]");
    let answer = match trouble {
        Trouble::Hang => std::future::pending().await,
        Trouble::Close => return false,
        Trouble::Slow(pause) => {
            let bytes = json().bytes();
            for half in bytes.chunks(bytes.len().div_ceil(2)) {
                sleep(pause).await;
                if stream.write_all(half).await.is_err() {
                    return false;
                }
            }
            return true;
        }
        Trouble::CutBody => {
            let head = json().head(200);
            let _ = stream.write_all(format!("{head}[{}", " ".repeat(99)).as_bytes()).await;
            return false;
        }
        Trouble::Status(status) => Answer::new(status, format!("status {status} as scripted")),
        Trouble::Malformed => Answer::json("\0}{ neither this nor that"),
        Trouble::Huge(bytes) => {
            let mut answer = json();
            answer.body = format!("[{}]", " ".repeat(bytes.saturating_sub(2))).into_bytes();
            answer
        }
        Trouble::Null => Answer::json("null"),
        Trouble::Foreign => Answer::json(r#"[{"wheels": ["x"]}]"#),
        Trouble::WrongType => Answer::new(200, "[]").with("Content-Type", "text/html"),
    };
    stream.write_all(&answer.bytes()).await.is_ok()
}
