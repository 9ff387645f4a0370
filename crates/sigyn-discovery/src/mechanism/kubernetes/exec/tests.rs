//! Programs that say credentials, and others.

use super::*;
use crate::error_chain::chain;

const VERSION: &str = "client.authentication.k8s.io/v1";

/// A shell that runs a script.
fn shell(script: &str) -> Exec {
    Exec {
        command: "sh".to_owned(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: vec![("SAID".to_owned(), "from the kubeconfig".to_owned())],
        api_version: VERSION.to_owned(),
        cluster: None,
        dir: PathBuf::from("/"),
    }
}

fn saying(status: &str) -> Exec {
    shell(&format!(
        r#"echo '{{"kind": "ExecCredential", "apiVersion": "{VERSION}", "status": {status}}}'"#
    ))
}

fn login(exec: Exec) -> Login {
    Login::new(exec, Config::default(), Options::default()).unwrap()
}

fn shown(session: &Session) -> &str {
    session.authorization.as_ref().unwrap().to_str().unwrap()
}

/// Says a token with a number that grows, and what it is told.
fn counting(dir: &Path, expires: &str) -> Exec {
    let script = format!(
        r#"echo x >> runs; n=$(wc -l < runs | tr -d ' '); echo "$KUBERNETES_EXEC_INFO" > told
        echo '{{"kind": "ExecCredential", "apiVersion": "{VERSION}", "status": {{"token": "t'$n'"{expires}}}}}'"#
    );
    let path = dir.join("login.sh");
    std::fs::write(&path, format!("cd {}\n{script}\n", dir.display())).unwrap();
    Exec { command: "sh".to_owned(), arguments: vec![path.display().to_string()], ..shell("") }
}

#[tokio::test]
async fn what_a_program_says_is_kept_until_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let login = login(counting(dir.path(), ""));
    let first = login.session().await.unwrap();
    assert_eq!(shown(&first), "Bearer t1");
    assert!(first.authorization.as_ref().unwrap().is_sensitive());
    assert_eq!(shown(&login.session().await.unwrap()), "Bearer t1");
    let second = login.renewed(&first).await.unwrap();
    assert_eq!(shown(&second), "Bearer t2");
    // Another request that was refused with the first one needs no third.
    assert_eq!(shown(&login.renewed(&first).await.unwrap()), "Bearer t2");
    let told = std::fs::read_to_string(dir.path().join("told")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let expected = json!({
        "kind": "ExecCredential", "apiVersion": VERSION, "spec": {"interactive": false},
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_has_expired_is_asked_for_anew() {
    let dir = tempfile::tempdir().unwrap();
    let old = login(counting(dir.path(), r#", "expirationTimestamp": "2001-02-03T04:05:06Z""#));
    assert_eq!(shown(&old.session().await.unwrap()), "Bearer t1");
    assert_eq!(shown(&old.session().await.unwrap()), "Bearer t2");
    let dir = tempfile::tempdir().unwrap();
    let new = login(counting(dir.path(), r#", "expirationTimestamp": "2999-02-03T04:05:06Z""#));
    assert_eq!(shown(&new.session().await.unwrap()), "Bearer t1");
    assert_eq!(shown(&new.session().await.unwrap()), "Bearer t1");
}

#[tokio::test]
async fn variables_and_the_cluster_reach_the_program() {
    let exec = shell(
        r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"server":"https://127.0.0.1"' || exit 3
        echo '{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
            "status": {"token": "'"$SAID"'"}}'"#,
    );
    let exec = Exec { cluster: Some(json!({"server": "https://127.0.0.1"})), ..exec };
    let session = login(exec).session().await.unwrap();
    assert_eq!(shown(&session), "Bearer from the kubeconfig");
}

#[tokio::test]
async fn programs_that_say_nothing_of_use() {
    let check = async |exec: Exec, expected: &str| {
        let error = chain(&login(exec).session().await.unwrap_err());
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    };
    check(
        shell("echo >&2 trouble; echo >&2 ' no login '; exit 7"),
        "sh failed with exit status: 7: no login",
    )
    .await;
    check(shell("echo s3cret"), "sh did not say an ExecCredential of client.auth").await;
    check(
        shell(r#"echo '{"kind": "ExecCredential", "apiVersion": "v1", "status": {"token": "s3cret"}}'"#),
        "sh did not say an ExecCredential of client.auth",
    )
    .await;
    check(saying("{}"), "sh said an ExecCredential without a token").await;
    check(saying("null"), "sh said an ExecCredential without a token").await;
    check(
        saying(r#"{"clientKeyData": "s3cret"}"#),
        "sh said an ExecCredential without both clientCertificateData",
    )
    .await;
    check(
        saying(r#"{"clientKeyData": "s3cret", "clientCertificateData": "s3cret"}"#),
        "sh said credentials that cannot be used: unable to use specified client cert",
    )
    .await;
    check(
        saying(r#"{"token": "s3cret", "expirationTimestamp": "soon"}"#),
        "sh said an ExecCredential without a time",
    )
    .await;
    check(
        Exec { command: "/none/such".to_owned(), ..shell("") },
        "cannot run /none/such: No such file",
    )
    .await;
}
