//! Keys that the machine itself has, or the container that this runs in.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use url::{Host, Url};

use super::{CredentialsError, Keys};
use crate::mechanism::Environment;
use crate::mechanism::ask::Asker;

const INSTANCE: &str = "machine";
const CONTAINER: &str = "container";
/// As long as a token for metadata may hold.
const TOKEN_SECONDS: &str = "21600";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";

/// What the machine's metadata say of it.
#[derive(Deserialize)]
struct Document {
    region: String,
}

/// The keys of the machine's role.
pub(super) async fn of_instance(
    asker: &Asker,
    environment: &Environment,
) -> Result<Keys, CredentialsError> {
    let metadata = Metadata::open(asker, environment).await?;
    let roles = metadata.get(ROLES).await?;
    let roles = String::from_utf8_lossy(&roles);
    let role = roles.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(CredentialsError::Answer("the machine"));
    }
    Keys::told(&metadata.get(&format!("{ROLES}{role}")).await?, "the machine")
}

/// The region that the machine is in.
pub(super) async fn region(
    asker: &Asker,
    environment: &Environment,
) -> Result<String, CredentialsError> {
    let metadata = Metadata::open(asker, environment).await?;
    let document = serde_json::from_slice(&metadata.get(DOCUMENT).await?);
    let document: Document = document.map_err(|_| CredentialsError::Answer("the machine"))?;
    if document.region.is_empty() {
        return Err(CredentialsError::Answer("the machine"));
    }
    Ok(document.region)
}

/// The machine's metadata, and what to show to read them.
struct Metadata<'a> {
    asker: &'a Asker,
    base: Url,
    token: HeaderValue,
}

impl<'a> Metadata<'a> {
    async fn open(asker: &'a Asker, environment: &Environment) -> Result<Self, CredentialsError> {
        let is = |name: &str, value: &str| {
            environment.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
        };
        if is("AWS_EC2_METADATA_DISABLED", "true") {
            return Err(CredentialsError::Disabled);
        }
        let usual = if is("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6") {
            "http://[fd00:ec2::254]"
        } else {
            "http://169.254.169.254"
        };
        let base = environment.get(ENDPOINT).unwrap_or_else(|| usual.to_owned());
        let base: Url = base.parse().map_err(|_| CredentialsError::Variable(ENDPOINT))?;
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::PUT;
        request.headers_mut().insert(
            HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"),
            HeaderValue::from_static(TOKEN_SECONDS),
        );
        let token = answer(asker, &at(&base, "/latest/api/token"), request, INSTANCE).await?;
        let token = HeaderValue::from_maybe_shared(token);
        let mut token = token.map_err(|_| CredentialsError::Answer("the machine"))?;
        token.set_sensitive(true);
        Ok(Self { asker, base, token })
    }

    async fn get(&self, path: &str) -> Result<Bytes, CredentialsError> {
        let mut request = Request::new(Bytes::new());
        request.headers_mut().insert("x-aws-ec2-metadata-token", self.token.clone());
        answer(self.asker, &at(&self.base, path), request, INSTANCE).await
    }
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url
}

/// The body of an answer with status 200.
async fn answer(
    asker: &Asker,
    url: &Url,
    request: Request<Bytes>,
    of: &'static str,
) -> Result<Bytes, CredentialsError> {
    let (head, body) =
        asker.send(url, request).await.map_err(|source| CredentialsError::Machine(of, source))?;
    match head.status {
        StatusCode::OK => Ok(body),
        status => Err(CredentialsError::MachineStatus { of, status }),
    }
}

/// The keys of the container's role.
pub(super) async fn of_container(
    asker: &Asker,
    environment: &Environment,
) -> Result<Keys, CredentialsError> {
    let (text, variable) = match (environment.get(RELATIVE), environment.get(FULL)) {
        (Some(path), _) => (format!("http://169.254.170.2{path}"), RELATIVE),
        (None, Some(url)) => (url, FULL),
        (None, None) => return Err(CredentialsError::Variable(FULL)),
    };
    let url: Url = text.parse().map_err(|_| CredentialsError::Variable(variable))?;
    if !is_near(&url) {
        return Err(CredentialsError::FarAway);
    }
    let mut request = Request::new(Bytes::new());
    if let Some(token) = container_token(environment).await? {
        let token = HeaderValue::try_from(token.trim());
        let mut token =
            token.map_err(|_| CredentialsError::Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"))?;
        token.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    Keys::told(&answer(asker, &url, request, CONTAINER).await?, "the container's server")
}

/// What the container's server wants to see, read anew each time.
async fn container_token(environment: &Environment) -> Result<Option<String>, CredentialsError> {
    let Some(path) = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") else {
        return Ok(environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    };
    super::roles::read(&path).await.map(Some)
}

/// Whether keys may come from there: over TLS, or from next to us.
fn is_near(url: &Url) -> bool {
    const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Ipv4(address)) if address.is_loopback() => true,
            Some(Host::Ipv6(address)) if address.is_loopback() => true,
            Some(Host::Domain("localhost")) => true,
            _ => url.host_str().is_some_and(|host| AGENTS.contains(&host)),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_tell_keys() {
        for near in [
            "http://127.0.0.3/x",
            "http://[::1]:80/",
            "http://localhost/",
            "http://169.254.170.2/v2",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/",
            "https://keys.test/",
        ] {
            assert!(is_near(&near.parse().unwrap()), "{near}");
        }
        for far in ["http://keys.test/", "http://10.0.0.1/", "http://169.254.169.254/"] {
            assert!(!is_near(&far.parse().unwrap()), "{far}");
        }
    }
}
