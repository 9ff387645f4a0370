//! What is shown of configurations: in order, with defaults, and never a secret.

use std::path::Path;

use super::super::parse;

const FILE: &str = r#"
alerting: {alertmanagers: [{basic_auth: {password: HUSH}}]}
global:
  external_labels: {zone: a, password: shown}
  scrape_interval: 20s
scrape_configs:
- static_configs:
  - targets: ['127.0.0.1:1', 8080]
    labels: {env: prod, token: shown, 'on': "yes"}
  file_sd_configs: [{files: [sd/*.yml]}]
  relabel_configs:
  - {source_labels: [x, y], target_label: z}
  - {action: HashMod, source_labels: [a], modulus: 8, target_label: h, regex: 'a|b'}
  metric_relabel_configs: [{regex: a, action: labeldrop}]
  bearer_token: HUSH
  params: {token: ['1', a b]}
  sample_limit: 0x10
  body_size_limit: 5MB
  job_name: a
  http_headers: {X-Key: {values: [shown], secrets: [HUSH, HUSH], files: [f]}}
- job_name: b
  scrape_interval: 5s
  basic_auth: {username: u, password: HUSH}
  follow_redirects: no
"#;

const SHOWN: &str = r#"global:
  scrape_interval: 20s
  scrape_timeout: 10s
  evaluation_interval: 1m
  external_labels:
    password: shown
    zone: a
  metric_name_validation_scheme: utf8
  scrape_native_histograms: false
  extra_scrape_metrics: false
scrape_configs:
- job_name: a
  honor_timestamps: true
  track_timestamps_staleness: false
  params:
    token:
    - "1"
    - a b
  scrape_interval: 20s
  scrape_timeout: 10s
  scrape_protocols:
  - OpenMetricsText1.0.0
  - OpenMetricsText0.0.1
  - PrometheusText1.0.0
  - PrometheusText0.0.4
  scrape_native_histograms: false
  always_scrape_classic_histograms: false
  convert_classic_histograms_to_nhcb: false
  metrics_path: /metrics
  scheme: http
  enable_compression: true
  body_size_limit: 5MiB
  sample_limit: 16
  metric_name_validation_scheme: utf8
  metric_name_escaping_scheme: allow-utf-8
  extra_scrape_metrics: false
  authorization:
    type: Bearer
    credentials: <secret>
  follow_redirects: true
  enable_http2: true
  http_headers:
    X-Key:
      values:
      - shown
      secrets:
      - <secret>
      - <secret>
      files:
      - f
  relabel_configs:
  - source_labels: [x, "y"]
    separator: ;
    target_label: z
    replacement: $1
    action: replace
  - source_labels: [a]
    separator: ;
    regex: a|b
    modulus: 8
    target_label: h
    replacement: $1
    action: hashmod
  metric_relabel_configs:
  - separator: ;
    regex: a
    replacement: $1
    action: labeldrop
  file_sd_configs:
  - files:
    - sd/*.yml
    refresh_interval: 5m
  static_configs:
  - targets:
    - 127.0.0.1:1
    - "8080"
    labels:
      env: prod
      "on": "yes"
      token: shown
"#;

#[test]
fn a_file_is_shown_in_order_with_defaults_and_without_secrets() {
    let config = parse(FILE, Path::new(".")).unwrap();
    let yaml = config.shown.yaml();
    let (first, second) = yaml.split_once("- job_name: b\n").unwrap();
    assert_eq!(first, SHOWN);
    assert!(!yaml.contains("HUSH") && !yaml.contains("alerting"), "{yaml}");
    assert!(
        second.contains("  follow_redirects: false\n")
            && second.contains("  scrape_interval: 5s\n")
    );
    let job = config.shown.job("a").unwrap();
    assert!(job.starts_with("job_name: a\nhonor_timestamps: true\n"), "{job}");
    assert!(job.contains("\nrelabel_configs:\n- source_labels: [x, \"y\"]\n"), "{job}");
    assert_eq!(config.shown.job("c"), None);
}

/// But for the secrets, what is shown means what was written.
#[test]
fn what_is_shown_reads_as_the_same_jobs() {
    let config = parse(FILE, Path::new(".")).unwrap();
    let again = parse(&config.shown.yaml(), Path::new(".")).unwrap();
    for (one, other) in config.jobs.iter().zip(&again.jobs) {
        let other = crate::config::Job { http: one.http.clone(), ..other.clone() };
        assert_eq!(*one, other);
    }
    assert_eq!(config.external_labels, again.external_labels);
    assert_eq!(again.shown.yaml(), config.shown.yaml());
}

#[test]
fn each_secret_has_a_lid() {
    let check = |keys: &str| {
        let text = format!("scrape_configs: [{{job_name: a, {keys}}}]");
        let config = parse(&text, Path::new(".")).unwrap();
        let yaml = config.shown.yaml();
        assert!(!yaml.contains("HUSH") && yaml.contains("<secret>"), "{keys}: {yaml}");
        assert!(config.shown.job("a").unwrap().contains("<secret>"), "{keys}");
    };
    check("basic_auth: {username: u, password: HUSH}");
    check("basic_auth: {username: u, password: \"HUSH HUSH\\nHUSH\"}");
    check("authorization: {credentials: HUSH}");
    check("bearer_token: HUSH");
    check("http_headers: {A: {secrets: [HUSH]}}");
    check("oauth2: {client_id: a, client_secret: HUSH, token_url: 'http://127.0.0.1/'}");
    check("tls_config: {cert: c, key: HUSH}");
    check("proxy_url: 'http://127.0.0.1:1', proxy_connect_header: {A: [HUSH]}");
    check("ec2_sd_configs: [{access_key: a, secret_key: HUSH}]");
    let azure = "subscription_id: s, tenant_id: t, client_id: c, client_secret: HUSH";
    check(&format!("azure_sd_configs: [{{{azure}}}]"));
    check("consul_sd_configs: [{token: HUSH}]");
    check("hetzner_sd_configs: [{role: robot, basic_auth: {username: a, password: HUSH}}]");
    check("<<: {bearer_token: HUSH}");
    check("basic_auth: &x {password: HUSH}");
}

/// What of a server may be shown stays: the name, and nothing else of the login.
#[test]
fn logins_of_servers_have_no_password() {
    let check = |section: &str| {
        let text = format!("scrape_configs: [{{job_name: a, {section}}}]");
        let yaml = parse(&text, Path::new(".")).unwrap().shown.yaml();
        assert!(!yaml.contains("HUSH") && yaml.contains("me:xxxxx@127.0.0.1"), "{section}: {yaml}");
    };
    check("docker_sd_configs: [{host: 'tcp://me:HUSH@127.0.0.1:1'}]");
    check("consul_sd_configs: [{server: 'me:HUSH@127.0.0.1:8500'}]");
    check("http_sd_configs: [{url: 'http://me:HUSH@127.0.0.1/'}]");
    check("proxy_url: 'http://me:HUSH@127.0.0.1:1'");
}

#[test]
fn an_empty_login_is_shown() {
    let text = "scrape_configs: [{job_name: a, basic_auth: {}, tls_config: {}}]";
    let shown = parse(text, Path::new("/")).unwrap().shown.yaml();
    assert!(shown.contains("\n  basic_auth: {}\n"), "{shown}");
    assert!(!shown.contains("tls_config"), "{shown}");
    assert_eq!(
        parse(&shown, Path::new("/")).unwrap().jobs,
        parse(text, Path::new("/")).unwrap().jobs
    );
}

/// Who would be asked somewhere else; the rest is compared with Prometheus itself.
#[test]
fn providers_are_shown_with_their_defaults() {
    let text = r#"scrape_configs:
- job_name: clouds
  azure_sd_configs: [{subscription_id: s, tenant_id: t, client_id: c, client_secret: HUSH}]
  digitalocean_sd_configs: [{bearer_token: HUSH}]
  dns_sd_configs: [{names: [a]}, {names: [b], type: aaaa, port: 0x50}]
  ec2_sd_configs: [{region: r, secret_key: HUSH, access_key: a, filters: [{name: n, values: [v]}]}]
  gce_sd_configs: [{project: p, zone: z}]
  hetzner_sd_configs: [{role: hcloud, label_selector: a=b}]
  linode_sd_configs: [{refresh_interval: 90s, tag_separator: ''}]
"#;
    let yaml = parse(text, Path::new(".")).unwrap().shown.yaml();
    let (_, sections) = yaml.split_once("  enable_http2: true\n").unwrap();
    assert_eq!(sections, PROVIDERS);
}

const PROVIDERS: &str = r#"  azure_sd_configs:
  - environment: AzurePublicCloud
    port: 80
    subscription_id: s
    tenant_id: t
    client_id: c
    client_secret: <secret>
    refresh_interval: 5m
    authentication_method: OAuth
    follow_redirects: true
    enable_http2: true
  digitalocean_sd_configs:
  - authorization:
      type: Bearer
      credentials: <secret>
    follow_redirects: true
    enable_http2: true
    refresh_interval: 1m
    port: 80
    role: droplets
    httpclient: null
  dns_sd_configs:
  - names:
    - a
    refresh_interval: 30s
    type: SRV
    port: 0
  - names:
    - b
    refresh_interval: 30s
    type: aaaa
    port: 80
  ec2_sd_configs:
  - endpoint: ""
    region: r
    access_key: a
    secret_key: <secret>
    refresh_interval: 1m
    port: 80
    filters:
    - name: "n"
      values:
      - v
    follow_redirects: true
    enable_http2: true
  gce_sd_configs:
  - project: p
    zone: z
    refresh_interval: 1m
    port: 80
    tag_separator: ','
  hetzner_sd_configs:
  - follow_redirects: true
    enable_http2: true
    refresh_interval: 1m
    port: 80
    role: hcloud
    label_selector: a=b
  linode_sd_configs:
  - follow_redirects: true
    enable_http2: true
    refresh_interval: 1m30s
    port: 80
"#;
