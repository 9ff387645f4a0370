//! From what a section says of a server to its API: by URL, by kubeconfig, or from inside the cluster.

use std::io;
use std::path::Path;

use tokio::task;
use url::Url;

use super::Server;
use super::api::{Access, Api};
use super::exec::Login;
use super::kubeconfig::Kubeconfig;
use crate::http::{Authorization, Client, Config, Options, Source};
use crate::labels::host_port;
use crate::mechanism::StartError;
use crate::mechanism::ask::{boxed, decoded, parsed};

/// What every pod is given that may speak to the API.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why we do not know the cluster that we run in.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error(
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )]
    Outside,
    #[error("unable to read the service account's token")]
    Token(#[source] io::Error),
    #[error("could not determine the pod's namespace")]
    Namespace(#[source] io::Error),
    #[error("could not read own namespace name (empty file)")]
    NoNamespace,
}

/// The API of a server. Files are looked at that say where it is.
pub(super) async fn connect(server: &Server, options: Options) -> Result<Api, StartError> {
    let server = server.clone();
    task::spawn_blocking(move || resolve(server, options)).await.map_err(boxed)?
}

/// The namespace that we run in.
pub(super) async fn own_namespace() -> Result<String, StartError> {
    let read = task::spawn_blocking(|| namespace_in(Path::new(SERVICE_ACCOUNT))).await;
    read.map_err(boxed)?.map_err(boxed)
}

fn resolve(server: Server, options: Options) -> Result<Api, StartError> {
    match server {
        Server::Url { url, client } => api(parsed(&url)?, *client, options),
        Server::InCluster => {
            let variable = |name: &str| std::env::var(name).ok();
            let (url, client) = in_cluster(variable, Path::new(SERVICE_ACCOUNT)).map_err(boxed)?;
            api(parsed(&url)?, client, options)
        }
        Server::Kubeconfig(path) => {
            let kubeconfig = Kubeconfig::read(&path).map_err(boxed)?;
            let base = parsed(&kubeconfig.server)?;
            let Some(exec) = kubeconfig.exec else { return api(base, kubeconfig.client, options) };
            let login =
                Login::new(exec, one_at_a_time(kubeconfig.client), options).map_err(boxed)?;
            Ok(Api { base, access: Access::Exec(Box::new(login)) })
        }
    }
}

fn api(mut base: Url, mut client: Config, options: Options) -> Result<Api, StartError> {
    log_in(&mut base, &mut client);
    let client = Client::new(&one_at_a_time(client), options).map_err(boxed)?;
    Ok(Api { base, access: Access::Client(client) })
}

/// With HTTP/2 all watches would share one connection, and those beyond what the server allows on it
/// would wait for ever, since watches do not end.
fn one_at_a_time(mut client: Config) -> Config {
    client.enable_http2 = false;
    client
}

/// Takes the login out of a URL, if there is one, to send it as browsers do.
fn log_in(base: &mut Url, client: &mut Config) {
    let has_login = !base.username().is_empty() || base.password().is_some();
    if has_login && client.authorization.is_none() {
        let source = |text: &str| {
            Some(Source::Inline(String::from_utf8_lossy(&decoded(text)).into_owned().into()))
        };
        client.authorization = Some(Authorization::Basic {
            username: source(base.username()),
            password: source(base.password().unwrap_or_default()),
        });
    }
    // Only URLs without a host refuse.
    let _ = base.set_username("");
    let _ = base.set_password(None);
}

/// Where the API of our own cluster is, and how to ask it. The token is read at every request, since
/// it is renewed every hour or so.
fn in_cluster(
    variable: impl Fn(&str) -> Option<String>,
    dir: &Path,
) -> Result<(String, Config), ClusterError> {
    let present = |name| variable(name).filter(|value| !value.is_empty());
    let (host, port) = present("KUBERNETES_SERVICE_HOST")
        .zip(present("KUBERNETES_SERVICE_PORT"))
        .ok_or(ClusterError::Outside)?;
    let token = dir.join("token");
    std::fs::metadata(&token).map_err(ClusterError::Token)?;
    let mut client = Config {
        authorization: Some(Authorization::Credentials {
            kind: "Bearer".to_owned(),
            credentials: Some(Source::File(token)),
        }),
        ..Config::default()
    };
    let authority = dir.join("ca.crt");
    if authority.exists() {
        client.tls.ca = Some(Source::File(authority));
    }
    Ok((format!("https://{}", host_port(&host, port)), client))
}

fn namespace_in(dir: &Path) -> Result<String, ClusterError> {
    let name = std::fs::read_to_string(dir.join("namespace")).map_err(ClusterError::Namespace)?;
    match name.trim() {
        "" => Err(ClusterError::NoNamespace),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain::chain;

    #[test]
    fn inside_a_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let variables = |host: &'static str, port: &'static str| {
            move |name: &str| match name {
                "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
                "KUBERNETES_SERVICE_PORT" => Some(port.to_owned()),
                _ => None,
            }
        };
        let told = |host, port| in_cluster(variables(host, port), dir.path());
        for (host, port) in [("", ""), ("127.0.0.1", ""), ("", "443")] {
            let error = told(host, port).unwrap_err().to_string();
            assert!(
                error.starts_with("unable to load in-cluster configuration, KUBERN"),
                "{error}"
            );
        }
        let error = chain(&told("127.0.0.1", "443").unwrap_err());
        assert!(
            error.starts_with("unable to read the service account's token: No such"),
            "{error}"
        );
        std::fs::write(dir.path().join("token"), "abc\n").unwrap();
        let (url, client) = told("::1", "443").unwrap();
        assert_eq!(url, "https://[::1]:443");
        assert_eq!(client.tls.ca, None);
        std::fs::write(dir.path().join("ca.crt"), "-").unwrap();
        let (url, client) = told("127.0.0.1", "6443").unwrap();
        assert_eq!(url, "https://127.0.0.1:6443");
        assert_eq!(client.tls.ca, Some(Source::File(dir.path().join("ca.crt"))));
        let Some(Authorization::Credentials { kind, credentials }) = client.authorization else {
            panic!("{:?}", client.authorization);
        };
        assert_eq!(
            (kind.as_str(), credentials),
            ("Bearer", Some(Source::File(dir.path().join("token"))))
        );
    }

    #[test]
    fn our_own_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let error = chain(&namespace_in(dir.path()).unwrap_err());
        assert!(error.starts_with("could not determine the pod's namespace: No such"), "{error}");
        for (text, expected) in [("shop", Some("shop")), ("shop\n", Some("shop")), (" ", None)] {
            std::fs::write(dir.path().join("namespace"), text).unwrap();
            assert_eq!(namespace_in(dir.path()).ok().as_deref(), expected);
        }
    }

    #[test]
    fn a_login_in_the_url_is_sent_as_one() {
        let mut base = parsed("https://me:p%40ss@127.0.0.1:6443/x").unwrap();
        let mut client = Config::default();
        log_in(&mut base, &mut client);
        assert_eq!(base.as_str(), "https://127.0.0.1:6443/x");
        let expected = Authorization::Basic {
            username: Some(Source::Inline("me".into())),
            password: Some(Source::Inline("p@ss".into())),
        };
        assert_eq!(client.authorization, Some(expected));
    }
}
