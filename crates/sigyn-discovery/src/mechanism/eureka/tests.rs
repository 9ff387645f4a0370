//! Sections that are refused, and answers read whole or not at all.

use std::path::Path;

use super::applications::targets;
use super::*;
use crate::error_chain::chain;
use crate::yaml;

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| {
        let written: Result<EurekaConfig, _> = yaml::section(text);
        let checked = written
            .map_err(|error| error.message)
            .and_then(|written| Config::check(&written, Path::new("/")));
        assert_eq!(checked.unwrap_err(), expected);
    };
    check("{}", "eureka_sd: empty or null eureka server");
    check("{server: ~}", "eureka_sd: empty or null eureka server");
    check("{server: 127.0.0.1}", "eureka_sd: invalid eureka server URL");
    check("{server: 'ftp://a'}", r#""ftp://a": unsupported protocol scheme "ftp""#);
    check("{server: 'http://'}", "eureka_sd: invalid eureka server URL");
    check("{server: 'http://127.0.0.1/', bogus: 1}", "field bogus not found in type eureka.plain");
    let written: EurekaConfig = yaml::section("{server: 'http://127.0.0.1/eureka'}").unwrap();
    let config = Config::check(&written, Path::new("/")).unwrap();
    assert_eq!(config.refresh_interval, Duration::from_secs(30));
}

fn read(text: &str) -> Result<Vec<String>, String> {
    let told = targets(text).map_err(|error| chain(&error))?;
    Ok(told.iter().map(ToString::to_string).collect())
}

#[test]
fn instances_of_applications() {
    let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<applications>
  <versions__delta>1</versions__delta>
  <apps__hashcode/>
  <application>
    <name>CART</name>
    <instance>
      <instanceId>127.0.0.2:cart:8080</instanceId>
      <hostName>127.0.0.2</hostName>
      <app>CART</app>
      <ipAddr>127.0.0.2</ipAddr>
      <status>UP</status>
      <overriddenstatus>UNKNOWN</overriddenstatus>
      <port enabled="true"> 8080 </port>
      <securePort enabled="false">443</securePort>
      <countryId>1</countryId>
      <dataCenterInfo class="a.b$C">
        <name>Amazon</name>
        <metadata><instance-id>i-7</instance-id></metadata>
      </dataCenterInfo>
      <leaseInfo><name>not the application's</name></leaseInfo>
      <metadata>
        <management.port>8090</management.port>
        <deep><a>1 &amp; 2</a></deep>
        <empty/>
      </metadata>
      <homePageUrl>http://127.0.0.2/?a=1&amp;b=&#x32;</homePageUrl>
      <statusPageUrl><![CDATA[http://127.0.0.2/<info>]]></statusPageUrl>
      <healthCheckUrl>http://127.0.0.2/health</healthCheckUrl>
      <vipAddress>cart</vipAddress>
      <secureVipAddress>scart</secureVipAddress>
    </instance>
    <instance/>
  </application>
  <application><name>NONE</name></application>
</applications>
"#;
    let expected = [
        concat!(
            r#"{__address__="127.0.0.2:8080", __meta_eureka_app_instance_country_id="1", "#,
            r#"__meta_eureka_app_instance_datacenterinfo_metadata_instance_id="i-7", "#,
            r#"__meta_eureka_app_instance_datacenterinfo_name="Amazon", "#,
            r#"__meta_eureka_app_instance_healthcheck_url="http://127.0.0.2/health", "#,
            r#"__meta_eureka_app_instance_homepage_url="http://127.0.0.2/?a=1&b=2", "#,
            r#"__meta_eureka_app_instance_hostname="127.0.0.2", "#,
            r#"__meta_eureka_app_instance_id="127.0.0.2:cart:8080", "#,
            r#"__meta_eureka_app_instance_ip_addr="127.0.0.2", "#,
            r#"__meta_eureka_app_instance_metadata_deep="<a>1 &amp; 2</a>", "#,
            r#"__meta_eureka_app_instance_metadata_management_port="8090", "#,
            r#"__meta_eureka_app_instance_port="8080", "#,
            r#"__meta_eureka_app_instance_port_enabled="true", "#,
            r#"__meta_eureka_app_instance_secure_port="443", "#,
            r#"__meta_eureka_app_instance_secure_port_enabled="false", "#,
            r#"__meta_eureka_app_instance_secure_vip_address="scart", "#,
            r#"__meta_eureka_app_instance_status="UP", "#,
            r#"__meta_eureka_app_instance_statuspage_url="http://127.0.0.2/<info>", "#,
            r#"__meta_eureka_app_instance_vip_address="cart", __meta_eureka_app_name="CART", "#,
            r#"instance="127.0.0.2:cart:8080"}"#,
        ),
        concat!(
            r#"{__address__=":80", __meta_eureka_app_instance_country_id="0", "#,
            r#"__meta_eureka_app_name="CART"}"#,
        ),
    ];
    assert_eq!(read(text).unwrap(), expected);
    assert_eq!(read("<applications/>").unwrap(), [""; 0]);
}

#[test]
fn answers_that_are_refused() {
    let check = |text: &str, expected: &str| {
        let told = read(text).unwrap_err();
        assert!(told.starts_with(expected), "{text}: {told}");
    };
    let instance = |inside: &str| {
        format!(
            "<applications><application><instance>{inside}</instance></application></applications>"
        )
    };
    check("", "the answer ends too early");
    check("[]", "the answer ends too early");
    check("<html><body/></html>", "the answer is no list of applications but a \"html\"");
    check("<applications><application>", "the answer ends too early");
    check("<applications></application>", "the answer is not valid XML: ");
    check("<applications", "the answer is not valid XML: ");
    check(&instance("<port>x</port>"), "port is \"x\"");
    check(&instance("<port enabled='maybe'>1</port>"), "enabled is \"maybe\"");
    check(&instance("<countryId>DE</countryId>"), "countryId is \"DE\"");
    check(&instance("<hostName>&nope;</hostName>"), "unknown entity \"nope\"");
}
