//! Which place is asked for keys.

use super::plan::{Role, WebIdentity};
use super::*;
use crate::mechanism::{Environment, Mechanism as _};
use crate::yaml;

const CONFIG: &str = "
[default]
[profile keys]
aws_access_key_id = A
aws_secret_access_key = hidden
aws_session_token = t
[profile half]
aws_access_key_id = A
[profile role]
role_arn = arn:role
source_profile = keys
external_id = x
role_session_name = me
[profile roles]
role_arn = arn:roles
source_profile = role
[profile self]
role_arn = arn:self
source_profile = self
aws_access_key_id = B
aws_secret_access_key = hidden
[profile round]
role_arn = arn:round
source_profile = about
[profile about]
role_arn = arn:about
source_profile = round
[profile alone]
role_arn = arn:alone
[profile machine]
role_arn = arn:machine
credential_source = Ec2InstanceMetadata
[profile container]
role_arn = arn:container
credential_source = EcsContainer
[profile environment]
role_arn = arn:environment
credential_source = Environment
[profile odd]
role_arn = arn:odd
credential_source = Magic
[profile token]
role_arn = arn:token
web_identity_token_file = /token
[profile device]
role_arn = arn:device
source_profile = keys
mfa_serial = 1
[profile sso]
sso_session = my
sso_account_id = 1
[profile process]
credential_process = /bin/keys --now
";

/// The plan of a section, with these variables, or why there is none.
fn plan_of(section: &str, variables: &[(&str, &str)]) -> Result<(Base, Vec<Role>), String> {
    let written = yaml::section(section).unwrap();
    let mut config = Config::check(&written, "/".as_ref()).unwrap();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    config.environment = Environment::Given(variables.iter().map(owned).collect());
    let plan = plan(&config, &Profiles::parse(CONFIG, ""));
    plan.map(|plan| (plan.base, plan.roles)).map_err(|error| error.to_string())
}

fn keys(access_key: &str, token: &str) -> Base {
    Base::Keys(Keys::new(access_key, "hidden", token, None).unwrap())
}

fn role(arn: &str) -> Role {
    Role { arn: arn.to_owned(), external_id: None, session: None }
}

const IN_ENVIRONMENT: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "hidden")];

#[test]
fn places_in_their_order() {
    let check = |section: &str, variables: &[(&str, &str)], base: Base, roles: &[&str]| {
        let roles = roles.iter().map(|arn| role(arn)).collect();
        assert_eq!(plan_of(section, variables), Ok((base, roles)), "{section}");
    };
    let own = "{access_key: S, secret_key: hidden, profile: keys}";
    check(own, &IN_ENVIRONMENT, keys("S", ""), &[]);
    check("{profile: keys}", &IN_ENVIRONMENT, keys("A", "t"), &[]);
    check("{}", &IN_ENVIRONMENT, keys("E", ""), &[]);
    check("{role_arn: 'arn:x'}", &IN_ENVIRONMENT, keys("E", ""), &["arn:x"]);
    let token = WebIdentity {
        arn: "arn:w".to_owned(),
        token_file: "/t".to_owned(),
        session: Some("me".to_owned()),
    };
    let variables = [
        ("AWS_ROLE_ARN", "arn:w"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
        ("AWS_ROLE_SESSION_NAME", "me"),
        ("AWS_PROFILE", "keys"),
    ];
    check("{}", &variables, Base::WebIdentity(token), &[]);
    check("{}", &[("AWS_PROFILE", "keys")], keys("A", "t"), &[]);
    check("{}", &[], Base::Instance, &[]);
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    check("{}", &[relative], Base::Container, &[]);
    check("{}", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x")], Base::Container, &[]);
}

#[test]
fn profiles_and_what_they_lead_to() {
    let named = |profile: &str| plan_of(&format!("{{profile: {profile}}}"), &IN_ENVIRONMENT);
    let check = |profile: &str, base: Base, roles: Vec<Role>| {
        assert_eq!(named(profile), Ok((base, roles)), "{profile}");
    };
    let first = || Role {
        external_id: Some("x".to_owned()),
        session: Some("me".to_owned()),
        ..role("arn:role")
    };
    check("role", keys("A", "t"), vec![first()]);
    check("roles", keys("A", "t"), vec![first(), role("arn:roles")]);
    check("self", keys("B", ""), vec![role("arn:self")]);
    check("machine", Base::Instance, vec![role("arn:machine")]);
    check("container", Base::Container, vec![role("arn:container")]);
    check("environment", keys("E", ""), vec![role("arn:environment")]);
    let token =
        WebIdentity { arn: "arn:token".to_owned(), token_file: "/token".to_owned(), session: None };
    check("token", Base::WebIdentity(token), vec![]);
    check("process", Base::Process("/bin/keys --now".to_owned()), vec![]);
    let refused = |profile: &str, expected: &str| {
        assert_eq!(named(profile).unwrap_err(), expected);
    };
    refused("gone", "failed to get shared config profile, gone");
    refused("half", "the profile \"half\" has one half of a key only");
    refused("round", "the profile \"round\" is its own source, by way of others");
    refused("odd", "the profile \"odd\" has the credential_source \"Magic\", which is unknown");
    refused(
        "device",
        "the profile \"device\" wants a code of a device, which nobody is there to type",
    );
    assert!(
        named("alone").unwrap_err().starts_with("the profile \"alone\" has a role_arn, and no")
    );
    let sso = named("sso").unwrap_err();
    assert!(sso.contains("from SSO, which Sigyn does not speak"), "{sso}");
    let refused = plan_of("{profile: environment}", &[]).unwrap_err();
    assert_eq!(refused, "there are no keys in the environment");
    let refused = plan_of("{access_key: a}", &[]).unwrap_err();
    assert_eq!(refused, "the section has one half of a key only");
    let refused = plan_of("{}", &IN_ENVIRONMENT[..1]).unwrap_err();
    assert_eq!(refused, "the environment has one half of a key only");
}

#[test]
fn keys_that_are_told() {
    let check = |text: &str, expected: Option<(&str, bool)>| {
        let told = Keys::told(text.as_bytes(), "somebody");
        let shown = told.as_ref().map(|keys| (keys.token.reveal(), keys.hold())).ok();
        assert_eq!(shown, expected, "{text}");
        assert!(!format!("{told:?}").contains("hidden"), "{told:?}");
    };
    let with = |more: &str| {
        format!(r#"{{"Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "hidden"{more}}}"#)
    };
    check(&with(""), Some(("", true)));
    let token = r#", "Token": "t", "Expiration": "2999-01-01T00:00:00Z""#;
    check(&with(token), Some(("t", true)));
    let token = r#", "SessionToken": "t", "Expiration": "2019-01-01T00:00:00Z""#;
    check(&with(token), Some(("t", false)));
    check(&with(r#", "Expiration": "hidden""#), None);
    check(r#"{"AccessKeyId": "A", "SecretAccessKey": ""}"#, None);
    check(r#"{"AccessKeyId": "A", "SecretAccessKey": ["hidden"]}"#, None);
    check("hidden", None);
}

#[tokio::test]
async fn a_program_tells_keys() {
    let told = process::run(
        r#"printf '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "%s"}' hidden"#,
    );
    assert_eq!(told.await.unwrap(), Keys::new("A", "hidden", "", None).unwrap());
    let check = |command: &'static str, expected: &'static str| async move {
        let error = process::run(command).await.unwrap_err();
        assert_eq!(error.to_string(), expected, "{command}");
    };
    check("exit 3", "credential_process failed (exit status: 3)").await;
    check("echo hidden >&2; exit 1", "credential_process failed (exit status: 1)").await;
    check("echo hidden", "credential_process did not answer with credentials").await;
    check(
        r#"echo '{"Version": 2, "AccessKeyId": "A", "SecretAccessKey": "x"}'"#,
        "credential_process did not answer with credentials",
    )
    .await;
}
