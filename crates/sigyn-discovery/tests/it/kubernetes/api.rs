//! A fake API server: it keeps objects, tells of them in lists and watches, and fails in the ways of
//! API servers and of what stands before them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use url::form_urlencoded;

use crate::fake::{Answer, Asked, request};

/// A server that ends with the test.
#[derive(Debug)]
pub(crate) struct Api {
    address: SocketAddr,
    /// How new connections are secured, if they are.
    tls: Option<Arc<Mutex<Arc<ServerConfig>>>>,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    /// Changes whenever watches have something to look at.
    signal: watch::Sender<u64>,
}

type Chooses = Box<dyn FnMut(&Question) -> Option<Trouble> + Send>;

/// What there is, what has happened, and what is wrong.
#[derive(Default)]
struct Known {
    version: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    events: Vec<Event>,
    /// What happened before this version is no longer known.
    forgotten: u64,
    cuts: Vec<Cut>,
    chooses: Option<Chooses>,
    token: Option<String>,
    heeds_limit: bool,
    asked: Vec<Question>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("version", &self.version).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Event {
    version: u64,
    resource: String,
    /// Empty for an event of all namespaces.
    namespace: String,
    line: String,
}

/// How all watches end that go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As they do after a while.
    Normally,
    /// Without a word.
    Close,
    /// In the middle of an event.
    MidLine,
}

/// What is wrong with one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A status, in the API's words.
    Status(u16),
    /// A good status, and this instead of what was asked for.
    Body(String),
    /// A good list with so many blanks in it.
    Huge(usize),
    /// A good answer after a while.
    Slow(Duration),
    /// The end of the connection.
    Close,
    /// A watch whose first and only line this is.
    Line(String),
}

/// One request, as it was understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pub(crate) target: String,
    pub(crate) resource: String,
    /// Empty for all.
    pub(crate) namespace: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) authorization: String,
}

impl Question {
    fn of(asked: &Asked) -> Self {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let namespaces = parts.iter().position(|part| *part == "namespaces");
        let namespace = namespaces.and_then(|at| parts.get(at + 1)).copied().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self {
            target: asked.target.clone(),
            resource: parts.last().copied().unwrap_or_default().to_owned(),
            namespace: namespace.to_owned(),
            parameters,
            authorization: asked.header("authorization").unwrap_or_default(),
        }
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.parameters.contains_key("watch")
    }

    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    fn is_about(&self, resource: &str, namespace: &str) -> bool {
        self.resource == resource
            && (self.namespace.is_empty() || namespace.is_empty() || self.namespace == namespace)
    }
}

/// What to do with a request.
enum Reply {
    Answer(Answer),
    Slow(Duration, Answer),
    Close,
    Line(String),
    /// Tell of what happens after this version.
    Watch(u64),
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Over TLS, at `https://127.0.0.1:PORT`.
    pub(crate) async fn start_tls(tls: ServerConfig) -> Self {
        Self::start_with(Some(Arc::new(Mutex::new(Arc::new(tls))))).await
    }

    async fn start_with(tls: Option<Arc<Mutex<Arc<ServerConfig>>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let known = Known { version: 10, ..Known::default() };
        let (signal, _) = watch::channel(0);
        let shared = Arc::new(Shared { known: Mutex::new(known), signal });
        let mut server = JoinSet::new();
        let (for_server, tls_now) = (Arc::clone(&shared), tls.clone());
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&for_server);
                let Some(tls) = &tls_now else {
                    connections.spawn(serve(stream, shared));
                    continue;
                };
                let acceptor = TlsAcceptor::from(Arc::clone(&tls.lock().unwrap()));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, shared).await;
                    }
                });
            }
        });
        Self { address, tls, shared, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Secures connections in this way from now on.
    pub(crate) fn renew(&self, tls: ServerConfig) {
        *self.tls.as_ref().unwrap().lock().unwrap() = Arc::new(tls);
    }

    /// An object comes, or becomes another.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        self.change(|known| {
            known.version += 1;
            let (key, object) = known.keep(resource, object);
            let kind = if known.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            known.tell(&key, kind, &object);
            known.objects.insert(key, object);
        });
    }

    /// An object goes.
    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.change(|known| {
            known.version += 1;
            let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
            let object = known.objects.remove(&key).unwrap();
            known.tell(&key, "DELETED", &object);
        });
    }

    /// An event that is as it is, whatever there is.
    pub(crate) fn say(&self, resource: &str, line: &Value) {
        self.change(|known| {
            known.version += 1;
            known.events.push(Event {
                version: known.version,
                resource: resource.to_owned(),
                namespace: String::new(),
                line: line.to_string(),
            });
        });
    }

    /// Tells watches how new they are, and how new that is.
    pub(crate) fn bookmark(&self, resource: &str) -> u64 {
        let version = self.change(|known| {
            known.version += 1;
            known.version
        });
        let metadata = json!({"resourceVersion": (version + 1).to_string()});
        self.say(
            resource,
            &json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}),
        );
        version + 1
    }

    /// Forgets all that has happened so far: who knows less has to make a list.
    pub(crate) fn forget(&self) {
        self.change(|known| {
            known.version += 1;
            known.forgotten = known.version;
            known.events.clear();
        });
    }

    pub(crate) fn cut(&self, how: Cut) {
        self.change(|known| known.cuts.push(how));
    }

    /// From now on, `chooses` says what is wrong with an answer, if anything is.
    pub(crate) fn trouble(
        &self,
        chooses: impl FnMut(&Question) -> Option<Trouble> + Send + 'static,
    ) {
        self.change(|known| known.chooses = Some(Box::new(chooses)));
    }

    pub(crate) fn recover(&self) {
        self.change(|known| known.chooses = None);
    }

    /// From now on, this has to be shown.
    pub(crate) fn want_token(&self, token: &str) {
        self.change(|known| known.token = Some(token.to_owned()));
    }

    /// From now on, lists come in pages if that is asked for.
    pub(crate) fn heed_limit(&self) {
        self.change(|known| known.heeds_limit = true);
    }

    pub(crate) fn asked(&self) -> Vec<Question> {
        self.shared.known.lock().unwrap().asked.clone()
    }

    /// How many lists of a resource were asked for.
    pub(crate) fn lists(&self, resource: &str) -> usize {
        let asked = self.asked();
        asked.iter().filter(|asked| asked.resource == resource && !asked.is_watch()).count()
    }

    /// How many watches of a resource were asked for.
    pub(crate) fn watches(&self, resource: &str) -> usize {
        let asked = self.asked();
        asked.iter().filter(|asked| asked.resource == resource && asked.is_watch()).count()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let changed = change(&mut self.shared.known.lock().unwrap());
        self.shared.signal.send_modify(|signal| *signal += 1);
        changed
    }
}

impl Known {
    fn keep(&self, resource: &str, mut object: Value) -> ((String, String, String), Value) {
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let of = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        ((resource.to_owned(), of("namespace"), of("name")), object)
    }

    fn tell(&mut self, key: &(String, String, String), kind: &str, object: &Value) {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.events.push(Event {
            version: self.version,
            resource: key.0.clone(),
            namespace: key.1.clone(),
            line: json!({"type": kind, "object": object}).to_string(),
        });
    }

    fn reply(&mut self, question: &Question) -> Reply {
        self.asked.push(question.clone());
        if self
            .token
            .as_ref()
            .is_some_and(|token| question.authorization != format!("Bearer {token}"))
        {
            return Reply::Answer(status(401, "Unauthorized"));
        }
        match self.chooses.as_mut().and_then(|chooses| chooses(question)) {
            None => {}
            Some(Trouble::Status(code)) => return Reply::Answer(status(code, "as scripted")),
            Some(Trouble::Body(body)) => return Reply::Answer(Answer::json(&body)),
            Some(Trouble::Close) => return Reply::Close,
            Some(Trouble::Line(line)) => return Reply::Line(line),
            Some(Trouble::Slow(pause)) => return Reply::Slow(pause, self.list(question)),
            Some(Trouble::Huge(blanks)) => {
                let mut answer = self.list(question);
                answer.body.resize(answer.body.len() + blanks, b' ');
                return Reply::Answer(answer);
            }
        }
        if !question.is_watch() {
            return Reply::Answer(self.list(question));
        }
        match question.parameter("resourceVersion").parse() {
            Ok(version) if version >= self.forgotten => Reply::Watch(version),
            Ok(_) => Reply::Answer(status(410, "too old resource version")),
            Err(_) => Reply::Answer(status(400, "Invalid value for resourceVersion")),
        }
    }

    fn list(&self, question: &Question) -> Answer {
        let objects: Vec<&Value> = self
            .objects
            .iter()
            .filter(|((resource, namespace, _), _)| question.is_about(resource, namespace))
            .map(|(_, object)| object)
            .collect();
        let begin: usize = question.parameter("continue").parse().unwrap_or_default();
        let is_from_memory = question.parameter("resourceVersion") == "0";
        let limit = if self.heeds_limit && !is_from_memory {
            question.parameter("limit").parse().unwrap()
        } else {
            objects.len()
        };
        let end = objects.len().min(begin + limit);
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if end < objects.len() {
            metadata["continue"] = end.to_string().into();
        }
        let kind = match question.resource.as_str() {
            "pods" => "PodList",
            "nodes" => "NodeList",
            "services" => "ServiceList",
            "endpoints" => "EndpointsList",
            "endpointslices" => "EndpointSliceList",
            "ingresses" => "IngressList",
            "namespaces" => "NamespaceList",
            "replicasets" => "ReplicaSetList",
            _ => "JobList",
        };
        Answer::json(
            &json!({"kind": kind, "metadata": metadata, "items": objects[begin..end]}).to_string(),
        )
    }
}

fn status(code: u16, message: &str) -> Answer {
    let body = json!({"kind": "Status", "status": "Failure", "code": code, "message": message});
    let mut answer = Answer::json(&body.to_string());
    answer.status = code;
    answer
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let mut read = Vec::new();
    while let Some(asked) = request(&mut stream, &mut read).await {
        let question = Question::of(&asked);
        // Before the answer is chosen, so that nothing is missed between.
        let signal = shared.signal.subscribe();
        let (reply, cuts) = {
            let mut known = shared.known.lock().unwrap();
            (known.reply(&question), known.cuts.len())
        };
        let written = match reply {
            Reply::Answer(answer) => write(&mut stream, &answer.bytes()).await,
            Reply::Slow(pause, answer) => {
                sleep(pause).await;
                write(&mut stream, &answer.bytes()).await
            }
            Reply::Close => false,
            Reply::Line(line) => {
                begin(&mut stream).await
                    && chunk(&mut stream, &format!("{line}\n")).await
                    && end(&mut stream).await
            }
            Reply::Watch(version) => {
                follow(&mut stream, &shared, &question, version, cuts, signal).await
            }
        };
        if !written {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// Whether the connection stays.
async fn follow(
    stream: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
    question: &Question,
    mut version: u64,
    cuts: usize,
    mut signal: watch::Receiver<u64>,
) -> bool {
    if !begin(stream).await {
        return false;
    }
    loop {
        let (events, cut) = {
            let known = shared.known.lock().unwrap();
            let events = known.events.iter().filter(|event| event.version > version);
            let events: Vec<Event> = events
                .filter(|event| question.is_about(&event.resource, &event.namespace))
                .cloned()
                .collect();
            (events, known.cuts.get(cuts).copied())
        };
        for event in events {
            version = event.version;
            if !chunk(stream, &format!("{}\n", event.line)).await {
                return false;
            }
        }
        match cut {
            None => {}
            Some(Cut::Normally) => return end(stream).await,
            Some(Cut::Close) => return false,
            Some(Cut::MidLine) => {
                return chunk(stream, r#"{"type": "DELETED", "obj"#).await && end(stream).await;
            }
        }
        if signal.changed().await.is_err() {
            return false;
        }
    }
}

async fn begin(stream: &mut (impl AsyncWrite + Unpin)) -> bool {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    write(stream, head.as_bytes()).await
}

async fn chunk(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> bool {
    write(stream, format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
}

async fn end(stream: &mut (impl AsyncWrite + Unpin)) -> bool {
    write(stream, b"0\r\n\r\n").await
}

/// TLS keeps what is written until it is told.
async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}
