//! `sigyn check relabel`: what rules make of labels, step by step.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use sigyn_discovery::Labels;
use sigyn_discovery::config::{self as prometheus, ConfigError};
use sigyn_discovery::relabel::{self, NameScheme, Rule, RuleConfig};
use sigyn_discovery::yaml::{self, Fields, Item};

use super::{chain, complain, relabel_test, say};
use crate::cli::RelabelFlags;
use crate::config::Config;

/// Whether the rules and the labels could be read, or all tests passed.
pub(super) fn run(flags: &RelabelFlags) -> bool {
    if !flags.tests.is_empty() {
        let failed = flags.tests.iter().filter(|file| !relabel_test::run(file)).count();
        return failed == 0;
    }
    match show(flags) {
        Ok(()) => true,
        Err(error) => {
            complain(error);
            false
        }
    }
}

/// One line a rule, and what is left in the end.
fn show(flags: &RelabelFlags) -> Result<(), String> {
    let labels = match (&flags.labels, &flags.json) {
        (Some(text), _) => labels(text)?,
        (None, Some(json)) => json_labels(json)?,
        (None, None) => Labels::new(),
    };
    let rules = match (&flags.rules, &flags.config, &flags.job) {
        (Some(file), ..) => rules_of_file(file)?,
        (None, Some(config), Some(job)) => rules_of_job(config, job)?,
        _ => Vec::new(),
    };
    let told = |labels: &Labels, keep: bool| match keep {
        true => labels.to_string(),
        false => "dropped".to_owned(),
    };
    let steps = relabel::steps(&labels, &rules);
    // After the one that drops there is nothing to see.
    let end = steps.iter().position(|step| !step.keep).map_or(steps.len(), |index| index + 1);
    for step in &steps[..end] {
        say(format_args!("{} -> {}", step.rule, told(&step.output, step.keep)));
    }
    let (result, keep) = steps.last().map_or((&labels, true), |step| (&step.output, step.keep));
    say(told(&without_meta(result), keep));
    Ok(())
}

/// The labels that a target has in the end.
pub(super) fn without_meta(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.retain(|name, _| !name.starts_with("__meta_"));
    labels
}

/// The rules of a job of a configuration.
pub(super) fn rules_of_job(config: &Path, job: &str) -> Result<Vec<Rule>, String> {
    let (config, _) =
        Config::read(config).map_err(|error| format!("Cannot load config {}", chain(error)))?;
    Ok(super::job(&config, job)?.relabel_configs)
}

/// The rules of a file that is a list of them.
fn rules_of_file(file: &Path) -> Result<Vec<Rule>, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let read = yaml::from_yaml::<Option<Vec<Item<Fields<RuleConfig>>>>>(&text);
    let rules = read.map_err(ConfigError::from).and_then(|written| {
        let plain = |item: Item<Fields<_>>| Item {
            place: item.place,
            value: item.value.map(|fields| fields.0),
        };
        let written: Vec<_> = written.unwrap_or_default().into_iter().map(plain).collect();
        prometheus::rules(&written, NameScheme::Utf8)
    });
    rules.map_err(|error| error.in_file(file).to_string())
}

fn json_labels(json: &str) -> Result<Labels, String> {
    let Named(labels) = serde_json::from_str(json)
        .map_err(|error| format!("--labels is no JSON object of texts: {error}"))?;
    let mut names = BTreeSet::new();
    if let Some((twice, _)) = labels.iter().find(|(name, _)| !names.insert(name)) {
        return Err(format!("--labels has {twice:?} twice"));
    }
    Ok(labels.into_iter().collect())
}

/// An object's texts, as often as they stand there.
struct Named(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut labels = Vec::new();
                while let Some(label) = map.next_entry()? {
                    labels.push(label);
                }
                Ok(Named(labels))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// `a=1,b=2`, or what this program prints: `{a="1", b="2"}`.
fn labels(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inner.unwrap_or(text).trim();
    let mut labels = Labels::new();
    let mut names = BTreeSet::new();
    while !rest.is_empty() {
        let (name, after) = word(rest, &['=', ','])?;
        let after = after.strip_prefix('=').ok_or_else(|| format!("{name:?} has no value"))?;
        let (value, after) = word(after, &[','])?;
        if name.is_empty() {
            return Err(format!("there is no name before the value {value:?}"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("{name:?} stands there twice"));
        }
        labels.set(name, value);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(format!("expected a comma before {after:?}")),
        };
    }
    Ok(labels)
}

/// A text in quotes or one up to an end, and what follows.
fn word<'a>(text: &'a str, ends: &[char]) -> Result<(String, &'a str), String> {
    let text = text.trim_start();
    if text.starts_with('"') {
        let mut words = serde_json::Deserializer::from_str(text).into_iter::<String>();
        return match words.next() {
            Some(Ok(word)) => Ok((word, &text[words.byte_offset()..])),
            _ => Err(format!("a quote is not closed, or holds a wrong escape: {text}")),
        };
    }
    let at = text.find(ends).unwrap_or(text.len());
    Ok((text[..at].trim_end().to_owned(), &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_typed_and_as_they_are_printed() {
        let check = |text: &str, expected: Result<&[(&str, &str)], &str>| {
            let read = labels(text);
            let expected = expected
                .map(|labels| labels.iter().copied().collect::<Labels>())
                .map_err(str::to_owned);
            assert_eq!(read, expected, "{text}");
            if let Ok(read) = read {
                assert_eq!(labels(&read.to_string()), Ok(read), "{text}");
            }
        };
        check("", Ok(&[]));
        check("{}", Ok(&[]));
        check("a=1,b=2", Ok(&[("a", "1"), ("b", "2")]));
        check(" a = 1 , b = x=y ,", Ok(&[("a", "1"), ("b", "x=y")]));
        check("__address__=127.0.0.1:80", Ok(&[("__address__", "127.0.0.1:80")]));
        check(r#"{"a.b"="1", c="say \"hi\", é"}"#, Ok(&[("a.b", "1"), ("c", "say \"hi\", é")]));
        check("a=", Ok(&[]));
        check("a", Err(r#""a" has no value"#));
        check("a,b=1", Err(r#""a" has no value"#));
        check("a=b, a=c", Err(r#""a" stands there twice"#));
        check("=1", Err(r#"there is no name before the value "1""#));
        check(r#"a="1" b="2""#, Err(r#"expected a comma before "b=\"2\"""#));
        check(r#"a="1"#, Err(r#"a quote is not closed, or holds a wrong escape: "1"#));
    }

    #[test]
    fn a_label_stands_once_in_json() {
        let read = |json: &str| json_labels(json).map(|labels| labels.to_string());
        assert_eq!(read(r#"{"b": "2", "a": "1"}"#).unwrap(), r#"{a="1", b="2"}"#);
        assert_eq!(read(r#"{"a": "1", "a": "1"}"#).unwrap_err(), r#"--labels has "a" twice"#);
        let error = read(r#"{"a": 1}"#).unwrap_err();
        assert!(error.starts_with("--labels is no JSON object of texts: "), "{error}");
    }
}
