//! What was found about each rule, and how it is told.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::rule::{Level, Rule};

/// What is known of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(super) enum Outcome {
    Passed,
    Violated(Violation),
    NotSeen { why: String },
}

/// The first time that a rule was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Violation {
    expected: String,
    came: String,
    /// A command that asks the same again.
    again: String,
}

/// Outcomes by rule: a violation stays, and what was seen is not unseen again.
#[derive(Debug, Default)]
pub(super) struct Findings {
    outcomes: BTreeMap<Rule, Outcome>,
}

impl Findings {
    /// One look at a rule. `expected` and `came` are told only if it is broken.
    pub(super) fn judge(
        &mut self,
        rule: Rule,
        is_kept: bool,
        again: &str,
        expected: impl fmt::Display,
        came: impl fmt::Display,
    ) {
        if matches!(self.outcomes.get(&rule), Some(Outcome::Violated(_))) {
            return;
        }
        let outcome = match is_kept {
            true => Outcome::Passed,
            false => Outcome::Violated(Violation {
                expected: expected.to_string(),
                came: came.to_string(),
                again: again.to_owned(),
            }),
        };
        self.outcomes.insert(rule, outcome);
    }

    pub(super) fn pass(&mut self, rule: Rule) {
        self.judge(rule, true, "", "", "");
    }

    /// Why a rule could not be looked at, unless it was before.
    pub(super) fn not_seen(&mut self, rule: Rule, why: impl Into<String>) {
        self.outcomes.entry(rule).or_insert_with(|| Outcome::NotSeen { why: why.into() });
    }

    /// Whether it is kept or broken.
    pub(super) fn is_seen(&self, rule: Rule) -> bool {
        !matches!(self.outcomes.get(&rule), None | Some(Outcome::NotSeen { .. }))
    }

    /// Why none of several could be.
    pub(super) fn none_seen(&mut self, rules: &[Rule], why: &str) {
        rules.iter().for_each(|rule| self.not_seen(*rule, why));
    }

    pub(super) fn is_violated(&self, level: Level) -> bool {
        self.all().any(|(rule, outcome)| {
            rule.about().2 == level && matches!(outcome, Outcome::Violated(_))
        })
    }

    /// Every rule, in the order of the document.
    pub(super) fn all(&self) -> impl Iterator<Item = (Rule, Outcome)> {
        Rule::ALL.into_iter().map(|rule| {
            let unseen = || Outcome::NotSeen { why: "the check did not come so far".to_owned() };
            (rule, self.outcomes.get(&rule).cloned().unwrap_or_else(unseen))
        })
    }

    /// A line a rule, and three more below one that is broken.
    pub(super) fn lines(&self) -> String {
        let mut text = String::new();
        let (mut passed, mut violated, mut warnings, mut unseen) = (0, 0, 0, 0);
        for (rule, outcome) in self.all() {
            let (name, section, level, says) = rule.about();
            let mut line = |word: &str, rest: &str| {
                let _ = writeln!(text, "{word:<8}  §{section:<2} {name:<17} {says}{rest}");
            };
            match outcome {
                Outcome::Passed => {
                    passed += 1;
                    line("passed", "");
                }
                Outcome::NotSeen { why } => {
                    unseen += 1;
                    line("not seen", &format!(" ({why})"));
                }
                Outcome::Violated(Violation { expected, came, again }) => {
                    let count = if level == Level::Must { &mut violated } else { &mut warnings };
                    *count += 1;
                    line(if level == Level::Must { "VIOLATED" } else { "WARNING" }, "");
                    let _ = writeln!(text, "          expected: {expected}");
                    let _ = writeln!(text, "          came:     {came}");
                    let _ = writeln!(text, "          again:    {again}");
                }
            }
        }
        let _ = writeln!(
            text,
            "{passed} passed, {violated} violated, {warnings} warnings, {unseen} not seen"
        );
        text
    }

    pub(super) fn json(&self) -> Vec<Told> {
        let told = |(rule, outcome): (Rule, Outcome)| {
            let (name, section, level, says) = rule.about();
            Told { rule: name, section, level, says, outcome }
        };
        self.all().map(told).collect()
    }
}

/// A rule and its outcome, as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    rule: &'static str,
    section: u8,
    level: Level,
    says: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_stays_and_what_was_seen_is_not_unseen() {
        let mut findings = Findings::default();
        findings.not_seen(Rule::Law, "no spans");
        findings.pass(Rule::Law);
        findings.not_seen(Rule::Law, "no spans again");
        assert!(findings.lines().contains("passed    §8  law "), "{}", findings.lines());
        findings.judge(Rule::Law, false, "curl", "3", "4");
        findings.judge(Rule::Law, false, "curl", "5", "6");
        findings.pass(Rule::Law);
        let lines = findings.lines();
        let expected = "received + lost + oversize + shutdown\n          expected: 3\n          came:     4\n          again:    curl\n";
        assert!(lines.contains(expected), "{lines}");
        assert!(lines.ends_with("0 passed, 1 violated, 0 warnings, 63 not seen\n"), "{lines}");
        assert!(findings.is_violated(Level::Must) && !findings.is_violated(Level::Should));
    }
}
