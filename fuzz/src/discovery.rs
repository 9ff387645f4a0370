//! Configurations and relabelling rules: read, told, and read again they mean the same, and what comes out is no more than what
//! went in allows for.

use std::path::Path;

use sigyn_discovery::Labels;
use sigyn_discovery::config::{self, Config};
use sigyn_discovery::relabel::{self, Rule, RuleConfig};
use sigyn_discovery::yaml::{self, Fields};

/// How many rules and labels an input may have: rules that double a value are twice as long each time.
const RULES_MAX: usize = 8;
const LABELS_MAX: usize = 64;

/// What stands between rules and labels.
const BETWEEN: &str = "\n====\n";

/// Reads a configuration. One that is accepted is told, and accepted again as the same.
pub fn check_config(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    // What other files say is not a matter of this text.
    if text.contains("scrape_config_files") {
        return;
    }
    let Ok(config) = config::parse(text, Path::new("/nowhere")) else { return };
    check_work(text, &config);
    let told = config.shown.yaml();
    // Variables have been expanded, and would be again; and what is empty is not told, as Prometheus does not.
    let is_expanded = config.external_labels.iter().any(|(_, value)| value.contains('$'));
    if is_expanded
        || config.jobs.iter().any(|job| job.scheme.is_empty() || job.metrics_path.is_empty())
    {
        return;
    }
    let again = match config::parse(&told, Path::new("/nowhere")) {
        Ok(again) => again,
        Err(error) => panic!("what is told is refused: {error}\n{told}"),
    };
    assert_eq!(again.shown.yaml(), told);
    // Secrets are not told.
    if !told.contains("<secret>") && !told.contains("xxxxx") {
        assert_eq!(again.jobs, config.jobs, "{told}");
        assert_eq!(again.external_labels, config.external_labels);
    }
}

/// Aliases repeat what they stand for, a million times at most; without them nothing comes of nothing.
fn check_work(text: &str, config: &Config) {
    if text.contains('*') {
        return;
    }
    let targets: usize = config
        .jobs
        .iter()
        .flat_map(|job| job.static_groups())
        .map(|group| group.targets.len())
        .sum();
    let rules: usize = config.jobs.iter().map(|job| job.relabel_configs.len()).sum();
    let told = config.jobs.len() + targets + rules + config.external_labels.len();
    assert!(told <= text.len(), "{told} things out of {} bytes", text.len());
}

/// Reads rules and labels, and applies them.
pub fn check_relabelling(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (rules, labels) = input.split_once(BETWEEN).unwrap_or((input, ""));
    let Ok(rules) = yaml::from_yaml::<Vec<Fields<RuleConfig>>>(rules) else { return };
    let compiled: Result<Vec<Rule>, _> =
        rules.iter().take(RULES_MAX).map(|rule| Rule::new(&rule.0)).collect();
    let Ok(rules) = compiled else { return };
    let labels: Labels = labels
        .lines()
        .take(LABELS_MAX)
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| !name.is_empty())
        .collect();

    let result = relabel::process(&labels, &rules);
    assert_eq!(relabel::process(&labels, &rules), result, "the same once more");
    let steps = relabel::steps(&labels, &rules);
    let last =
        steps.last().map_or(Some(labels.clone()), |step| step.keep.then(|| step.output.clone()));
    assert_eq!(last, result);
    for (name, value) in result.iter().flat_map(Labels::iter) {
        assert!(!name.is_empty() && !value.is_empty(), "{name:?}: {value:?}");
    }
    for step in steps {
        // A rule adds one label, or one for each that there is.
        assert!(step.output.len() <= (labels.len() + RULES_MAX) << RULES_MAX);
        let line = step.rule.to_string();
        let again = yaml::from_yaml::<Fields<RuleConfig>>(&line).map(|rule| Rule::new(&rule.0));
        assert_eq!(again.as_ref().map(Result::as_ref), Ok(Ok(step.rule)), "{line}");
    }
}
