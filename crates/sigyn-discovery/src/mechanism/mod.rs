//! The mechanisms that find targets, one file each. The table below is the only list of them.
//!
//! A new one is a file here that implements [`Mechanism`], a module line and a line of the table; a
//! key that stood in [`UNSUPPORTED`] leaves it.

#[cfg(feature = "client")]
mod ask;
pub mod azure;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod bearer;
pub mod consul;
pub mod digitalocean;
pub mod dns;
pub mod docker;
pub mod dockerswarm;
pub mod ec2;
mod environment;
pub mod eureka;
pub mod file;
pub mod gce;
pub mod hetzner;
pub mod http_sd;
pub mod kubernetes;
pub mod linode;
pub mod nomad;
#[cfg(feature = "cloud")]
mod pages;
#[cfg_attr(
    not(any(test, feature = "client", feature = "dns")),
    expect(dead_code, reason = "what asks again and again asks over the network")
)]
mod refresh;
mod server;
pub mod static_sd;
#[cfg(test)]
mod tests;
mod trouble;
mod whose;
#[cfg(any(feature = "aws", feature = "eureka"))]
mod xml;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::environment::Environment;
pub(crate) use self::trouble::Part;
pub use self::trouble::{Trouble, Troubles};
#[cfg(feature = "kubernetes")]
use self::whose::Sharers;
pub(crate) use self::whose::Whose;

use crate::config::{ConfigError, Key};
use crate::group::TargetGroup;
use crate::http;
use crate::labels::quoted;
use crate::metrics::Metrics;
use crate::relabel::NameScheme;
use crate::target::check_address;
use crate::yaml::{Entry, Item, Place, Section};

/// A way to find targets, as a checked entry of the section that is named after it.
///
/// One that polls implements [`refresh::Refresh`] beside it, and its `run` ends in [`refresh::run`].
trait Mechanism: Clone + fmt::Debug + PartialEq + Eq + Send + Sync + 'static {
    /// The job's key: `consul_sd_configs`.
    const KEY: &'static str;
    /// The name in log lines and metrics: `consul`.
    const KIND: &'static str;
    /// An entry as written. Its default holds what is not written.
    type Written: Section + Clone + fmt::Debug + PartialEq + Eq;
    /// What of an entry is shown to whoever asks for the configuration.
    const SHOWN: &'static [Key];

    /// Checks an entry without looking at anything but it. Relative paths in it are joined to `dir`.
    fn check(written: &Self::Written, dir: &Path) -> Result<Self, String>;

    /// How often it looks again of its own accord.
    fn refresh_interval(&self) -> Duration;

    /// Whom it asks, or where it looks, for log lines: without logins and whatever else is secret.
    fn server(&self) -> String;

    /// How it asks over HTTP, if its section says.
    fn http(&self) -> Option<&http::Config> {
        None
    }
}

/// A [`Mechanism`] at work. Apart from it, so that what is not built in can be read and refused.
trait Find: Mechanism {
    /// Finds targets until told to stop. An error says that it could not begin; it is tried again.
    fn run(self, context: Context) -> impl Future<Output = Result<(), StartError>> + Send;
}

/// Makes of the table all that is the same for each mechanism. `needs` names the feature of this
/// crate without which entries are read and checked, and then refused.
macro_rules! mechanisms {
    ($($(#[$doc:meta])* $name:ident = $module:ident $(needs $feature:literal)?,)*) => {
        /// One section of a job that finds targets, checked. Jobs with equal sections share one
        /// provider.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Config {
            /// `static_configs`: all of a job's in one.
            Static(static_sd::Config),
            $($(#[$doc])* $name($module::Config),)*
        }

        /// The names of all mechanisms that work here, as [`Config::kind`] has them.
        pub const KINDS: &[&str] = &[
            "static",
            $(
                $(#[cfg(feature = $feature)])?
                <$module::Config as Mechanism>::KIND,
            )*
        ];

        /// What is shown of the entries behind a job's key, if it is one that finds targets.
        pub(crate) fn shown(key: &str) -> Option<&'static [Key]> {
            match key {
                "static_configs" => Some(static_sd::SHOWN),
                $(<$module::Config as Mechanism>::KEY => Some(<$module::Config as Mechanism>::SHOWN),)*
                _ => None,
            }
        }

        /// The entries of a job's sections, as written.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        struct Written {
            $($module: Vec<Item<<$module::Config as Mechanism>::Written>>,)*
        }

        impl Written {
            /// Takes one key's value, or gives the entry back.
            fn field<'a, 'de, A: MapAccess<'de>>(
                &mut self,
                entry: Entry<'a, A>,
            ) -> Result<Option<Entry<'a, A>>, A::Error> {
                match entry.key() {
                    $(<$module::Config as Mechanism>::KEY => self.$module = entry.sections()?,)*
                    _ => return Ok(Some(entry)),
                }
                Ok(None)
            }

            /// `is_built` tells what becomes of a feature that this is built with, or not: itself,
            /// but for tests.
            fn validate(
                &self,
                dir: &Path,
                is_built: fn(bool) -> bool,
                configs: &mut Vec<Config>,
            ) -> Result<(), ConfigError> {
                $(
                    let key = <$module::Config as Mechanism>::KEY;
                    for (section, place) in present(key, &self.$module)? {
                        let config = <$module::Config as Mechanism>::check(section, dir)
                            .map_err(|error| ConfigError::at(Some(place), error))?;
                        $(
                            if !is_built(cfg!(feature = $feature)) {
                                let message = format!(
                                    "{key} needs a Sigyn built with the feature {}",
                                    quoted($feature)
                                );
                                return Err(ConfigError::at(Some(place), message));
                            }
                        )?
                        configs.push(Config::$name(config));
                    }
                )*
                Ok(())
            }
        }

        impl Config {
            /// The mechanism's name, as in log lines and metrics.
            pub fn kind(&self) -> &'static str {
                match self {
                    Self::Static(_) => "static",
                    $(Self::$name(_) => <$module::Config as Mechanism>::KIND,)*
                }
            }

            /// How often the mechanism looks again of its own accord.
            pub(crate) fn refresh_interval(&self) -> Duration {
                match self {
                    Self::Static(_) => Duration::ZERO,
                    $(Self::$name(config) => config.refresh_interval(),)*
                }
            }

            /// Whom the mechanism asks, or where it looks, without what is secret.
            pub(crate) fn server(&self) -> String {
                match self {
                    Self::Static(_) => String::new(),
                    $(Self::$name(config) => config.server(),)*
                }
            }

            /// How the mechanism asks over HTTP, if its section says.
            pub fn http(&self) -> Option<&http::Config> {
                match self {
                    Self::Static(_) => None,
                    $(Self::$name(config) => config.http(),)*
                }
            }

            /// Finds targets until told to stop. An error says that it could not begin.
            pub(crate) async fn run(self, context: Context) -> Result<(), StartError> {
                match self {
                    // The manager knows them without asking.
                    Self::Static(_) => Ok(()),
                    $(
                        $(#[cfg(feature = $feature)])?
                        Self::$name(config) => config.run(context).await,
                        $(
                            #[cfg(not(feature = $feature))]
                            // Refused when the configuration was read.
                            Self::$name(_) => Ok(()),
                        )?
                    )*
                }
            }
        }
    };
}

mechanisms! {
    /// An entry of `azure_sd_configs`.
    Azure = azure needs "azure",
    /// An entry of `consul_sd_configs`.
    Consul = consul needs "consul",
    /// An entry of `digitalocean_sd_configs`.
    DigitalOcean = digitalocean needs "digitalocean",
    /// An entry of `dns_sd_configs`.
    Dns = dns needs "dns",
    /// An entry of `docker_sd_configs`.
    Docker = docker needs "docker",
    /// An entry of `dockerswarm_sd_configs`.
    DockerSwarm = dockerswarm needs "docker",
    /// An entry of `ec2_sd_configs`.
    Ec2 = ec2 needs "aws",
    /// An entry of `eureka_sd_configs`.
    Eureka = eureka needs "eureka",
    /// An entry of `file_sd_configs`.
    File = file,
    /// An entry of `gce_sd_configs`.
    Gce = gce needs "gcp",
    /// An entry of `hetzner_sd_configs`.
    Hetzner = hetzner needs "hetzner",
    /// An entry of `http_sd_configs`.
    Http = http_sd needs "client",
    /// An entry of `kubernetes_sd_configs`.
    Kubernetes = kubernetes needs "kubernetes",
    /// An entry of `linode_sd_configs`.
    Linode = linode needs "linode",
    /// An entry of `nomad_sd_configs`.
    Nomad = nomad needs "nomad",
}

/// A job's sections that find targets, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    static_configs: Vec<Item<static_sd::StaticConfig>>,
    written: Written,
}

/// The keys of a job that find targets in Prometheus, but not here: a program that knows them
/// answers for them over HTTP.
pub const UNSUPPORTED: &[&str] = &[
    "aws_sd_configs",
    "ecs_sd_configs",
    "elasticache_sd_configs",
    "ionos_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "marathon_sd_configs",
    "msk_sd_configs",
    "nerve_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "rds_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

impl Sections {
    /// Takes one key's value. Ends in [`Entry::unknown`] for a key that finds no targets.
    pub(crate) fn field<'de, A: MapAccess<'de>>(
        &mut self,
        entry: Entry<'_, A>,
    ) -> Result<(), A::Error> {
        let Some(entry) = self.written.field(entry)? else { return Ok(()) };
        match entry.key() {
            "static_configs" => self.static_configs = entry.sections()?,
            key if UNSUPPORTED.contains(&key) => {
                let message = format!(
                    "{key} is not supported by Sigyn: let a program answer with the targets over HTTP \
                     and name it in http_sd_configs (docs/guide/discovery.md)"
                );
                return entry.refuse_unless_null(message);
            }
            _ => return entry.unknown(),
        }
        Ok(())
    }

    /// Checks all sections. `addresses_final` says that no rule will change an address.
    pub(crate) fn validate(
        &self,
        addresses_final: bool,
        dir: &Path,
    ) -> Result<Vec<Config>, ConfigError> {
        let mut configs = Vec::new();
        let mut groups = Vec::new();
        for (index, (section, place)) in
            present("static_configs", &self.static_configs)?.into_iter().enumerate()
        {
            // A rule may turn a URL into an address; without any, it is a mistake for sure.
            if addresses_final {
                let checked = section.targets.iter().try_for_each(|address| check_address(address));
                checked.map_err(|error| ConfigError::at(Some(place), error))?;
            }
            let mut labels = section.labels.iter();
            if let Some((name, _)) = labels.find(|(name, _)| !NameScheme::Utf8.is_valid(name)) {
                return Err(ConfigError::at(
                    Some(place),
                    format!("{} is not a valid label name", quoted(name)),
                ));
            }
            groups.push(Arc::new(section.clone().into_group(index.to_string())));
        }
        if !groups.is_empty() {
            configs.push(Config::Static(groups));
        }
        self.written.validate(dir, |is_built| is_built, &mut configs)?;
        Ok(configs)
    }
}

/// The entries of a list with their places; none may be null.
fn present<'a, S>(key: &str, items: &'a [Item<S>]) -> Result<Vec<(&'a S, Place)>, ConfigError> {
    let section = |item: &'a Item<S>| {
        let null = || ConfigError::at(Some(item.place), format!("empty or null section in {key}"));
        Ok((item.value.as_ref().ok_or_else(null)?, item.place))
    };
    items.iter().map(section).collect()
}

/// What a provider needs from the manager.
#[derive(Debug)]
pub(crate) struct Context {
    /// Says who speaks, in every update.
    pub(crate) provider: u64,
    /// For log lines.
    pub(crate) whose: Arc<Whose>,
    /// The first job that has the section, for metrics.
    pub(crate) job: String,
    /// Sources of groups that it found before it failed and was started again. Those that are gone
    /// by now are its to remove.
    pub(crate) known: BTreeSet<String>,
    pub(crate) updates: mpsc::Sender<Update>,
    pub(crate) watcher: Arc<file::Watcher>,
    #[cfg(feature = "kubernetes")]
    pub(crate) kubernetes: Arc<kubernetes::Watches>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
}

/// Why a provider could not even begin: what its section names cannot be had, or not be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct StartError(#[from] Box<dyn Error + Send + Sync>);

/// What a provider has found. Each group replaces that of the same source; an empty one removes
/// it. An update without groups says that there is nothing, and that this is the answer.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) provider: u64,
    pub(crate) groups: Vec<TargetGroup>,
}

impl Context {
    /// What clients are made with, so that all answers share the room that there is.
    #[cfg(feature = "client")]
    fn options(&self) -> http::Options {
        http::Options { room: self.metrics.room.clone(), ..http::Options::default() }
    }

    /// Hands groups to the manager, and waits while it is busy. `false` if it is time to stop.
    pub(crate) async fn send(&self, groups: Vec<TargetGroup>) -> bool {
        let update = Update { provider: self.provider, groups };
        tokio::select! {
            sent = self.updates.send(update) => sent.is_ok(),
            () = self.shutdown.cancelled() => false,
        }
    }
}
