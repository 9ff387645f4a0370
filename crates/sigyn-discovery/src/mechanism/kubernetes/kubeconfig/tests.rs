//! Kubeconfig files of use, and of none.

use super::*;
use crate::error_chain::chain;

/// A file with one cluster and one user, with these keys.
fn file(cluster: &str, user: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: here, preferences: {{}},
          contexts: [{{name: there, context: {{cluster: x, user: y}}}},
                     {{name: here, context: {{cluster: c, user: u, namespace: shop}}}}],
          clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:6443', {cluster}}}}}],
          users: [{{name: u, user: {{{user}}}}}]}}"
    )
}

fn resolved(text: &str) -> Result<Kubeconfig, String> {
    let file: File = from_yaml(text).map_err(|error| error.to_string())?;
    file.resolve(Path::new("/home/me/.kube")).map_err(|error| chain(&error))
}

#[test]
fn what_the_current_context_says() {
    let authority = BASE64.encode("-----BEGIN CERTIFICATE-----");
    let told = resolved(&file(
        &format!(
            "certificate-authority-data: {authority}, certificate-authority: ../ca.pem, \
             tls-server-name: api, proxy-url: 'http://127.0.0.1:3128'"
        ),
        "client-certificate: me.pem, client-key: /keys/me.pem, token: 0123, \
         as: other, as-groups: [a, b], as-user-extra: {reason: [c]}",
    ))
    .unwrap();
    assert_eq!(told.server, "https://127.0.0.1:6443");
    assert_eq!(told.exec, None);
    let client = told.client;
    assert_eq!(client.tls.ca, Some(inline("-----BEGIN CERTIFICATE-----")));
    assert_eq!(client.tls.cert, Some(Source::File("/home/me/.kube/me.pem".into())));
    assert_eq!(client.tls.key, Some(Source::File("/keys/me.pem".into())));
    assert_eq!(client.tls.server_name, "api");
    assert_eq!(client.proxy.url, Some("http://127.0.0.1:3128".into()));
    let token =
        Authorization::Credentials { kind: "Bearer".to_owned(), credentials: Some(inline("0123")) };
    assert_eq!(client.authorization, Some(token));
    let headers: Vec<_> =
        client.headers.iter().map(|of| (of.name.as_str(), of.secret.len())).collect();
    let expected =
        [("Impersonate-User", 1), ("Impersonate-Group", 2), ("Impersonate-Extra-reason", 1)];
    assert_eq!(headers, expected);
}

#[test]
fn ways_to_say_who_we_are() {
    let authorization = |user: &str| resolved(&file("", user)).unwrap().client.authorization;
    assert_eq!(authorization(""), None);
    let from_file = Authorization::Credentials {
        kind: "Bearer".to_owned(),
        credentials: Some(Source::File("/home/me/.kube/token".into())),
    };
    assert_eq!(authorization("token: a, tokenFile: token"), Some(from_file));
    let basic = Authorization::Basic { username: Some(inline("a")), password: Some(inline("b")) };
    assert_eq!(authorization("username: a, password: b"), Some(basic));
    let exec = "exec: {command: bin/login, args: [a, 1], env: [{name: B, value: c}], \
                apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, \
                provideClusterInfo: true}";
    let told = resolved(&file("insecure-skip-tls-verify: true", exec)).unwrap();
    assert!(told.client.tls.insecure_skip_verify);
    let expected = Exec {
        command: "bin/login".to_owned(),
        arguments: vec!["a".to_owned(), "1".to_owned()],
        environment: vec![("B".to_owned(), "c".to_owned())],
        api_version: EXEC_VERSIONS[0].to_owned(),
        cluster: Some(json!({
            "server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true,
        })),
        dir: "/home/me/.kube".into(),
    };
    assert_eq!(told.exec, Some(expected));
    // What is written goes before what would have to be asked for.
    assert_eq!(resolved(&file("", &format!("token: a, {exec}"))).unwrap().exec, None);
}

#[test]
fn files_of_no_use() {
    let check = |text: &str, expected: &str| {
        let told = resolved(text).unwrap_err();
        assert!(told.contains(expected), "{told}");
    };
    let of = |user: &str| file("", user);
    check("{}", "has no current-context");
    check("current-context: a", "has no context \"a\"");
    check(
        "{current-context: a, contexts: [{name: a, context: {cluster: b}}]}",
        "has no cluster \"b\"",
    );
    check(
        "{current-context: a, contexts: [{name: a, context: {cluster: b, user: c}}],
          clusters: [{name: b, cluster: {server: 'http://127.0.0.1'}}]}",
        "has no user \"c\"",
    );
    check(
        "{current-context: a, contexts: [{name: a, context: {cluster: b}}],
          clusters: [{name: b, cluster: {}}]}",
        "cluster \"b\" has no server",
    );
    check(
        &file("certificate-authority-data: '?'", ""),
        "certificate-authority-data is not text in base64",
    );
    check(&of("client-key: a.pem"), "a client key without the certificate");
    check(&of("client-certificate: a.pem"), "a client certificate without the key");
    check(
        &of("auth-provider: {name: oidc, config: {id-token: a}}"),
        "user \"u\" has the auth-provider \"oidc\", which is not supported: use exec",
    );
    check(
        &of("exec: {command: a, apiVersion: client.authentication.k8s.io/v1alpha1}"),
        "v1alpha1\", which is not supported: client.authentication.k8s.io/v1 and",
    );
    check(
        &of(
            "exec: {command: a, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}",
        ),
        "interactiveMode is Always",
    );
    check("{current-context: [a]}", "");
    let told = Kubeconfig::read(Path::new("/none/config")).unwrap_err();
    assert!(chain(&told).starts_with("cannot read the kubeconfig /none/config: No such file"));
}
