//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 20] = [
    Asset::new("assets/config-BqoTUypv.js", "text/javascript; charset=utf-8", "d022ef0e49cfbe98", include_bytes!("../dist/assets/config-BqoTUypv.js")),
    Asset::new("assets/config-CceP7661.js", "text/javascript; charset=utf-8", "24b7736e55878c63", include_bytes!("../dist/assets/config-CceP7661.js")),
    Asset::new("assets/flags-WFCr3-Si.js", "text/javascript; charset=utf-8", "ea7030c824344d43", include_bytes!("../dist/assets/flags-WFCr3-Si.js")),
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-BbFZTz3i.css", "text/css; charset=utf-8", "fcf27cdc76ea3da6", include_bytes!("../dist/assets/index-BbFZTz3i.css")),
    Asset::new("assets/index-DGZePAI3.js", "text/javascript; charset=utf-8", "52252d169b68acac", include_bytes!("../dist/assets/index-DGZePAI3.js")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-C6-QjYT9.css", "text/css; charset=utf-8", "360a5ac56b4e05f2", include_bytes!("../dist/assets/page-C6-QjYT9.css")),
    Asset::new("assets/page-CSamNvkY.js", "text/javascript; charset=utf-8", "e9420863fed6f92e", include_bytes!("../dist/assets/page-CSamNvkY.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-DcNqDuhQ.js", "text/javascript; charset=utf-8", "afd3d8991f93e979", include_bytes!("../dist/assets/page-DcNqDuhQ.js")),
    Asset::new("assets/page-Demb_7Ri.js", "text/javascript; charset=utf-8", "2a45cf3348f10f79", include_bytes!("../dist/assets/page-Demb_7Ri.js")),
    Asset::new("assets/page-DwxSyY40.js", "text/javascript; charset=utf-8", "ea836473ef071b4e", include_bytes!("../dist/assets/page-DwxSyY40.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("assets/status-B-v7URBt.js", "text/javascript; charset=utf-8", "231334c885aab5df", include_bytes!("../dist/assets/status-B-v7URBt.js")),
    Asset::new("assets/status-F_o1XaiV.css", "text/css; charset=utf-8", "1308afcbe1e1141a", include_bytes!("../dist/assets/status-F_o1XaiV.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "ed2d07718b4f62c0", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
