//! `ec2_sd_configs` against a fake of AWS: EC2 itself, where credentials come from, and what their
//! troubles change.

use std::path::Path;
use std::time::Duration;

use sigyn_discovery::mechanism::{self, Environment};
use tokio::task::JoinSet;

use crate::fake::{Answer, Asked, Fake, Reply, Trouble};
use crate::rig::Rig;

/// More than the limit for answers.
const HUGE: usize = (64 << 20) + 1;

fn body(asked: &Asked) -> String {
    String::from_utf8(asked.body.clone()).unwrap()
}

/// What a form or an `Authorization` has for a name.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.split(['&', ',', ' ']).find_map(|pair| pair.strip_prefix(name));
    found.and_then(|rest| rest.strip_prefix('=')).unwrap_or_default()
}

/// Whose key a question is signed with.
fn signer(asked: &Asked) -> String {
    let header = asked.header("authorization").unwrap_or_default();
    field(&header, "Credential").split('/').next().unwrap_or_default().to_owned()
}

fn xml(body: String) -> Reply {
    Answer::new(200, body).with("Content-Type", "text/xml;charset=UTF-8").into()
}

fn instances(last: u8, more: &str) -> Reply {
    xml(format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item>\
         <instanceId>i-{last}</instanceId><privateIpAddress>127.0.0.{last}</privateIpAddress>\
         <placement><availabilityZone>a</availabilityZone></placement>\
         </item></instancesSet></item></reservationSet>{more}</DescribeInstancesResponse>"
    ))
}

fn refused(status: u16, code: &str) -> Reply {
    let body = format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    );
    Answer::new(status, body).into()
}

/// Keys as STS tells them, after the role that they are for.
fn role_keys(asked: &Asked) -> Reply {
    let body = body(asked);
    let role = field(&body, "RoleArn").trim_start_matches("arn%3A");
    xml(format!(
        "<R><Result><AssumedRoleUser/><Credentials><AccessKeyId>KEY-{role}</AccessKeyId>\
         <SecretAccessKey>hidden</SecretAccessKey><SessionToken>token-{role}</SessionToken>\
         <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></Result></R>"
    ))
}

/// Keys as a machine and a container tell them.
fn told_keys(name: &str) -> Reply {
    Answer::json(&format!(
        r#"{{"Code": "Success", "AccessKeyId": "KEY-{name}", "SecretAccessKey": "hidden",
            "Token": "token-{name}", "Expiration": "2999-01-01T00:00:00Z"}}"#
    ))
    .into()
}

/// All of AWS: one instance in EC2, roles for whoever has keys, and a machine with a role.
fn aws(asked: &Asked, last: u8) -> Reply {
    let is_shown = asked.header("x-aws-ec2-metadata-token").as_deref() == Some("secret-token");
    let action = body(asked);
    match (asked.method.as_str(), asked.target.as_str(), field(&action, "Action")) {
        ("POST", "/", "DescribeInstances") => instances(last, ""),
        ("POST", "/", "DescribeAvailabilityZones") => xml(
            "<DescribeAvailabilityZonesResponse><availabilityZoneInfo><item><zoneName>a</zoneName>\
             <zoneId>z1</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>"
                .to_owned(),
        ),
        ("POST", "/", "AssumeRole") if !signer(asked).is_empty() => role_keys(asked),
        ("POST", "/", "AssumeRoleWithWebIdentity")
            if field(&action, "WebIdentityToken") == "web-token" =>
        {
            role_keys(asked)
        }
        ("PUT", "/latest/api/token", _) => Answer::new(200, "secret-token").into(),
        ("GET", "/latest/meta-data/iam/security-credentials/", _) if is_shown => {
            Answer::new(200, "node\n").into()
        }
        ("GET", "/latest/meta-data/iam/security-credentials/node", _) if is_shown => {
            told_keys("node")
        }
        ("GET", "/latest/dynamic/instance-identity/document", _) if is_shown => {
            Answer::json(r#"{"region": "eu-west-1", "accountId": "1"}"#).into()
        }
        ("GET", "/keys", _) if asked.header("authorization").as_deref() == Some("pod-token") => {
            told_keys("pod")
        }
        _ => refused(400, "InvalidAction"),
    }
}

/// `keys` of the section, and variables, of which some name the fake.
fn rig(fake: &Fake, keys: &str, variables: &[(&str, &str)]) -> Rig {
    let url = format!("http://{}", fake.address());
    let text = format!(
        "scrape_configs: [{{job_name: a, ec2_sd_configs: [{{endpoint: '{url}', refresh_interval: \
         300ms{keys}}}]}}]"
    );
    let fixed = [("AWS_ENDPOINT_URL_STS", "URL"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "URL")];
    let all = fixed.iter().chain(variables);
    let all = all.map(|(name, value)| ((*name).to_owned(), value.replace("URL", &url)));
    let environment = Environment::Given(all.collect());
    Rig::edited(&text, Path::new("/"), |config| {
        if let mechanism::Config::Ec2(config) = config {
            config.environment = environment.clone();
        }
    })
}

const STATIC: &str = ", region: eu-central-1, access_key: STATIC, secret_key: hidden";

/// Waits until the one target is there.
async fn until(rig: &mut Rig, last: u8) {
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while !at(rig, last) {
        let changed = tokio::time::timeout_at(deadline, rig.groups.changed()).await;
        changed.expect("the target never came").unwrap();
    }
}

fn at(rig: &mut Rig, last: u8) -> bool {
    let targets = rig.targets("a");
    targets.len() == 1 && targets[0].starts_with(&format!("127.0.0.{last}:80 "))
}

/// Waits until an answer more has failed.
async fn until_failed(rig: &Rig) {
    rig.until_counted(|now| {
        now.refreshes.get("ec2").is_some_and(|refreshes| refreshes.failures_total > 0)
    })
    .await;
}

#[tokio::test]
async fn ec2_is_asked_as_aws_wants_it() {
    let fake = Fake::start(|asked| aws(asked, 2)).await;
    let filters = ", filters: [{name: 'tag:env', values: [a b, c]}], port: 80";
    let mut rig = rig(&fake, &format!("{STATIC}{filters}"), &[]);
    let expected = concat!(
        r#"127.0.0.2:80 {__meta_ec2_availability_zone="a", __meta_ec2_availability_zone_id="z1", "#,
        r#"__meta_ec2_instance_id="i-2", __meta_ec2_private_ip="127.0.0.2", "#,
        r#"__meta_ec2_region="eu-central-1"}"#,
    );
    rig.until(&[expected]).await;
    let asked = fake.asked();
    assert_eq!(body(&asked[0]), "Action=DescribeAvailabilityZones&Version=2016-11-15");
    let expected = "Action=DescribeInstances&Filter.1.Name=tag%3Aenv&Filter.1.Value.1=a+b\
                    &Filter.1.Value.2=c&Version=2016-11-15";
    assert_eq!(body(&asked[1]), expected);
    let header = |name| asked[1].header(name).unwrap_or_default();
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(header("host"), fake.address().to_string());
    let authorization = header("authorization");
    let credential = field(&authorization, "Credential");
    assert!(credential.starts_with("STATIC/"), "{credential}");
    assert!(credential.ends_with("/eu-central-1/ec2/aws4_request"), "{credential}");
    let signed = "SignedHeaders=content-type;host;x-amz-date, Signature=";
    assert!(authorization.contains(signed), "{authorization}");
    assert!(header("user-agent").starts_with("Sigyn/"));
    // The key itself never leaves.
    assert!(!format!("{asked:?}").contains("hidden"));
    rig.stop().await;
}

#[tokio::test]
async fn keys_are_found_where_awss_own_tools_look() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let token = file("token", "web-token\n");
    let pod_token = file("pod-token", "pod-token\n");
    let config = file(
        "config",
        &format!(
            "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = hidden\n\
             [profile ops]\nrole_arn = arn:ops\nsource_profile = base\nexternal_id = x\n\
             [profile web]\nrole_arn = arn:web\nweb_identity_token_file = {token}\n\
             [profile tool]\ncredential_process = echo '{}'\n",
            r#"{"Version": 1, "AccessKeyId": "TOOL", "SecretAccessKey": "hidden"}"#
        ),
    );
    let in_config = ("AWS_CONFIG_FILE", config.as_str());
    let check = async |keys: &str, variables: &[(&str, &str)], expected: (&str, &str)| {
        let fake = Fake::start(|asked| aws(asked, 2)).await;
        let mut rig = rig(&fake, &format!(", region: r{keys}"), variables);
        until(&mut rig, 2).await;
        let asked = fake.asked();
        let last = asked.last().unwrap();
        assert_eq!(field(&body(last), "Action"), "DescribeInstances");
        let token = last.header("x-amz-security-token").unwrap_or_default();
        assert_eq!((signer(last).as_str(), token.as_str()), expected, "{keys} {variables:?}");
        assert!(!format!("{asked:?}").contains("hidden"));
        rig.stop().await;
        asked
    };
    let environment = [
        ("AWS_ACCESS_KEY_ID", "ENV"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_SESSION_TOKEN", "t"),
    ];
    check("", &environment, ("ENV", "t")).await;
    check(", role_arn: 'arn:x', external_id: me", &environment, ("KEY-x", "token-x")).await;
    let web = [("AWS_ROLE_ARN", "arn:pod"), ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str())];
    let asked = check("", &web, ("KEY-pod", "token-pod")).await;
    assert_eq!(signer(&asked[0]), "", "a token is not signed for");
    check(", profile: base", &[in_config], ("BASE", "")).await;
    check(", profile: web", &[in_config], ("KEY-web", "token-web")).await;
    check(", profile: tool", &[in_config], ("TOOL", "")).await;
    check("", &[in_config, ("AWS_PROFILE", "base")], ("BASE", "")).await;
    let asked =
        check(", profile: ops, role_arn: 'arn:more'", &[in_config], ("KEY-more", "token-more"))
            .await;
    let roles: Vec<_> = asked[..2].iter().map(|asked| (signer(asked), body(asked))).collect();
    assert_eq!(roles[0].0, "BASE");
    assert_eq!(field(&roles[0].1, "ExternalId"), "x");
    assert!(field(&roles[0].1, "RoleSessionName").starts_with("sigyn-"));
    assert_eq!(roles[1].0, "KEY-ops");
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "URL/keys"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod_token.as_str()),
    ];
    check("", &container, ("KEY-pod", "token-pod")).await;
    check("", &[], ("KEY-node", "token-node")).await;
}

#[tokio::test]
async fn the_region_is_where_the_machine_is_if_nobody_says() {
    let fake = Fake::start(|asked| aws(asked, 2)).await;
    let mut rig = rig(&fake, ", access_key: A, secret_key: hidden", &[]);
    until(&mut rig, 2).await;
    assert!(rig.targets("a")[0].contains(r#"__meta_ec2_region="eu-west-1""#));
    rig.stop().await;
    let mut rig = self::rig(
        &fake,
        ", access_key: A, secret_key: hidden",
        &[("AWS_DEFAULT_REGION", "r"), ("AWS_EC2_METADATA_DISABLED", "true")],
    );
    until(&mut rig, 2).await;
    assert!(rig.targets("a")[0].contains(r#"__meta_ec2_region="r""#));
    rig.stop().await;
}

#[tokio::test]
async fn the_region_is_the_first_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    std::fs::write(&config, "[default]\nregion = of-all\n[profile shop]\nregion = of-shop\n")
        .unwrap();
    let config = ("AWS_CONFIG_FILE", config.to_str().unwrap());
    let nothing = [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")];
    for (section, variables, expected) in [
        ("", vec![("AWS_REGION", "of-variable"), config], "of-variable"),
        ("", vec![config, nothing[0], nothing[1], ("AWS_PROFILE", "")], "of-all"),
        ("", vec![config, nothing[0], nothing[1], ("AWS_PROFILE", "shop")], "of-shop"),
        (", region: own", vec![("AWS_REGION", "of-variable"), config], "own"),
    ] {
        let fake = Fake::start(|asked| aws(asked, 2)).await;
        let section = format!("{section}, access_key: A, secret_key: hidden");
        let mut rig = rig(&fake, &section, &variables);
        until(&mut rig, 2).await;
        let targets = rig.targets("a");
        let told = format!("__meta_ec2_region=\"{expected}\"");
        assert!(targets[0].contains(&told), "{expected}: {targets:?}");
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_machine_that_names_no_region_is_asked_again() {
    let fake = Fake::start(|asked| match asked.target.as_str() {
        "/latest/dynamic/instance-identity/document" => Answer::json(r#"{"region": ""}"#).into(),
        _ => aws(asked, 2),
    })
    .await;
    let mut rig = rig(&fake, ", access_key: A, secret_key: hidden", &[]);
    until_failed(&rig).await;
    assert_eq!(rig.targets("a"), [""; 0]);
    fake.change(|asked| aws(asked, 2));
    until(&mut rig, 2).await;
    assert!(rig.targets("a")[0].contains(r#"__meta_ec2_region="eu-west-1""#));
    rig.stop().await;
}

#[tokio::test]
async fn keys_that_are_replaced_are_used_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    let write = |key: &str| {
        let text = format!("[default]\naws_access_key_id={key}\naws_secret_access_key=hidden\n");
        std::fs::write(&path, text).unwrap();
    };
    write("OLD");
    let fake = Fake::start(|asked| aws(asked, 2)).await;
    let file = path.display().to_string();
    let mut rig = rig(&fake, ", region: r", &[("AWS_SHARED_CREDENTIALS_FILE", &file)]);
    until(&mut rig, 2).await;
    // The old one is no longer good.
    fake.change(|asked| match signer(asked).as_str() {
        "NEW" => aws(asked, 3),
        _ => refused(401, "AuthFailure"),
    });
    until_failed(&rig).await;
    assert!(at(&mut rig, 2));
    write("NEW");
    until(&mut rig, 3).await;
    rig.stop().await;
}

#[tokio::test]
async fn zones_that_nobody_tells_are_a_label_less() {
    let fake = Fake::start(|asked| match field(&body(asked), "Action") {
        "DescribeAvailabilityZones" => refused(403, "UnauthorizedOperation"),
        _ => aws(asked, 2),
    })
    .await;
    let mut rig = rig(&fake, STATIC, &[]);
    until(&mut rig, 2).await;
    assert!(!rig.targets("a")[0].contains("zone_id"));
    // They are asked for until they are told.
    fake.change(|asked| aws(asked, 2));
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while !rig.targets("a")[0].contains(r#"zone_id="z1""#) {
        tokio::time::timeout_at(deadline, rig.groups.changed()).await.unwrap().unwrap();
    }
    rig.stop().await;
}

#[tokio::test]
async fn all_pages_are_read_unless_they_go_in_a_circle() {
    let pages = |asked: &Asked| {
        let body = body(asked);
        match (field(&body, "Action"), field(&body, "NextToken")) {
            ("DescribeInstances", "") => instances(1, "<nextToken>b+c</nextToken>"),
            ("DescribeInstances", "b%2Bc") => instances(2, "<nextToken>d</nextToken>"),
            ("DescribeInstances", "d") => instances(3, "<nextToken/>"),
            _ => aws(asked, 9),
        }
    };
    let fake = Fake::start(pages).await;
    let mut rig = rig(&fake, STATIC, &[]);
    rig.until_counted(|now| now.received_updates_total > 0).await;
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while rig.targets("a").len() != 3 {
        tokio::time::timeout_at(deadline, rig.groups.changed()).await.unwrap().unwrap();
    }
    fake.change(|asked| match field(&body(asked), "Action") {
        "DescribeInstances" => instances(1, "<nextToken>b</nextToken>"),
        _ => aws(asked, 9),
    });
    until_failed(&rig).await;
    assert_eq!(rig.targets("a").len(), 3);
    fake.change(|asked| aws(asked, 4));
    until(&mut rig, 4).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_trouble_all_stays_as_it_is_until_it_is_over() {
    let mut tests = JoinSet::new();
    for trouble in Trouble::all(Duration::from_millis(300), HUGE) {
        tests.spawn(async move {
            let fake = Fake::start(|asked| aws(asked, 2)).await;
            let mut rig = rig(&fake, STATIC, &[]);
            until(&mut rig, 2).await;
            fake.change(move |_| Reply::Trouble(trouble));
            until_failed(&rig).await;
            assert!(at(&mut rig, 2), "{trouble:?}");
            fake.change(|asked| aws(asked, 3));
            until(&mut rig, 3).await;
            rig.stop().await;
        });
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}

/// Whoever has the credentials may be in trouble, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_credentials_are_in_trouble_there_is_nothing_until_it_is_over() {
    let mut tests = JoinSet::new();
    for trouble in Trouble::all(Duration::from_millis(300), 10_000) {
        for place in ["/latest/api/token", "/latest/meta-data/iam/security-credentials/node", "/"] {
            // Whatever is not empty is a token, and what looks like a good answer of some other
            // kind is none of these.
            let is_fine = place.ends_with("token")
                && matches!(
                    trouble,
                    Trouble::WrongType
                        | Trouble::Huge(_)
                        | Trouble::Malformed
                        | Trouble::Null
                        | Trouble::Foreign
                );
            if is_fine {
                continue;
            }
            tests.spawn(async move {
                let fake = Fake::start(move |asked| {
                    let is_role = place != "/" || field(&body(asked), "Action") == "AssumeRole";
                    if asked.target == place && is_role {
                        return Reply::Trouble(trouble);
                    }
                    aws(asked, 2)
                })
                .await;
                let mut rig = rig(&fake, ", region: r, role_arn: 'arn:x'", &[]);
                until_failed(&rig).await;
                assert_eq!(rig.targets("a"), [""; 0], "{place} {trouble:?}");
                fake.change(|asked| aws(asked, 3));
                until(&mut rig, 3).await;
                rig.stop().await;
            });
        }
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap();
    }
}
