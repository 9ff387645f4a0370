//! Rules one by one, and as a person reads them: why labels became what they are.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{
    Action, DEFAULT_REGEX, DEFAULT_REPLACEMENT, DEFAULT_SEPARATOR, Rule, is_legacy_name, quoted,
};
use crate::labels::Labels;

/// What one rule of several made of the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The labels after it. There are none once the target is dropped.
    pub output: Labels,
    /// Whether the target is still there.
    pub keep: bool,
}

/// Applies `rules` in order, and tells what each did. After the one that drops the target none does
/// anything.
pub fn steps<'a>(labels: &Labels, rules: &'a [Rule]) -> Vec<Step<'a>> {
    let mut labels = labels.clone();
    let mut keep = true;
    let step = |rule: &'a Rule| {
        keep = keep && rule.apply(&mut labels);
        Step { rule, output: if keep { labels.clone() } else { Labels::new() }, keep }
    };
    rules.iter().map(step).collect()
}

/// With all that it has, defaults included, in the names and the order of Prometheus' API.
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            source_labels: &'a [String],
            separator: &'a str,
            regex: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            modulus: Option<u64>,
            #[serde(skip_serializing_if = "str::is_empty")]
            target_label: &'a str,
            replacement: &'a str,
            action: String,
        }

        let written = Written {
            source_labels: &self.source_labels,
            separator: &self.separator,
            regex: self.regex.as_str(),
            modulus: Some(self.modulus).filter(|modulus| *modulus > 0),
            target_label: self.target_label.as_str(),
            replacement: self.replacement.as_str(),
            action: self.action.to_string(),
        };
        written.serialize(serializer)
    }
}

/// One line of YAML that can stand in `relabel_configs`; what is a default is left out.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &str| if is_legacy_name(name) { name.to_owned() } else { quoted(name) };
        let mut fields = Vec::new();
        if self.action != Action::Replace {
            fields.push(format!("action: {}", self.action));
        }
        if !self.source_labels.is_empty() {
            let labels: Vec<String> = self.source_labels.iter().map(|label| name(label)).collect();
            fields.push(format!("source_labels: [{}]", labels.join(", ")));
        }
        for (key, text, default) in [
            ("separator", self.separator.as_str(), DEFAULT_SEPARATOR),
            ("regex", self.regex.as_str(), DEFAULT_REGEX),
        ] {
            if text != default {
                fields.push(format!("{key}: {}", quoted(text)));
            }
        }
        if self.modulus > 0 {
            fields.push(format!("modulus: {}", self.modulus));
        }
        if !self.target_label.as_str().is_empty() {
            fields.push(format!("target_label: {}", name(self.target_label.as_str())));
        }
        if self.replacement.as_str() != DEFAULT_REPLACEMENT {
            fields.push(format!("replacement: {}", quoted(self.replacement.as_str())));
        }
        write!(f, "{{{}}}", fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relabel::RuleConfig;
    use crate::yaml::{self, Fields};

    fn rules(text: &str) -> Vec<Rule> {
        let written: Vec<Fields<RuleConfig>> = yaml::from_yaml(text).unwrap();
        written.iter().map(|rule| Rule::new(&rule.0).unwrap()).collect()
    }

    #[test]
    fn each_step_shows_the_labels_after_it_until_one_drops_them() {
        let rules = rules(
            "[{source_labels: [a], target_label: b}, {action: keep, source_labels: [b], regex: '2'}, {target_label: c, replacement: x}]",
        );
        let check = |a: &str, expected: &[(&str, bool)]| {
            let labels = Labels::from_iter([("a", a)]);
            let steps = steps(&labels, &rules);
            let told: Vec<(String, bool)> =
                steps.iter().map(|step| (step.output.to_string(), step.keep)).collect();
            let expected: Vec<(String, bool)> =
                expected.iter().map(|(labels, keep)| ((*labels).to_owned(), *keep)).collect();
            assert_eq!(told, expected, "{a}");
            let last = steps.last().filter(|step| step.keep).map(|step| step.output.clone());
            assert_eq!(last, crate::relabel::process(&labels, &rules), "{a}");
        };
        check(
            "2",
            &[
                (r#"{a="2", b="2"}"#, true),
                (r#"{a="2", b="2"}"#, true),
                (r#"{a="2", b="2", c="x"}"#, true),
            ],
        );
        check("1", &[(r#"{a="1", b="1"}"#, true), ("{}", false), ("{}", false)]);
        assert!(super::steps(&Labels::new(), &[]).is_empty());
    }

    #[test]
    fn a_rule_is_told_whole_to_programs_and_without_defaults_to_people() {
        let check = |written: &str, json: &str, line: &str| {
            let rule = &rules(&format!("[{written}]"))[0];
            assert_eq!(serde_json::to_string(rule).unwrap(), json);
            assert_eq!(rule.to_string(), line);
            assert_eq!(&rules(&format!("[{line}]"))[0], rule, "{line} reads as what it stands for");
        };
        check(
            "{source_labels: [a, b.c], target_label: d}",
            r#"{"source_labels":["a","b.c"],"separator":";","regex":"(.*)","target_label":"d","replacement":"$1","action":"replace"}"#,
            r#"{source_labels: [a, "b.c"], target_label: d}"#,
        );
        check(
            "{action: HashMod, source_labels: [y], separator: '', modulus: 8, target_label: __tmp_h}",
            r#"{"source_labels":["y"],"separator":"","regex":"(.*)","modulus":8,"target_label":"__tmp_h","replacement":"$1","action":"hashmod"}"#,
            r#"{action: hashmod, source_labels: [y], separator: "", modulus: 8, target_label: __tmp_h}"#,
        );
        check(
            r"{action: labelmap, regex: '__meta_(\d+)', replacement: 'x_$1', source_labels: []}",
            r#"{"separator":";","regex":"__meta_(\\d+)","replacement":"x_$1","action":"labelmap"}"#,
            r#"{action: labelmap, regex: "__meta_(\\d+)", replacement: "x_$1"}"#,
        );
    }
}
