//! From what Consul knows of a service to a target group.

use super::api::{Check, Instance};
use crate::group::TargetGroup;
use crate::labels::{Labels, host_port, sanitized};

const PREFIX: &str = "__meta_consul_";

/// The group of one service. `separator` stands between tags, and at both ends, so that a rule's
/// expression need not know where in the list a tag is.
pub(super) fn group(
    service: &str,
    datacenter: &str,
    separator: &str,
    instances: &[Instance],
) -> TargetGroup {
    TargetGroup {
        source: service.to_owned(),
        labels: Labels::from_iter([
            (format!("{PREFIX}service"), service),
            (format!("{PREFIX}dc"), datacenter),
        ]),
        targets: instances.iter().map(|instance| target(instance, separator)).collect(),
    }
}

fn target(instance: &Instance, separator: &str) -> Labels {
    let (node, service) = (&instance.node, &instance.service);
    // A service that another node has registered says itself where it is.
    let host = if service.address.is_empty() { &node.address } else { &service.address };
    let port = service.port.to_string();
    let tags = format!("{separator}{}{separator}", service.tags.join(separator));
    let mut labels = Labels::from_iter([("__address__", host_port(host, &port))]);
    let own = [
        ("address", node.address.as_str()),
        ("node", &node.node),
        ("namespace", &service.namespace),
        ("partition", &service.partition),
        ("tags", &tags),
        ("service_address", &service.address),
        ("service_port", &port),
        ("service_id", &service.id),
        ("health", health(&instance.checks)),
    ];
    labels.extend(own.map(|(name, value)| (format!("{PREFIX}{name}"), value)));
    let named = [
        ("metadata", &node.meta),
        ("service_metadata", &service.meta),
        ("tagged_address", &node.tagged_addresses),
    ];
    for (kind, pairs) in named {
        for (name, value) in pairs {
            labels.set(format!("{PREFIX}{kind}_{}", sanitized(name)), value);
        }
    }
    labels
}

/// The worst of all checks, as Consul's own tools sum them up.
fn health(checks: &[Check]) -> &'static str {
    let mut worst = 0;
    for check in checks {
        let rank = match check.status.as_str() {
            _ if check.id == "_node_maintenance"
                || check.id.starts_with("_service_maintenance:") =>
            {
                3
            }
            "passing" => 0,
            "warning" => 1,
            "critical" => 2,
            // Not known, so that nothing is.
            _ => return "",
        };
        worst = worst.max(rank);
    }
    ["passing", "warning", "critical", "maintenance"][worst]
}
