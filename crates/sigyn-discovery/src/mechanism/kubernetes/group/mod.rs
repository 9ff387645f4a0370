//! What becomes of an object: a group of targets, with labels that tell of the object and of others
//! that belong to it.

mod behind;
mod endpoint_slice;
mod endpoints;
mod ingress;
mod node;
mod pod;
mod service;
#[cfg(test)]
mod tests;

use super::objects::{Metadata, Name, Object};
use super::resource::Resource;
use super::view::{Objects, View};
use super::{Attach, Role};
use crate::group::TargetGroup;
use crate::labels::{Labels, sanitized};
use crate::pairs::Pairs;

const PREFIX: &str = "__meta_kubernetes_";

/// A kind of object that becomes targets.
pub(super) trait Grouped: Object {
    const ROLE: Role;

    /// Its objects among all.
    fn among(view: &View) -> &Objects<Self>;

    /// Names the other objects that its group tells of, there or not: kind, namespace and name.
    fn mentions(&self, attach: Attach, mention: &mut dyn FnMut(Resource, &str, &str));

    /// What its targets have in common, and what is different. `None` if there is nothing to tell
    /// of: then what was told before stays.
    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)>;
}

/// The group of an object. An object that is gone has one without targets.
pub(super) fn group<T: Grouped>(name: &Name, view: &View) -> Option<TargetGroup> {
    let source = source(T::ROLE, name);
    let Some(object) = T::among(view).get(&name.namespace, &name.name) else {
        return Some(TargetGroup { source, ..TargetGroup::default() });
    };
    let (labels, targets) = object.targets(view)?;
    Some(TargetGroup { source, labels, targets })
}

/// `pod/shop/cart-0`.
pub(super) fn source(role: Role, name: &Name) -> String {
    let kind = match role {
        Role::Service => "svc",
        role => role.as_str(),
    };
    format!("{kind}/{name}")
}

/// The namespace in [`source`]'s text; empty if the object has none.
pub(super) fn namespace_of(source: &str) -> &str {
    let mut parts = source.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some(namespace), Some(_)) => namespace,
        _ => "",
    }
}

fn set(labels: &mut Labels, name: &str, value: impl AsRef<str>) {
    labels.set(format!("{PREFIX}{name}"), value);
}

/// Tells of an object: name, labels and annotations.
fn describe(labels: &mut Labels, what: &str, metadata: &Metadata) {
    set(labels, &format!("{what}_name"), metadata.name.as_str());
    describe_more(labels, what, metadata);
}

/// Tells of labels and annotations only.
fn describe_more(labels: &mut Labels, what: &str, metadata: &Metadata) {
    describe_map(labels, &format!("{what}_label"), &metadata.labels);
    describe_map(labels, &format!("{what}_annotation"), &metadata.annotations);
}

/// Tells of names and values, and that they are there, since an empty value does not tell it.
fn describe_map(labels: &mut Labels, what: &str, map: &Pairs) {
    for (name, value) in map.iter() {
        let name = sanitized(name);
        set(labels, &format!("{what}_{name}"), value);
        set(labels, &format!("{what}present_{name}"), "true");
    }
}

/// Tells of a namespace, if that is wanted and known.
fn attach_namespace(labels: &mut Labels, view: &View, namespace: &str) {
    if view.attach.namespace
        && let Some(namespace) = view.namespaces.get("", namespace)
    {
        describe_more(labels, "namespace", &namespace.metadata);
    }
}

/// Tells of a node, if that is wanted. `false` if it is not known.
fn attach_node(labels: &mut Labels, view: &View, node: &str) -> bool {
    if !view.attach.node {
        return true;
    }
    let Some(node) = view.nodes.get("", node) else { return false };
    describe(labels, "node", &node.metadata);
    true
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
