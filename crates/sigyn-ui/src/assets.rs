//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 20] = [
    Asset::new("assets/config-CuJBX-mK.js", "text/javascript; charset=utf-8", "6603e8fa5a37c5b4", include_bytes!("../dist/assets/config-CuJBX-mK.js")),
    Asset::new("assets/config-_qg99LCe.js", "text/javascript; charset=utf-8", "fa6f6d018eabf5b6", include_bytes!("../dist/assets/config-_qg99LCe.js")),
    Asset::new("assets/flags-B0yOtJHV.js", "text/javascript; charset=utf-8", "252eea39fd5e568a", include_bytes!("../dist/assets/flags-B0yOtJHV.js")),
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-DcIw6Xfe.js", "text/javascript; charset=utf-8", "d36621f8906186bf", include_bytes!("../dist/assets/index-DcIw6Xfe.js")),
    Asset::new("assets/index-GczjOBav.css", "text/css; charset=utf-8", "95e012b0d51f13d9", include_bytes!("../dist/assets/index-GczjOBav.css")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-BN8W9iNF.js", "text/javascript; charset=utf-8", "c8ff6733e9a9a429", include_bytes!("../dist/assets/page-BN8W9iNF.js")),
    Asset::new("assets/page-BythtGOy.css", "text/css; charset=utf-8", "886f28e3d2ec1d78", include_bytes!("../dist/assets/page-BythtGOy.css")),
    Asset::new("assets/page-CkgD74GW.js", "text/javascript; charset=utf-8", "c79814978f1e7809", include_bytes!("../dist/assets/page-CkgD74GW.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-DX-HwyWW.js", "text/javascript; charset=utf-8", "0f52679c312241ad", include_bytes!("../dist/assets/page-DX-HwyWW.js")),
    Asset::new("assets/page-ZWK2-Oa5.js", "text/javascript; charset=utf-8", "abcfaa7716dabd8f", include_bytes!("../dist/assets/page-ZWK2-Oa5.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("assets/status-D5CUtxo9.js", "text/javascript; charset=utf-8", "8130e698843cc9b4", include_bytes!("../dist/assets/status-D5CUtxo9.js")),
    Asset::new("assets/status-DAkUdJrh.css", "text/css; charset=utf-8", "3de83f8e290aa832", include_bytes!("../dist/assets/status-DAkUdJrh.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "24edc7e32ed762c5", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
