//! What the tests of these services share: one is told to end while it answers, and its last spans are at a scraper.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sigyn_model::codec::json_v2;
use sigyn_model::pull::{self, Cursor};

const DEADLINE: Duration = Duration::from_secs(30);
/// As every scraper has one: it comes again.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(3);

/// Killed in any case when the test ends.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One answer: its headers in lower case, and what is behind them.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// An answer without a head is one that did not come.
fn ask(address: SocketAddr, request: &[u8], timeout: Duration) -> Answer {
    let exchange = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(request)?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        std::io::Result::Ok(all)
    };
    let all = exchange().unwrap_or_default();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(all.len());
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    Answer { head, body: all.get(end + 4..).unwrap_or_default().to_vec() }
}

/// A scrape by a scraper with a name. What comes is acknowledged with the next one.
fn scrape(address: SocketAddr, cursor: Option<Cursor>) -> Answer {
    let cursor = cursor.map(|cursor| format!("Sigyn-Cursor: {cursor}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: application/json\r\nSigyn-Scraper: a\r\n{cursor}\r\n"
    );
    ask(address, request.as_bytes(), SCRAPE_TIMEOUT)
}

/// Starts the service, and tells it to end while it answers one such request after another: each that was answered has a
/// span of this name at the scraper, and the service ends by itself with nothing lost.
pub(crate) fn last_spans_are_read(program: &str, request: &'static [u8], name: &str) {
    let start = Instant::now();
    let mut child = Command::new(program)
        .env("LISTEN", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut service = Service(child);
    let address = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok()).unwrap();

    // A scraper that is expected back.
    let first = scrape(address, None);
    let mut cursor: Cursor = first.header(pull::NEXT).unwrap().parse().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let asking = std::thread::spawn({
        let answered = Arc::clone(&answered);
        move || {
            while ask(address, request, DEADLINE).head.starts_with("http/1.1 200 ") {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    while answered.load(Ordering::Relaxed) < 5 {
        assert!(start.elapsed() < DEADLINE, "it does not answer");
        std::thread::yield_now();
    }
    let pid = service.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());

    let mut spans = Vec::new();
    loop {
        assert!(start.elapsed() < DEADLINE, "it never says that this is the end");
        let scraped = scrape(address, Some(cursor));
        let Some(next) = scraped.header(pull::NEXT) else {
            // A scraper that has everything before the last seal is not waited for, and need not hear of it.
            if service.0.try_wait().unwrap().is_some() {
                break;
            }
            // A connection that waits while the server ends may be closed without an answer.
            continue;
        };
        cursor = next.parse().unwrap();
        spans.extend(json_v2::decode_list(&scraped.body).unwrap_or_default());
        if (scraped.header(pull::FINAL), scraped.header(pull::MORE)) == (Some("1"), Some("0")) {
            break;
        }
    }
    // Nobody but scrapers is answered any more.
    asking.join().unwrap();
    let read = spans.iter().filter(|span| span.name == name).count();
    assert_eq!(read, answered.load(Ordering::Relaxed), "{spans:#?}");
    // The last acknowledgement; the service may be gone before it answers.
    let _ = scrape(address, Some(cursor));
    let last = lines.last().unwrap_or_default();
    assert!(service.0.wait().unwrap().success());
    assert_eq!(last, "0 spans lost");
}
