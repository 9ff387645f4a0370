//! Zipkin's own web UI, served from an operator's folder by the rules of its server.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::params::percent_decode;
use crate::reply;

/// A file larger than this is no part of a web UI. It is read whole for each request.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The page that all routes of the UI share.
const INDEX: &str = "index.html";

/// A folder with an `index.html`.
#[derive(Clone, Debug)]
pub(crate) struct UiFolder {
    /// Without links on the way, so that a file's own path can be compared with it.
    root: PathBuf,
    /// Where the page says that it is, if that is not `/zipkin`.
    base_path: Option<String>,
}

/// Why a folder holds no UI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UiFolderError {
    #[error("--web.ui-dir={}: cannot read its index.html", folder.display())]
    Index { folder: PathBuf, source: std::io::Error },
}

impl UiFolder {
    /// Errors if there is no `index.html`: better at the start than in a browser.
    pub(crate) fn open(folder: &Path, base_path: Option<String>) -> Result<Self, UiFolderError> {
        let cannot = |source| UiFolderError::Index { folder: folder.to_owned(), source };
        let root = folder.canonicalize().map_err(cannot)?;
        std::fs::read_to_string(root.join(INDEX)).map_err(cannot)?;
        Ok(Self { root, base_path })
    }
}

/// Everything below `/zipkin/`.
pub(crate) fn router(folder: UiFolder) -> Router {
    Router::new()
        .route("/zipkin/", any(file))
        .route("/zipkin/{*path}", any(file))
        .with_state(Arc::new(folder))
}

async fn file(State(folder): State<Arc<UiFolder>>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let allow = [(ALLOW, HeaderValue::from_static("GET, HEAD"))];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    // Under a route prefix the path still has it.
    let path = request.uri().path();
    let path = path.split_once("/zipkin/").map_or("", |(_, path)| path);
    let Ok(path) = percent_decode(&path.replace('+', "%2B")).map(|path| path.into_owned()) else {
        return reply::no_route();
    };
    let read = tokio::task::spawn_blocking(move || folder.read(&path)).await;
    match read {
        Ok(Some(found)) => found.response(request.headers()),
        _ => reply::no_route(),
    }
}

/// A file as it is sent.
struct Found {
    bytes: Vec<u8>,
    type_: &'static str,
    cache: &'static str,
    etag: HeaderValue,
}

impl UiFolder {
    /// `None` if there is no such file, or it is outside the folder.
    fn read(&self, path: &str) -> Option<Found> {
        if is_page(path) {
            let page = std::fs::read_to_string(self.root.join(INDEX)).ok()?;
            let bytes = rebase(&page, self.base_path.as_deref()).into_bytes();
            let etag = reply::etag(&bytes);
            let type_ = "text/html; charset=utf-8";
            return Some(Found { bytes, type_, cache: "max-age=60", etag });
        }
        let inside = Path::new(path);
        if !inside.components().all(is_shown) {
            return None;
        }
        let file = self.root.join(inside).canonicalize().ok()?;
        let metadata = file.metadata().ok()?;
        let servable = metadata.is_file() && metadata.len() <= FILE_BYTES_MAX;
        let place = file.strip_prefix(&self.root).ok()?;
        // By where it really is, too: a link may lead to what is not shown.
        if !servable || !place.components().all(is_shown) {
            return None;
        }
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let etag = format!("W/\"{:x}-{:x}\"", metadata.len(), changed.as_nanos());
        Some(Found {
            bytes: std::fs::read(&file).ok()?,
            type_: content_type(path),
            cache: "max-age=31536000",
            etag: HeaderValue::try_from(etag).ok()?,
        })
    }
}

impl Found {
    fn response(self, request: &HeaderMap) -> Response {
        let cached =
            [(CACHE_CONTROL, HeaderValue::from_static(self.cache)), (ETAG, self.etag.clone())];
        if reply::is_fresh(request, &self.etag) {
            return (StatusCode::NOT_MODIFIED, cached).into_response();
        }
        (cached, [(CONTENT_TYPE, HeaderValue::from_static(self.type_))], self.bytes).into_response()
    }
}

/// Names that begin with a dot are the operator's (`.git`, `.env`), not the UI's.
fn is_shown(part: Component<'_>) -> bool {
    matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."))
}

/// The routes that the UI knows by itself.
fn is_page(path: &str) -> bool {
    let trace = path.strip_prefix("traces/");
    matches!(path, "" | INDEX | "dependency" | "traceViewer")
        || trace.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// Lets the page find its files and its server where a proxy shows them.
fn rebase(page: &str, base_path: Option<&str>) -> String {
    match base_path {
        None => page.to_owned(),
        Some(base) => page
            .replace("=\"/zipkin", "=\".")
            .replace("<base href=\".", &format!("<base href=\"{base}")),
    }
}

fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "application/javascript",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_moved_to_where_a_proxy_shows_it() {
        let page = r#"<base href="/zipkin/"><script src="/zipkin/static/a.js"></script>"#;
        let check = |base, expected: &str| assert_eq!(rebase(page, base), expected);
        check(None, page);
        let moved = r#"<base href="/admin/zipkin/"><script src="./static/a.js"></script>"#;
        check(Some("/admin/zipkin"), moved);
        check(Some(""), r#"<base href="/"><script src="./static/a.js"></script>"#);
    }

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("ui");
        std::fs::create_dir_all(folder.join("static")).unwrap();
        std::fs::write(above.path().join("secret.txt"), "secret").unwrap();
        std::fs::write(folder.join(INDEX), "page").unwrap();
        std::fs::write(folder.join("static/a.js"), "script").unwrap();
        std::os::unix::fs::symlink(above.path().join("secret.txt"), folder.join("link.txt"))
            .unwrap();
        std::fs::create_dir_all(folder.join(".git")).unwrap();
        for hidden in [".env", ".git/config", "static/.env"] {
            std::fs::write(folder.join(hidden), "hidden").unwrap();
        }
        std::os::unix::fs::symlink(folder.join(".env"), folder.join("env.txt")).unwrap();
        let large = std::fs::File::create(folder.join("large.bin")).unwrap();
        large.set_len(FILE_BYTES_MAX + 1).unwrap();
        let ui = UiFolder::open(&folder, None).unwrap();
        let read = |path: &str| ui.read(path).map(|found| String::from_utf8(found.bytes).unwrap());
        assert_eq!(read("").as_deref(), Some("page"));
        assert_eq!(read("traces/1").as_deref(), Some("page"));
        assert_eq!(read("static/a.js").as_deref(), Some("script"));
        for path in [
            "../secret.txt",
            "/etc/passwd",
            "link.txt",
            "static",
            "static/../../secret.txt",
            "traces/",
            "nothing",
            ".env",
            ".git/config",
            "static/.env",
            "env.txt",
            "large.bin",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
        assert!(UiFolder::open(above.path(), None).is_err());
    }
}
