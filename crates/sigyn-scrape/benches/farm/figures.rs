//! What came of it: what targets finished beside what the tracer says that it has of each.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::Problem;
use crate::serve::Farmed;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the tracer knows of one target.
#[derive(Debug, Default)]
pub(crate) struct Book {
    received: u64,
    lost: BTreeMap<String, u64>,
}

/// By instance, from the tracer's metrics.
pub(crate) fn books(tracer: SocketAddr) -> Result<HashMap<String, Book>, Problem> {
    let mut stream = TcpStream::connect(tracer)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let ask = format!(
        "GET /metrics HTTP/1.1\r\nHost: {tracer}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(read(&text))
}

fn read(text: &str) -> HashMap<String, Book> {
    let mut books: HashMap<String, Book> = HashMap::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let label = |name: &str| {
            let (_, after) = rest.split_once(&format!("{name}=\""))?;
            after.split('"').next()
        };
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        let (Some(instance), Some(value)) = (label("instance"), value) else { continue };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = value as u64;
        match name {
            "sigyn_target_spans_received_total" => {
                books.entry(instance.to_owned()).or_default().received = count;
            }
            "sigyn_target_spans_lost_total" if count > 0 => {
                let reason = label("reason").unwrap_or_default().to_owned();
                books.entry(instance.to_owned()).or_default().lost.insert(reason, count);
            }
            _ => {}
        }
    }
    books
}

/// Sums over some of the targets.
#[derive(Debug, Default)]
struct Sums {
    targets: u64,
    finished: u64,
    stored: u64,
    lost: BTreeMap<String, u64>,
    unaccounted: u64,
    twice: u64,
}

impl Sums {
    fn add(&mut self, finished: u64, book: &Book) {
        self.targets += 1;
        self.finished += finished;
        self.stored += book.received;
        for (reason, count) in &book.lost {
            *self.lost.entry(reason.clone()).or_default() += count;
        }
        let accounted = book.received + book.lost.values().sum::<u64>();
        self.unaccounted += finished.saturating_sub(accounted);
        self.twice += accounted.saturating_sub(finished);
    }

    fn tell(&self, who: &str, told: &mut String) {
        let Self { targets, finished, stored, lost, unaccounted, twice } = self;
        let all_lost: u64 = lost.values().sum();
        let reasons: Vec<String> =
            lost.iter().map(|(reason, count)| format!("{reason}:{count}")).collect();
        let reasons = if reasons.is_empty() { "-".to_owned() } else { reasons.join(",") };
        let _ = write!(
            told,
            " {who}_targets={targets} {who}_finished={finished} {who}_stored={stored} {who}_lost={all_lost} \
             {who}_reasons={reasons} {who}_unaccounted={unaccounted} {who}_twice={twice}"
        );
    }
}

/// All figures as `name=value`.
pub(crate) fn told(farmed: &[Rc<Farmed>], books: &HashMap<String, Book>) -> String {
    let (mut well, mut failing) = (Sums::default(), Sums::default());
    let (mut scrapes, mut missed, mut between, mut unread) = (0, 0, 0, 0);
    let nothing = Book::default();
    for target in farmed {
        let book = books.get(&target.address.to_string()).unwrap_or(&nothing);
        let finished = target.log.borrow().finished();
        let sums = if target.failure.is_some() { &mut failing } else { &mut well };
        sums.add(finished, book);
        unread += u64::from(!target.is_empty());
        if target.failure.is_none() {
            let punctual = target.punctual.borrow();
            scrapes += punctual.scrapes;
            missed += punctual.missed;
            between += punctual.between;
        }
    }
    let mut told = format!("scrapes={scrapes} missed={missed} between={between} unread={unread}");
    well.tell("well", &mut told);
    failing.tell("failing", &mut told);
    told
}

/// How late each scrape of those that are well was, in microseconds, a line each.
pub(crate) fn write_late(farmed: &[Rc<Farmed>], path: &Path) -> std::io::Result<()> {
    let mut text = String::new();
    for target in farmed.iter().filter(|target| target.failure.is_none()) {
        for late in &target.punctual.borrow().late_us {
            let _ = writeln!(text, "{late}");
        }
    }
    std::fs::write(path, text)
}
