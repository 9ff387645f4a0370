//! Tests of relabelling rules: files that say which labels go in, and which should come out.

use std::fmt;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use sigyn_discovery::Labels;
use sigyn_discovery::config::{self as prometheus, ConfigError};
use sigyn_discovery::relabel::{self, NameScheme, Rule, RuleConfig};
use sigyn_discovery::yaml::{self, Entry, Fields, Item, LabelMap, Section};

use super::relabel::{rules_of_job, without_meta};
use super::{complain, say};

/// Runs all tests of a file, in promtool's style; whether all passed.
pub(super) fn run(file: &Path) -> bool {
    let name = file.display();
    say(format_args!("Testing {name}"));
    let failures = match read(file) {
        // A file that was cut off is not to pass for good.
        Ok(cases) if cases.is_empty() => vec![format!("{name}: no tests in it")],
        Ok(cases) => {
            let dir = file.parent().unwrap_or(Path::new(""));
            let count = cases.len();
            let failures: Vec<String> =
                cases.into_iter().filter_map(|case| case.failure(file, dir)).collect();
            if failures.is_empty() {
                say(format_args!(" SUCCESS: {name}: {count} passed"));
            }
            failures
        }
        Err(error) => vec![error],
    };
    for failure in &failures {
        complain(format_args!("  FAILED: {failure}"));
    }
    say("");
    failures.is_empty()
}

fn read(file: &Path) -> Result<Vec<Case>, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let read = yaml::from_yaml::<Option<Vec<Item<Fields<Case>>>>>(&text);
    let items = read.map_err(|error| ConfigError::from(error).in_file(file).to_string())?;
    let case = |item: Item<Fields<Case>>| {
        let place = item.place;
        let case = item.value.map(|fields| fields.0).unwrap_or_default();
        case.check().map_err(|message| {
            let error =
                ConfigError { file: None, place: Some(place), message, further: Vec::new() };
            error.in_file(file).to_string()
        })
    };
    items.unwrap_or_default().into_iter().map(case).collect()
}

/// One test, as written.
#[derive(Debug, Default)]
struct Case {
    name: String,
    rules: Option<Vec<Item<RuleConfig>>>,
    config: String,
    job: String,
    labels: Labels,
    expect: Option<Expected>,
}

/// What should come out. Labels are all that a target has, without `__meta_*`.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Dropped,
    Labels(Labels),
}

impl Section for Case {
    const NAME: &'static str = "relabel.test";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "name" => self.name = entry.text()?,
            "rules" => self.rules = Some(entry.sections()?),
            "config" => self.config = entry.text()?,
            "job" => self.job = entry.text()?,
            "labels" => self.labels = entry.read::<LabelMap>()?.0,
            "expect" => self.expect = entry.read_option()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Expected;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels, or the word dropped")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Expected, E> {
                match text {
                    "dropped" => Ok(Expected::Dropped),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expected, A::Error> {
                let labels = LabelMap::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Expected::Labels(labels.0))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Case {
    /// A case with all it needs.
    fn check(self) -> Result<Self, String> {
        if self.name.is_empty() {
            return Err("a test needs a name".to_owned());
        }
        let has_job = !self.config.is_empty() && !self.job.is_empty();
        let has_half = self.config.is_empty() != self.job.is_empty();
        if has_half || has_job == self.rules.is_some() {
            return Err(format!("{}: a test needs rules, or config and job", self.name));
        }
        if self.expect.is_none() {
            return Err(format!("{}: a test needs expect: labels, or dropped", self.name));
        }
        Ok(self)
    }

    fn rules(&self, file: &Path, dir: &Path) -> Result<Vec<Rule>, String> {
        match &self.rules {
            Some(rules) => prometheus::rules(rules, NameScheme::Utf8)
                .map_err(|error| error.in_file(file).to_string()),
            None => rules_of_job(&dir.join(&self.config), &self.job),
        }
    }

    /// What is not as it should be: nothing if the test passes.
    fn failure(&self, file: &Path, dir: &Path) -> Option<String> {
        let name = &self.name;
        let rules = match self.rules(file, dir) {
            Ok(rules) => rules,
            Err(error) => return Some(format!("{name}: {error}")),
        };
        let result = relabel::process(&self.labels, &rules).map(|labels| without_meta(&labels));
        let expected = match self.expect.as_ref()? {
            Expected::Dropped => None,
            Expected::Labels(labels) => Some(labels.clone()),
        };
        (result != expected)
            .then(|| format!("{name}\n{}", difference(expected.as_ref(), result.as_ref())))
    }
}

/// Line by line: `-` is expected and not there, `+` is there and not expected.
fn difference(expected: Option<&Labels>, result: Option<&Labels>) -> String {
    let lines = |labels: Option<&Labels>| match labels {
        None => vec!["dropped".to_owned()],
        Some(labels) => labels
            .iter()
            .map(|label| {
                let text = Labels::from_iter([label]).to_string();
                text.trim_matches(['{', '}']).to_owned()
            })
            .collect(),
    };
    let (expected, result) = (lines(expected), lines(result));
    let missing = expected.iter().filter(|line| !result.contains(line)).map(|line| ('-', line));
    let surplus = result.iter().filter(|line| !expected.contains(line)).map(|line| ('+', line));
    let told: Vec<String> =
        missing.chain(surplus).map(|(sign, line)| format!("    {sign} {line}")).collect();
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_tells_what_differs() {
        let check = |rules: &str, expect: &str, expected: Option<&str>| {
            let text = format!(
                "[{{name: t, rules: {rules}, labels: {{a: '1', b: '2', __meta_c: '3'}}, expect: {expect}}}]"
            );
            let cases: Vec<Fields<Case>> = yaml::from_yaml(&text).unwrap();
            let failure = cases[0].0.failure(Path::new("t.yml"), Path::new(""));
            assert_eq!(failure.as_deref(), expected, "{text}");
        };
        check("[]", "{a: '1', b: '2'}", None);
        check("[{action: drop, source_labels: [a], regex: '1'}]", "dropped", None);
        check("[]", "{a: '1', b: '3'}", Some("t\n    - b=\"3\"\n    + b=\"2\""));
        check("[]", "{a: '1', b: '2', c: '}'}", Some("t\n    - c=\"}\""));
        check("[]", "dropped", Some("t\n    - dropped\n    + a=\"1\"\n    + b=\"2\""));
        check("[{action: keep, source_labels: [a], regex: '2'}]", "{}", Some("t\n    + dropped"));
        check(
            "[{action: explode}]",
            "{}",
            Some("t: t.yml:1:20: unknown relabel action \"explode\""),
        );
    }

    #[test]
    fn half_a_test_is_refused() {
        let check = |text: &str, expected: Result<(), &str>| {
            let cases: Vec<Fields<Case>> = yaml::from_yaml(text).unwrap();
            let case = cases.into_iter().next().unwrap().0;
            assert_eq!(case.check().map(|_| ()), expected.map_err(str::to_owned), "{text}");
        };
        check("[{name: t, rules: [], expect: dropped}]", Ok(()));
        check("[{name: t, config: a.yml, job: a, expect: {}}]", Ok(()));
        check("[{rules: [], expect: dropped}]", Err("a test needs a name"));
        for sources in ["", "config: a.yml,", "job: a,", "rules: [], config: a.yml, job: a,"] {
            let text = format!("[{{name: t, {sources} expect: dropped}}]");
            check(&text, Err("t: a test needs rules, or config and job"));
        }
        let message = "t: a test needs expect: labels, or dropped";
        check("[{name: t, rules: []}]", Err(message));
        let wrong = yaml::from_yaml::<Vec<Fields<Case>>>("[{name: t, expect: kept}]").unwrap_err();
        assert!(wrong.message.contains("labels, or the word dropped"), "{wrong}");
    }
}
