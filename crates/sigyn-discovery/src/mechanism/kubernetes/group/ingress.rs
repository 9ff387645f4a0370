//! Ingresses: each path of each host is a target.

use super::{Grouped, attach_namespace, describe, set};
use crate::labels::Labels;
use crate::mechanism::kubernetes::objects::{Ingress, IngressRule};
use crate::mechanism::kubernetes::resource::Resource;
use crate::mechanism::kubernetes::view::{Objects, View};
use crate::mechanism::kubernetes::{Attach, Role};

impl Grouped for Ingress {
    const ROLE: Role = Role::Ingress;

    fn among(view: &View) -> &Objects<Self> {
        &view.ingresses
    }

    fn mentions(&self, attach: Attach, mention: &mut dyn FnMut(Resource, &str, &str)) {
        if attach.namespace {
            mention(Resource::Namespaces, "", &self.metadata.namespace);
        }
    }

    fn targets(&self, view: &View) -> Option<(Labels, Vec<Labels>)> {
        let mut common = Labels::new();
        set(&mut common, "namespace", self.metadata.namespace.as_str());
        describe(&mut common, "ingress", &self.metadata);
        set(&mut common, "ingress_class_name", self.spec.ingress_class_name.as_str());
        attach_namespace(&mut common, view, &self.metadata.namespace);
        let mut targets = Vec::new();
        for rule in &self.spec.rules {
            let mut tls = self.spec.tls.iter().flat_map(|tls| &tls.hosts);
            let scheme = match tls.any(|pattern| matches(pattern, &rule.host)) {
                true => "https",
                false => "http",
            };
            for path in rule.paths() {
                let mut target = Labels::new();
                target.set("__address__", rule.host.as_str());
                set(&mut target, "ingress_scheme", scheme);
                set(&mut target, "ingress_host", rule.host.as_str());
                set(&mut target, "ingress_path", path);
                targets.push(target);
            }
        }
        Some((common, targets))
    }
}

impl IngressRule {
    /// A rule that says nothing of HTTP is about all paths; one that lists none is about none.
    fn paths(&self) -> Vec<&str> {
        let Some(http) = &self.http else { return vec!["/"] };
        let paths = http.paths.iter().map(|path| path.path.as_str());
        paths.map(|path| if path.is_empty() { "/" } else { path }).collect()
    }
}

/// Whether a host is one of those that a pattern is about: `*.a.b` is about names with exactly one
/// part before `.a.b`.
fn matches(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.split_once('.'), host.split_once('.')) {
        (Some(("*", of)), Some((_, rest))) => rest == of,
        _ => false,
    }
}
