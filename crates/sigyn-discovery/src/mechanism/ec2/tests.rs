//! Sections that are refused, and which targets instances are.

use std::path::Path;

use super::find::filters;
use super::instances::{Around, page, zones};
use super::*;
use crate::error_chain::chain;
use crate::yaml;

fn checked(text: &str) -> Result<Config, String> {
    let written: Ec2Config = yaml::section(text).map_err(|error| error.message)?;
    Config::check(&written, Path::new("/"))
}

#[test]
fn sections_that_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(checked(text).unwrap_err(), expected);
    let empty = "EC2 SD configuration filter values cannot be empty";
    check("{filters: [{name: a, values: [b]}, {name: c}]}", empty);
    check("{bogus: 1}", "field bogus not found in type aws.plain");
    check("{filters: [{key: a}]}", "field key not found in type aws.EC2Filter");
    check(
        "{authorization: {type: Basic}}",
        r#"authorization type cannot be set to "basic", use "basic_auth" instead"#,
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = checked("{}").unwrap();
    assert_eq!((config.port, config.region.as_str(), config.endpoint.as_str()), (80, "", ""));
    assert_eq!(config.refresh_interval, Duration::from_secs(60));
    let config = checked("{access_key: A, secret_key: hidden}").unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
    let variables = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hidden".to_owned())];
    let given = Environment::Given(variables.into());
    assert!(!format!("{given:?}").contains("hidden"));
}

#[test]
fn filters_as_ec2_reads_them() {
    let config =
        checked("{filters: [{name: 'tag:env', values: [a, b]}, ~, {name: x, values: [c]}]}");
    let told: Vec<_> = filters(&config.unwrap())
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let expected = [
        "Filter.1.Name=tag:env",
        "Filter.1.Value.1=a",
        "Filter.1.Value.2=b",
        "Filter.2.Name=x",
        "Filter.2.Value.1=c",
    ];
    assert_eq!(told, expected);
}

const ZONES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <availabilityZoneInfo>
    <item><zoneName>eu-central-1a</zoneName><zoneState>available</zoneState>
      <zoneId>euc1-az2</zoneId><messageSet/></item>
    <item><zoneName>eu-central-1b</zoneName></item>
  </availabilityZoneInfo>
</DescribeAvailabilityZonesResponse>"#;

fn answer(instances: &str) -> String {
    format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <reservationSet><item><reservationId>r-1</reservationId>\
         <groupSet><item><groupId>g</groupId></item></groupSet>\
         <instancesSet>{instances}</instancesSet><ownerId>1234</ownerId></item></reservationSet>\
         </DescribeInstancesResponse>"
    )
}

#[track_caller]
fn check(instances: &str, expected: &[&str]) {
    let zones = zones(ZONES).unwrap();
    let around = Around { region: "eu-central-1", port: 8080, zones: Some(&zones) };
    let page = page(&answer(instances), around).unwrap();
    let told: Vec<_> =
        page.targets.iter().map(|labels| labels.to_string().replace("__meta_ec2_", "~")).collect();
    assert_eq!(told, expected);
}

#[test]
fn an_instance_with_all_that_there_can_be() {
    check(
        "<item>
          <instanceId>i-1</instanceId><imageId>ami-1</imageId>
          <instanceState><code>16</code><name>running</name></instanceState>
          <privateDnsName>ip-1.internal</privateDnsName><dnsName>cart.localhost</dnsName>
          <reason/><keyName>k</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>
          <instanceType>m7g.large</instanceType><launchTime>2026-01-01T00:00:00.000Z</launchTime>
          <placement><availabilityZone>eu-central-1a</availabilityZone><tenancy>default</tenancy></placement>
          <monitoring><state>disabled</state></monitoring>
          <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>
          <privateIpAddress>127.0.1.2</privateIpAddress><ipAddress>127.0.0.2</ipAddress>
          <architecture>arm64</architecture><platform>windows</platform>
          <instanceLifecycle>spot</instanceLifecycle>
          <tagSet>
            <item><key>Name</key><value>cart &amp; more</value></item>
            <item><key>com.shop/tier</key><value>web</value></item>
            <item><key>empty</key><value/></item>
            <item><key>lost</key></item>
          </tagSet>
          <networkInterfaceSet>
            <item><subnetId>subnet-1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment>
              <ipv6AddressesSet><item><ipv6Address>::1</ipv6Address></item></ipv6AddressesSet></item>
            <item><subnetId>subnet-2</subnetId><attachment><deviceIndex>2</deviceIndex></attachment>
              <ipv6AddressesSet>
                <item><ipv6Address>::2</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item>
                <item><ipv6Address>::3</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item>
              </ipv6AddressesSet></item>
            <item><subnetId>subnet-1</subnetId></item>
            <item><ipv6AddressesSet><item><ipv6Address>::9</ipv6Address></item></ipv6AddressesSet></item>
          </networkInterfaceSet>
        </item>",
        &[concat!(
            r#"{__address__="127.0.1.2:8080", ~ami="ami-1", ~architecture="arm64", "#,
            r#"~availability_zone="eu-central-1a", ~availability_zone_id="euc1-az2", "#,
            r#"~default_ipv6_address="::2", ~instance_id="i-1", ~instance_lifecycle="spot", "#,
            r#"~instance_state="running", ~instance_type="m7g.large", ~ipv6_addresses=",::1,::2,::3,", "#,
            r#"~owner_id="1234", ~platform="windows", ~primary_ipv6_addresses=",,,::2,", "#,
            r#"~primary_subnet_id="subnet-1", ~private_dns_name="ip-1.internal", "#,
            r#"~private_ip="127.0.1.2", ~public_dns_name="cart.localhost", ~public_ip="127.0.0.2", "#,
            r#"~region="eu-central-1", ~subnet_id=",subnet-1,subnet-2,", ~tag_Name="cart & more", "#,
            r#"~tag_com_shop_tier="web", ~vpc_id="vpc-1"}"#,
        )],
    );
}

#[test]
fn where_instances_are_that_have_less() {
    // Without a network of its own, subnets and IPv6 do not count; without a public address its
    // name does not.
    let ipv6 = "<networkInterfaceSet><item><subnetId>s</subnetId><ipv6AddressesSet><item>\
                <ipv6Address>::1</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet>";
    check(
        &format!(
            "<item><instanceId>i-1</instanceId><dnsName>x</dnsName><subnetId>s</subnetId>\
             <privateIpAddress>127.0.1.2</privateIpAddress>{ipv6}\
             <placement><availabilityZone>eu-central-1b</availabilityZone></placement></item>\
             <item><instanceId>i-2</instanceId>{ipv6}</item>\
             <item><instanceId>i-3</instanceId><vpcId>v</vpcId>{ipv6}</item>\
             <item><instanceId>i-4</instanceId><vpcId>v</vpcId>\
             <privateIpAddress>127.0.1.4</privateIpAddress></item>"
        ),
        &[
            concat!(
                r#"{__address__="127.0.1.2:8080", ~availability_zone="eu-central-1b", "#,
                r#"~instance_id="i-1", ~owner_id="1234", ~private_ip="127.0.1.2", "#,
                r#"~region="eu-central-1"}"#,
            ),
            concat!(
                r#"{__address__="[::1]:8080", ~default_ipv6_address="::1", ~instance_id="i-3", "#,
                r#"~ipv6_addresses=",::1,", ~owner_id="1234", ~region="eu-central-1", "#,
                r#"~subnet_id=",s,", ~vpc_id="v"}"#,
            ),
            concat!(
                r#"{__address__="127.0.1.4:8080", ~instance_id="i-4", ~owner_id="1234", "#,
                r#"~private_ip="127.0.1.4", ~region="eu-central-1", ~subnet_id=",,", ~vpc_id="v"}"#,
            ),
        ],
    );
    check("", &[]);
    // A device that nobody can have takes no room.
    let device = "<item><subnetId>s</subnetId><attachment><deviceIndex>4000000000</deviceIndex></attachment>\
                  <ipv6AddressesSet><item><ipv6Address>::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6>\
                  </item></ipv6AddressesSet></item>";
    check(
        &format!(
            "<item><vpcId>v</vpcId><networkInterfaceSet>{device}</networkInterfaceSet></item>"
        ),
        &[concat!(
            r#"{__address__="[::1]:8080", ~default_ipv6_address="::1", ~ipv6_addresses=",::1,", "#,
            r#"~owner_id="1234", ~region="eu-central-1", ~subnet_id=",s,", ~vpc_id="v"}"#,
        )],
    );
}

#[test]
fn answers_that_are_refused() {
    let around = Around { region: "r", port: 80, zones: None };
    let check = |text: &str, expected: &str| {
        let told = chain(&page(text, around).unwrap_err());
        assert!(told.starts_with(expected), "{text}: {told}");
    };
    check("", "the answer ends too early");
    check("[]", "the answer ends too early");
    check("<html/>", "the answer is no DescribeInstancesResponse but a \"html\"");
    check("<DescribeInstancesResponse/>", "the answer has no reservationSet");
    check("<DescribeInstancesResponse><reservationSet><item>", "the answer ends too early");
    let half = answer("<item><instanceId>i-1</instanceId>").replace("</instancesSet>", "");
    check(&half, "the answer is not valid XML");
    let more = answer("").replace("</reservationSet>", "</reservationSet><nextToken>n</nextToken>");
    assert_eq!(page(&more, around).unwrap().next, "n");
}
