//! Configurations that are accepted, and those that are refused, each with its message and place.

use super::*;

fn dir() -> &'static Path {
    Path::new("/etc/sigyn")
}

/// A file with one job of the given lines.
fn with_job(lines: &str) -> String {
    format!("scrape_configs:\n- job_name: a\n  {}\n", lines.replace('\n', "\n  "))
}

#[track_caller]
fn accepted(text: &str) -> Config {
    parse(text, dir()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn nothing_written_is_nothing_configured() {
    for text in [
        "",
        "\n",
        "# nothing",
        "---",
        "global:",
        "global: {}",
        "scrape_configs:",
        "scrape_configs: []",
        "~",
    ] {
        let config = accepted(text);
        // Of a section that is there, not all defaults are shown.
        let escaping = match text {
            "global: {}" => "",
            _ => "  metric_name_escaping_scheme: allow-utf-8\n",
        };
        let shown = format!(
            "global:\n  scrape_interval: 1m\n  scrape_timeout: 10s\n  evaluation_interval: 1m\n  metric_name_validation_scheme: utf8\n{escaping}  scrape_native_histograms: false\n  extra_scrape_metrics: false\n"
        );
        assert_eq!(config.shown.yaml(), shown, "{text:?}");
        let shown = config.shown.clone();
        assert_eq!(config, Config { shown, ..Config::default() }, "{text:?}");
    }
}

#[test]
fn defaults_of_a_job() {
    let config = accepted("scrape_configs: [{job_name: a}]");
    assert_eq!(config.jobs, [Job::new("a")]);
    assert_eq!(config.warnings, [""; 0]);
    let job = &config.jobs[0];
    assert_eq!(
        (job.scrape_interval, job.scrape_timeout),
        (Duration::from_secs(60), Duration::from_secs(10))
    );
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("/metrics", "http"));
    assert!(job.enable_compression && job.http.follow_redirects && !job.honor_labels);
}

#[test]
fn failed_scrapes_go_to_the_jobs_file_or_else_to_that_of_all() {
    let check = |global: &str, own: &str, expected: Option<&str>| {
        let text = format!("global: {{{global}}}\nscrape_configs: [{{job_name: a{own}}}]");
        let config = accepted(&text);
        let expected = expected.map(|file| dir().join(file));
        assert_eq!(config.jobs[0].failure_log_file, expected, "{text}");
        assert_eq!(config.warnings, [""; 0], "{text}");
    };
    let (all, own) = ("scrape_failure_log_file: all.log", ", scrape_failure_log_file: own/a.log");
    check("", "", None);
    check(all, "", Some("all.log"));
    check("", own, Some("own/a.log"));
    check(all, own, Some("own/a.log"));
    check(all, ", scrape_failure_log_file: ''", Some("all.log"));
    check("scrape_failure_log_file: /var/log/all", "", Some("/var/log/all"));
}

#[test]
fn a_job_with_everything() {
    let config = accepted(
        r"
global: {body_size_limit: 1MB, target_limit: 10, keep_dropped_targets: 5, scrape_interval: 30s, scrape_timeout: 20s}
scrape_configs:
- job_name: a
  scrape_interval: 1m30s
  scrape_timeout: 15s
  metrics_path: nope
  scheme: ftp
  params: {module: [http_2xx, 8080], empty: ~}
  honor_labels: yes
  enable_compression: off
  follow_redirects: n
  body_size_limit: 2KiB
  target_limit: 0x10
  keep_dropped_targets: 1_000
  static_configs:
  - targets: [127.0.0.1:8080, 8080]
    labels: {a: 1.0, b: off, c: ~, d.e: 2020-01-01}
  - targets: []
  file_sd_configs:
  - files: [sd/*.yml, /abs/x.json, ./a/../b.yaml]
  - files: [x.YML]
    refresh_interval: 10s
  relabel_configs:
  - {target_label: x, replacement: y}
- job_name: b
",
    );
    let job = &config.jobs[0];
    assert_eq!(
        (job.scrape_interval, job.scrape_timeout),
        (Duration::from_secs(90), Duration::from_secs(15))
    );
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("nope", "ftp"));
    assert_eq!(job.params["module"], ["http_2xx", "8080"]);
    assert_eq!(job.params["empty"], [""; 0]);
    assert!(job.honor_labels && !job.enable_compression && !job.http.follow_redirects);
    assert_eq!((job.body_size_limit, job.target_limit, job.keep_dropped_targets), (2048, 16, 1000));
    assert_eq!(job.relabel_configs.len(), 1);
    let groups = job.static_groups();
    assert_eq!(groups[0].source, "0");
    assert_eq!(groups[0].labels.to_string(), r#"{a="1.0", b="off", "d.e"="2020-01-01"}"#);
    assert_eq!(groups[0].targets[1].get("__address__"), Some("8080"));
    assert_eq!((groups[1].source.as_str(), groups[1].targets.len()), ("1", 0));
    let file = |patterns: &[&str], seconds| {
        let patterns = patterns.iter().map(PathBuf::from).collect();
        mechanism::Config::File(file::Config {
            patterns,
            refresh_interval: Duration::from_secs(seconds),
        })
    };
    assert_eq!(
        job.mechanisms[1..],
        [
            file(&["/etc/sigyn/sd/*.yml", "/abs/x.json", "/etc/sigyn/b.yaml"], 300),
            file(&["/etc/sigyn/x.YML"], 10),
        ]
    );
    let inherits = &config.jobs[1];
    assert_eq!(
        (inherits.body_size_limit, inherits.target_limit, inherits.keep_dropped_targets),
        (1 << 20, 10, 5)
    );
    assert_eq!(
        (inherits.scrape_interval, inherits.scrape_timeout),
        (Duration::from_secs(30), Duration::from_secs(20))
    );
}

#[test]
fn timeouts_that_are_not_written_fit_the_interval() {
    for (global, job, expected) in [
        ("{}", "{}", (60, 10)),
        ("{scrape_interval: 5s}", "{}", (5, 5)),
        ("{scrape_interval: 0s, scrape_timeout: 0s}", "{}", (60, 10)),
        ("{scrape_interval: ~}", "{}", (60, 10)),
        ("{scrape_timeout: 30s}", "{scrape_interval: 20s}", (20, 20)),
        ("{scrape_timeout: 30s}", "{scrape_interval: 2m}", (120, 30)),
        ("{}", "{scrape_interval: 0s, scrape_timeout: 0}", (60, 10)),
        ("{}", "{scrape_timeout: 1m}", (60, 60)),
    ] {
        let job = job.replace('{', "{job_name: a, ").replace(", }", "}");
        let config = accepted(&format!("global: {global}\nscrape_configs: [{job}]"));
        let job = &config.jobs[0];
        let seconds = (job.scrape_interval.as_secs(), job.scrape_timeout.as_secs());
        assert_eq!(seconds, expected, "{global} {job:?}");
    }
}

#[test]
fn what_concerns_metrics_is_accepted_and_said_once() {
    let config = accepted(
        "
rule_files: [a.yml]
alerting: {alertmanagers: [{bogus: 1}]}
remote_write: ~
storage: {tsdb: {}}
global: {evaluation_interval: 5s, query_log_file: x}
scrape_configs:
- {job_name: a, honor_timestamps: true, sample_limit: 5, metric_relabel_configs: [{action: labeldrop, regex: a}]}
- {job_name: b, honor_timestamps: false, scrape_protocols: [PrometheusProto], enable_http2: true, tls_config: ~}
",
    );
    let mut warnings = config.warnings;
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "line 2: rule_files is ignored by Sigyn",
            "line 3: alerting is ignored by Sigyn",
            "line 4: remote_write is ignored by Sigyn",
            "line 5: storage is ignored by Sigyn",
            "line 6: evaluation_interval is ignored by Sigyn: it concerns metrics only",
            "line 6: query_log_file is ignored by Sigyn: it concerns metrics only",
            "line 8: honor_timestamps is ignored by Sigyn: it concerns metrics only",
            "line 8: metric_relabel_configs is ignored by Sigyn: it concerns metrics only",
            "line 8: sample_limit is ignored by Sigyn: it concerns metrics only",
            "line 9: scrape_protocols is ignored by Sigyn: it concerns metrics only",
        ]
    );
}

#[test]
fn merge_keys_and_aliases_spare_repetition() {
    let config = accepted(
        "
scrape_configs:
- &base
  job_name: a
  scrape_interval: 5s
  static_configs: [{targets: ['127.0.0.1:1']}]
- <<: *base
  job_name: b
",
    );
    assert_eq!(config.jobs[1].name, "b");
    assert_eq!(config.jobs[1].mechanisms, config.jobs[0].mechanisms);
    assert_eq!(config.jobs[1].scrape_interval, Duration::from_secs(5));
}

#[test]
fn refused_files_say_where_and_why() {
    for (text, expected) in [
        ("bogus: 1", "1:1: field bogus not found in type config.plain"),
        ("global: {bogus: 1}", "1:10: field bogus not found in type config.plain"),
        ("global: [a]", "1:9: expected a mapping"),
        ("global: a", "1:9: expected a mapping"),
        ("global: {}\nglobal: {}", "2:1: field global already set in type config.plain"),
        ("global: {scrape_interval: 90}", "1:27: not a valid duration string: \"90\""),
        ("global: {scrape_interval: ''}", "1:27: empty duration string"),
        (
            "global:\n  scrape_interval: 5s\n  scrape_timeout: 6s",
            "3:3: global scrape timeout greater than scrape interval",
        ),
        (
            "global: {scrape_timeout: 2m}",
            "1:10: global scrape timeout greater than scrape interval",
        ),
        ("global: {body_size_limit: 10}", "1:27: units: unknown unit  in 10"),
        ("global: {body_size_limit: kb}", "1:27: units: invalid kb"),
        ("global: {target_limit: -1}", "1:24: cannot unmarshal !!int `-1` into uint"),
        ("global: {external_labels: {a: b, a: c}}", "1:34: key \"a\" already set in map"),
        ("global: {external_labels: {'': c}}", "1:28: \"\" is not a valid label name"),
        ("global: {external_labels: [a]}", "1:27: expected a mapping"),
        (
            "global: {external_labels: {a-b: c}, metric_name_validation_scheme: legacy}",
            "1:10: \"a-b\" is not a valid label name",
        ),
        (
            "global: {metric_name_validation_scheme: ascii}",
            "1:10: unrecognized ValidationScheme: \"ascii\"",
        ),
        ("rule_files: [x", "1:13: unclosed bracket '['"),
        ("runtime: b: c", "1:11: mapping values are not allowed in this context"),
        ("scrape_configs: {}", "1:17: expected a list"),
        ("scrape_configs: a", "1:17: expected a list"),
        ("scrape_configs:\n- job_name: a\n-", "3:2: empty or null scrape config section"),
        ("scrape_configs:\n- ~", "2:3: empty or null scrape config section"),
        ("scrape_configs:\n- scheme: http", "2:3: job_name is empty"),
        ("scrape_configs:\n- job_name: ''", "2:3: job_name is empty"),
        (
            "scrape_configs:\n- job_name: a\n- job_name: b\n- scheme: http\n  job_name: a",
            "5:3: found multiple scrape configs with job name \"a\"",
        ),
        (
            "scrape_configs:\n- job_name: a\n  job_name: b",
            "3:3: field job_name already set in type config.ScrapeConfig",
        ),
        ("scrape_configs:\n- job_name: [a]", "2:13: cannot unmarshal !!seq into string"),
        ("scrape_config_files: ['a*/b.yml']", "1:23: invalid scrape config file path \"a*/b.yml\""),
    ] {
        check(text, expected);
    }
    for (job, expected) in [
        ("bogus: 1", "3:3: field bogus not found in type config.ScrapeConfig"),
        (
            "scrape_interval: 5s\nscrape_timeout: 6s",
            "4:3: scrape timeout greater than scrape interval for scrape config with job name \"a\"",
        ),
        (
            "scrape_timeout: 61s",
            "3:3: scrape timeout greater than scrape interval for scrape config with job name \"a\"",
        ),
        ("scrape_interval: 1h1d", "3:20: not a valid duration string: \"1h1d\""),
        ("scrape_interval: 300y", "3:20: duration out of range"),
        ("scrape_interval: [5s]", "3:20: cannot unmarshal !!seq into string"),
        ("honor_labels: maybe", "3:17: cannot unmarshal !!str `maybe` into bool"),
        ("enable_compression: 2", "3:23: cannot unmarshal !!int `2` into bool"),
        ("target_limit: many", "3:17: cannot unmarshal !!str `many` into uint"),
        ("body_size_limit: 5XB", "3:20: units: unknown unit XB in 5XB"),
        ("params: {a: b}", "3:15: cannot unmarshal !!str `b` into []string"),
        ("params: [a]", "3:11: expected a mapping"),
        ("params: {a: [{b: c}]}", "3:16: cannot unmarshal !!map into string"),
        ("params: {a: [b], a: [c]}", "3:20: key \"a\" already set in map"),
        ("static_configs: [~]", "3:20: empty or null section in static_configs"),
        ("static_configs:\n-", "4:4: empty or null section in static_configs"),
        ("static_configs: {}", "3:19: expected a list"),
        ("static_configs: [{bogus: 1}]", "3:21: field bogus not found in type struct"),
        ("static_configs: [{targets: a}]", "3:30: cannot unmarshal !!str `a` into []string"),
        ("static_configs: [{targets: [[a]]}]", "3:31: cannot unmarshal !!seq into string"),
        ("static_configs: [{labels: {a: {b: c}}}]", "3:33: cannot unmarshal !!map into string"),
        ("static_configs: [{labels: {a: b, a: c}}]", "3:36: key \"a\" already set in map"),
        ("static_configs: [{labels: {'': c}}]", "3:30: \"\" is not a valid label name"),
        (
            "static_configs:\n- targets: [127.0.0.1]\n- targets: ['http://127.0.0.1/']",
            "5:5: \"http://127.0.0.1/\" is not a valid hostname",
        ),
        ("file_sd_configs: [~]", "3:21: empty or null section in file_sd_configs"),
        (
            "file_sd_configs: [{}]",
            "3:21: file service discovery config must contain at least one path name",
        ),
        (
            "file_sd_configs: [{files: []}]",
            "3:21: file service discovery config must contain at least one path name",
        ),
        (
            "file_sd_configs: [{files: [a.txt]}]",
            "3:21: path name \"a.txt\" is not valid for file discovery",
        ),
        (
            "file_sd_configs: [{files: ['*/a.yml']}]",
            "3:21: path name \"*/a.yml\" is not valid for file discovery",
        ),
        (
            "file_sd_configs: [{files: [a.Yml]}]",
            "3:21: path name \"a.Yml\" is not valid for file discovery",
        ),
        ("file_sd_configs: [{files: [~]}]", "3:21: path name \"\" is not valid for file discovery"),
        (
            "file_sd_configs: [{files: [a.yml], refresh_interval: 5}]",
            "3:56: not a valid duration string: \"5\"",
        ),
        (
            "file_sd_configs: [{files: [a.yml], bogus: 5}]",
            "3:38: field bogus not found in type file.plain",
        ),
        ("relabel_configs: [~]", "3:21: empty or null target relabeling rule in scrape config"),
        (
            "relabel_configs:\n- target_label: a\n- action: bogus",
            "5:5: unknown relabel action \"bogus\"",
        ),
        (
            "relabel_configs:\n- {}",
            "4:5: relabel configuration for replace action requires 'target_label' value",
        ),
        (
            "relabel_configs:\n- {target_label: a, regex: '(a'}",
            "4:5: error parsing regexp: missing closing ): `^(?s:(a)$`",
        ),
        (
            "relabel_configs:\n- {target_label: a, bogus: 1}",
            "4:23: field bogus not found in type relabel.plain",
        ),
        (
            "metric_name_validation_scheme: legacy\nrelabel_configs:\n- {target_label: a-b}",
            "5:5: \"a-b\" is invalid 'target_label' for replace action",
        ),
        ("http_sd_configs: [{}]", "3:21: URL is missing"),
        ("http_sd_configs: [~]", "3:21: empty or null section in http_sd_configs"),
        (
            "consul_sd_configs: [{server: ''}]",
            "3:23: consul SD configuration requires a server address",
        ),
        (
            "vultr_sd_configs: [{bearer_token: a}]",
            "3:3: vultr_sd_configs is not supported by Sigyn: let a program answer with the targets over HTTP and name it in http_sd_configs (docs/guide/discovery.md)",
        ),
        ("oauth2: {client_id: a}", "2:3: oauth2 token_url must be configured"),
        (
            "tls_config: {ca: a, ca_file: b}",
            "2:3: at most one of ca, ca_file & ca_ref must be configured",
        ),
        ("no_proxy: x", "2:3: if no_proxy is configured, proxy_url must also be configured"),
        (
            "authorization: {credentials: a, credentials_file: b}",
            "2:3: at most one of authorization credentials & credentials_file must be configured",
        ),
        ("basic_auth: {bogus: 1}", "3:16: field bogus not found in type config.plain"),
        ("foo_sd_configs: []", "3:3: field foo_sd_configs not found in type config.ScrapeConfig"),
    ] {
        check(&with_job(job), expected);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        match parse(text, dir()) {
            Ok(config) => panic!("accepted: {text}\n{config:?}"),
            Err(error) => {
                assert_eq!(error.in_file("x").to_string(), format!("x:{expected}"), "{text}")
            }
        }
    }
}

#[test]
fn accepted_oddities() {
    for job in [
        "scheme: ftp",
        "metrics_path: nope",
        "static_configs: [{}]",
        "static_configs: []",
        "file_sd_configs: ~",
        "relabel_configs: []",
        "metrics_path:",
        "honor_labels: Y",
        "target_limit: 1.5",
        "body_size_limit: '-1MB'",
        "file_sd_configs: [{files: ['a*.yml', 'dir/b-*.JSON', 'a**.yaml'], refresh_interval: 0s}]",
        "static_configs: [{targets: ['http://127.0.0.1/']}]\nrelabel_configs: [{action: keep}]",
        "static_configs: [{labels: {a-b: c}}]",
        "basic_auth: ~",
        "\"scheme\": !!str http",
    ] {
        accepted(&with_job(job));
    }
}

#[test]
fn the_error_prints_as_people_look_for_it() {
    let error = parse("scrape_configs:\n- job_name: a\n  bogus: 1", dir()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: field bogus not found in type config.ScrapeConfig (column 3)"
    );
    assert_eq!(error.place, Some(Place { line: 3, column: 3 }));
    let error = error.in_file("prometheus.yml");
    assert_eq!(
        error.to_string(),
        "prometheus.yml:3:3: field bogus not found in type config.ScrapeConfig"
    );
}

#[test]
fn external_labels_are_expanded_from_the_environment() {
    let config = accepted(
        "global:\n  external_labels: {a: b, home: '<$CARGO_PKG_NAME>', c: '$$x', d: '$SIGYN_TEST_UNSET', e: '${SIGYN_TEST_UNSET}y'}",
    );
    assert_eq!(
        config.external_labels.to_string(),
        r#"{a="b", c="$x", e="y", home="<sigyn-discovery>"}"#
    );
    assert_eq!(
        config.warnings,
        ["line 2: external_labels name the unset variable SIGYN_TEST_UNSET"]
    );
}

#[test]
fn durations() {
    for (text, ms, printed) in [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("1ms", 1, "1ms"),
        ("90s", 90_000, "1m30s"),
        ("1h30m", 5_400_000, "1h30m"),
        ("14d", 1_209_600_000, "2w"),
        ("90d", 7_776_000_000, "90d"),
        ("365d", 31_536_000_000, "1y"),
        ("1y1ms", 31_536_000_001, "365d1ms"),
        ("1d1h1m1s1ms", 90_061_001, "1d1h1m1s1ms"),
        ("1h0m", 3_600_000, "1h"),
        ("292y", 9_208_512_000_000, "292y"),
        ("1500ms", 1500, "1s500ms"),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        assert_eq!(format_duration(Duration::from_millis(ms)), printed, "{text}");
    }
    for text in ["90", "00", "1m1h", "1m1m", "-1s", " 1s", "0s5", "s", "99999999999999999999s"] {
        assert_eq!(parse_duration(text), Err(UnitError::Duration(text.to_owned())), "{text}");
    }
    for (text, unit) in [("1.5s", "."), ("1s ", "s "), ("1S", "S"), ("1h5µs", "µs"), ("1 s", " s")]
    {
        let error = parse_duration(text).unwrap_err().to_string();
        let expected = format!("unknown unit \"{unit}\" in duration \"{text}\"");
        assert_eq!(error, expected);
    }
    assert_eq!(parse_duration(""), Err(UnitError::EmptyDuration));
    for text in ["293y", "18446744073709551615s", "292y52w"] {
        assert_eq!(parse_duration(text), Err(UnitError::DurationRange), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn a_printed_duration_reads_back(ms in 0_u64..9_000_000_000_000) {
        let duration = Duration::from_millis(ms);
        proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", 0),
        ("10B", 10),
        ("1KB", 1024),
        ("1KiB", 1024),
        ("1.5MB", 3 << 19),
        ("1MB5KB", (1 << 20) + 5120),
        ("2GiB", 2 << 30),
        ("1EB", 1 << 60),
        ("-1MB", 0),
        ("+1KB", 1024),
        ("99EB", u64::MAX),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for (text, expected) in [
        ("10", "units: unknown unit  in 10"),
        ("1m", "units: unknown unit m in 1m"),
        ("1e3B", "units: unknown unit e in 1e3B"),
        ("1 MB", "units: unknown unit  MB in 1 MB"),
        ("kb", "units: invalid kb"),
        ("KB", "units: invalid KB"),
        (" 1MB", "units: invalid  1MB"),
        ("-", "units: invalid -"),
        ("", "units: invalid "),
        ("1.2.3MB", "units: invalid 1.2.3MB"),
    ] {
        assert_eq!(parse_size(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn paths_are_joined_and_cleaned() {
    for (dir, path, expected) in [
        ("/etc/sigyn", "a.yml", "/etc/sigyn/a.yml"),
        ("/etc/sigyn", "/a.yml", "/a.yml"),
        ("/etc/sigyn", "./a/../b.yml", "/etc/sigyn/b.yml"),
        ("/etc", "../../b.yml", "/b.yml"),
        ("", "a.yml", "a.yml"),
        ("", "../a.yml", "../a.yml"),
        (".", "a.yml", "a.yml"),
        ("/etc", "", ""),
    ] {
        assert_eq!(joined(Path::new(dir), path), Path::new(expected), "{dir:?} {path:?}");
    }
}

#[test]
fn further_files_of_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("jobs")).unwrap();
    write(
        "main.yml",
        "global: {scrape_interval: 7s}\nscrape_config_files: ['jobs/*.yml']\nscrape_configs: [{job_name: a}]",
    );
    write("jobs/1.yml", "scrape_configs: [{job_name: b, file_sd_configs: [{files: [sd.yml]}]}]");
    write("jobs/2.yml", "scrape_configs: [{job_name: c}]");
    write("jobs/2.txt", "rubbish");
    let main = dir.path().join("main.yml");
    let config = load(&main).unwrap();
    let names: Vec<_> =
        config.jobs.iter().map(|job| (job.name.as_str(), job.scrape_interval.as_secs())).collect();
    assert_eq!(names, [("a", 7), ("b", 7), ("c", 7)]);
    let mechanism::Config::File(file) = &config.jobs[1].mechanisms[0] else { panic!("file SD") };
    assert_eq!(file.patterns, [dir.path().join("jobs/sd.yml")]);

    let error = |text: &str| {
        write("jobs/2.yml", text);
        let error = load(&main).unwrap_err().to_string();
        error.replace(dir.path().to_str().unwrap(), "DIR")
    };
    assert_eq!(
        error("scrape_configs: [{job_name: a}]"),
        "DIR/jobs/2.yml:1:19: found multiple scrape configs with job name \"a\""
    );
    assert_eq!(
        error("global: {}"),
        "DIR/jobs/2.yml:1:1: field global not found in type config.ScrapeConfigs"
    );
    assert_eq!(
        error("scrape_configs: [{bogus: a}]"),
        "DIR/jobs/2.yml:1:19: field bogus not found in type config.ScrapeConfig"
    );
    assert!(
        load(&dir.path().join("none.yml"))
            .unwrap_err()
            .to_string()
            .contains("none.yml: cannot read the file")
    );
}

proptest::proptest! {
    /// Any text is a configuration, or an error with a place in it.
    #[test]
    fn no_text_is_too_strange(text in r"((global|scrape_configs|job_name|relabel_configs|regex|static_configs|targets|labels|<<|&a|\*a|a|5m|'|\(|~|!x|\||>)?[:\[\]{},\- \n#]{1,2}){0,24}") {
        if let Err(error) = parse(&text, dir()) {
            let place = error.place;
            proptest::prop_assert!(place.is_some_and(|place| place.line > 0 && place.column > 0), "{:?}", error);
        }
    }
}

#[test]
fn deep_nesting_is_refused_before_it_hurts() {
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        for text in [format!("runtime: {deep}"), format!("scrape_configs: {deep}"), deep] {
            assert!(parse(&text, dir()).is_err());
        }
    }
    let aliases: String =
        (1..30).map(|n| format!("- &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9))).collect();
    assert!(parse(&format!("rule_files:\n- &a0 [x]\n{aliases}"), dir()).is_err(), "an alias bomb");
}

/// As in Prometheus: a null is the nothing of its kind, and not the default.
#[test]
fn a_null_is_nothing() {
    let config = accepted(
        "scrape_configs: [{job_name: a, follow_redirects: , enable_compression: ~, scheme: ~, metrics_path: ,
          relabel_configs: [{source_labels: [x], target_label: y, replacement: }],
          docker_sd_configs: [{host: 'unix:///x', port: , match_first_network: }]}]",
    );
    let job = &config.jobs[0];
    assert!(!job.http.follow_redirects && !job.enable_compression);
    assert_eq!((job.scheme.as_str(), job.metrics_path.as_str()), ("", ""));
    let shown = config.shown.job("a").unwrap();
    for line in
        ["follow_redirects: false", "enable_compression: false", "  replacement: \"\"", "  port: 0"]
    {
        assert!(shown.contains(&format!("\n{line}\n")), "{line}: {shown}");
    }
    assert!(!shown.contains("scheme:\n") && !shown.contains("metrics_path"), "{shown}");
}
