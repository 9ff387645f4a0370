//! The files of `dist/`, sorted by path. Written by `ui/scripts/assets.mjs`; not edited by hand.

use crate::Asset;

#[rustfmt::skip]
pub(crate) static ASSETS: [Asset; 20] = [
    Asset::new("assets/config-CVIOGVVT.js", "text/javascript; charset=utf-8", "0e45a55c4d6318a9", include_bytes!("../dist/assets/config-CVIOGVVT.js")),
    Asset::new("assets/config-DTvVbLPw.js", "text/javascript; charset=utf-8", "efc3f4249d3b5c12", include_bytes!("../dist/assets/config-DTvVbLPw.js")),
    Asset::new("assets/flags-ZfCuLfvT.js", "text/javascript; charset=utf-8", "a2f65a5b18c83584", include_bytes!("../dist/assets/flags-ZfCuLfvT.js")),
    Asset::new("assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2", "font/woff2", "08949f728dc52d52", include_bytes!("../dist/assets/ibm-plex-mono-latin-400-normal-DMJ8VG8y.woff2")),
    Asset::new("assets/index-BoJ3oxL0.js", "text/javascript; charset=utf-8", "e60c3cd6db8f98b5", include_bytes!("../dist/assets/index-BoJ3oxL0.js")),
    Asset::new("assets/index-Mlsp3ElN.css", "text/css; charset=utf-8", "91278a312863d5bb", include_bytes!("../dist/assets/index-Mlsp3ElN.css")),
    Asset::new("assets/inter-latin-wght-normal-Dx4kXJAl.woff2", "font/woff2", "3100e775e8616cd2", include_bytes!("../dist/assets/inter-latin-wght-normal-Dx4kXJAl.woff2")),
    Asset::new("assets/page-BythtGOy.css", "text/css; charset=utf-8", "886f28e3d2ec1d78", include_bytes!("../dist/assets/page-BythtGOy.css")),
    Asset::new("assets/page-C9gvYMIQ.js", "text/javascript; charset=utf-8", "879c13cb1a6fc725", include_bytes!("../dist/assets/page-C9gvYMIQ.js")),
    Asset::new("assets/page-CKHt2c3X.js", "text/javascript; charset=utf-8", "b31c4fb4ef7cf3b1", include_bytes!("../dist/assets/page-CKHt2c3X.js")),
    Asset::new("assets/page-CujwC5Lw.css", "text/css; charset=utf-8", "ee43206cf129fda8", include_bytes!("../dist/assets/page-CujwC5Lw.css")),
    Asset::new("assets/page-DQkMiwnn.js", "text/javascript; charset=utf-8", "727ca631524a945a", include_bytes!("../dist/assets/page-DQkMiwnn.js")),
    Asset::new("assets/page-DsrALTI-.js", "text/javascript; charset=utf-8", "776b1abf37271a00", include_bytes!("../dist/assets/page-DsrALTI-.js")),
    Asset::new("assets/page-qHUYWUFj.css", "text/css; charset=utf-8", "7a0227a50088506f", include_bytes!("../dist/assets/page-qHUYWUFj.css")),
    Asset::new("assets/status-8HHTdJ4l.js", "text/javascript; charset=utf-8", "d70404d283f2fab8", include_bytes!("../dist/assets/status-8HHTdJ4l.js")),
    Asset::new("assets/status-DAkUdJrh.css", "text/css; charset=utf-8", "3de83f8e290aa832", include_bytes!("../dist/assets/status-DAkUdJrh.css")),
    Asset::new("favicon.svg", "image/svg+xml", "01d41c7a1b7e7869", include_bytes!("../dist/favicon.svg")),
    Asset::new("fonts-OFL.txt", "text/plain; charset=utf-8", "68037de01157a659", include_bytes!("../dist/fonts-OFL.txt")),
    Asset::new("index.html", "text/html; charset=utf-8", "3505a02d9aedc0d6", include_bytes!("../dist/index.html")),
    Asset::new("licenses.md", "text/markdown; charset=utf-8", "32ed8a853c904175", include_bytes!("../dist/licenses.md")),
];
