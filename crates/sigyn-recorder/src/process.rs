//! The recorder that a process has without making one.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use sigyn_model::{Tags, Value};

use crate::percent;
use crate::record::{Options, Recorder};
use crate::rules::TagRules;

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| Recorder::new(Options::from_environment()));

impl Recorder {
    /// The recorder of the whole process, for what is there once itself, such as the subscriber of
    /// `tracing`. It is made when it is first asked for, with [`Options::from_environment`].
    pub fn of_process() -> Self {
        RECORDER.clone()
    }
}

impl Options {
    /// What the environment says, and else [`Options::default`]. A variable that cannot be read is as if it were not there.
    ///
    /// | variable | |
    /// |---|---|
    /// | `OTEL_SERVICE_NAME`, or `service.name` in `OTEL_RESOURCE_ATTRIBUTES` | [`service_name`](Self::service_name); without either the program's name |
    /// | `OTEL_RESOURCE_ATTRIBUTES` | what else it says is the [`resource`](Self::resource) |
    /// | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | [`sample_rate`](Self::sample_rate): `always_on`, `always_off`, or `traceidratio` with a share of 1; `parentbased_` before it changes nothing, as callers are obeyed in any case |
    /// | `SIGYN_HOT_BYTES_MAX`, `SIGYN_COLD_BYTES_MAX` | [`hot_bytes_max`](Self::hot_bytes_max), [`cold_bytes_max`](Self::cold_bytes_max), in bytes |
    /// | `SIGYN_TAGS_ALLOW`, `SIGYN_TAGS_DENY`, `SIGYN_TAGS_REDACT` | [`tag_rules`](Self::tag_rules), keys with commas between them |
    pub fn from_environment() -> Self {
        Self::said_by(&|name| std::env::var(name).ok(), std::env::args_os().next())
    }

    fn said_by(variable: &dyn Fn(&str) -> Option<String>, program: Option<OsString>) -> Self {
        let default = Self::default();
        let resource = resource(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        let service_name = service_name(variable("OTEL_SERVICE_NAME"), &resource, program);
        let bytes = |name| variable(name).and_then(|text| text.trim().parse().ok());
        let keys = |name| {
            let text = variable(name).unwrap_or_default();
            let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
            keys.map(str::to_owned).collect()
        };
        let sampler = variable("OTEL_TRACES_SAMPLER").unwrap_or_default();
        let share = variable("OTEL_TRACES_SAMPLER_ARG");
        Self {
            service_name,
            resource,
            sample_rate: sample_rate(&sampler, share.as_deref()).unwrap_or(default.sample_rate),
            hot_bytes_max: bytes("SIGYN_HOT_BYTES_MAX").unwrap_or(default.hot_bytes_max),
            cold_bytes_max: bytes("SIGYN_COLD_BYTES_MAX").unwrap_or(default.cold_bytes_max),
            tag_rules: TagRules {
                allow: keys("SIGYN_TAGS_ALLOW"),
                deny: keys("SIGYN_TAGS_DENY"),
                redact: keys("SIGYN_TAGS_REDACT"),
            },
            ..default
        }
    }
}

/// As OpenTelemetry's SDKs read their sampler.
fn sample_rate(sampler: &str, share: Option<&str>) -> Option<f64> {
    match sampler.trim().trim_start_matches("parentbased_") {
        "always_on" => Some(1.0),
        "always_off" => Some(0.0),
        "traceidratio" => {
            let share: f64 = share?.trim().parse().ok()?;
            (0.0..=1.0).contains(&share).then_some(share)
        }
        _ => None,
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
    fn the_environment_says_how_much_is_recorded() {
        let options = |said: &[(&str, &str)]| {
            let variable = |name: &str| {
                let mut known = said.iter().filter(|(key, _)| *key == name);
                known.next().map(|(_, value)| (*value).to_owned())
            };
            Options::said_by(&variable, Some("shop".into()))
        };
        let rate = |sampler, share| {
            let said = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", share)];
            options(&said).sample_rate
        };
        assert_eq!(rate("always_off", "1"), 0.0);
        assert_eq!(rate("parentbased_always_off", ""), 0.0);
        assert_eq!(rate("parentbased_traceidratio", "0.25"), 0.25);
        for (sampler, share) in [
            ("traceidratio", ""),
            ("traceidratio", "2"),
            ("traceidratio", "NaN"),
            ("xray", "0.5"),
            ("", "0.5"),
            ("always_on", "0.5"),
        ] {
            assert_eq!(rate(sampler, share), 1.0, "{sampler} {share}");
        }
        let said = options(&[
            ("SIGYN_HOT_BYTES_MAX", "33554432"),
            ("SIGYN_COLD_BYTES_MAX", "a lot"),
            ("SIGYN_TAGS_DENY", "card.*, ,session"),
        ]);
        assert_eq!((said.hot_bytes_max, said.cold_bytes_max), (32 << 20, 0));
        assert_eq!(said.tag_rules.deny, ["card.*", "session"]);
        assert_eq!((said.service_name.as_str(), said.tag_rules.allow.len()), ("shop", 0));
    }

    #[test]
    fn there_is_one_of_it() {
        assert_eq!(Recorder::of_process().epoch(), Recorder::of_process().epoch());
    }
}
