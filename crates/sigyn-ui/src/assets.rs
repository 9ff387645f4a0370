//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 13] = [
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-BNP4fk1a.js", "text/javascript; charset=utf-8", "d3eb9c815e89cd60", include_bytes!("../dist/assets/index-BNP4fk1a.js")),
    Asset::new("assets/index-BbFZTz3i.css", "text/css; charset=utf-8", "fcf27cdc76ea3da6", include_bytes!("../dist/assets/index-BbFZTz3i.css")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-74plh_zp.js", "text/javascript; charset=utf-8", "2743f9a9e6db25f9", include_bytes!("../dist/assets/page-74plh_zp.js")),
    Asset::new("assets/page-BkYpJCK1.js", "text/javascript; charset=utf-8", "12634ea725fd82fa", include_bytes!("../dist/assets/page-BkYpJCK1.js")),
    Asset::new("assets/page-Bq_wCTbI.js", "text/javascript; charset=utf-8", "ee40d0f0a3a154b4", include_bytes!("../dist/assets/page-Bq_wCTbI.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "0e630185dc9a0ecb", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
