//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 13] = [
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-CBBZNpt2.js", "text/javascript; charset=utf-8", "c9119d5d37e8b4d2", include_bytes!("../dist/assets/index-CBBZNpt2.js")),
    Asset::new("assets/index-CZJ0IGAl.css", "text/css; charset=utf-8", "3cebb1e09b4e5f64", include_bytes!("../dist/assets/index-CZJ0IGAl.css")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-4KpU2V_6.js", "text/javascript; charset=utf-8", "92d017b97a46d1c8", include_bytes!("../dist/assets/page-4KpU2V_6.js")),
    Asset::new("assets/page-BYMOs-Ev.js", "text/javascript; charset=utf-8", "e0dc44f2cf323ec7", include_bytes!("../dist/assets/page-BYMOs-Ev.js")),
    Asset::new("assets/page-CQKVKPRj.js", "text/javascript; charset=utf-8", "60789963a45f3c6c", include_bytes!("../dist/assets/page-CQKVKPRj.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "68f816ec46387b8a", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
