//! `sigyn check`: what it says of files, and with which status.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Tracer, command};
use crate::service::{Parrot, Service};

/// Status, standard output and standard error of `sigyn check` in this folder.
fn check(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = command().arg("check").args(args).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

const SUCCESS: &str =
    "Checking sigyn.yml\n SUCCESS: sigyn.yml is valid prometheus config file syntax\n\n";

/// One file with each thing that can be missing: what is said of it whole, and of its syntax alone.
#[test]
fn what_a_configuration_names_is_looked_at_unless_its_syntax_alone_counts() {
    let whole_and_alone = |job: &str,
                           others: &[(&str, &str)],
                           whole: Result<&str, &str>,
                           alone: Result<&str, &str>| {
        let text = format!("scrape_configs:\n- job_name: a\n{job}");
        let mut files = vec![("sigyn.yml", text.as_str())];
        files.extend(others);
        let folder = folder(&files);
        for (args, expected) in [
            (&["config", "sigyn.yml"][..], whole),
            (&["config", "--syntax-only", "sigyn.yml"][..], alone),
        ] {
            let told = check(folder.path(), args);
            let expected = match expected {
                Ok(warning) => {
                    (0, SUCCESS.replace(".yml\n", &format!(".yml\n{warning}")), String::new())
                }
                Err(error) => {
                    (1, "Checking sigyn.yml\n\n".to_owned(), format!("  FAILED: {error}\n"))
                }
            };
            assert_eq!(told, expected, "{args:?}: {job}");
        }
    };
    let same = |job: &str, others: &[(&str, &str)], expected: Result<&str, &str>| {
        whole_and_alone(job, others, expected, expected);
    };
    same("  static_configs: [{targets: ['127.0.0.1:1']}]", &[], Ok(""));
    // A rule might make an address of it, so that the configuration itself is no mistake.
    same(
        "  static_configs: [{targets: ['127.0.0.1:1', 'http://127.0.0.1/']}]\n  relabel_configs: [{target_label: b}]",
        &[],
        Err("instance 1 in group 0: \"http://127.0.0.1/\" is not a valid hostname"),
    );
    same(
        "  static_configs: [{targets: ['127.0.0.1:1'], labels: {__scrape_timeout__: 2h}}]",
        &[],
        Err(
            "instance 0 in group 0: scrape timeout cannot be greater than scrape interval (\"2h\" > \"1m\")",
        ),
    );
    let missing_file = |what: &str| {
        format!("error checking {what} \"sub/x\": stat sub/x: no such file or directory")
    };
    for key in ["authorization: {credentials_file: sub/x}", "bearer_token_file: sub/x"] {
        let error = missing_file("authorization credentials or bearer token file");
        whole_and_alone(&format!("  {key}"), &[], Err(&error), Ok(""));
        same(&format!("  {key}"), &[("sub/x", "t")], Ok(""));
    }
    let section = "kubernetes_sd_configs: [{role: pod, api_server: 'http://127.0.0.1:1', tls_config: {cert_file: sub/x, key_file: sub/x}}]";
    let error = missing_file("client cert file");
    whole_and_alone(&format!("  {section}"), &[], Err(&error), Ok(""));
    // promtool does not look for these.
    same("  basic_auth: {username: u, password_file: sub/x}", &[], Ok(""));

    let file_sd = "  file_sd_configs: [{files: [sd/*.yml, sd/b.json]}]";
    let warning = |pattern: &str| {
        format!("  WARNING: file \"{pattern}\" for file_sd in scrape job \"a\" does not exist\n")
    };
    let both = warning("sd/*.yml") + &warning("sd/b.json");
    whole_and_alone(file_sd, &[], Ok(&both), Ok(""));
    let good = ("sd/a.yml", "[{targets: ['127.0.0.1:1']}]");
    whole_and_alone(file_sd, &[good], Ok(&warning("sd/b.json")), Ok(""));
    whole_and_alone(file_sd, &[good, ("sd/b.json", "[]")], Ok(""), Ok(""));
    let one = "  file_sd_configs: [{files: [sd/*.yml]}]";
    for (text, error) in [
        (
            "[{targets: [], bogus: 1}]",
            "not valid YAML: line 1: field bogus not found in type struct (column 16)",
        ),
        ("[~]", "nil target group item found (index 0)"),
    ] {
        let error = format!("checking SD file \"sd/a.yml\": {error}");
        whole_and_alone(one, &[("sd/a.yml", text)], Err(&error), Ok(""));
    }
    let error = "instance 0 in group sd/a.yml:0: \"127.0.0.1/x\" is not a valid hostname";
    whole_and_alone(one, &[("sd/a.yml", "[{targets: [127.0.0.1/x]}]")], Err(error), Ok(""));
}

/// promtool looks at what a job names, and of mechanisms at Kubernetes' certificates alone: so the
/// rest is a warning.
#[test]
fn what_mechanisms_name_and_is_not_there_is_told() {
    let text = "scrape_configs:\n- job_name: a\n  linode_sd_configs: [{bearer_token_file: x}]\n";
    let folder = folder(&[("sigyn.yml", text)]);
    let (status, out, err) = check(folder.path(), &["config", "sigyn.yml"]);
    assert_eq!((status, out.as_str()), (0, SUCCESS));
    let warning = "  WARNING: scrape job \"a\": linode_sd_configs: error checking authorization \
                   credentials or bearer token file \"x\": stat x: no such file or directory\n";
    assert_eq!(err, warning);
    let told = check(folder.path(), &["config", "--syntax-only", "sigyn.yml"]);
    assert_eq!(told, (0, SUCCESS.to_owned(), String::new()));
    fs::write(folder.path().join("x"), "t").unwrap();
    let told = check(folder.path(), &["config", "sigyn.yml"]);
    assert_eq!(told, (0, SUCCESS.to_owned(), String::new()));
}

#[test]
fn the_examples_are_valid() {
    let examples = Path::new("../../examples");
    for example in
        ["axum-service", "axum-tracing", "kubernetes", "opentelemetry-service", "tonic-service"]
    {
        let told = check(&examples.join(example), &["config", "sigyn.yml"]);
        assert_eq!(told, (0, SUCCESS.to_owned(), String::new()), "{example}");
    }
}

#[test]
fn further_files_of_jobs_are_part_of_a_configuration_but_not_of_its_syntax() {
    let folder = folder(&[
        (
            "sigyn.yml",
            "scrape_config_files: [jobs/*.yml]\nsigyn:\n  jobs:\n    b: {traces_path: /spans}\n",
        ),
        ("jobs/b.yml", "scrape_configs: [{job_name: b, bogus: 1}]"),
        ("path.yml", "scrape_config_files: ['jobs*/b.yml']"),
    ]);
    let (status, out, err) = check(folder.path(), &["config", "sigyn.yml"]);
    assert_eq!((status, out.as_str()), (1, "Checking sigyn.yml\n\n"));
    assert!(err.contains("b.yml:1:") && err.contains("field bogus not found"), "{err}");
    let told = check(folder.path(), &["config", "--syntax-only", "sigyn.yml"]);
    assert_eq!(told, (0, SUCCESS.to_owned(), String::new()));
    let (status, _, err) = check(folder.path(), &["config", "--syntax-only", "path.yml"]);
    assert_eq!(status, 1);
    assert!(err.contains("invalid scrape config file path \"jobs*/b.yml\""), "{err}");
}

#[test]
fn each_of_several_files_is_judged_and_one_that_is_not_there_ends_it() {
    let folder = folder(&[("bad.yml", "bogus: 1"), ("good.yml", "global: {}")]);
    let (status, out, err) = check(folder.path(), &["config", "bad.yml", "good.yml"]);
    let expected = "Checking bad.yml\n\nChecking good.yml\n SUCCESS: good.yml is valid prometheus config file syntax\n\n";
    assert_eq!((status, out.as_str()), (1, expected));
    assert!(err.starts_with("  FAILED: ") && err.contains("bogus"), "{err}");
    let told = check(folder.path(), &["config", "good.yml", "none.yml"]);
    let error = "sigyn: error: path 'none.yml' does not exist, try --help\n";
    assert_eq!(told, (1, String::new(), error.to_owned()));
}

const DISCOVERY: &str = "
scrape_configs:
- job_name: pods
  params: {x: ['1&2']}
  static_configs:
  - targets: ['127.0.0.1:1', '127.0.0.1:1', '127.0.0.2:1', '127.0.0.3/']
    labels: {__meta_zone: a, env: <b>}
  relabel_configs:
  - {source_labels: [__address__], regex: '127.0.0.2:.*', action: drop}
  - {source_labels: [__meta_zone], target_label: zone}
- job_name: files
  file_sd_configs: [{files: [sd.yml]}]
";

#[test]
fn discovery_shows_what_was_found_and_what_became_of_it() {
    let folder = folder(&[
        ("sigyn.yml", DISCOVERY),
        ("sd.yml", "[{targets: ['127.0.0.5:1'], labels: {env: prod}}]"),
    ]);
    let found = |args: &[&str]| -> (String, Value) {
        let (status, out, err) = check(folder.path(), &[&["service-discovery"][..], args].concat());
        assert_eq!((status, err.as_str()), (0, ""), "{args:?}");
        let read = serde_json::from_str(&out).unwrap();
        (out, read)
    };
    let discovered = |address: &str| {
        json!({
            "__address__": address, "__meta_zone": "a", "__metrics_path__": "/metrics",
            "__param_x": "1&2", "__scheme__": "http", "__scrape_interval__": "1m",
            "__scrape_timeout__": "10s", "env": "<b>", "job": "pods",
        })
    };
    let (text, read) = found(&["sigyn.yml", "pods"]);
    let mut labels = discovered("127.0.0.1:1");
    labels.as_object_mut().unwrap().remove("__meta_zone");
    labels["zone"] = json!("a");
    labels["instance"] = json!("127.0.0.1:1");
    let expected = json!([
        {"discoveredLabels": discovered("127.0.0.1:1"), "labels": labels},
        {"discoveredLabels": discovered("127.0.0.2:1"), "labels": {}},
        {
            "discoveredLabels": discovered("127.0.0.3/"), "labels": {},
            "error": "\"127.0.0.3/\" is not a valid hostname",
        },
    ]);
    assert_eq!(read, expected);
    assert!(
        text.starts_with("[\n  {\n    \"discoveredLabels\": {\n      \"__address__\""),
        "{text}"
    );
    assert!(text.ends_with(']'), "{text}");
    assert!(text.contains(r#""1\u00262""#) && text.contains(r#""\u003cb\u003e""#), "{text}");

    let (_, read) = found(&["--timeout=2s", "sigyn.yml", "files"]);
    assert_eq!(read.as_array().unwrap().len(), 1, "{read}");
    let labels = &read[0]["labels"];
    assert_eq!((&labels["instance"], &labels["env"]), (&json!("127.0.0.5:1"), &json!("prod")));
    assert_eq!(read[0]["discoveredLabels"]["__meta_filepath"], "sd.yml");
}

#[test]
fn discovery_says_which_jobs_there_are() {
    let folder = folder(&[("sigyn.yml", DISCOVERY), ("bad.yml", "bogus: 1")]);
    let told = check(folder.path(), &["service-discovery", "sigyn.yml", "nobody"]);
    let error = "Job nobody not found. Select one of:\n\tpods\n\tfiles\n";
    assert_eq!(told, (1, String::new(), error.to_owned()));
    let (status, out, err) = check(folder.path(), &["service-discovery", "bad.yml", "pods"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(err.starts_with("Cannot load config ") && err.contains("bogus"), "{err}");
    let (status, _, err) =
        check(folder.path(), &["service-discovery", "--timeout=5", "sigyn.yml", "pods"]);
    assert!(status == 1 && err.contains("--timeout=5"), "{err}");
}

#[test]
fn discovery_that_cannot_begin_is_an_error() {
    let text = "
scrape_configs:
- job_name: tls
  http_sd_configs: [{url: 'https://127.0.0.1:1/', tls_config: {ca_file: nope.pem}}]
- job_name: docker
  docker_sd_configs: [{host: 'foo://me:hidden@127.0.0.1'}]
";
    let folder = folder(&[("sigyn.yml", text)]);
    let found = |job| {
        // Nobody waits so long.
        let args = ["service-discovery", "--timeout=1h", "sigyn.yml", job];
        let (status, out, err) = check(folder.path(), &args);
        assert_eq!((status, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("Could not create new discoverer"), "{err}");
        err
    };
    assert!(found("tls").contains("nope.pem"));
    let docker = found("docker");
    assert!(docker.contains("config=docker") && !docker.contains("hidden"), "{docker}");
    let error = "Could not create new discoverer: unable to parse docker host \"foo://127.0.0.1\"";
    assert!(docker.contains(error), "{docker}");
}

#[test]
fn relabelling_is_shown_step_by_step() {
    let folder = folder(&[
        ("sigyn.yml", DISCOVERY),
        (
            "rules.yml",
            "- {source_labels: [a], target_label: b}\n- {action: drop, source_labels: [b], regex: x.*}\n- {target_label: c, replacement: d}\n",
        ),
        ("bad.yml", "- {target_label: c}\n- {action: explode}\n"),
    ]);
    let check = |args: &[&str], expected: (i32, &str, &str)| {
        let (status, out, err) = check(folder.path(), &[&["relabel"][..], args].concat());
        assert_eq!((status, out.as_str(), err.as_str()), expected, "{args:?}");
    };
    let first = "{source_labels: [a], target_label: b}";
    let second = r#"{action: drop, source_labels: [b], regex: "x.*"}"#;
    let third = r#"{target_label: c, replacement: "d"}"#;
    let kept = format!(
        "{first} -> {{__meta_z=\"3\", a=\"1\", b=\"1\"}}\n{second} -> {{__meta_z=\"3\", a=\"1\", b=\"1\"}}\n{third} -> {{__meta_z=\"3\", a=\"1\", b=\"1\", c=\"d\"}}\n{{a=\"1\", b=\"1\", c=\"d\"}}\n"
    );
    check(&["--rules=rules.yml", "a=1,__meta_z=3"], (0, &kept, ""));
    check(&["--rules=rules.yml", r#"--labels={"a":"1","__meta_z":"3"}"#], (0, &kept, ""));
    let dropped = format!("{first} -> {{a=\"xy\", b=\"xy\"}}\n{second} -> dropped\ndropped\n");
    check(&["--rules=rules.yml", "a=xy"], (0, &dropped, ""));
    let of_job = "{action: drop, source_labels: [__address__], regex: \"127.0.0.2:.*\"} -> dropped\ndropped\n";
    check(&["--config=sigyn.yml", "--job=pods", "__address__=127.0.0.2:1"], (0, of_job, ""));
    check(&["--config=sigyn.yml", "--job=files", "a=1"], (0, "{a=\"1\"}\n", ""));
    let unknown = "bad.yml:2:3: unknown relabel action \"explode\"\n";
    check(&["--rules=bad.yml", "a=1"], (1, "", unknown));
    check(&["--rules=rules.yml", "a"], (1, "", "\"a\" has no value\n"));
    let nobody = "Job nobody not found. Select one of:\n\tpods\n\tfiles\n";
    check(&["--config=sigyn.yml", "--job=nobody", "a=1"], (1, "", nobody));
}

#[test]
fn relabelling_is_tested_by_files() {
    let folder = folder(&[
        ("sigyn.yml", DISCOVERY),
        (
            "t/good.yml",
            "
- name: the second address is dropped
  config: ../sigyn.yml
  job: pods
  labels: {__address__: '127.0.0.2:1'}
  expect: dropped
- name: the zone becomes a label
  config: ../sigyn.yml
  job: pods
  labels: {__address__: '127.0.0.1:1', __meta_zone: b}
  expect: {__address__: '127.0.0.1:1', zone: b}
- name: rules of its own
  rules: [{target_label: a, replacement: b}]
  expect: {a: b}
",
        ),
        (
            "t/bad.yml",
            "
- {name: one, rules: [], labels: {a: x}, expect: {a: y}}
- {name: two, rules: [], labels: {a: x}, expect: {a: x}}
",
        ),
        ("t/unread.yml", "- {name: one, rules: [], expects: {}}"),
        ("t/empty.yml", ""),
    ]);
    let check = |args: &[&str], expected: (i32, &str, &str)| {
        let (status, out, err) = check(folder.path(), &[&["relabel"][..], args].concat());
        assert_eq!((status, out.as_str(), err.as_str()), expected, "{args:?}");
    };
    let good = "Testing t/good.yml\n SUCCESS: t/good.yml: 3 passed\n\n";
    check(&["--test=t/good.yml"], (0, good, ""));
    let failed = "  FAILED: one\n    - a=\"y\"\n    + a=\"x\"\n";
    let both = format!("Testing t/bad.yml\n\n{good}");
    check(&["--test=t/bad.yml", "--test=t/good.yml"], (1, &both, failed));
    let unread = "  FAILED: t/unread.yml:1:26: field expects not found in type relabel.test\n";
    let empty = "  FAILED: t/empty.yml: no tests in it\n";
    check(&["--test=t/empty.yml"], (1, "Testing t/empty.yml\n\n", empty));
    check(&["--test=t/unread.yml"], (1, "Testing t/unread.yml\n\n", unread));
}

#[test]
fn an_interval_that_is_too_long_is_found_where_that_is_asked_for() {
    let folder = folder(&[
        ("long.yml", "scrape_configs: [{job_name: a, scrape_interval: 5m}]"),
        ("short.yml", "scrape_configs: [{job_name: a, scrape_interval: 1m}]"),
        ("bad.yml", "bogus: 1"),
    ]);
    let found = "  FAILED: too long scrape interval found, data point will be marked as stale - job: a, interval: 5m\n";
    let run = |args: &[&str], status: i32, expected: &str| {
        let (code, _, err) = check(folder.path(), &[&["config"], args].concat());
        assert_eq!((code, err.as_str()), (status, expected), "{args:?}");
    };
    run(&["long.yml"], 0, "");
    run(&["--lint=all", "long.yml"], 0, found);
    run(&["--lint=all", "--lint-fatal", "long.yml"], 3, found);
    run(&["--lint=all", "--lint-fatal", "short.yml"], 0, "");
    run(&["--lint=none", "--lint-fatal", "long.yml"], 0, "");
    run(&["--lint=all", "--lint-fatal", "--syntax-only", "long.yml"], 0, "");
    let (code, _, err) =
        check(folder.path(), &["config", "--lint=all", "--lint-fatal", "bad.yml", "long.yml"]);
    assert_eq!(code, 1);
    assert!(err.contains("field bogus not found") && err.ends_with(found), "{err}");
}

#[test]
fn an_agent_is_not_asked_for_what_it_does_not_do() {
    let folder = folder(&[
        ("rules.yml", "rule_files: [a.yml]\nscrape_configs: [{job_name: a}]"),
        ("plain.yml", "scrape_configs: [{job_name: a}]"),
    ]);
    let (code, _, err) = check(folder.path(), &["config", "--agent", "rules.yml"]);
    assert_eq!(code, 1);
    assert!(err.ends_with("  FAILED: field rule_files is not allowed in agent mode\n"), "{err}");
    assert_eq!(check(folder.path(), &["config", "rules.yml"]).0, 0);
    assert_eq!(check(folder.path(), &["config", "--agent", "plain.yml"]).0, 0);
}

#[test]
fn a_running_server_is_asked_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("secret", 4).unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{ann: {hash}}}")).unwrap();
    let client = "basic_auth: {username: ann, password_file: password}";
    fs::write(folder.path().join("client.yml"), client).unwrap();
    fs::write(folder.path().join("password"), "secret\n").unwrap();
    fs::write(folder.path().join("bad.yml"), "bogus: 1").unwrap();
    let tracer = Tracer::start_with(folder.path(), &["--web.config.file=web.yml"]);
    let url = format!("http://{}", tracer.address);
    let run = |what: &str, more: &[&str], status: i32, expected: &str| {
        let flag = format!("--url={url}");
        let (code, out, err) = check(folder.path(), &[&[what, &flag], more].concat());
        assert_eq!((code, out.as_str(), err.as_str()), (status, "", expected), "{what} {more:?}");
    };
    let client = ["--http.config.file=client.yml"];
    run("healthy", &client, 0, "  SUCCESS:  Sigyn is Healthy.\n\n");
    run("ready", &client, 0, "  SUCCESS:  Sigyn is Ready.\n\n");
    run("ready", &[], 1, &format!("check failed: URL={url}, status=401\n"));
    let bad = "failed to load HTTP config file bad.yml: line 1: field bogus not found in type config.HTTPClientConfig (column 1)\n";
    run("ready", &["--http.config.file=bad.yml"], 1, bad);
    drop(tracer);
    let (code, _, err) = check(folder.path(), &["ready", &format!("--url={url}")]);
    assert_eq!(code, 1);
    assert!(err.starts_with(&format!("cannot ask {url}/-/ready: cannot connect to ")), "{err}");
    let (code, _, err) = check(folder.path(), &["ready", "--url=ftp://127.0.0.1:1"]);
    assert_eq!(
        (code, err.as_str()),
        (1, "cannot ask ftp://127.0.0.1:1/-/ready: only http:// and https:// are supported\n")
    );
}

#[test]
fn a_target_is_asked_whether_it_keeps_the_protocol() {
    let folder = folder(&[]);
    let ask = |url: &str, flags: &[&str]| {
        check(folder.path(), &[&["target", "--for=0s", url], flags].concat())
    };
    let service = Service::start("shop");
    service.record(1, 3);
    let url = format!("http://{}", service.address);
    let (status, out, err) = ask(&url, &[]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with(&format!("Asking {url}/traces as sigyn-check-")), "{out}");
    assert!(out.contains("\npassed    §8  law "), "{out}");
    assert!(out.contains(" passed, 0 violated, 0 warnings, "), "{out}");

    let (status, out, err) = ask(&url, &["--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, err.as_str(), &report["target"]), (0, "", &json!(url + "/traces")));
    let law =
        report["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "law").unwrap();
    let says = "finished = received + lost + oversize + shutdown";
    let expected =
        json!({"rule": "law", "section": 8, "level": "must", "says": says, "outcome": "passed"});
    assert_eq!(law, &expected);

    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
    let parrot = Parrot::start(Some(answer.into()));
    let url = format!("http://{}/traces", parrot.address);
    let (status, out, _) = ask(&url, &[]);
    assert_eq!(status, 1, "{out}");
    let found =
        "VIOLATED  §3  headers           every answer has the headers of the table, once each
          expected: sigyn-range
          came:     200 without sigyn-range
          again:    curl -sSi -o- -H 'sigyn-scraper: sigyn-check-";
    assert!(out.contains(found), "{out}");

    let (status, out, err) = ask("http://127.0.0.1:1/traces", &["--json"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(
        err.starts_with("cannot scrape the target: cannot ask http://127.0.0.1:1/traces"),
        "{err}"
    );
}
