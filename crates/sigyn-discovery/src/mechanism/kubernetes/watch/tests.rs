//! Waits that have an end, and events that come in pieces. Troubles that an API tells of are tried in
//! `tests/it/kubernetes/`.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::super::Selector;
use super::super::api::Access;
use super::super::objects::Pod;
use super::super::resource::Resource;
use super::*;
use crate::http::{Client, Config, Options};
use crate::mechanism::Whose;
use crate::test_log::Log;

const LIST: &str =
    r#"{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}"#;

/// Answers a list with a status and its body, and begins a watch.
fn answer(target: &str, status: u16) -> String {
    if target.contains("watch=1") {
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    }
    format!("HTTP/1.1 {status} As Scripted\r\nContent-Length: {}\r\n\r\n{LIST}", LIST.len())
}

/// A watch of a server that answers each request by its number, or never. It ends with the test.
struct Rig {
    store: Arc<Store<Pod>>,
    metrics: Arc<Metrics>,
    asked: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
    _whose: Arc<Whose>,
    address: SocketAddr,
}

impl Rig {
    async fn start(reply: fn(usize, &str) -> Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}/").parse().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared), reply));
            }
        });
        let client = Client::new(&Config::default(), Options::default()).unwrap();
        let api = Arc::new(Api { base, access: Access::Client(client) });
        let (store, metrics): (Arc<Store<Pod>>, Arc<Metrics>) = (Arc::default(), Arc::default());
        let times = Times {
            list: Duration::from_millis(200),
            open: Duration::from_millis(200),
            silence: Duration::from_millis(100),
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_millis(20),
            ..Times::default()
        };
        let question = Question::new(Resource::Pods, "", &Selector::default());
        let whose = Whose::of("a", "kubernetes", "");
        let sharers: Arc<Sharers> = Arc::default();
        sharers.add(Arc::downgrade(&whose));
        let watching =
            Watching::new(api, question, Arc::clone(&store), Arc::clone(&metrics), times, sharers);
        tasks.spawn(watching.run());
        Self { store, metrics, asked, tasks, _whose: whose, address }
    }

    fn watches(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|target| target.contains("watch=1")).count()
    }

    fn failures(&self) -> u64 {
        self.metrics.snapshot().kubernetes_failures_total
    }

    async fn until(&self, check: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !check(self) {
            assert!(Instant::now() < deadline, "{:?}", self.asked);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    reply: fn(usize, &str) -> Option<String>,
) {
    let mut read = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut read).await {
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8(std::mem::take(&mut read)).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let number = {
            let mut asked = asked.lock().unwrap();
            asked.push(target.clone());
            asked.len()
        };
        match reply(number, &target) {
            Some(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn answers_that_never_come_are_given_up() {
    let log = Log::start();
    // First a list does not come, then the beginning of a watch.
    let rig = Rig::start(|number, target| match number {
        1 | 3 => None,
        _ => Some(answer(target, 200)),
    })
    .await;
    rig.until(|rig| rig.failures() == 1 && rig.store.is_synced()).await;
    rig.until(|rig| rig.failures() == 2 && rig.watches() >= 2).await;
    assert_eq!(rig.store.list().len(), 1);
    let line = "cannot learn from Kubernetes what there is";
    let begin = format!(
        "{line} config=a discovery=kubernetes server=http://{}/ resource=Pods namespace= kept_targets=0 error=",
        rig.address
    );
    let told = log.lines(line);
    assert!(told.iter().all(|told| told.starts_with(&begin)), "{told:?} instead of {begin}");
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_asked_for_again() {
    let rig = Rig::start(|_, target| Some(answer(target, 200))).await;
    rig.until(|rig| rig.watches() >= 3).await;
    assert_eq!(rig.failures(), 0);
    let asked = rig.asked.lock().unwrap();
    assert!(asked[1..].iter().all(|target| target.contains("resourceVersion=7&")), "{asked:?}");
}

#[tokio::test]
async fn who_followed_is_told_that_nobody_works_any_more() {
    let mut rig = Rig::start(|_, target| Some(answer(target, 500))).await;
    rig.until(|rig| rig.failures() >= 3).await;
    assert!(!rig.store.is_synced() && !rig.store.has_ended());
    rig.tasks.shutdown().await;
    assert!(rig.store.has_ended());
}

#[test]
fn lines_come_in_pieces() {
    let mut lines = Lines::default();
    let mut told = Vec::new();
    for piece in ["a", "b\n\r\n \nc\nd", "", "e", "\n", "f"] {
        lines.push(piece.as_bytes()).unwrap();
        while let Some(line) = lines.next() {
            told.push(String::from_utf8(line.to_vec()).unwrap());
        }
    }
    assert_eq!(told, ["ab", "c", "de"]);
    assert!(!lines.is_empty());
    lines.push(b"\n").unwrap();
    assert_eq!(lines.next().as_deref(), Some(&b"f"[..]));
    assert!(lines.is_empty());
}

#[test]
fn a_line_has_an_end() {
    let mut lines = Lines::default();
    lines.push(&vec![b' '; LINE_BYTES_MAX]).unwrap();
    assert!(lines.next().is_none());
    assert!(matches!(lines.push(b" "), Err(WatchError::TooLarge)));
}

#[tokio::test(start_paused = true)]
async fn pauses_become_longer_up_to_a_bound() {
    let times = Times::default();
    let mut pauses = Pauses::new(&times);
    for expected in [800, 1600, 3200, 6400, 12800, 25600, 30000, 30000] {
        let begun = Instant::now();
        pauses.pause().await;
        let took = begun.elapsed();
        let most = Duration::from_millis(expected + 1);
        assert!(took >= Duration::from_millis(expected / 2) && took <= most, "{took:?}");
    }
    pauses.reset();
    let begun = Instant::now();
    pauses.pause().await;
    assert!(begun.elapsed() <= Duration::from_millis(801));
}

#[test]
fn what_needs_another_list_and_what_only_another_watch() {
    let check = |status: u16, expected: bool| {
        let status = http::StatusCode::from_u16(status).unwrap();
        let error = WatchError::from(ApiError::Status(status, Refusal::default()));
        assert_eq!(error.needs_list(), expected, "{status}");
    };
    // The same question will do once the trouble is over.
    for status in [401, 403, 408, 429, 500, 503] {
        check(status, false);
    }
    // It will not.
    for status in [400, 404, 410, 422] {
        check(status, true);
    }
    assert!(!WatchError::Cut.needs_list());
    assert!(WatchError::TooLarge.needs_list());
}
