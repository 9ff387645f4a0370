//! What Prometheus accepts and refuses of keys that concern metrics only.

use std::path::Path;

use super::super::parse;

/// What is wrong with a job of these keys, below a `global` of those.
#[track_caller]
fn check(global: &str, job: &str, expected: Result<(), &str>) {
    let text = format!("global: {{{global}}}\nscrape_configs:\n- {{job_name: a, {job}}}\n");
    let checked = parse(&text, Path::new(".")).map(|_| ()).map_err(|error| error.message);
    assert_eq!(checked, expected.map_err(str::to_owned), "{text}");
}

#[test]
fn values_are_of_their_type() {
    for job in [
        "honor_timestamps: yes",
        "honor_timestamps: ~",
        "track_timestamps_staleness: Off",
        "sample_limit: 0x10",
        "sample_limit: 1.5",
        "sample_limit: ~",
        "native_histogram_min_bucket_factor: 1.1",
        "native_histogram_min_bucket_factor: 2",
        "scrape_failure_log_file: 5",
        "enable_http2: no",
    ] {
        check("", job, Ok(()));
    }
    for (job, expected) in [
        ("honor_timestamps: maybe", "cannot unmarshal !!str `maybe` into bool"),
        ("honor_timestamps: 'yes'", "cannot unmarshal !!str `yes` into bool"),
        ("honor_timestamps: \"true\"", "cannot unmarshal !!str `true` into bool"),
        ("honor_timestamps: ''", "cannot unmarshal !!str `` into bool"),
        ("honor_timestamps: 1", "cannot unmarshal !!int `1` into bool"),
        ("honor_labels: 'true'", "cannot unmarshal !!str `true` into bool"),
        ("enable_http2: maybe", "cannot unmarshal !!str `maybe` into bool"),
        ("sample_limit: abc", "cannot unmarshal !!str `abc` into uint"),
        ("sample_limit: '5'", "cannot unmarshal !!str `5` into uint"),
        ("target_limit: '5'", "cannot unmarshal !!str `5` into uint"),
        ("sample_limit: -5", "cannot unmarshal !!int `-5` into uint"),
        ("sample_limit: yes", "cannot unmarshal !!bool `yes` into uint"),
        ("native_histogram_min_bucket_factor: x", "cannot unmarshal !!str `x` into float64"),
        (
            "relabel_configs: [{action: hashmod, modulus: '5', target_label: b}]",
            "cannot unmarshal !!str `5` into uint64",
        ),
        ("metric_relabel_configs: [{bogus: 1}]", "field bogus not found in type relabel.plain"),
    ] {
        check("", job, Err(expected));
    }
    check("evaluation_interval: 30s, rule_query_offset: 1m, query_log_file: q", "", Ok(()));
    check("evaluation_interval: 5", "", Err("not a valid duration string: \"5\""));
    check("scrape_native_histograms: 2", "", Err("cannot unmarshal !!int `2` into bool"));
}

#[test]
fn rules_for_metrics_are_rules() {
    check("", "metric_relabel_configs: [{action: labeldrop, regex: a}]", Ok(()));
    let null = "empty or null metric relabeling rule in scrape config";
    check("", "metric_relabel_configs: [~]", Err(null));
    let regex = "error parsing regexp: missing closing ): `^(?s:()$`";
    check("", "metric_relabel_configs: [{action: labeldrop, regex: '('}]", Err(regex));
    check(
        "metric_name_validation_scheme: legacy",
        "metric_relabel_configs: [{source_labels: [a.b], target_label: c.d}]",
        Err("\"c.d\" is invalid 'target_label' for replace action"),
    );
}

#[test]
fn protocols_are_known_and_named_once() {
    let supported = "supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]";
    check("", "scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0]", Ok(()));
    check("", "scrape_protocols: ~, fallback_scrape_protocol: PrometheusText1.0.0", Ok(()));
    for (protocols, error) in [
        ("[]", "scrape_protocols cannot be empty".to_owned()),
        ("[x]", format!("scrape_protocols: unknown scrape protocol x, {supported}")),
        (
            "[PrometheusProto, prometheusproto]",
            "duplicated protocol in scrape_protocols, got [PrometheusProto prometheusproto]"
                .to_owned(),
        ),
    ] {
        let keys = format!("scrape_protocols: {protocols}");
        let of_job = format!("{error} for scrape config with job name \"a\"");
        check("", &keys, Err(&of_job));
        check(&keys, "", Err(&format!("{error} for global config")));
    }
    let fallback = format!(
        "invalid fallback_scrape_protocol for scrape config with job name \"a\": unknown scrape protocol x, {supported}"
    );
    check("", "fallback_scrape_protocol: x", Err(&fallback));
}

#[test]
fn escaping_fits_to_the_names() {
    let legacy = "metric_name_validation_scheme: legacy";
    let utf8 = "metric_name_validation_scheme: utf8";
    let escaping = |scheme: &str| format!("metric_name_escaping_scheme: {scheme}");
    let both = |names: &str, scheme: &str| format!("{names}, {}", escaping(scheme));
    let refused = "utf8 metric names requested but validation scheme is not set to UTF8";
    for scheme in ["allow-utf-8", "underscores", "dots", "values"] {
        check("", &escaping(scheme), Ok(()));
        check(&escaping(scheme), "", Ok(()));
        let outcome = if scheme == "allow-utf-8" { Err(refused) } else { Ok(()) };
        check(legacy, &escaping(scheme), outcome);
        check("", &both(legacy, scheme), outcome);
        check(&both(legacy, scheme), "", outcome);
        // What a job says of its names goes before what is said of all.
        check(&both(legacy, scheme), utf8, Ok(()));
        check(&both(utf8, scheme), legacy, Ok(()));
    }
    check("", legacy, Ok(()));
    check(legacy, "", Ok(()));
    let unknown = |whose: &str| {
        format!(
            "unknown {whose} name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got \"x\""
        )
    };
    check(&escaping("x"), "", Err(&unknown("global")));
    check("", &escaping("x"), Err(&unknown("scrape config")));
}
