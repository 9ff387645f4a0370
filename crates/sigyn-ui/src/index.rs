//! `index.html`, made to fit where it is served: below a route prefix, in a theme.

use crate::asset::{Asset, file};

const BASE: &str = "<base href=\"/\">";
const HTML: &str = "<html lang=\"en\"";
const TITLE: &str = "<title>Sigyn</title>";

/// What is around every page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where the server hangs everything: empty, `/`, or such as `/tracing`.
    pub route_prefix: &'a str,
    /// What the pages are called instead of Sigyn.
    pub title: Option<&'a str>,
}

/// What a reader chose by the cookie `theme`; without it the system decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    /// Reads one `Cookie` header. Anything but the two known words is ignored, never echoed.
    pub(crate) fn from_cookies(cookies: &str) -> Option<Self> {
        cookies.split(';').find_map(|cookie| match cookie.trim().split_once('=')? {
            ("theme", "light") => Some(Self::Light),
            ("theme", "dark") => Some(Self::Dark),
            _ => None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

pub(crate) struct Index {
    pub(crate) html: String,
    pub(crate) etag: String,
}

impl Index {
    pub(crate) fn new(frame: Frame<'_>, theme: Option<Theme>) -> Option<Self> {
        let asset = file("index.html")?;
        let mut html = String::from_utf8_lossy(&asset.bytes()).into_owned();
        let base = escape(&base(frame.route_prefix));
        html = html.replacen(BASE, &format!("<base href=\"{base}\">"), 1);
        if let Some(title) = frame.title {
            html = html.replacen(TITLE, &format!("<title>{}</title>", escape(title)), 1);
        }
        if let Some(theme) = theme {
            html = html.replacen(HTML, &format!("{HTML} data-theme=\"{}\"", theme.word()), 1);
        }
        Some(Self { etag: etag(asset, frame, theme), html })
    }
}

/// Begins and ends with a slash, as a base must.
fn base(route_prefix: &str) -> String {
    match route_prefix.trim_matches('/') {
        "" => "/".to_owned(),
        prefix => format!("/{prefix}/"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// The same file at another prefix, by another name or in another theme is another page.
fn etag(asset: &Asset, frame: Frame<'_>, theme: Option<Theme>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    // No path has a byte of zero in it.
    for byte in
        base(frame.route_prefix).bytes().chain([0]).chain(frame.title.unwrap_or_default().bytes())
    {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    format!("{}-{hash:08x}-{}", asset.etag(), theme.map_or("system", Theme::word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(route_prefix: &str) -> Frame<'_> {
        Frame { route_prefix, title: None }
    }

    #[test]
    fn the_built_page_has_one_place_for_each_of_what_is_made_to_fit() {
        let html = String::from_utf8(file("index.html").unwrap().bytes().to_vec()).unwrap();
        assert_eq!(html.matches(BASE).count(), 1);
        assert_eq!(html.matches(HTML).count(), 1);
        assert_eq!(html.matches(TITLE).count(), 1);
    }

    #[test]
    fn the_base_follows_the_route_prefix() {
        let check = |prefix: &str, expected: &str| {
            let index = Index::new(at(prefix), None).unwrap();
            assert!(index.html.contains(expected), "{prefix:?}: {}", index.html);
        };
        check("", "<base href=\"/\">");
        check("/", "<base href=\"/\">");
        check("/tracing", "<base href=\"/tracing/\">");
        check("/a/b/", "<base href=\"/a/b/\">");
        check("/\"><script>", "<base href=\"/&quot;>&lt;script>/\">");
    }

    #[test]
    fn only_known_themes_come_out_of_a_cookie() {
        let check = |cookies: &str, expected: Option<Theme>| {
            assert_eq!(Theme::from_cookies(cookies), expected, "{cookies:?}")
        };
        check("theme=dark", Some(Theme::Dark));
        check("a=b; theme=light; c=d", Some(Theme::Light));
        check("flag; theme=dark", Some(Theme::Dark));
        check("theme=\"><script>", None);
        check("mytheme=dark", None);
        check("", None);
    }

    #[test]
    fn each_variant_has_its_own_etag() {
        let plain = Index::new(at(""), None).unwrap();
        let dark = Index::new(at(""), Some(Theme::Dark)).unwrap();
        let elsewhere = Index::new(at("/tracing"), None).unwrap();
        let named = Index::new(Frame { title: Some("<Traces>"), ..at("") }, None).unwrap();
        assert_eq!(plain.etag, Index::new(at("/"), None).unwrap().etag);
        assert_ne!(plain.etag, dark.etag);
        assert_ne!(plain.etag, elsewhere.etag);
        assert_ne!(plain.etag, named.etag);
        assert!(named.html.contains("<title>&lt;Traces></title>"));
        assert!(dark.html.contains("<html lang=\"en\" data-theme=\"dark\""));
    }
}
