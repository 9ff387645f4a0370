//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 20] = [
    Asset::new("assets/config-ClH_s0Kk.js", "text/javascript; charset=utf-8", "afa1263b96f2e2ad", include_bytes!("../dist/assets/config-ClH_s0Kk.js")),
    Asset::new("assets/config-zrx9FxaK.js", "text/javascript; charset=utf-8", "e22c5694ce1f2937", include_bytes!("../dist/assets/config-zrx9FxaK.js")),
    Asset::new("assets/flags-Bp8GbwJd.js", "text/javascript; charset=utf-8", "7bcc9ebbd3aeb9b4", include_bytes!("../dist/assets/flags-Bp8GbwJd.js")),
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-C30CvWgG.css", "text/css; charset=utf-8", "a9f7da0038189c20", include_bytes!("../dist/assets/index-C30CvWgG.css")),
    Asset::new("assets/index-Ch2NvhDa.js", "text/javascript; charset=utf-8", "d03f2fa8bbfd1dbf", include_bytes!("../dist/assets/index-Ch2NvhDa.js")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-BsDLpG0M.js", "text/javascript; charset=utf-8", "07e2359ab1ce9f30", include_bytes!("../dist/assets/page-BsDLpG0M.js")),
    Asset::new("assets/page-BythtGOy.css", "text/css; charset=utf-8", "886f28e3d2ec1d78", include_bytes!("../dist/assets/page-BythtGOy.css")),
    Asset::new("assets/page-ClyeMZX7.js", "text/javascript; charset=utf-8", "9a1714380891a1c7", include_bytes!("../dist/assets/page-ClyeMZX7.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-Dggoy2cy.js", "text/javascript; charset=utf-8", "54f35cbaed5263c5", include_bytes!("../dist/assets/page-Dggoy2cy.js")),
    Asset::new("assets/page-DmeTAyXK.js", "text/javascript; charset=utf-8", "9804261e49f3f0f0", include_bytes!("../dist/assets/page-DmeTAyXK.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("assets/status-DAkUdJrh.css", "text/css; charset=utf-8", "3de83f8e290aa832", include_bytes!("../dist/assets/status-DAkUdJrh.css")),
    Asset::new("assets/status-pAxOIkBv.js", "text/javascript; charset=utf-8", "871bbef093872502", include_bytes!("../dist/assets/status-pAxOIkBv.js")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "ed2766a030dc5bb6", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
