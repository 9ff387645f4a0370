//! Sections that are refused, and what the others mean.

use std::path::Path;

use super::*;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: KubernetesConfig = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/etc/sigyn"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    let missing = "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
    check("{}", missing);
    check("{role: ~}", missing);
    check("{role: Pod}", "unknown Kubernetes SD role \"Pod\"");
    check("{role: ''}", "unknown Kubernetes SD role \"\"");
    check("{role: pod, bogus: 1}", "field bogus not found in type kubernetes.plain");
    check("{role: pod, namespaces: {name: a}}", "field name not found in type kubernetes.plain");
    check(
        "{role: pod, attach_metadata: {pod: true}}",
        "field pod not found in type kubernetes.AttachMetadataConfig",
    );
    check(
        "{role: pod, selectors: [{labels: a}]}",
        "field labels not found in type kubernetes.SelectorConfig",
    );
    check(
        "{role: pod, api_server: '127.0.0.1:6443'}",
        r#"parse "127.0.0.1:6443": first path segment in URL cannot contain colon"#,
    );
    // The client's own checks come before what concerns it as a whole.
    check(
        "{role: pod, bearer_token: a, basic_auth: {}}",
        "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
    );
    check(
        "{role: pod, api_server: 'http://127.0.0.1', kubeconfig_file: a}",
        "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
    );
    check(
        "{role: pod, kubeconfig_file: a, bearer_token: b}",
        "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
    );
    let custom =
        "to use custom HTTP client configuration please provide the 'api_server' URL explicitly";
    check("{role: pod, follow_redirects: false}", custom);
    check("{role: pod, tls_config: {insecure_skip_verify: true}}", custom);
    check("{role: pod, namespaces: {own_namespace: true}, basic_auth: {}}", custom);
    check(
        "{role: pod, api_server: 'http://127.0.0.1', namespaces: {own_namespace: true}}",
        "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
    );
    check(
        "{role: pod, kubeconfig_file: a, namespaces: {own_namespace: true}}",
        "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
    );
}

#[test]
fn selectors_that_are_refused() {
    let check = |role: &str, selectors: &str, expected: &str| {
        let told = checked(&format!("{{role: {role}, selectors: [{selectors}]}}")).unwrap_err();
        assert!(told.starts_with(expected), "{told}");
    };
    check("pod", "{role: pod}, {role: node}, {role: pod}", "duplicated selector role: pod");
    check("pod", "{role: service}", "pod role supports only pod, node selectors");
    check("node", "{role: pod}", "node role supports only node selectors");
    check("service", "{role: endpoints}", "service role supports only service selectors");
    check("ingress", "{role: pod}", "ingress role supports only ingress selectors");
    check(
        "endpoints",
        "{role: endpointslice}",
        "endpoints role supports only pod, service, endpoints selectors",
    );
    check(
        "endpointslice",
        "{role: node}",
        "endpointslice role supports only pod, service, endpointslice selectors",
    );
    check("pod", "{label: a}", "pod role supports only pod, node selectors");
    check("pod", "~", "pod role supports only pod, node selectors");
    check("pod", "{role: bogus}", "unknown Kubernetes SD role \"bogus\"");
    check("pod", "{role: pod, field: a}", "invalid selector: 'a'; can't understand 'a'");
    check("pod", "{role: pod, label: a b}", "unable to parse requirement: ");
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{role: pod}").unwrap();
    let expected = Config {
        role: Role::Pod,
        server: Server::InCluster,
        namespaces: BTreeSet::new(),
        own_namespace: false,
        selectors: BTreeMap::new(),
        attach: Attach::default(),
    };
    assert_eq!(config, expected);
    // Written out, the client's defaults are still those.
    let written = "{role: pod, follow_redirects: true, enable_http2: true, tls_config: {}}";
    assert_eq!(checked(written).unwrap(), expected);
}

#[test]
fn what_is_written_is_meant() {
    for role in Role::ALL {
        assert_eq!(checked(&format!("{{role: {}}}", role.as_str())).unwrap().role, role);
    }
    let config = checked(
        "{role: endpoints, api_server: 'https://127.0.0.1:6443/a', bearer_token_file: t,
          namespaces: {names: [b, a, b]},
          selectors: [{role: pod, label: 'app=cart', field: 'spec.nodeName=n1'}, {role: service}],
          attach_metadata: {node: true, namespace: yes, deployment: on, job: true, cronjob: true}}",
    )
    .unwrap();
    let Server::Url { url, client } = &config.server else { panic!("{config:?}") };
    assert_eq!(url, "https://127.0.0.1:6443/a");
    assert!(client.authorization.is_some());
    assert_eq!(config.namespaces.iter().collect::<Vec<_>>(), ["a", "b"]);
    let of_pods = &config.selectors[&Role::Pod];
    assert_eq!((of_pods.label.as_str(), of_pods.field.as_str()), ("app=cart", "spec.nodeName=n1"));
    assert_eq!(config.selectors[&Role::Service], Selector::default());
    let all = Attach { node: true, namespace: true, deployment: true, job: true, cronjob: true };
    assert_eq!(config.attach, all);
    let config = checked("{role: pod, kubeconfig_file: kube/config}").unwrap();
    assert_eq!(config.server, Server::Kubeconfig("/etc/sigyn/kube/config".into()));
    let config = checked("{role: pod, namespaces: {own_namespace: true, names: [a]}}").unwrap();
    assert!(config.own_namespace);
}
