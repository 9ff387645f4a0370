//! Keys that concern metrics only. They are read and checked as Prometheus does it, so that a mistake in
//! them is found here, too, and are of no further use.

#[cfg(test)]
mod tests;

use serde::de::MapAccess;

use super::{ConfigError, Places, parse_duration, rules_or};
use crate::labels::quoted;
use crate::relabel::{NameScheme, RuleConfig};
use crate::yaml::{Entry, Item, Text};

const PROTOCOLS: [&str; 5] = [
    "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
    "PrometheusProto",
    "PrometheusText0.0.4",
    "PrometheusText1.0.0",
];

const ALLOW_UTF8: &str = "allow-utf-8";
const UNDERSCORES: &str = "underscores";

/// Those of a section that are not right or wrong by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MetricsOnly {
    scrape_protocols: Option<Vec<String>>,
    fallback_scrape_protocol: String,
    escaping: String,
    rules: Vec<Item<RuleConfig>>,
}

/// Which label names there may be, and whether a job says so itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) global: NameScheme,
    pub(super) own: Option<NameScheme>,
}

impl MetricsOnly {
    /// Takes the value of a key that concerns metrics only.
    pub(super) fn field<'de, A: MapAccess<'de>>(
        &mut self,
        entry: Entry<'_, A>,
    ) -> Result<(), A::Error> {
        match entry.key() {
            "scrape_protocols" => {
                let protocols = entry.read_option::<Vec<Text>>()?;
                self.scrape_protocols =
                    protocols.map(|protocols| protocols.into_iter().map(|text| text.0).collect());
            }
            "fallback_scrape_protocol" => self.fallback_scrape_protocol = entry.text()?,
            "metric_name_escaping_scheme" => self.escaping = entry.text()?,
            "metric_relabel_configs" => self.rules = entry.sections()?,
            "evaluation_interval" | "rule_query_offset" => {
                entry.parsed(parse_duration)?;
            }
            "label_limit"
            | "label_name_length_limit"
            | "label_value_length_limit"
            | "native_histogram_bucket_limit"
            | "sample_limit" => {
                entry.integer()?;
            }
            "native_histogram_min_bucket_factor" => {
                entry.float()?;
            }
            "query_log_file" => {
                entry.text()?;
            }
            _ => {
                entry.boolean()?;
            }
        }
        Ok(())
    }

    /// Checks what stands under `global`.
    pub(super) fn check_global(&self, places: &Places) -> Result<(), ConfigError> {
        let Some(protocols) = &self.scrape_protocols else { return Ok(()) };
        check_protocols(protocols).map_err(|error| {
            let message = format!("{error} for global config");
            ConfigError::at(places.get("scrape_protocols"), message)
        })
    }

    /// Checks what stands in a job, which has what it does not say from `global`.
    pub(super) fn check_job(
        &self,
        global: &Self,
        job: &str,
        names: Names,
        places: &Places,
    ) -> Result<(), ConfigError> {
        let refuse = |key: &str, message: String| {
            ConfigError::at(places.get(key).or(places.get("job_name")), message)
        };
        if let Some(protocols) = &self.scrape_protocols {
            check_protocols(protocols).map_err(|error| {
                let message = format!("{error} for scrape config with job name {}", quoted(job));
                refuse("scrape_protocols", message)
            })?;
        }
        let fallback = self.fallback_scrape_protocol.as_str();
        if !fallback.is_empty() {
            check_protocol(fallback).map_err(|error| {
                let message = format!(
                    "invalid fallback_scrape_protocol for scrape config with job name {}: {error}",
                    quoted(job)
                );
                refuse("fallback_scrape_protocol", message)
            })?;
        }
        check_escaping(&self.escaping, &global.escaping, names)
            .map_err(|message| refuse("metric_name_escaping_scheme", message))?;
        let null = "empty or null metric relabeling rule in scrape config";
        rules_or(&self.rules, names.own.unwrap_or(names.global), null).map(|_| ())
    }
}

fn check_protocols(protocols: &[String]) -> Result<(), String> {
    if protocols.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    for (index, protocol) in protocols.iter().enumerate() {
        if protocols[..index].iter().any(|before| before.eq_ignore_ascii_case(protocol)) {
            let all = protocols.join(" ");
            return Err(format!("duplicated protocol in scrape_protocols, got [{all}]"));
        }
        check_protocol(protocol).map_err(|error| format!("scrape_protocols: {error}"))?;
    }
    Ok(())
}

fn check_protocol(protocol: &str) -> Result<(), String> {
    if PROTOCOLS.contains(&protocol) {
        return Ok(());
    }
    Err(format!("unknown scrape protocol {protocol}, supported: [{}]", PROTOCOLS.join(" ")))
}

/// How names are escaped has to fit to which names there may be.
fn check_escaping(own: &str, global: &str, names: Names) -> Result<(), String> {
    let of_names = |names| match names {
        NameScheme::Legacy => UNDERSCORES,
        NameScheme::Utf8 => ALLOW_UTF8,
    };
    let global = if global.is_empty() { of_names(names.global) } else { global };
    let own = match names.own {
        _ if !own.is_empty() => own,
        Some(own) => of_names(own),
        None => global,
    };
    for (escaping, whose) in [(global, "global"), (own, "scrape config")] {
        if ![ALLOW_UTF8, UNDERSCORES, "dots", "values"].contains(&escaping) {
            return Err(format!(
                "unknown {whose} name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {}",
                quoted(escaping)
            ));
        }
    }
    if own == ALLOW_UTF8 && names.own.unwrap_or(names.global) != NameScheme::Utf8 {
        return Err(
            "utf8 metric names requested but validation scheme is not set to UTF8".to_owned()
        );
    }
    Ok(())
}
