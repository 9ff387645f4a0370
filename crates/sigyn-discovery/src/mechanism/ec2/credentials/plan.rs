//! Which of the places is asked, and which roles are taken on after that.

use super::profiles::Profiles;
use super::{CredentialsError, Keys};
use crate::mechanism::Environment;
use crate::mechanism::ec2::Config;

/// Where the first keys are, and the roles that they are exchanged for, one after another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) base: Base,
    pub(super) roles: Vec<Role>,
}

/// Where keys are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Here.
    Keys(Keys),
    /// Where a token is good for a role.
    WebIdentity(WebIdentity),
    /// A program tells them.
    Process(String),
    /// A server next to this container tells them.
    Container,
    /// The machine's metadata tell them.
    Instance,
}

/// A token in a file, and the role that it is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WebIdentity {
    pub(super) arn: String,
    pub(super) token_file: String,
    pub(super) session: Option<String>,
}

/// A role, and what its owner wants to hear.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session: Option<String>,
}

/// The profile that counts, and whether somebody named it.
pub(super) fn profile(config: &Config) -> (String, bool) {
    let named = Some(config.profile.clone()).filter(|name| !name.is_empty());
    match named.or_else(|| config.environment.get("AWS_PROFILE")) {
        Some(name) => (name, true),
        None => ("default".to_owned(), false),
    }
}

/// What is to be done for keys.
pub(super) fn plan(config: &Config, profiles: &Profiles) -> Result<Plan, CredentialsError> {
    let environment = &config.environment;
    let mut plan = if !config.access_key.is_empty() || !config.secret_key.is_empty() {
        let keys = Keys::new(&config.access_key, config.secret_key.reveal(), "", None);
        base(Base::Keys(keys.ok_or_else(|| CredentialsError::Half("the section".to_owned()))?))
    } else if !config.profile.is_empty() {
        of_profile(&config.profile, profiles, environment, &mut Vec::new())?
    } else if let Some(keys) = of_environment(environment)? {
        base(Base::Keys(keys))
    } else if let Some(identity) = identity(environment) {
        base(Base::WebIdentity(identity))
    } else {
        let (name, is_named) = profile(config);
        if is_named || profiles.has(&name) {
            of_profile(&name, profiles, environment, &mut Vec::new())?
        } else {
            of_machine(environment)
        }
    };
    if !config.role_arn.is_empty() {
        plan.roles.push(Role {
            arn: config.role_arn.clone(),
            external_id: Some(config.external_id.clone()).filter(|id| !id.is_empty()),
            session: None,
        });
    }
    Ok(plan)
}

fn base(base: Base) -> Plan {
    Plan { base, roles: Vec::new() }
}

fn of_environment(environment: &Environment) -> Result<Option<Keys>, CredentialsError> {
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| environment.get(name));
    let access_key = first(["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]).unwrap_or_default();
    let secret_key = first(["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]).unwrap_or_default();
    if access_key.is_empty() && secret_key.is_empty() {
        return Ok(None);
    }
    let token = environment.get("AWS_SESSION_TOKEN").unwrap_or_default();
    match Keys::new(&access_key, &secret_key, &token, None) {
        Some(keys) => Ok(Some(keys)),
        None => Err(CredentialsError::Half("the environment".to_owned())),
    }
}

fn identity(environment: &Environment) -> Option<WebIdentity> {
    Some(WebIdentity {
        arn: environment.get("AWS_ROLE_ARN")?,
        token_file: environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")?,
        session: environment.get("AWS_ROLE_SESSION_NAME"),
    })
}

fn of_machine(environment: &Environment) -> Plan {
    let variables =
        ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let is_container = variables.into_iter().any(|name| environment.get(name).is_some());
    base(if is_container { Base::Container } else { Base::Instance })
}

/// `above` are the profiles that have this one as their source.
fn of_profile(
    name: &str,
    profiles: &Profiles,
    environment: &Environment,
    above: &mut Vec<String>,
) -> Result<Plan, CredentialsError> {
    if !profiles.has(name) {
        return Err(CredentialsError::NoProfile(name.to_owned()));
    }
    if above.iter().any(|known| known == name) {
        return Err(CredentialsError::Circle(name.to_owned()));
    }
    above.push(name.to_owned());
    let value = |key: &str| profiles.value(name, key);
    let Some(arn) = value("role_arn") else {
        return Ok(if let Some(keys) = own_keys(name, profiles)? {
            base(Base::Keys(keys))
        } else if ["sso_session", "sso_account_id", "sso_start_url"]
            .into_iter()
            .any(|key| value(key).is_some())
        {
            return Err(CredentialsError::Sso(name.to_owned()));
        } else if let Some(command) = value("credential_process") {
            base(Base::Process(command.to_owned()))
        } else {
            of_machine(environment)
        });
    };
    let session = value("role_session_name").map(str::to_owned);
    if let Some(token_file) = value("web_identity_token_file") {
        let (arn, token_file) = (arn.to_owned(), token_file.to_owned());
        return Ok(base(Base::WebIdentity(WebIdentity { arn, token_file, session })));
    }
    if value("mfa_serial").is_some() {
        return Err(CredentialsError::Device(name.to_owned()));
    }
    let mut plan = match (value("source_profile"), value("credential_source")) {
        (Some(source), _) if source == name => match own_keys(name, profiles)? {
            Some(keys) => base(Base::Keys(keys)),
            None => return Err(CredentialsError::Circle(name.to_owned())),
        },
        (Some(source), _) => of_profile(source, profiles, environment, above)?,
        (None, Some("Environment")) => {
            let keys = of_environment(environment)?;
            base(Base::Keys(keys.ok_or(CredentialsError::NotInEnvironment)?))
        }
        (None, Some("Ec2InstanceMetadata")) => base(Base::Instance),
        (None, Some("EcsContainer")) => base(Base::Container),
        (None, Some(found)) => {
            let (profile, found) = (name.to_owned(), found.to_owned());
            return Err(CredentialsError::UnknownSource { profile, found });
        }
        (None, None) => return Err(CredentialsError::NoSource(name.to_owned())),
    };
    let external_id = value("external_id").map(str::to_owned);
    plan.roles.push(Role { arn: arn.to_owned(), external_id, session });
    Ok(plan)
}

fn own_keys(name: &str, profiles: &Profiles) -> Result<Option<Keys>, CredentialsError> {
    let value = |key: &str| profiles.value(name, key).unwrap_or_default();
    let (access_key, secret_key) = (value("aws_access_key_id"), value("aws_secret_access_key"));
    if access_key.is_empty() && secret_key.is_empty() {
        return Ok(None);
    }
    match Keys::new(access_key, secret_key, value("aws_session_token"), None) {
        Some(keys) => Ok(Some(keys)),
        None => Err(CredentialsError::Half(format!("the profile {name:?}"))),
    }
}
