//! Everything that can go wrong with one answer: the target is down, or not traced, for a clear
//! reason, and its cursor stays.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sigyn_model::codec::json_v2;
use sigyn_scrape::{FailureCause, Health, State, TargetStatus};

use crate::fake::{
    Log, Reply, Scraper, Store, Target, eventually, group, job, logging_target, response, span,
    spans,
};

const RANGE: (&str, &str) = ("Sigyn-Range", "9f:1-1/1");
const NEXT: (&str, &str) = ("Sigyn-Next", "9f:2");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn list() -> String {
    json_v2::encode_list(&spans(1..=3))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The target after its first scrape.
async fn scraped(reply: Reply) -> TargetStatus {
    let target = Target::scripted(vec![reply]).await;
    let scraper = Scraper::of(&[&target]);
    let status = scraper.target("a first scrape", |target| target.scrapes_total > 0).await;
    assert_eq!(scraper.store.ids(), [] as [u64; 0]);
    assert_eq!(status.cursor, None);
    scraper.stop().await;
    status
}

async fn check_down(reply: Reply, cause: FailureCause, error: &str) {
    let status = scraped(reply).await;
    assert_eq!((status.health, status.state), (Health::Down, State::Down));
    assert_eq!(status.last_error.as_deref(), Some(error));
    assert!(status.failures_in_a_row > 0 && status.failing_since.is_some());
    let causes: Vec<_> = status.failures.by_cause().into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(causes, [(cause, status.scrapes_total)]);
    assert_eq!(status.recent.last().unwrap().error.as_deref(), Some(error));
}

async fn check_not_traced(reply: Reply, reason: &str) {
    let status = scraped(reply).await;
    assert_eq!((status.health, status.state), (Health::Up, State::NotTraced));
    assert_eq!(status.last_error.as_deref(), Some(reason));
    assert_eq!(status.failures_in_a_row, 0);
}

#[tokio::test]
async fn statuses_other_than_200_are_failures() {
    check_down(
        Reply::Keep(response("500 Internal Server Error", &[], b"oops")),
        FailureCause::Status,
        "server returned HTTP status 500 Internal Server Error",
    )
    .await;
    check_down(
        Reply::Keep(response("302 Found", &[], b"")),
        FailureCause::Status,
        "server returned HTTP status 302 Found",
    )
    .await;
}

#[tokio::test]
async fn what_is_not_spans_is_not_traced() {
    check_not_traced(
        Reply::Keep(response("404 Not Found", &[], b"no")),
        "server returned HTTP status 404 Not Found",
    )
    .await;
    check_not_traced(
        Reply::Keep(response("200 OK", &[("Content-Type", "text/html")], b"<html>")),
        "answered with \"text/html\", which is no format of spans",
    )
    .await;
    check_not_traced(
        Reply::Keep(response("200 OK", &[JSON], b" {\"status\":\"ok\"}")),
        "answered with a body that is no list of spans",
    )
    .await;
    for body in ["", "OK", "\u{19}\u{c}"] {
        check_not_traced(
            Reply::Keep(response("200 OK", &[], body.as_bytes())),
            "answered with a body that is no list of spans",
        )
        .await;
    }
    let protobuf = ("Content-Type", "application/x-protobuf");
    for (content_type, body) in [(JSON, "[1, 2]"), (JSON, "[{\"id\":7}]"), (protobuf, "\u{1f}?")] {
        check_not_traced(
            Reply::Keep(response("200 OK", &[content_type], body.as_bytes())),
            "answered with a body that is no list of spans",
        )
        .await;
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_not_kept() {
    let whole = response("200 OK", &[RANGE, NEXT, JSON], list().as_bytes());
    let cut = whole[..whole.len() - 10].to_vec();
    let status = scraped(Reply::Close(cut)).await;
    assert_eq!(status.failures.body_cut, status.scrapes_total);
    assert!(status.last_error.unwrap().starts_with("body was cut after "));

    let head = "HTTP/1.1 200 OK\r\nSigyn-Range: 9f:1-1/1\r\nSigyn-Next: 9f:2\r\nContent-Type: application/json\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", list().len(), list());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}");
    let status = scraped(Reply::Close(chunked.into_bytes())).await;
    assert_eq!(status.failures.body_cut, status.scrapes_total);

    let to_close = format!("{head}\r\n{}", list());
    check_down(
        Reply::Close(to_close.into_bytes()),
        FailureCause::BodyCut,
        &format!("body was cut: it ended with the connection, after {} bytes", list().len()),
    )
    .await;
}

#[tokio::test]
async fn a_target_that_never_answers_times_out() {
    check_down(
        Reply::Hang,
        FailureCause::Timeout,
        "no whole answer within 100ms (context deadline exceeded)",
    )
    .await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[";
    check_down(
        Reply::Keep(head.to_vec()),
        FailureCause::Timeout,
        "no whole answer within 100ms (context deadline exceeded)",
    )
    .await;
}

#[tokio::test]
async fn headers_that_break_the_protocol_are_a_failure() {
    let check = async |headers: &[(&str, &str)], error: &str| {
        let reply = Reply::Keep(response("200 OK", headers, list().as_bytes()));
        check_down(reply, FailureCause::Protocol, error).await;
    };
    check(&[JSON, RANGE], "the answer breaks the pull protocol: header sigyn-next is missing")
        .await;
    check(
        &[JSON, RANGE, ("Sigyn-Next", "zz:1")],
        "the answer breaks the pull protocol: bad header sigyn-next: \
         cannot read a cursor (epoch:seq) from \"zz:1\"",
    )
    .await;
    check_down(
        Reply::Close(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        FailureCause::Protocol,
        "the answer is not HTTP (malformed HTTP response): invalid HTTP version parsed",
    )
    .await;
}

#[tokio::test]
async fn heads_may_be_long_and_not_endless() {
    let padded = |count: usize, bytes: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("X-{n}")).collect();
        let value = "a".repeat(bytes);
        let pads = names.iter().map(|name| (name.as_str(), value.as_str()));
        let headers: Vec<_> = pads.chain([JSON]).collect();
        Reply::Keep(response("200 OK", &headers, b"[]"))
    };
    let error = "the answer's headers are more than 1000, or than 256 KiB";
    for (count, bytes, expected) in
        [(500, 60, None), (9, 25_000, None), (1001, 1, Some(error)), (1, 2 << 20, Some(error))]
    {
        let target = Target::scripted(vec![padded(count, bytes)]).await;
        let mut job = job("api");
        (job.job.scrape_interval, job.job.scrape_timeout) =
            (Duration::from_secs(2), Duration::from_secs(2));
        let groups = [("api".to_owned(), group(&[target.address]))].into();
        let scraper = Scraper::start(vec![job], groups);
        let status = scraper.target("a scrape", |target| target.scrapes_total > 0).await;
        assert_eq!(status.last_error.as_deref(), expected, "{count} of {bytes}");
        assert_eq!(status.failures.protocol, u64::from(expected.is_some()));
        scraper.stop().await;
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_a_failure() {
    let packed = ("Content-Encoding", "gzip");
    check_down(
        Reply::Keep(response("200 OK", &[JSON, RANGE, NEXT, packed], b"this is not gzip")),
        FailureCause::Decode,
        "cannot unpack the gzip body: invalid gzip header",
    )
    .await;
    // A target that speaks the protocol has no excuse.
    check_down(
        Reply::Keep(response("200 OK", &[RANGE, NEXT], b"OK")),
        FailureCause::Decode,
        "cannot decode the body: the answer names no content type",
    )
    .await;
    let status = scraped(Reply::Keep(response("200 OK", &[JSON, RANGE, NEXT], b"{}"))).await;
    assert_eq!((status.health, status.failures.decode), (Health::Down, status.scrapes_total));
    check_down(
        Reply::Keep(response("200 OK", &[JSON, ("Content-Encoding", "br")], b"?")),
        FailureCause::Decode,
        "content encoding \"br\" is not known",
    )
    .await;
    check_down(
        Reply::Keep(response(
            "200 OK",
            &[("Content-Type", "application/vnd.apache.thrift.compact")],
            b"\x19",
        )),
        FailureCause::Decode,
        "cannot decode the body: Truncated: length 1 > bytes available 0 reading List<Span> from TCompact",
    )
    .await;
    let status = scraped(Reply::Keep(response("200 OK", &[JSON], b"[{\"traceId\":]"))).await;
    assert_eq!(status.failures.decode, status.scrapes_total);
    assert!(status.last_error.unwrap().starts_with("cannot decode the body: "));
}

#[tokio::test]
async fn a_small_body_may_not_stand_for_a_huge_one() {
    let mut bomb = list().into_bytes();
    bomb.resize(70 << 20, b' ');
    let headers = [JSON, RANGE, NEXT, ("Content-Encoding", "gzip")];
    check_down(
        Reply::Keep(response("200 OK", &headers, &gzip(&bomb))),
        FailureCause::BodyLimit,
        "body size limit exceeded: it has 67108864 bytes or more",
    )
    .await;
}

#[tokio::test]
async fn a_refused_connection_and_a_scheme_of_another_kind_say_what_is_wrong() {
    let target = Target::scripted(vec![Reply::Hang]).await;
    let address = target.address;
    drop(target);
    let groups = |of: &str| [(of.to_owned(), group(&[address]))].into();
    let scraper = Scraper::start(vec![job("api")], groups("api"));
    let status = scraper.target("a failure", |target| target.health == Health::Down).await;
    let error = format!("cannot connect to {address}: connection refused");
    assert_eq!(status.last_error.as_deref(), Some(error.as_str()));
    assert!(status.failures.connect > 0);
    scraper.stop().await;

    let mut groups: sigyn_discovery::Groups = groups("api");
    let found = Arc::make_mut(&mut groups.get_mut("api").unwrap()[0]);
    found.targets[0].set("__scheme__", "ftp");
    let scraper = Scraper::start(vec![job("api")], groups);
    let status = scraper.target("a failure", |target| target.health == Health::Down).await;
    let error = "unsupported protocol scheme \"ftp\"";
    assert_eq!(status.last_error.as_deref(), Some(error));
    scraper.stop().await;
}

#[tokio::test]
async fn a_busy_target_is_left_alone_for_as_long_as_it_asks() {
    let busy = response("429 Too Many Requests", &[("Retry-After", "1")], b"");
    let ok = response("200 OK", &[JSON], b"[]");
    let target = Target::scripted(vec![Reply::Keep(busy), Reply::Keep(ok)]).await;
    let scraper = Scraper::of(&[&target]);
    let began = tokio::time::Instant::now();
    let status = scraper.target("busy", |target| target.scrapes_total == 1).await;
    let error = "server returned HTTP status 429 Too Many Requests";
    assert_eq!(status.last_error.as_deref(), Some(error));
    assert_eq!((status.failures_in_a_row, status.failures.status), (1, 1));
    let status = scraper.target("back", |target| target.health == Health::Up).await;
    assert!(began.elapsed().as_millis() >= 1000);
    assert_eq!((status.scrapes_total, status.failures_in_a_row), (2, 0));
    scraper.stop().await;
}

#[tokio::test]
async fn a_target_that_is_busy_for_ever_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.log");
    let busy = |headers: &[(&str, &str)]| {
        Reply::Keep(response("429 Too Many Requests", headers, b"not now"))
    };
    let mut job = job("api");
    job.job.failure_log_file = Some(path.clone());
    // One says no time, and one a very long one: it is not asked a second time here.
    for (headers, asked) in [(&[][..], 3), (&[("Retry-After", "99999999999")][..], 1)] {
        let target = Target::scripted(vec![busy(headers)]).await;
        let groups = [("api".to_owned(), group(&[target.address]))].into();
        let scraper = Scraper::start(vec![job.clone()], groups);
        let status = scraper.target("down", |target| target.health == Health::Down).await;
        assert_eq!(status.state, State::Down);
        assert!(status.scrapes_total >= asked, "{status:?}");
        let error = "server returned HTTP status 429 Too Many Requests";
        assert_eq!(status.last_error.as_deref(), Some(error));
        let failed = u64::from(status.failures_in_a_row);
        assert_eq!((failed, status.failures.status), (status.scrapes_total, status.scrapes_total));
        assert!(status.failing_since.is_some());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| line.contains(error)).count() as u64;
        assert!(lines >= failed, "{text}");
        scraper.stop().await;
    }
}

#[tokio::test]
async fn pages_become_smaller_until_they_fit() {
    let mut log = Log::new(7);
    log.seal(spans([1]));
    let (target, log) = logging_target(log).await;
    let mut job = job("api");
    job.job.body_size_limit = 20_000;
    let groups = [("api".to_owned(), group(&[target.address]))].into();
    let scraper = Scraper::restart(vec![job], groups, Vec::new(), Store::default());
    scraper.target("a first scrape", |target| target.last_spans == 1).await;
    let large = |id: u64| {
        let mut span = span(id);
        span.set_tag("text", "x".repeat(15_000));
        span
    };
    {
        let mut log = log.lock().unwrap();
        log.seal(vec![large(2)]);
        log.seal(vec![large(3)]);
    }
    let status = scraper.target("all", |target| target.account.received == 3).await;
    assert_eq!(scraper.store.ids(), [1, 2, 3]);
    assert_eq!(status.failures.total(), 0);
    scraper.stop().await;
}

#[tokio::test]
async fn failed_scrapes_are_written_to_the_jobs_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.log");
    let bad = Target::scripted(vec![Reply::Keep(response("500 Internal Server Error", &[], b""))]);
    let bad = bad.await;
    let mut job = job("api");
    job.job.failure_log_file = Some(path.clone());
    let groups = std::collections::BTreeMap::from([("api".to_owned(), group(&[bad.address]))]);
    let scraper = Scraper::start(vec![job], groups);
    let line = eventually("a line", || {
        let text = std::fs::read_to_string(&path).ok()?;
        text.lines().next().filter(|_| text.ends_with('\n')).map(str::to_owned)
    })
    .await;
    let (time, rest) =
        line.split_once(",\"level\":\"ERROR\",\"source\":\"scrape_loop.rs:").unwrap();
    assert!(time.starts_with("{\"time\":\"20"), "{line}");
    let rest = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    let expected = format!(
        "\",\"msg\":\"server returned HTTP status 500 Internal Server Error\",\
         \"job_name\":\"api\",\"target\":\"http://{}/traces\"}}",
        bad.address
    );
    assert_eq!(rest, expected);
    scraper.stop().await;
}

#[tokio::test]
async fn a_reload_opens_the_file_of_failed_scrapes_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [path, moved] = ["failures", "moved"].map(|name| folder.path().join(name));
    let bad = Reply::Keep(response("500 Internal Server Error", &[], b""));
    let bad = Target::scripted(vec![bad]).await;
    let mut job = job("api");
    job.job.failure_log_file = Some(path.clone());
    let groups = std::collections::BTreeMap::from([("api".to_owned(), group(&[bad.address]))]);
    let scraper = Scraper::start(vec![job.clone()], groups);
    let written = async |what| {
        let size =
            || std::fs::metadata(&path).ok().filter(|file| file.is_file()).map(|file| file.len());
        eventually(what, || size().filter(|size| *size > 0)).await;
    };
    written("at the start").await;

    std::fs::rename(&path, &moved).unwrap();
    scraper.jobs.send_replace(Arc::new(vec![job.clone()]));
    written("after a reload that changes nothing").await;

    std::fs::rename(&path, &moved).unwrap();
    job.traces_path = "/other".to_owned();
    scraper.jobs.send_replace(Arc::new(vec![job.clone()]));
    written("after one that changes the job").await;

    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    scraper.jobs.send_replace(Arc::new(vec![job.clone()]));
    let target = scraper.target("another", |target| target.url.ends_with("/other")).await;
    let later = target.scrapes_total + 5;
    scraper.target("given up", |target| target.scrapes_total > later).await;
    std::fs::remove_file(&path).unwrap();
    scraper.jobs.send_replace(Arc::new(vec![job]));
    written("after the disk was full").await;
    scraper.stop().await;
}
