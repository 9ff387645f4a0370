//! From discovered labels to targets, and why some become none.

use super::*;
use crate::config;
use crate::relabel::{Rule, RuleConfig};

fn labels(text: &str) -> Labels {
    text.split_whitespace().map(|label| label.split_once('=').unwrap()).collect()
}

fn group(source: &str, common: &str, targets: &[&str]) -> Arc<TargetGroup> {
    Arc::new(TargetGroup {
        source: source.to_owned(),
        labels: labels(common),
        targets: targets.iter().map(|target| labels(target)).collect(),
    })
}

fn rules(yaml: &[&str]) -> Vec<Rule> {
    let rule = |yaml: &&str| Rule::new(&crate::yaml::section::<RuleConfig>(yaml).unwrap()).unwrap();
    yaml.iter().map(rule).collect()
}

fn job() -> Job {
    Job {
        scrape_interval: Duration::from_secs(1),
        scrape_timeout: Duration::from_secs(1),
        ..Job::new("job")
    }
}

#[test]
fn defaults_are_set_where_a_target_says_nothing() {
    let job = Job {
        params: BTreeMap::from([("q".to_owned(), vec!["1".to_owned(), "2".to_owned()])]),
        ..job()
    };
    let groups = [group("0", "zone=b env=prod", &["__address__=127.0.0.1:1000 zone=a __meta_x=1"])];
    let populated = populate(&job, "/traces", &groups);
    let target = &populated.active[0];
    let discovered = "__address__=127.0.0.1:1000 __meta_x=1 __metrics_path__=/metrics __param_q=1 \
        __scheme__=http __scrape_interval__=1s __scrape_timeout__=1s env=prod job=job zone=a";
    assert_eq!(target.discovered_labels, labels(discovered));
    let expected = "__address__=127.0.0.1:1000 __metrics_path__=/metrics __param_q=1 __scheme__=http \
        __scrape_interval__=1s __scrape_timeout__=1s env=prod instance=127.0.0.1:1000 job=job zone=a";
    assert_eq!(target.labels, labels(expected));
    assert_eq!(target.public_labels(), labels("env=prod instance=127.0.0.1:1000 job=job zone=a"));
    assert_eq!(target.url, "http://127.0.0.1:1000/traces?q=1&q=2");
    assert_eq!(
        (target.scrape_interval, target.scrape_timeout),
        (Duration::from_secs(1), Duration::from_secs(1))
    );
}

#[test]
fn what_a_target_says_itself_goes_first() {
    let target = "__address__=[::1]:80 job=own instance=me __scheme__=https __metrics_path__=/m __traces_path__=/spans \
        __scrape_interval__=2s __scrape_timeout__=500ms __param_q=x __param_r=y";
    let job = Job {
        params: BTreeMap::from([("q".to_owned(), vec!["1".to_owned(), "2".to_owned()])]),
        ..job()
    };
    let populated = populate(&job, "/traces", &[group("0", "job=group", &[target])]);
    let target = &populated.active[0];
    assert_eq!(target.job, "job");
    assert_eq!(target.public_labels(), labels("job=own instance=me"));
    assert_eq!(target.url, "https://[::1]:80/spans?q=x&q=2&r=y");
    assert_eq!(
        (target.scrape_interval, target.scrape_timeout),
        (Duration::from_secs(2), Duration::from_millis(500))
    );
}

#[test]
fn relabelling_sees_defaults_and_meta_labels() {
    let relabel_configs = rules(&[
        "{source_labels: [__meta_path], target_label: __traces_path__, regex: (.+)}",
        "{source_labels: [__meta_drop], action: drop, regex: 'yes'}",
        "{source_labels: [job], target_label: job, replacement: 'new-$1'}",
        "{target_label: __tmp, replacement: x}",
    ]);
    let job = Job { relabel_configs, ..job() };
    let targets = [
        "__address__=127.0.0.1:1 __meta_path=/spans",
        "__address__=127.0.0.1:2 __meta_drop=yes",
        "__address__=127.0.0.1:3",
    ];
    let populated = populate(&job, "/traces", &[group("0", "", &targets)]);
    let urls: Vec<_> = populated.active.iter().map(|target| target.url.as_str()).collect();
    assert_eq!(urls, ["http://127.0.0.1:1/spans", "http://127.0.0.1:3/traces"]);
    assert_eq!(populated.active[0].labels.get("job"), Some("new-job"));
    assert_eq!(populated.active[0].labels.get("__tmp"), Some("x"));
    assert_eq!(populated.active[0].labels.get("__meta_path"), None);
    assert_eq!(populated.active[0].discovered_labels.get("__meta_path"), Some("/spans"));
    assert_eq!(populated.dropped_count, 1);
    assert_eq!(populated.dropped[0].get("__address__"), Some("127.0.0.1:2"));
    assert_eq!(populated.errors, [""; 0]);
}

#[test]
fn what_is_no_target_says_why() {
    for (target, expected) in [
        ("a=b", "no address"),
        ("__address__=http://127.0.0.1:80/", "\"http://127.0.0.1:80/\" is not a valid hostname"),
        ("__address__=a/b", "\"a/b\" is not a valid hostname"),
        (
            "__address__=a __scrape_interval__=x",
            "error parsing scrape interval: not a valid duration string: \"x\"",
        ),
        (
            "__address__=a __scrape_interval__=1",
            "error parsing scrape interval: not a valid duration string: \"1\"",
        ),
        ("__address__=a __scrape_interval__=0s", "scrape interval cannot be 0"),
        ("__address__=a __scrape_interval__=0", "scrape interval cannot be 0"),
        (
            "__address__=a __scrape_timeout__=x",
            "error parsing scrape timeout: not a valid duration string: \"x\"",
        ),
        ("__address__=a __scrape_timeout__=0s", "scrape timeout cannot be 0"),
        (
            "__address__=a __scrape_timeout__=2s",
            "scrape timeout cannot be greater than scrape interval (\"2s\" > \"1s\")",
        ),
        (
            "__address__=a __scrape_interval__=400y",
            "error parsing scrape interval: duration out of range",
        ),
    ] {
        let groups = [group("file:0", "", &["__address__=127.0.0.1:1", target])];
        let populated = populate(&job(), "/traces", &groups);
        assert_eq!(
            populated.errors,
            [format!("instance 1 in group file:0: {expected}")],
            "{target}"
        );
        assert_eq!((populated.active.len(), populated.dropped_count), (1, 0), "{target}");
    }
    let job = Job {
        relabel_configs: rules(&["{action: labeldrop, regex: __scrape_interval__}"]),
        ..job()
    };
    let populated = populate(&job, "/traces", &[group("0", "", &["__address__=a"])]);
    assert_eq!(
        populated.errors,
        ["instance 0 in group 0: error parsing scrape interval: empty duration string"]
    );
}

#[test]
fn a_port_is_neither_added_nor_removed() {
    for (address, scheme) in
        [("127.0.0.1", "http"), ("127.0.0.1:80", "http"), ("[::1]:443", "https"), ("::1", "https")]
    {
        let target = format!("__address__={address} __scheme__={scheme}");
        let populated = populate(&job(), "/traces", &[group("0", "", &[&target])]);
        assert_eq!(populated.active[0].url, format!("{scheme}://{address}/traces"));
        assert_eq!(populated.active[0].labels.get("instance"), Some(address));
    }
}

#[test]
fn urls_are_escaped_as_go_does_it() {
    for (target, expected) in [
        ("__address__=h __traces_path__=traces", "http://h/traces"),
        ("__address__=h __traces_path__=/a?b#c%", "http://h/a%3Fb%23c%25"),
        ("__address__=h __traces_path__=/a:b@c;d,e=f&g+h$", "http://h/a:b@c;d,e=f&g+h$"),
        ("__address__=h __traces_path__=/é(!)", "http://h/%C3%A9%28%21%29"),
        (
            "__address__=h __param_é=ü&= __param_a=x/y",
            "http://h/traces?a=x%2Fy&%C3%A9=%C3%BC%26%3D",
        ),
        ("__address__=h{}:1", "http://h%7B%7D:1/traces"),
        ("__address__=h __param_module[]=a", "http://h/traces?module%5B%5D=a"),
    ] {
        let populated = populate(&job(), "/traces", &[group("0", "", &[target])]);
        assert_eq!(populated.active[0].url, expected);
    }
    let spaced = TargetGroup {
        targets: vec![Labels::from_iter([("__address__", "h"), ("__param_q", "a b")])],
        ..TargetGroup::default()
    };
    assert_eq!(
        populate(&job(), "/traces", &[spaced.into()]).active[0].url,
        "http://h/traces?q=a+b"
    );
}

#[test]
fn identity_covers_all_labels_and_the_url() {
    let hash = |target: &str, path: &str| {
        populate(&job(), path, &[group("0", "", &[target])]).active[0].hash
    };
    let plain = hash("__address__=127.0.0.1:1", "/traces");
    assert_eq!(
        plain,
        hash("__address__=127.0.0.1:1 __meta_x=1", "/traces"),
        "meta labels do not count"
    );
    assert_ne!(plain, hash("__address__=127.0.0.1:2", "/traces"));
    assert_ne!(plain, hash("__address__=127.0.0.1:1 __tmp=1", "/traces"), "hidden labels do");
    assert_ne!(plain, hash("__address__=127.0.0.1:1", "/spans"));
    // Kept over releases: targets are scraped at their old times, and cursors stay theirs.
    assert_eq!(plain, 6_765_977_132_634_500_964);
}

#[test]
fn the_hash_of_a_known_input() {
    // FNV-1a of sixteen digits and nothing else would be wrong in a way that no other test sees.
    let labels = Labels::from_iter([("a", "b")]);
    let inner = xxhash_rust::xxh64::xxh64(b"a\xffb\xff", 0);
    let mut expected = 0xcbf2_9ce4_8422_2325_u64;
    for byte in format!("{inner:016}http://x").bytes() {
        expected = (expected ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    assert_eq!(hash(&labels, "http://x"), expected);
}

#[test]
fn doubles_are_one_target() {
    let groups = [
        group("0", "", &["__address__=127.0.0.1:1 __meta_n=first", "__address__=127.0.0.1:1"]),
        group("1", "", &["__address__=127.0.0.1:1", "__address__=127.0.0.1:1 x=y"]),
    ];
    let populated = populate(&job(), "/traces", &groups);
    assert_eq!(populated.active.len(), 2);
    assert_eq!(populated.active[0].discovered_labels.get("__meta_n"), Some("first"));
}

#[test]
fn limits() {
    let targets: Vec<String> =
        (1..=5).map(|port| format!("__address__=127.0.0.1:{port}")).collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let groups = [group("0", "", &targets), group("1", "", &targets)];
    let limited = |target_limit| populate(&Job { target_limit, ..job() }, "/traces", &groups);
    assert_eq!(limited(0).limit_exceeded, None);
    assert_eq!(limited(5).limit_exceeded, None, "counted without doubles");
    let populated = limited(4);
    assert_eq!(
        populated.limit_exceeded.as_deref(),
        Some("target_limit exceeded (number of targets: 5, limit: 4)")
    );
    assert_eq!(populated.active.len(), 5);

    let relabel_configs = rules(&["{action: drop}"]);
    let kept = |keep_dropped_targets| {
        let populated = populate(
            &Job { keep_dropped_targets, relabel_configs: relabel_configs.clone(), ..job() },
            "/traces",
            &groups,
        );
        (populated.dropped.len(), populated.dropped_count)
    };
    assert_eq!(kept(0), (10, 10));
    assert_eq!(kept(3), (3, 10));
}

#[test]
fn a_job_of_a_file_is_populated_from_its_static_groups() {
    let text = "
global: {scrape_interval: 30s}
scrape_configs:
- job_name: a
  scheme: https
  static_configs:
  - {targets: ['127.0.0.1:1', '127.0.0.2:1'], labels: {env: prod}}
  - {targets: ['127.0.0.3:1']}
";
    let config = config::parse(text, ".".as_ref()).unwrap();
    let populated = populate(&config.jobs[0], "/traces", &config.jobs[0].static_groups());
    let urls: Vec<_> = populated.active.iter().map(|target| target.url.as_str()).collect();
    assert_eq!(
        urls,
        ["https://127.0.0.1:1/traces", "https://127.0.0.2:1/traces", "https://127.0.0.3:1/traces"]
    );
    assert_eq!(populated.active[0].scrape_interval, Duration::from_secs(30));
}
