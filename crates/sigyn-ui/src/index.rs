//! `index.html`, made to fit where it is served: below a route prefix, in a theme.

use crate::asset::{Asset, file};

const BASE: &str = "<base href=\"/\">";
const HTML: &str = "<html lang=\"en\"";

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
    /// `route_prefix` is where the server hangs everything: empty, `/`, or such as `/tracing`.
    pub(crate) fn new(route_prefix: &str, theme: Option<Theme>) -> Option<Self> {
        let asset = file("index.html")?;
        let mut html = String::from_utf8_lossy(&asset.bytes()).into_owned();
        html = html.replacen(BASE, &format!("<base href=\"{}\">", escape(&base(route_prefix))), 1);
        if let Some(theme) = theme {
            html = html.replacen(HTML, &format!("{HTML} data-theme=\"{}\"", theme.word()), 1);
        }
        Some(Self { etag: etag(asset, route_prefix, theme), html })
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

/// The same file at another prefix or in another theme is another page.
fn etag(asset: &Asset, route_prefix: &str, theme: Option<Theme>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in base(route_prefix).bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    format!("{}-{hash:08x}-{}", asset.etag(), theme.map_or("system", Theme::word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_page_has_one_place_for_the_base_and_one_for_the_theme() {
        let html = String::from_utf8(file("index.html").unwrap().bytes().to_vec()).unwrap();
        assert_eq!(html.matches(BASE).count(), 1);
        assert_eq!(html.matches(HTML).count(), 1);
    }

    #[test]
    fn the_base_follows_the_route_prefix() {
        let check = |prefix: &str, expected: &str| {
            let index = Index::new(prefix, None).unwrap();
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
        let plain = Index::new("", None).unwrap();
        let dark = Index::new("", Some(Theme::Dark)).unwrap();
        let elsewhere = Index::new("/tracing", None).unwrap();
        assert_eq!(plain.etag, Index::new("/", None).unwrap().etag);
        assert_ne!(plain.etag, dark.etag);
        assert_ne!(plain.etag, elsewhere.etag);
        assert!(dark.html.contains("<html lang=\"en\" data-theme=\"dark\""));
    }
}
