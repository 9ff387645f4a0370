//! The HTTP client against servers that send it on, send too much, or send nothing.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use sigyn_discovery::http::{Client, ClientError, Config, Options};
use tokio::time::Instant;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};

const LIMIT: usize = 1000;

fn client() -> Client {
    Client::new(&Config::default(), Options::default()).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn to(status: u16, location: &str) -> Reply {
    Answer::new(status, "").with("Location", location).into()
}

#[tokio::test]
async fn each_trouble_is_told_apart() {
    let slow = Duration::from_millis(400);
    for trouble in Trouble::all(slow, LIMIT + 1) {
        let fake = Fake::scripted([Reply::Trouble(trouble)]).await;
        let url = format!("http://{}/", fake.address());
        let waits = matches!(trouble, Trouble::Hang | Trouble::Slow(_));
        let deadline = if waits { Instant::now() + slow } else { soon() };
        let answer = client().get(&url, HeaderMap::new(), LIMIT, deadline).await;
        let is_right = match trouble {
            Trouble::Hang | Trouble::Slow(_) => matches!(answer, Err(ClientError::Timeout)),
            Trouble::Close => matches!(answer, Err(ClientError::Lost { .. })),
            Trouble::CutBody => matches!(answer, Err(ClientError::Cut { .. })),
            Trouble::Huge(_) => matches!(answer, Err(ClientError::TooLarge { limit: LIMIT })),
            Trouble::Status(status) => {
                answer.as_ref().is_ok_and(|(head, _)| head.status.as_u16() == status)
            }
            Trouble::Malformed | Trouble::WrongType | Trouble::Null | Trouble::Foreign => {
                answer.is_ok()
            }
        };
        assert!(is_right, "{trouble:?}: {answer:?}");
    }
}

#[tokio::test]
async fn as_much_as_the_limit_is_not_too_much() {
    let fake = Fake::scripted([Answer::new(200, vec![b'x'; LIMIT]).into()]).await;
    let url = format!("http://{}/", fake.address());
    let (_, body) = client().get(&url, HeaderMap::new(), LIMIT, soon()).await.unwrap();
    assert_eq!(body.len(), LIMIT);
}

#[tokio::test]
async fn nobody_and_nonsense() {
    let fake = Fake::scripted([Trouble::Close].map(Reply::Trouble)).await;
    let address = fake.address();
    drop(fake);
    let url = format!("http://{address}/");
    let error = client().get(&url, HeaderMap::new(), LIMIT, soon()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    let error = client().get("a b", HeaderMap::new(), LIMIT, soon()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read the URL \"a b\"");
}

#[tokio::test]
async fn what_stays_of_a_request_that_is_sent_on() {
    for (status, method, body) in [(307, "POST", "hi"), (303, "GET", "")] {
        let fake = Fake::scripted([to(status, "/b"), Answer::new(201, "done").into()]).await;
        let mut request = Request::new(Bytes::from_static(b"hi"));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("http://{}/a", fake.address()).parse().unwrap();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let answer = client().send(request, soon()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
        let Asked { method: last, target, headers, body: sent } = fake.asked().pop().unwrap();
        assert_eq!((last.as_str(), target.as_str()), (method, "/b"), "{status}");
        assert_eq!(sent, body.as_bytes());
        let has_type = headers.iter().any(|(name, _)| name == "content-type");
        assert_eq!(has_type, !body.is_empty());
        let agent = headers.iter().find(|(name, _)| name == "user-agent").unwrap();
        assert!(agent.1.starts_with("Sigyn/"), "{agent:?}");
    }
}
