//! The fake server itself: what it does on the wire in each kind of trouble.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use crate::fake::{Answer, Fake, Reply, Trouble};
use crate::rig::PATIENCE;

const SLOW: Duration = Duration::from_millis(30);
const HUGE: usize = 100_000;

/// Asks once and reads to the end of the connection, or until nothing comes for a while.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    stream
        .write_all(b"POST /x?y=1 HTTP/1.1\r\nA: 1\r\na: 2\r\nContent-Length: 2\r\n\r\nhi")
        .await
        .unwrap();
    let mut read = Vec::new();
    while let Ok(Ok(1..)) = timeout(Duration::from_millis(300), stream.read_buf(&mut read)).await {}
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn each_trouble_is_one_of_its_kind() {
    for trouble in Trouble::all(SLOW, HUGE) {
        let fake = Fake::scripted([Reply::Trouble(trouble)]).await;
        let begun = Instant::now();
        let seen = ask(TcpStream::connect(fake.address()).await.unwrap()).await;
        let (head, body) = seen.split_once("\r\n\r\n").unwrap_or_default();
        let is_json = head.contains("application/json");
        let is_right = match trouble {
            Trouble::Hang | Trouble::Close => seen.is_empty(),
            Trouble::Slow(pause) => body == "[]" && begun.elapsed() >= 2 * pause,
            Trouble::Status(status) => head.starts_with(&format!("HTTP/1.1 {status} ")),
            Trouble::Malformed => is_json && !body.starts_with('['),
            Trouble::CutBody => head.contains("Content-Length: 200") && body.len() == 100,
            Trouble::Huge(bytes) => body.len() == bytes && body.ends_with(']'),
            Trouble::Null => is_json && body == "null",
            Trouble::Foreign => is_json && body.contains("wheels"),
            Trouble::WrongType => head.contains("text/html") && body == "[]",
        };
        assert!(is_right, "{trouble:?}: {seen}");
        let asked = fake.asked();
        assert_eq!((asked[0].method.as_str(), asked[0].target.as_str()), ("POST", "/x?y=1"));
        assert_eq!(asked[0].header("a").as_deref(), Some("1, 2"));
        assert_eq!(asked[0].body, b"hi");
    }
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_changes_its_mind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let fake = Fake::start_unix(&path, |_| Answer::json("[1]").into());
    let asked = timeout(PATIENCE, ask(UnixStream::connect(&path).await.unwrap())).await.unwrap();
    assert!(asked.ends_with("\r\n\r\n[1]"), "{asked}");
    fake.change(|asked| Answer::new(201, asked.body.clone()).into());
    let asked = timeout(PATIENCE, ask(UnixStream::connect(&path).await.unwrap())).await.unwrap();
    assert!(asked.starts_with("HTTP/1.1 201 ") && asked.ends_with("\r\n\r\nhi"), "{asked}");
}
