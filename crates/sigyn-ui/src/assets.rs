//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 13] = [
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-BbFZTz3i.css", "text/css; charset=utf-8", "fcf27cdc76ea3da6", include_bytes!("../dist/assets/index-BbFZTz3i.css")),
    Asset::new("assets/index-C0eNGpXw.js", "text/javascript; charset=utf-8", "c5a2bc457297ee97", include_bytes!("../dist/assets/index-C0eNGpXw.js")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-BMi7LsFr.js", "text/javascript; charset=utf-8", "74314fd1355a8393", include_bytes!("../dist/assets/page-BMi7LsFr.js")),
    Asset::new("assets/page-CJYyP_VL.js", "text/javascript; charset=utf-8", "bda6b58ee8528d32", include_bytes!("../dist/assets/page-CJYyP_VL.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-D7GCx4M4.js", "text/javascript; charset=utf-8", "8fbd9635473f9f24", include_bytes!("../dist/assets/page-D7GCx4M4.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "bf681154cfff8940", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
