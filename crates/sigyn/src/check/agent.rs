//! `--agent` of `sigyn check config`: keys that Prometheus' agent mode does not allow.

use serde::de::{IgnoredAny, MapAccess};
use sigyn_discovery::yaml::{self, Entry, Section};

/// Errors for the first key that is not allowed and has something in it. The text has been read as a
/// configuration already.
pub(super) fn check(text: &str) -> Result<(), String> {
    let written: Written = yaml::section(text).map_err(|error| error.to_string())?;
    let alerting = written.alerting.alertmanagers || written.alerting.rules;
    let keys = [
        ("alerting", alerting),
        ("rule_files", written.rule_files),
        ("remote_read", written.remote_read),
    ];
    match keys.into_iter().find(|(_, is_there)| *is_there) {
        Some((key, _)) => Err(format!("field {key} is not allowed in agent mode")),
        None => Ok(()),
    }
}

/// Whether there is something in what the key names.
#[derive(Debug, Default)]
struct Written {
    alerting: Alerting,
    rule_files: bool,
    remote_read: bool,
}

impl Section for Written {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "alerting" => self.alerting = entry.section()?,
            "rule_files" => self.rule_files = has_items(entry)?,
            "remote_read" => self.remote_read = has_items(entry)?,
            _ => entry.skip()?,
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Alerting {
    alertmanagers: bool,
    rules: bool,
}

impl Section for Alerting {
    const NAME: &'static str = "config.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "alertmanagers" => self.alertmanagers = has_items(entry)?,
            "alert_relabel_configs" => self.rules = has_items(entry)?,
            _ => entry.skip()?,
        }
        Ok(())
    }
}

fn has_items<'de, A: MapAccess<'de>>(entry: Entry<'_, A>) -> Result<bool, A::Error> {
    Ok(!entry.read::<Vec<IgnoredAny>>()?.is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_an_agent_does_not_do_must_not_be_asked_of_it() {
        let check = |text: &str, key: Option<&str>| {
            let expected = match key {
                Some(key) => Err(format!("field {key} is not allowed in agent mode")),
                None => Ok(()),
            };
            assert_eq!(super::check(text), expected, "{text}");
        };
        check("", None);
        check("scrape_configs: [{job_name: a}]\nremote_write: [{url: http://a}]", None);
        check("alerting: {}\nrule_files: []\nremote_read:", None);
        check("alerting: {alertmanagers: [{}]}", Some("alerting"));
        check("alerting: {alert_relabel_configs: [{}]}", Some("alerting"));
        check("remote_read: [{url: http://a}]\nrule_files: [a.yml]", Some("rule_files"));
        check("remote_read: [{url: http://a}]", Some("remote_read"));
    }
}
