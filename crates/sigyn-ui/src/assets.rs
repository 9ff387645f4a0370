//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 8] = [
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-CaudcWoV.js", "text/javascript; charset=utf-8", "e37c51f4116ea45e", include_bytes!("../dist/assets/index-CaudcWoV.js")),
    Asset::new("assets/index-CygpRacx.css", "text/css; charset=utf-8", "3f7cbcb40bf6bffa", include_bytes!("../dist/assets/index-CygpRacx.css")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "d299b9dd9d766104", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
