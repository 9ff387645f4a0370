//! From Eureka's XML to targets.

use quick_xml::events::BytesStart;

use crate::labels::{Labels, host_port, sanitized};
use crate::mechanism::xml::{Xml, XmlError, child, content, skip, whole};

const INSTANCE: &str = "__meta_eureka_app_instance_";

/// The port of an instance that tells none.
const DEFAULT_PORT: i64 = 80;

/// Elements of an instance that become labels as they are.
const TEXTS: [(&str, &str); 10] = [
    ("healthCheckUrl", "healthcheck_url"),
    ("homePageUrl", "homepage_url"),
    ("hostName", "hostname"),
    ("instanceId", "id"),
    ("ipAddr", "ip_addr"),
    ("secureVipAddress", "secure_vip_address"),
    ("status", "status"),
    ("statusPageUrl", "statuspage_url"),
    ("vipAddress", "vip_address"),
    ("countryId", "country_id"),
];

/// Why an answer is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplicationsError {
    #[error(transparent)]
    Xml(#[from] XmlError),
    #[error("the answer is no list of applications but a {0:?}")]
    Root(String),
    #[error("{element} is {text:?}")]
    Value { element: &'static str, text: String },
}

/// The instances of all applications.
pub(super) fn targets(text: &str) -> Result<Vec<Labels>, ApplicationsError> {
    let mut xml = whole(text);
    let root = child(&mut xml)?.ok_or(XmlError::End)?;
    // A page for those who have not logged in may be valid, too.
    if root.local_name().as_ref() != "applications" {
        return Err(ApplicationsError::Root(root.local_name().as_ref().to_owned()));
    }
    let mut targets = Vec::new();
    while let Some(element) = child(&mut xml)? {
        match element.local_name().as_ref() {
            "application" => targets.extend(application(&mut xml)?),
            _ => skip(&mut xml, &element)?,
        }
    }
    Ok(targets)
}

fn application(xml: &mut Xml<'_>) -> Result<Vec<Labels>, ApplicationsError> {
    let mut name = String::new();
    let mut targets = Vec::new();
    while let Some(element) = child(xml)? {
        match element.local_name().as_ref() {
            "name" => name = content(xml)?,
            "instance" => targets.push(instance(xml)?),
            _ => skip(xml, &element)?,
        }
    }
    for target in &mut targets {
        target.set("__meta_eureka_app_name", name.as_str());
    }
    Ok(targets)
}

fn instance(xml: &mut Xml<'_>) -> Result<Labels, ApplicationsError> {
    let mut labels = Labels::from_iter([(format!("{INSTANCE}country_id"), "0")]);
    let mut port = DEFAULT_PORT;
    while let Some(element) = child(xml)? {
        match element.local_name().as_ref() {
            "port" => port = read_port(xml, &element, "port", &mut labels)?,
            "securePort" => {
                read_port(xml, &element, "secure_port", &mut labels)?;
            }
            "dataCenterInfo" => datacenter(xml, &mut labels)?,
            "metadata" => metadata(xml, "metadata_", &mut labels)?,
            name => match TEXTS.iter().find(|(element, _)| *element == name) {
                Some(("countryId", label)) => {
                    let country = number("countryId", &content(xml)?)?;
                    labels.set(format!("{INSTANCE}{label}"), country.to_string());
                }
                Some((_, label)) => labels.set(format!("{INSTANCE}{label}"), content(xml)?),
                None => skip(xml, &element)?,
            },
        }
    }
    let host = labels.value("__meta_eureka_app_instance_hostname");
    let address = host_port(host, port);
    let id = labels.value("__meta_eureka_app_instance_id").to_owned();
    labels.set("__address__", address);
    labels.set("instance", id);
    Ok(labels)
}

fn read_port(
    xml: &mut Xml<'_>,
    element: &BytesStart<'_>,
    label: &'static str,
    labels: &mut Labels,
) -> Result<i64, ApplicationsError> {
    let enabled = element.try_get_attribute("enabled").map_err(XmlError::from)?;
    let enabled = enabled.map(|enabled| enabled.value.into_owned()).unwrap_or_default();
    let enabled = match enabled.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => "true",
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => "false",
        text => return Err(ApplicationsError::Value { element: "enabled", text: text.to_owned() }),
    };
    let port = number(label, &content(xml)?)?;
    labels.set(format!("{INSTANCE}{label}"), port.to_string());
    labels.set(format!("{INSTANCE}{label}_enabled"), enabled);
    Ok(port)
}

fn datacenter(xml: &mut Xml<'_>, labels: &mut Labels) -> Result<(), XmlError> {
    while let Some(element) = child(xml)? {
        match element.local_name().as_ref() {
            "name" => labels.set(format!("{INSTANCE}datacenterinfo_name"), content(xml)?),
            "metadata" => metadata(xml, "datacenterinfo_metadata_", labels)?,
            _ => skip(xml, &element)?,
        }
    }
    Ok(())
}

/// Whatever there is, with what is inside as it is written.
fn metadata(xml: &mut Xml<'_>, prefix: &str, labels: &mut Labels) -> Result<(), XmlError> {
    while let Some(element) = child(xml)? {
        let inside = xml.read_text(element.name()).map_err(XmlError::from)?.into_inner();
        let name = sanitized(element.local_name().as_ref());
        labels.set(format!("{INSTANCE}{prefix}{name}"), inside);
    }
    Ok(())
}

/// A whole number; nothing is 0.
fn number(element: &'static str, text: &str) -> Result<i64, ApplicationsError> {
    match text.trim() {
        "" => Ok(0),
        trimmed => {
            trimmed.parse().map_err(|_| ApplicationsError::Value { element, text: text.to_owned() })
        }
    }
}
