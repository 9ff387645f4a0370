//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 20] = [
    Asset::new("assets/config-BwDR9pfe.js", "text/javascript; charset=utf-8", "a03c00e78aab6c78", include_bytes!("../dist/assets/config-BwDR9pfe.js")),
    Asset::new("assets/config-DW28gGuq.js", "text/javascript; charset=utf-8", "854d8d2d6a9faa0a", include_bytes!("../dist/assets/config-DW28gGuq.js")),
    Asset::new("assets/flags-CkZMyfXX.js", "text/javascript; charset=utf-8", "93f36e42c7561451", include_bytes!("../dist/assets/flags-CkZMyfXX.js")),
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-BbFZTz3i.css", "text/css; charset=utf-8", "fcf27cdc76ea3da6", include_bytes!("../dist/assets/index-BbFZTz3i.css")),
    Asset::new("assets/index-DemUaRDP.js", "text/javascript; charset=utf-8", "d37ae08312cfa5ec", include_bytes!("../dist/assets/index-DemUaRDP.js")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-BL9kXZTD.js", "text/javascript; charset=utf-8", "046bc5d09a924f02", include_bytes!("../dist/assets/page-BL9kXZTD.js")),
    Asset::new("assets/page-COAgU4nB.js", "text/javascript; charset=utf-8", "8f394caef2f8f9c4", include_bytes!("../dist/assets/page-COAgU4nB.js")),
    Asset::new("assets/page-CPB-hnIy.js", "text/javascript; charset=utf-8", "c5a67308a9b094b7", include_bytes!("../dist/assets/page-CPB-hnIy.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-DnXQ-9KE.css", "text/css; charset=utf-8", "57a686be502b43e5", include_bytes!("../dist/assets/page-DnXQ-9KE.css")),
    Asset::new("assets/page-o3vpEpYC.js", "text/javascript; charset=utf-8", "be554e27b7196c93", include_bytes!("../dist/assets/page-o3vpEpYC.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("assets/status-CMx_VeFB.js", "text/javascript; charset=utf-8", "600c3da9728e0797", include_bytes!("../dist/assets/status-CMx_VeFB.js")),
    Asset::new("assets/status-DAkUdJrh.css", "text/css; charset=utf-8", "3de83f8e290aa832", include_bytes!("../dist/assets/status-DAkUdJrh.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "17a676fdc1621cc3", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
