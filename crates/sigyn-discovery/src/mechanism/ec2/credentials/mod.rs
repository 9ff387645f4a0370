//! Where the keys are that questions to AWS are signed with: the places where AWS' own tools look,
//! in their order.

mod machine;
mod plan;
mod process;
mod profiles;
mod roles;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::task;

use self::plan::{Base, Plan, plan};
use self::profiles::Profiles;
use super::Config;
use super::api::ApiError;
use crate::http::{Config as ClientConfig, Options, Proxy, Secret};
use crate::mechanism::StartError;
use crate::mechanism::ask::{AskError, Asker};

/// Keys are no longer used so long before they end.
const ENDS_EARLY: SignedDuration = SignedDuration::from_secs(300);
/// What is on this machine, or next to it, is there at once or not at all.
const NEAR_TIMEOUT: Duration = Duration::from_secs(5);

/// What questions are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: Secret,
    /// Belongs to keys that end; else it is empty.
    pub(super) token: Secret,
    /// When they end.
    pub(super) until: Option<Timestamp>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("{0} has one half of a key only")]
    Half(String),
    #[error("cannot read {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("failed to get shared config profile, {0}")]
    NoProfile(String),
    #[error("the profile {0:?} is its own source, by way of others")]
    Circle(String),
    #[error(
        "the profile {0:?} has a role_arn, and no source_profile, credential_source or \
         web_identity_token_file"
    )]
    NoSource(String),
    #[error("the profile {profile:?} has the credential_source {found:?}, which is unknown")]
    UnknownSource { profile: String, found: String },
    #[error("there are no keys in the environment")]
    NotInEnvironment,
    #[error("the profile {0:?} wants a code of a device, which nobody is there to type")]
    Device(String),
    #[error(
        "the profile {0:?} has its credentials from SSO, which Sigyn does not speak: name a tool that \
         does in credential_process"
    )]
    Sso(String),
    #[error("credential_process cannot be run")]
    Run(#[source] io::Error),
    #[error("credential_process has not ended after {} s", process::TIMEOUT.as_secs())]
    Slow,
    #[error("credential_process failed ({0})")]
    Failed(std::process::ExitStatus),
    #[error("cannot ask for the credentials of this {0}")]
    Machine(&'static str, #[source] AskError),
    #[error("server of this {of}'s credentials returned HTTP status {status}")]
    MachineStatus { of: &'static str, status: StatusCode },
    #[error("the machine's metadata are not to be used: AWS_EC2_METADATA_DISABLED is set")]
    Disabled,
    #[error("AWS_CONTAINER_CREDENTIALS_FULL_URI names neither this machine nor TLS")]
    FarAway,
    #[error("{0} is of no use")]
    Variable(&'static str),
    // What it says instead may be secret.
    #[error("{0} did not answer with credentials")]
    Answer(&'static str),
    #[error("cannot take on the role {arn}")]
    Role { arn: String, source: Box<ApiError> },
}

/// Finds keys, and keeps them for as long as they hold.
#[derive(Debug)]
pub(super) struct Credentials {
    config: Config,
    /// Asks for roles.
    far: Asker,
    /// Asks this machine, and what is next to it.
    near: Asker,
    keys: Option<Keys>,
}

/// Keys as they are told in JSON, whoever tells them. Not to be shown.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<String>,
}

impl Keys {
    fn hold(&self) -> bool {
        self.until.is_none_or(|until| until.duration_since(Timestamp::now()) > ENDS_EARLY)
    }

    /// Reads what `whose` has told.
    fn told(body: &[u8], whose: &'static str) -> Result<Self, CredentialsError> {
        let wrong = || CredentialsError::Answer(whose);
        let told: Told = serde_json::from_slice(body).map_err(|_| wrong())?;
        Self::new(
            &told.access_key_id,
            &told.secret_access_key,
            told.token.as_deref().unwrap_or_default(),
            told.expiration.as_deref(),
        )
        .ok_or_else(wrong)
    }

    /// `None` if one half is missing, or they end when nobody can tell.
    fn new(access_key: &str, secret_key: &str, token: &str, until: Option<&str>) -> Option<Self> {
        if access_key.is_empty() || secret_key.is_empty() {
            return None;
        }
        let until = until.filter(|until| !until.is_empty()).map(str::parse).transpose().ok()?;
        Some(Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.into(),
            token: token.into(),
            until,
        })
    }
}

impl Credentials {
    /// Nothing is looked for yet.
    pub(super) fn new(
        config: &Config,
        options: Options,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        // What is asked with keys, or for them, is not to be sent on.
        let near = ClientConfig { follow_redirects: false, ..ClientConfig::default() };
        let from_environment = Proxy { from_environment: true, ..Proxy::default() };
        let far = ClientConfig { proxy: from_environment, ..near.clone() };
        let asker = |config: &ClientConfig, timeout| {
            Asker::new(config, options.clone(), HeaderMap::new(), timeout)
        };
        Ok(Self {
            config: config.clone(),
            far: asker(&far, timeout)?,
            near: asker(&near, timeout.min(NEAR_TIMEOUT))?,
            keys: None,
        })
    }

    /// Keys that hold.
    pub(super) async fn keys(&mut self, region: &str) -> Result<Keys, CredentialsError> {
        if let Some(keys) = &self.keys
            && keys.hold()
        {
            return Ok(keys.clone());
        }
        let Plan { base, roles } = plan(&self.config, &self.profiles().await?)?;
        let environment = &self.config.environment;
        let mut keys = match base {
            Base::Keys(keys) => keys,
            Base::WebIdentity(identity) => {
                roles::with_web_identity(&self.far, environment, region, &identity).await?
            }
            Base::Process(command) => process::run(&command).await?,
            Base::Container => machine::of_container(&self.near, environment).await?,
            Base::Instance => machine::of_instance(&self.near, environment).await?,
        };
        for role in &roles {
            keys = roles::with_keys(&self.far, environment, region, role, &keys).await?;
        }
        Ok(self.keys.insert(keys).clone())
    }

    /// What was found is of no use: the next time it is looked for anew.
    pub(super) fn forget(&mut self) {
        self.keys = None;
    }

    /// The region that the section does not name.
    pub(super) async fn region(&self) -> Result<String, CredentialsError> {
        let environment = &self.config.environment;
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        if let Some(region) = named.into_iter().find_map(|name| environment.get(name)) {
            return Ok(region);
        }
        let profiles = self.profiles().await?;
        match profiles.value(&plan::profile(&self.config).0, "region") {
            Some(region) => Ok(region.to_owned()),
            None => machine::region(&self.near, environment).await,
        }
    }

    async fn profiles(&self) -> Result<Profiles, CredentialsError> {
        let environment = self.config.environment.clone();
        let read = task::spawn_blocking(move || Profiles::read(&environment)).await;
        // Only the runtime's end gets in the way, and then nobody waits for keys.
        read.unwrap_or_else(|_| Ok(Profiles::default()))
    }
}
