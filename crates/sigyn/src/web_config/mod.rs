//! `--web.config.file`: TLS, users, headers and a bound on the rate of requests at every door.
//!
//! The file's keys and rules are those of Prometheus' exporter-toolkit. It is read again for each
//! request, and with the certificates for each connection, so that both may change under way. Whether
//! there is TLS, HTTP/2 over it, and the bound on the rate are as they were at the start.

mod clients;
mod counts;
mod file;
mod go_duration;
mod handshake;
mod hash;
mod headers;
mod limit;
mod names;
mod tls;
mod users;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::{EXPECT, HeaderMap, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use sigyn_discovery::http::Secret;
use tokio::time::Instant;
use tower::ServiceExt as _;

pub(crate) use self::counts::Counts;
use self::counts::Refusal;
use self::file::File;
use self::limit::Limit;
use self::tls::Served;
use self::users::{Credentials, Users};
use crate::collect;
use crate::reply::text;

/// What guards the doors. Clones of the `Arc` around it share what was read.
#[derive(Debug)]
pub(crate) struct WebConfig {
    path: PathBuf,
    /// What the file said last.
    last: Mutex<Read>,
    /// How TLS was spoken last; `None` if it is not.
    tls: Option<Mutex<Served>>,
    /// Whether HTTP/2 is offered over TLS.
    http2: bool,
    limit: Option<Limit>,
    users: Users,
    counts: Arc<Counts>,
    /// What was wrong with the file, when a request came.
    told: Told,
    /// What was wrong with it or with what it names, when a connection began.
    told_of_tls: Told,
}

/// What was wrong last, and has been told.
#[derive(Debug, Default)]
struct Told(Mutex<Option<String>>);

/// A text, and what it means.
#[derive(Debug)]
struct Read {
    text: Secret,
    file: Arc<File>,
}

/// Why the file, or what it names, cannot be used. The texts are exporter-toolkit's where it has one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    File(#[from] file::FileError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The start decides on TLS; to go on without it would be to answer in the open.
    #[error("tls_server_config is gone: TLS is turned off by a restart")]
    TlsGone,
}

impl WebConfig {
    /// Reads the file and all that it names. `warnings` gets what is accepted and has no effect.
    pub(crate) fn open(path: &Path, warnings: &mut Vec<String>) -> Result<Self, WebConfigError> {
        let text = read(path)?;
        let file = File::parse(&text, folder(path))?;
        file.check_users()?;
        warnings.extend(file.warnings());
        let http2 = file.http2;
        let served = file.tls.as_ref().map(|tls| Served::new(tls, http2)).transpose()?;
        Ok(Self {
            path: path.to_owned(),
            tls: served.map(Mutex::new),
            http2,
            limit: file.rate_limit.map(|rate| Limit::new(rate, Instant::now())),
            users: Users::default(),
            counts: Arc::default(),
            told: Told::default(),
            told_of_tls: Told::default(),
            last: Mutex::new(Read { text: text.into(), file: Arc::new(file) }),
        })
    }

    /// Whether connections begin with TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether HTTP/2 may be spoken over TLS.
    pub(crate) fn offers_http2(&self) -> bool {
        self.http2
    }

    /// Whether strangers are kept out, as the file is now.
    pub(crate) fn keeps_strangers_out(&self) -> bool {
        let file = lock(&self.last).file.clone();
        let by_certificate = file.tls.as_ref().is_some_and(|tls| tls.client_auth.verifies_all());
        by_certificate || !file.users.is_empty()
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Answers a request, or says why not.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        router: Router,
    ) -> Result<Response, Infallible> {
        let file = match self.admit(request.headers()).await {
            Ok(file) => file,
            Err(response) => {
                // Many a client listens only when it has sent all it has; others ask first.
                if !request.headers().contains_key(EXPECT) {
                    collect::discard(Body::new(request.into_body())).await;
                }
                return Ok(response);
            }
        };
        let mut response = router.oneshot(request).await?;
        file.headers.add_to(response.headers_mut());
        Ok(response)
    }

    /// The file as it is now, if whoever asks may be answered; else what they are told.
    async fn admit(&self, headers: &HeaderMap) -> Result<Arc<File>, Response> {
        let file = self.current().map_err(|_| {
            self.counts.refused(Refusal::Configuration);
            refusal(StatusCode::INTERNAL_SERVER_ERROR)
        })?;
        if self.limit.as_ref().is_some_and(|limit| !limit.admits(Instant::now())) {
            self.counts.refused(Refusal::RateLimit);
            return Err(refusal(StatusCode::TOO_MANY_REQUESTS));
        }
        if file.users.is_empty() {
            return Ok(file);
        }
        if let Some(credentials) = Credentials::of(headers)
            && self.users.are(&file.users, credentials).await
        {
            return Ok(file);
        }
        self.counts.refused(Refusal::Unauthorized);
        let mut response = refusal(StatusCode::UNAUTHORIZED);
        file.headers.add_to(response.headers_mut());
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        Err(response)
    }

    /// What the file says now. It blocks as long as a small file takes; one that has not changed is
    /// not parsed again.
    fn current(&self) -> Result<Arc<File>, WebConfigError> {
        let file = self.reread();
        self.told.tell(&self.path, file.as_ref().err());
        file
    }

    fn reread(&self) -> Result<Arc<File>, WebConfigError> {
        let text = read(&self.path)?;
        let mut last = lock(&self.last);
        if last.text.reveal() != text {
            let file = Arc::new(File::parse(&text, folder(&self.path))?);
            *last = Read { text: text.into(), file };
        }
        Ok(Arc::clone(&last.file))
    }
}

impl Told {
    /// Says once what is wrong, however many ask meanwhile, and once that it is right again.
    fn tell(&self, path: &Path, error: Option<&WebConfigError>) {
        let error = error.map(|error| chain(error));
        let mut told = lock(&self.0);
        if *told == error {
            return;
        }
        let file = path.display();
        match &error {
            Some(error) => tracing::error!(%file, error, "cannot use the web configuration"),
            None => tracing::info!(%file, "the web configuration can be used again"),
        }
        *told = error;
    }
}

/// The file as it is, and all that it names, as `sigyn check web-config` looks at it: what is accepted
/// and has no effect, or why a server would not start with it.
pub(crate) fn check(path: &Path) -> Result<Vec<String>, WebConfigError> {
    let mut warnings = Vec::new();
    WebConfig::open(path, &mut warnings)?;
    Ok(warnings)
}

fn read(path: &Path) -> Result<String, WebConfigError> {
    sigyn_discovery::yaml::read_file(path)
        .map_err(|source| WebConfigError::Read { path: path.to_owned(), source })
}

/// Where relative paths of the file begin.
fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// A status as Go's servers tell it.
fn refusal(status: StatusCode) -> Response {
    let mut response = text(status, format!("{}\n", status.canonical_reason().unwrap_or_default()));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An error with its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What is behind these locks is whole after every statement: a panic elsewhere does it no harm.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
