//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 20] = [
    Asset::new("assets/config-Cx8k2qxy.js", "text/javascript; charset=utf-8", "b4a42cc7ca68b132", include_bytes!("../dist/assets/config-Cx8k2qxy.js")),
    Asset::new("assets/config-gDi8RyTl.js", "text/javascript; charset=utf-8", "85af3cc1ddbeaed2", include_bytes!("../dist/assets/config-gDi8RyTl.js")),
    Asset::new("assets/flags-Du_RTISF.js", "text/javascript; charset=utf-8", "1452a66236da045e", include_bytes!("../dist/assets/flags-Du_RTISF.js")),
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-Bn0pGfn-.js", "text/javascript; charset=utf-8", "3c9d3deade2a2197", include_bytes!("../dist/assets/index-Bn0pGfn-.js")),
    Asset::new("assets/index-CZJ0IGAl.css", "text/css; charset=utf-8", "3cebb1e09b4e5f64", include_bytes!("../dist/assets/index-CZJ0IGAl.css")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-BNVbmOKn.js", "text/javascript; charset=utf-8", "76165043ae188310", include_bytes!("../dist/assets/page-BNVbmOKn.js")),
    Asset::new("assets/page-C0nmchXf.js", "text/javascript; charset=utf-8", "24e09478844784ac", include_bytes!("../dist/assets/page-C0nmchXf.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-DnXQ-9KE.css", "text/css; charset=utf-8", "57a686be502b43e5", include_bytes!("../dist/assets/page-DnXQ-9KE.css")),
    Asset::new("assets/page-Rk6xGWmd.js", "text/javascript; charset=utf-8", "2785ef80603c50d8", include_bytes!("../dist/assets/page-Rk6xGWmd.js")),
    Asset::new("assets/page-h1RIyHsq.js", "text/javascript; charset=utf-8", "9e67252e97d23e8f", include_bytes!("../dist/assets/page-h1RIyHsq.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("assets/status-DAkUdJrh.css", "text/css; charset=utf-8", "3de83f8e290aa832", include_bytes!("../dist/assets/status-DAkUdJrh.css")),
    Asset::new("assets/status-Dqxm03rW.js", "text/javascript; charset=utf-8", "70016b17d0d0e2b4", include_bytes!("../dist/assets/status-Dqxm03rW.js")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "b4693b8baa89dbb2", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
