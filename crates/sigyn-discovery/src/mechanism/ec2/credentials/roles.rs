//! Taking on roles: keys that AWS gives for others, or for a token.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task;
use url::Url;

use super::plan::{Role, WebIdentity};
use super::{CredentialsError, Keys};
use crate::http::Secret;
use crate::mechanism::Environment;
use crate::mechanism::ask::Asker;
use crate::mechanism::ec2::api::{ApiError, Service, domain};
use crate::mechanism::ec2::instances::texts;
use crate::mechanism::xml::{XmlError, find, whole};

const VERSION: &str = "2011-06-15";

/// Keys for keys.
pub(super) async fn with_keys(
    asker: &Asker,
    environment: &Environment,
    region: &str,
    role: &Role,
    keys: &Keys,
) -> Result<Keys, CredentialsError> {
    let session = role.session.clone().unwrap_or_else(session);
    let mut parameters = vec![
        ("Action", "AssumeRole"),
        ("RoleArn", role.arn.as_str()),
        ("RoleSessionName", session.as_str()),
    ];
    parameters.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
    let service = service(environment, region)?;
    let answer = service.ask(asker, Some(keys), &parameters, &[]).await;
    read_keys(answer, &role.arn)
}

/// Keys for a token.
pub(super) async fn with_web_identity(
    asker: &Asker,
    environment: &Environment,
    region: &str,
    identity: &WebIdentity,
) -> Result<Keys, CredentialsError> {
    let token = Secret::from(read(&identity.token_file).await?.trim());
    let session = identity.session.clone().unwrap_or_else(session);
    let parameters = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("RoleArn", identity.arn.as_str()),
        ("RoleSessionName", session.as_str()),
        ("WebIdentityToken", token.reveal()),
    ];
    let service = service(environment, region)?;
    let answer = service.ask(asker, None, &parameters, &[&token]).await;
    read_keys(answer, &identity.arn)
}

fn service<'a>(
    environment: &Environment,
    region: &'a str,
) -> Result<Service<'a>, CredentialsError> {
    let variables = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
    let named = variables.into_iter().find_map(|name| environment.get(name).map(|url| (url, name)));
    let (url, name) = named
        .unwrap_or_else(|| (format!("https://sts.{region}.{}/", domain(region)), "the region"));
    let url: Url = url.parse().map_err(|_| CredentialsError::Variable(name))?;
    Ok(Service { name: "sts", version: VERSION, region, url })
}

fn read_keys(answer: Result<String, ApiError>, arn: &str) -> Result<Keys, CredentialsError> {
    let answer = answer.map_err(|source| CredentialsError::Role {
        arn: arn.to_owned(),
        source: Box::new(source),
    })?;
    let told = || -> Result<_, XmlError> {
        let mut xml = whole(&answer);
        find(&mut xml, "Credentials")?;
        texts(&mut xml, ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"])
    };
    let keys = told().ok().and_then(|[access_key, secret_key, token, until]| {
        Keys::new(&access_key?, &secret_key?, &token?, until.as_deref())
    });
    keys.ok_or(CredentialsError::Answer("the role's server"))
}

/// A name for what is done with the keys, where nobody has given one.
fn session() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("sigyn-{}", now.as_millis())
}

/// Reads a small file.
pub(super) async fn read(path: &str) -> Result<String, CredentialsError> {
    let file = std::path::PathBuf::from(path);
    let wrong = |source| CredentialsError::File { path: path.into(), source };
    let read = task::spawn_blocking(move || std::fs::read_to_string(file)).await;
    // Only the runtime's end gets in the way, and then nobody waits for keys.
    read.map_err(|error| wrong(std::io::Error::other(error)))?.map_err(wrong)
}
