//! The recorder that a process has without making one.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use crate::record::{Options, Recorder};

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    let service_name =
        service_name(std::env::var("OTEL_SERVICE_NAME").ok(), std::env::args_os().next());
    Recorder::new(Options { service_name, ..Options::default() })
});

impl Recorder {
    /// The recorder of the whole process, for what is there once itself, such as the subscriber of
    /// `tracing`. It is made when it is first asked for, with [`Options::default`] and the name that
    /// `OTEL_SERVICE_NAME` gives the service; without that, the program's.
    pub fn of_process() -> Self {
        RECORDER.clone()
    }
}

fn service_name(given: Option<String>, program: Option<OsString>) -> String {
    given.filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let program = program.unwrap_or_default();
        Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_named_by_its_operator_or_as_its_program() {
        let name = |given: Option<&str>, program: Option<&str>| {
            service_name(given.map(Into::into), program.map(Into::into))
        };
        assert_eq!(name(Some("cart"), Some("/usr/bin/shop")), "cart");
        assert_eq!(name(Some(""), Some("/usr/bin/shop")), "shop");
        assert_eq!(name(None, Some("target/debug/shop.exe")), "shop");
        assert_eq!(name(None, None), "");
    }

    #[test]
    fn there_is_one_of_it() {
        assert_eq!(Recorder::of_process().epoch(), Recorder::of_process().epoch());
    }
}
