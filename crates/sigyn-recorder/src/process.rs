//! The recorder that a process has without making one.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use sigyn_model::{Tags, Value};

use crate::percent;
use crate::record::{Options, Recorder};

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    let resource = resource(&std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
    let given = std::env::var("OTEL_SERVICE_NAME").ok();
    let service_name = service_name(given, &resource, std::env::args_os().next());
    Recorder::new(Options { service_name, resource, ..Options::default() })
});

impl Recorder {
    /// The recorder of the whole process, for what is there once itself, such as the subscriber of
    /// `tracing`. It is made when it is first asked for, with [`Options::default`] and the name that
    /// `OTEL_SERVICE_NAME` gives the service, or else `service.name` in `OTEL_RESOURCE_ATTRIBUTES`; without
    /// those, the program's. What else that variable says is its resource.
    pub fn of_process() -> Self {
        RECORDER.clone()
    }
}

fn service_name(given: Option<String>, resource: &Tags, program: Option<OsString>) -> String {
    let named = resource.iter().find(|(key, _)| key == "service.name");
    let named = named.map(|(_, name)| name.text().into_owned());
    [given, named].into_iter().flatten().find(|name| !name.is_empty()).unwrap_or_else(|| {
        let program = program.unwrap_or_default();
        Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned()
    })
}

/// `key=value,key=value`, where percents stand for what else has a meaning. If any of it cannot be read,
/// OpenTelemetry's specification wants none of it.
fn resource(text: &str) -> Tags {
    let mut tags = Tags::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else { return Tags::new() };
        let decoded = |text: &str| percent::strict(text.trim());
        let (Some(key), Some(value)) = (decoded(key), decoded(value)) else { return Tags::new() };
        if key.is_empty() {
            return Tags::new();
        }
        // The last of one key counts.
        tags.retain(|(known, _)| *known != key);
        tags.push((key, Value::Str(value)));
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_named_by_its_operator_or_as_its_program() {
        let name = |given: Option<&str>, resource_text: &str, program: Option<&str>| {
            service_name(given.map(Into::into), &resource(resource_text), program.map(Into::into))
        };
        assert_eq!(name(Some("cart"), "", Some("/usr/bin/shop")), "cart");
        assert_eq!(name(Some("cart"), "service.name=store", Some("/usr/bin/shop")), "cart");
        assert_eq!(name(Some(""), "a=1,service.name=store", Some("/usr/bin/shop")), "store");
        assert_eq!(name(Some(""), "service.name=", Some("/usr/bin/shop")), "shop");
        assert_eq!(name(None, "", Some("target/debug/shop.exe")), "shop");
        assert_eq!(name(None, "", None), "");
    }

    #[test]
    fn what_else_is_known_of_the_process_is_read_whole_or_not_at_all() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = resource(text);
            let found: Vec<_> = found.iter().map(|(key, value)| (&**key, value.text())).collect();
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| (*key, (*value).into())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check(" , ", &[]);
        check("a=1, b = 2 ,c=", &[("a", "1"), ("b", "2"), ("c", "")]);
        check("a=x%2Cy%3D%20z,b%2Ec=%C3%A4", &[("a", "x,y= z"), ("b.c", "\u{e4}")]);
        check("a=1=2", &[("a", "1=2")]);
        check("a=1,b=2,a=3", &[("b", "2"), ("a", "3")]);
        for bad in ["a=1,b", "a=1,=2", "a=1,b=%", "a=1,b=%zz", "a=1,b=%ff"] {
            check(bad, &[]);
        }
    }

    #[test]
    fn there_is_one_of_it() {
        assert_eq!(Recorder::of_process().epoch(), Recorder::of_process().epoch());
    }
}
