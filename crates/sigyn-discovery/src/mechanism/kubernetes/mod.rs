//! `kubernetes_sd_configs`: objects of a cluster, followed through its API.
//!
//! Each kind of object that a section needs is listed once and then watched into a store; the stores
//! are shared by all sections that need the same. Whenever something changes in one of them, the
//! groups of those objects are made anew that it concerns.

#[cfg(feature = "kubernetes")]
mod api;
#[cfg(feature = "kubernetes")]
mod connection;
#[cfg(feature = "kubernetes")]
mod exec;
#[cfg(feature = "kubernetes")]
mod find;
#[cfg(feature = "kubernetes")]
mod follower;
#[cfg(feature = "kubernetes")]
mod group;
#[cfg(feature = "kubernetes")]
mod kubeconfig;
#[cfg(feature = "kubernetes")]
mod list;
#[cfg(feature = "kubernetes")]
mod objects;
#[cfg(feature = "kubernetes")]
mod question;
#[cfg(feature = "kubernetes")]
mod resource;
mod role;
mod selector;
#[cfg(feature = "kubernetes")]
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "kubernetes")]
mod view;
#[cfg(feature = "kubernetes")]
mod watch;
#[cfg(feature = "kubernetes")]
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::MapAccess;

pub use self::role::Role;
pub use self::selector::Selector;
#[cfg(feature = "kubernetes")]
pub(crate) use self::watches::Watches;
use super::{Mechanism, server};
use crate::config::{CLIENT, Form, Key, joined};
use crate::http::{self, ClientConfig};
use crate::yaml::{Entry, Item, Section};

/// Nothing is asked again and again. Targets of a section that was edited stay for twice this long
/// if the API does not answer at all.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// An entry of `kubernetes_sd_configs`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesConfig {
    api_server: Option<String>,
    role: Option<Role>,
    kubeconfig_file: String,
    namespaces: Namespaces,
    selectors: Vec<Item<RoleSelector>>,
    attach_metadata: Attach,
    client: ClientConfig,
}

/// `namespaces`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Namespaces {
    own_namespace: bool,
    names: Vec<String>,
}

/// One of `selectors`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RoleSelector {
    role: Option<Role>,
    selector: Selector,
}

/// What targets are told of objects that belong to them: `attach_metadata`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Labels and annotations of their node.
    pub node: bool,
    /// Labels and annotations of their namespace.
    pub namespace: bool,
    /// The name of a pod's deployment.
    pub deployment: bool,
    /// The name of a pod's job.
    pub job: bool,
    /// The name of a pod's cron job.
    pub cronjob: bool,
}

impl Section for KubernetesConfig {
    const NAME: &'static str = "kubernetes.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let Some(entry) = self.client.field(entry)? else { return Ok(()) };
        match entry.key() {
            "api_server" => self.api_server = entry.parsed(url)?,
            "role" => self.role = entry.parsed(Role::parse)?,
            "kubeconfig_file" => self.kubeconfig_file = entry.text()?,
            "namespaces" => self.namespaces = entry.section()?,
            "selectors" => self.selectors = entry.sections()?,
            "attach_metadata" => self.attach_metadata = entry.section()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

fn url(text: &str) -> Result<String, String> {
    let (_, host) = server::url_parts(text)?;
    if !host.is_empty() {
        server::http_url(text).map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

impl Section for Namespaces {
    const NAME: &'static str = "kubernetes.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "own_namespace" => self.own_namespace = entry.boolean()?.unwrap_or_default(),
            "names" => self.names = entry.texts()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl Section for RoleSelector {
    const NAME: &'static str = "kubernetes.SelectorConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "role" => self.role = entry.parsed(Role::parse)?,
            "label" => self.selector.label = entry.text()?,
            "field" => self.selector.field = entry.text()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

impl Section for Attach {
    const NAME: &'static str = "kubernetes.AttachMetadataConfig";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        let value = match entry.key() {
            "node" => &mut self.node,
            "namespace" => &mut self.namespace,
            "deployment" => &mut self.deployment,
            "job" => &mut self.job,
            "cronjob" => &mut self.cronjob,
            _ => return entry.unknown(),
        };
        *value = entry.boolean()?.unwrap_or_default();
        Ok(())
    }
}

/// Whose API to ask, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// That of the cluster that we run in, as our own service account.
    InCluster,
    /// As the current context of a kubeconfig file says.
    Kubeconfig(PathBuf),
    /// As the section itself says.
    Url {
        /// Where the API begins: `https://127.0.0.1:6443`.
        url: String,
        /// How to ask.
        client: Box<http::Config>,
    },
}

impl Server {
    /// For log lines.
    fn shown(&self) -> String {
        match self {
            Self::InCluster => "in-cluster".to_owned(),
            Self::Kubeconfig(path) => path.display().to_string(),
            Self::Url { url, .. } => server::shown(url),
        }
    }
}

/// An entry of `kubernetes_sd_configs`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which kind of object becomes targets.
    pub role: Role,
    /// Whose API to ask.
    pub server: Server,
    /// The namespaces to look into; all of them if it is empty, and `own_namespace` is false.
    pub namespaces: BTreeSet<String>,
    /// Whether our own namespace is among them.
    pub own_namespace: bool,
    /// Which objects to follow, of those kinds of which it is not all.
    pub selectors: BTreeMap<Role, Selector>,
    /// What targets are told beside.
    pub attach: Attach,
}

const NAMESPACES: &[Key] =
    &[Key::new("own_namespace", Form::Switch), Key::new("names", Form::Texts)];

const SELECTOR: &[Key] = &[
    Key::new("role", Form::Text).unless_empty(),
    Key::new("label", Form::Text).unless_empty(),
    Key::new("field", Form::Text).unless_empty(),
];

const ATTACH: &[Key] = &[
    Key::new("node", Form::Switch),
    Key::new("namespace", Form::Switch),
    Key::new("deployment", Form::Switch),
    Key::new("job", Form::Switch),
    Key::new("cronjob", Form::Switch),
];

impl Mechanism for Config {
    const KEY: &'static str = "kubernetes_sd_configs";
    const KIND: &'static str = "kubernetes";
    type Written = KubernetesConfig;
    const SHOWN: &'static [Key] = &[
        Key::new("api_server", Form::Url).if_given(),
        Key::new("role", Form::Text),
        Key::new("kubeconfig_file", Form::Path),
        CLIENT,
        Key::new("namespaces", Form::Section(NAMESPACES)).unless_empty(),
        Key::new("selectors", Form::Sections(SELECTOR)).unless_empty(),
        Key::new("attach_metadata", Form::Section(ATTACH)).unless_empty(),
    ];

    fn check(written: &KubernetesConfig, dir: &Path) -> Result<Self, String> {
        let role = written.role.ok_or(
            "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)",
        )?;
        let server = written.server(dir)?;
        Ok(Self {
            role,
            server,
            namespaces: written.namespaces.names.iter().cloned().collect(),
            own_namespace: written.namespaces.own_namespace,
            selectors: written.selectors(role)?,
            attach: written.attach_metadata,
        })
    }

    fn refresh_interval(&self) -> Duration {
        REFRESH_INTERVAL
    }

    fn server(&self) -> String {
        self.server.shown()
    }

    fn http(&self) -> Option<&http::Config> {
        match &self.server {
            Server::Url { client, .. } => Some(client),
            Server::InCluster | Server::Kubeconfig(_) => None,
        }
    }
}

impl KubernetesConfig {
    fn server(&self, dir: &Path) -> Result<Server, String> {
        let client = server::client(&self.client, dir)?;
        let is_custom = client != http::Config::default();
        let has_kubeconfig = !self.kubeconfig_file.is_empty();
        let is_own = self.namespaces.own_namespace;
        let refusal = match &self.api_server {
            Some(_) if has_kubeconfig => {
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously"
            }
            None if has_kubeconfig && is_custom => {
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'"
            }
            None if is_custom => {
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly"
            }
            Some(_) if is_own => {
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously"
            }
            None if has_kubeconfig && is_own => {
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously"
            }
            Some(url) => return Ok(Server::Url { url: url.clone(), client: Box::new(client) }),
            None if has_kubeconfig => {
                return Ok(Server::Kubeconfig(joined(dir, &self.kubeconfig_file)));
            }
            None => return Ok(Server::InCluster),
        };
        Err(refusal.to_owned())
    }

    fn selectors(&self, role: Role) -> Result<BTreeMap<Role, Selector>, String> {
        let mut selectors = BTreeMap::new();
        let mut has_nameless = false;
        for selector in &self.selectors {
            let RoleSelector { role: of, selector } = selector.value.clone().unwrap_or_default();
            let is_double = match of {
                Some(of) => selectors.contains_key(&of),
                None => std::mem::replace(&mut has_nameless, true),
            };
            if is_double {
                let of = of.map_or("", Role::as_str);
                return Err(format!("duplicated selector role: {of}"));
            }
            let Some(of) = of.filter(|of| role.selectable().contains(of)) else {
                let selectable: Vec<_> =
                    role.selectable().iter().map(|role| role.as_str()).collect();
                return Err(format!(
                    "{} role supports only {} selectors",
                    role.as_str(),
                    selectable.join(", ")
                ));
            };
            selector.check()?;
            selectors.insert(of, selector);
        }
        Ok(selectors)
    }
}
