//! Kubeconfig files: whose API to ask, and as whom, as the current context says.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;

use super::exec::Exec;
use crate::config::joined;
use crate::http::{Authorization, Config, Header, Secret, Source};
use crate::labels::quoted;
use crate::yaml::{Text, YamlError, from_yaml};

/// The versions of what programs say that are understood.
const EXEC_VERSIONS: [&str; 2] =
    ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// Whose API to ask, and how.
#[derive(Debug)]
pub(super) struct Kubeconfig {
    pub(super) server: String,
    pub(super) client: Config,
    /// Says who we are, where the client has nothing to say it with.
    pub(super) exec: Option<Exec>,
}

/// Why a kubeconfig is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum KubeconfigError {
    #[error("cannot read the kubeconfig {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the kubeconfig {} is not valid", .path.display())]
    Yaml { path: PathBuf, source: YamlError },
    #[error("the kubeconfig has no current-context")]
    NoContext,
    #[error("the kubeconfig has no {what} {}", quoted(.name))]
    Missing { what: &'static str, name: String },
    #[error("the kubeconfig's cluster {} has no server", quoted(.0))]
    NoServer(String),
    #[error("the kubeconfig's {0} is not text in base64")]
    Base64(&'static str),
    #[error("the kubeconfig has a client {0} without the {1}")]
    HalfIdentity(&'static str, &'static str),
    #[error(
        "the kubeconfig's user {} has the auth-provider {}, which is not supported: use exec, a token or a certificate",
        quoted(.user), quoted(.provider)
    )]
    AuthProvider { user: String, provider: String },
    #[error(
        "the kubeconfig's user {} has an exec of the apiVersion {}, which is not supported: {} and {} are",
        quoted(.user), quoted(.version), EXEC_VERSIONS[0], EXEC_VERSIONS[1]
    )]
    ExecVersion { user: String, version: String },
    #[error(
        "the kubeconfig's user {} has an exec that wants to ask somebody, and nobody is there: its interactiveMode is Always",
        quoted(.0)
    )]
    Interactive(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: Text,
    contexts: Option<Vec<NamedContext>>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: Text,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: Text,
    user: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedCluster {
    name: Text,
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: Text,
    certificate_authority: Text,
    certificate_authority_data: Text,
    insecure_skip_tls_verify: bool,
    tls_server_name: Text,
    proxy_url: Text,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: Text,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Text,
    client_certificate_data: Text,
    client_key: Text,
    client_key_data: Text,
    token: Text,
    #[serde(rename = "tokenFile")]
    token_file: Text,
    username: Text,
    password: Text,
    #[serde(rename = "as")]
    impersonate: Text,
    as_uid: Text,
    as_groups: Option<Vec<Text>>,
    as_user_extra: Option<BTreeMap<Text, Vec<Text>>>,
    auth_provider: Option<AuthProvider>,
    exec: Option<UserExec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthProvider {
    name: Text,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UserExec {
    command: Text,
    args: Option<Vec<Text>>,
    env: Option<Vec<Variable>>,
    api_version: Text,
    interactive_mode: Text,
    provide_cluster_info: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: Text,
    value: Text,
}

impl Kubeconfig {
    /// Reads a file. It blocks as long as a small file takes.
    pub(super) fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })?;
        let file: File = from_yaml(&text)
            .map_err(|source| KubeconfigError::Yaml { path: path.to_owned(), source })?;
        file.resolve(path.parent().unwrap_or(Path::new("")))
    }
}

impl File {
    fn resolve(self, dir: &Path) -> Result<Kubeconfig, KubeconfigError> {
        let missing = |what, name: &Text| KubeconfigError::Missing { what, name: name.0.clone() };
        let current = self.current_context;
        if current.0.is_empty() {
            return Err(KubeconfigError::NoContext);
        }
        let context = self.contexts.into_iter().flatten().find(|of| of.name == current);
        let context = context.ok_or_else(|| missing("context", &current))?.context;
        let cluster = self.clusters.into_iter().flatten().find(|of| of.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        if cluster.server.0.is_empty() {
            return Err(KubeconfigError::NoServer(context.cluster.0));
        }
        let user = match context.user.0.is_empty() {
            true => User::default(),
            false => {
                let user = self.users.into_iter().flatten().find(|of| of.name == context.user);
                user.ok_or_else(|| missing("user", &context.user))?.user
            }
        };
        let mut client = Config::default();
        cluster.apply(&mut client, dir)?;
        user.apply(&mut client, dir)?;
        let exec = match &client.authorization {
            Some(_) => None,
            None => user.exec(&context.user.0, &cluster, &client, dir)?,
        };
        Ok(Kubeconfig { server: cluster.server.0, client, exec })
    }
}

impl Cluster {
    fn apply(&self, client: &mut Config, dir: &Path) -> Result<(), KubeconfigError> {
        let (data, file) = (&self.certificate_authority_data, &self.certificate_authority);
        client.tls.ca = source(data, file, "certificate-authority-data", dir)?;
        client.tls.insecure_skip_verify = self.insecure_skip_tls_verify;
        client.tls.server_name = self.tls_server_name.0.clone();
        if !self.proxy_url.0.is_empty() {
            client.proxy.url = Some(self.proxy_url.0.as_str().into());
        }
        Ok(())
    }

    /// What programs are told that want to know.
    fn info(&self, client: &Config) -> serde_json::Value {
        let authority = client.tls.ca.as_ref().and_then(|ca| ca.read().ok());
        let authority = authority.map(|pem| BASE64.encode(pem.reveal())).unwrap_or_default();
        let said = [
            ("server", json!(self.server.0)),
            ("tls-server-name", json!(self.tls_server_name.0)),
            ("certificate-authority-data", json!(authority)),
            ("proxy-url", json!(self.proxy_url.0)),
        ];
        let said = said.into_iter().filter(|(_, value)| *value != json!(""));
        let mut info: serde_json::Map<_, _> =
            said.map(|(name, value)| (name.to_owned(), value)).collect();
        if self.insecure_skip_tls_verify {
            info.insert("insecure-skip-tls-verify".to_owned(), json!(true));
        }
        info.into()
    }
}

impl User {
    fn apply(&self, client: &mut Config, dir: &Path) -> Result<(), KubeconfigError> {
        let (data, file) = (&self.client_certificate_data, &self.client_certificate);
        client.tls.cert = source(data, file, "client-certificate-data", dir)?;
        client.tls.key = source(&self.client_key_data, &self.client_key, "client-key-data", dir)?;
        match (&client.tls.cert, &client.tls.key) {
            (Some(_), None) => return Err(KubeconfigError::HalfIdentity("certificate", "key")),
            (None, Some(_)) => return Err(KubeconfigError::HalfIdentity("key", "certificate")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        client.authorization = self.authorization(dir);
        let mut header = |name: String, values: &[Text]| {
            let values: Vec<_> = values.iter().filter(|value| !value.0.is_empty()).collect();
            if !values.is_empty() {
                let secret = values.into_iter().map(|value| inline(&value.0)).collect();
                client.headers.push(Header { name, plain: Vec::new(), secret });
            }
        };
        header("Impersonate-User".to_owned(), std::slice::from_ref(&self.impersonate));
        header("Impersonate-Uid".to_owned(), std::slice::from_ref(&self.as_uid));
        header("Impersonate-Group".to_owned(), self.as_groups.as_deref().unwrap_or_default());
        for (name, values) in self.as_user_extra.iter().flatten() {
            header(format!("Impersonate-Extra-{}", name.0), values);
        }
        Ok(())
    }

    fn authorization(&self, dir: &Path) -> Option<Authorization> {
        let bearer = |source| {
            Some(Authorization::Credentials {
                kind: "Bearer".to_owned(),
                credentials: Some(source),
            })
        };
        // A file is read at every request, so that it goes before what is written.
        if !self.token_file.0.is_empty() {
            return bearer(Source::File(joined(dir, &self.token_file.0)));
        }
        if !self.token.0.is_empty() {
            return bearer(inline(&self.token.0));
        }
        if self.username.0.is_empty() && self.password.0.is_empty() {
            return None;
        }
        Some(Authorization::Basic {
            username: Some(inline(&self.username.0)),
            password: Some(inline(&self.password.0)),
        })
    }

    fn exec(
        self,
        name: &str,
        cluster: &Cluster,
        client: &Config,
        dir: &Path,
    ) -> Result<Option<Exec>, KubeconfigError> {
        let user = name.to_owned();
        if let Some(provider) = self.auth_provider {
            return Err(KubeconfigError::AuthProvider { user, provider: provider.name.0 });
        }
        let Some(exec) = self.exec else { return Ok(None) };
        let version = exec.api_version.0;
        if !EXEC_VERSIONS.contains(&version.as_str()) {
            return Err(KubeconfigError::ExecVersion { user, version });
        }
        if exec.interactive_mode.0 == "Always" {
            return Err(KubeconfigError::Interactive(user));
        }
        let variables = exec.env.into_iter().flatten();
        Ok(Some(Exec {
            command: exec.command.0,
            arguments: exec.args.into_iter().flatten().map(|text| text.0).collect(),
            environment: variables.map(|of| (of.name.0, of.value.0)).collect(),
            api_version: version,
            cluster: exec.provide_cluster_info.then(|| cluster.info(client)),
            dir: dir.to_owned(),
        }))
    }
}

fn inline(text: &str) -> Source {
    Source::Inline(text.into())
}

/// What is written in base64 goes before a file.
fn source(
    data: &Text,
    file: &Text,
    what: &'static str,
    dir: &Path,
) -> Result<Option<Source>, KubeconfigError> {
    if !data.0.is_empty() {
        let bytes = BASE64.decode(data.0.trim()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or(KubeconfigError::Base64(what))?;
        return Ok(Some(Source::Inline(Secret::from(text))));
    }
    Ok((!file.0.is_empty()).then(|| Source::File(joined(dir, &file.0))))
}
