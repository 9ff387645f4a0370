//! Dependency links: which service calls which, by Zipkin's rules.

use std::collections::BTreeMap;

use crate::merge::Merged;
use crate::tree::Layout;
use crate::{Kind, Span};

/// Calls from one service to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyLink {
    pub parent: String,
    pub child: String,
    pub call_count: u64,
    pub error_count: u64,
}

/// Sums links over traces.
#[derive(Debug, Default)]
pub struct Linker {
    /// By parent, then child.
    counts: BTreeMap<String, BTreeMap<String, Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    errors: u64,
}

impl Linker {
    /// Adds one whole trace.
    pub fn put_trace(&mut self, trace: &[Span]) {
        each_link(trace, &mut |parent, child, error| self.add(parent, child, error));
    }

    /// All links so far, by parent and child.
    pub fn links(&self) -> Vec<DependencyLink> {
        let links = self.counts.iter().flat_map(|(parent, children)| {
            children.iter().map(|(child, counts)| DependencyLink {
                parent: parent.clone(),
                child: child.clone(),
                call_count: counts.calls,
                error_count: counts.errors,
            })
        });
        links.collect()
    }

    fn add(&mut self, parent: &str, child: &str, error: bool) {
        if !self.counts.contains_key(parent) {
            self.counts.insert(parent.to_owned(), BTreeMap::new());
        }
        let Some(children) = self.counts.get_mut(parent) else { return };
        if !children.contains_key(child) {
            children.insert(child.to_owned(), Counts::default());
        }
        let Some(counts) = children.get_mut(child) else { return };
        counts.calls += 1;
        counts.errors += u64::from(error);
    }
}

/// Calls `each` with the links of one whole trace, one by one: parent, child, and whether that call failed.
pub fn each_link(trace: &[Span], each: &mut dyn FnMut(&str, &str, bool)) {
    let merged = Merged::new(trace);
    let layout = Layout::new(&merged);
    // Of each node, the nearest ancestor that is one side of a call.
    let mut callers: Vec<Option<usize>> = vec![None; merged.nodes.len()];
    // A cycle tells nobody's caller: no links.
    for node in &layout.order[..layout.rooted] {
        callers[*node] = layout.parents[*node].and_then(|parent| {
            if merged.nodes[parent].kind.is_some() { Some(parent) } else { callers[parent] }
        });
        put_node(&merged, &layout, *node, callers[*node], each);
    }
}

fn put_node(
    merged: &Merged<'_>,
    layout: &Layout,
    node: usize,
    caller: Option<usize>,
    each: &mut dyn FnMut(&str, &str, bool),
) {
    let Some((kind, local, remote)) = side_of(merged, layout, node) else { return };
    let (mut parent, child) = match kind {
        Kind::Client | Kind::Producer => (local, remote),
        Kind::Server | Kind::Consumer => (remote, local),
    };
    if kind == Kind::Server && layout.root == Some(node) && parent.is_none() {
        return;
    }
    let mut error = is_error(merged, node);
    // Messages go through a broker: what is above them is not who sent them.
    let caller = caller.filter(|_| matches!(kind, Kind::Client | Kind::Server));
    if let Some(caller) = caller
        && let Some(name) = local_name(merged, caller)
    {
        // A client inside another service than its caller: the server between them is missing.
        if let (Kind::Client, Some(local)) = (kind, local)
            && local != name
        {
            each(name, local, false);
        }
        if kind == Kind::Server || parent.is_none() {
            parent = Some(name);
        }
        // The client half of this call is left out in favour of this one, but not its error.
        let span = &merged.nodes[node];
        let above = &merged.nodes[caller];
        if above.kind == Some(Kind::Client) && span.parent_id == Some(above.id) {
            error |= is_error(merged, caller);
        }
    }
    if let (Some(parent), Some(child)) = (parent, child) {
        each(parent, child, error);
    }
}

/// On which side of a call a span stands, and the names of its own side and the other. `None` for a
/// span that tells of no call, or whose call is told by a span below it.
fn side_of<'a>(
    merged: &'a Merged<'_>,
    layout: &Layout,
    node: usize,
) -> Option<(Kind, Option<&'a str>, Option<&'a str>)> {
    let local = local_name(merged, node);
    let remote = merged.parts(node).find_map(Span::remote_service_name);
    match merged.nodes[node].kind {
        // Below a client stands its server, which knows its own name best.
        Some(Kind::Client) if !layout.children[node].is_empty() => None,
        Some(kind) => Some((kind, local, remote)),
        // A span without kind that names two services must be a client.
        None if local.is_some() && remote.is_some() => Some((Kind::Client, local, remote)),
        None => None,
    }
}

fn local_name<'a>(merged: &'a Merged<'_>, node: usize) -> Option<&'a str> {
    let endpoint = merged.nodes[node].local_endpoint.as_deref()?;
    Some(endpoint.service_name.as_str()).filter(|name| !name.is_empty())
}

fn is_error(merged: &Merged<'_>, node: usize) -> bool {
    merged.parts(node).any(Span::is_error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{plain_span, sketch};

    /// The links as `parent>child:calls`, with `/errors` where there are any.
    fn check(trace: &str, expected: &str) {
        let mut linker = Linker::default();
        linker.put_trace(&sketch(trace));
        let links = linker.links().into_iter().map(|link| {
            let errors = match link.error_count {
                0 => String::new(),
                errors => format!("/{errors}"),
            };
            format!("{}>{}:{}{errors}", link.parent, link.child, link.call_count)
        });
        assert_eq!(links.collect::<Vec<_>>().join(" "), expected, "{trace}");
    }

    #[test]
    fn one_call_is_one_link_however_it_was_reported() {
        check("", "");
        check("1 - C a>b", "a>b:1");
        check("1 - S b", "");
        check("1 - S a>b", "b>a:1");
        check("1 - C a>x; 1 - S b shared", "a>b:1");
        check("1 - C a>x; 1 - S b", "a>b:1");
        check("1 - C a; 2 1 S b", "a>b:1");
        check("1 - C a>b; 2 1 S b>z", "a>b:1");
        check("1 - C a", "");
        check("1 - C ->b", "");
        // Parts that arrive one by one.
        check("1 - C a; 1 - - a>b; 1 - - a +5", "a>b:1");
        // A service that calls itself.
        check("1 - C a>a; 2 1 S a", "a>a:1");
    }

    #[test]
    fn a_span_without_kind_is_a_client_if_it_names_both_sides() {
        check("1 - - a>b", "a>b:1");
        check("1 - - a", "");
        check("1 - - a; 2 1 - ->b", "");
    }

    #[test]
    fn local_spans_between_a_call_and_its_caller_are_passed_over() {
        check("1 - S a; 2 1 - a; 3 2 - a; 4 3 C a>b; 4 3 S b shared", "a>b:1");
        check("1 - S a; 2 1 - a; 3 2 C ->b", "a>b:1");
        check("1 - S a; 2 1 - a; 3 2 S b", "a>b:1");
    }

    #[test]
    fn a_client_in_another_service_than_its_caller_tells_of_a_missing_server() {
        check("1 - S a; 2 1 C b>c", "a>b:1 b>c:1");
        check("1 - C a>x; 2 1 C b>c error", "a>b:1 b>c:1/1");
    }

    #[test]
    fn messages_link_services_to_their_broker() {
        check("1 - P a>kafka; 2 1 K b>kafka", "a>kafka:1 kafka>b:1");
        check("1 - P a; 2 1 K b", "");
        check("1 - K b", "");
        check("1 - S a; 2 1 K b", "");
    }

    #[test]
    fn a_call_that_failed_on_either_side_is_an_error() {
        check("1 - C a>b error", "a>b:1/1");
        check("1 - C a; 2 1 S b error", "a>b:1/1");
        check("1 - C a error; 2 1 S b", "a>b:1/1");
        check("1 - C a error; 2 1 - a; 3 2 S b", "a>b:1");
        // A quirk that we keep: the error of a client that shares its id is not seen.
        check("1 - C a error; 1 - S b shared", "a>b:1");
        check("1 - C a; 1 - S b shared error", "a>b:1/1");
    }

    #[test]
    fn without_a_root_nobody_is_the_caller() {
        check("2 1 S a; 3 1 S b", "");
        check("2 1 S a; 3 2 S b", "a>b:1");
        check("2 1 S a>z", "z>a:1");
    }

    #[test]
    fn a_second_root_counts_as_a_child_of_the_first() {
        // A quirk that we keep: the root has a child now, so it is not the leaf that names a callee.
        check("1 - C a>b; 2 - C c>d", "a>c:1 c>d:1");
    }

    #[test]
    fn a_cycle_has_no_links() {
        check("1 2 C a>b; 2 1 S c>d", "");
        check("1 - C x>y; 2 3 C a>b; 3 2 C c>d", "x>y:1");
    }

    #[test]
    fn a_server_whose_client_is_not_stored_is_called_by_what_is_above_the_client() {
        check("1 - S a; 2 1 C a>b; 2 1 S b shared; 4 3 S d shared; 3 2 - b", "a>b:1 b>d:1");
        check("1 - S a; 2 1 S b; 4 2 S d shared", "a>b:1 b>d:1");
    }

    #[test]
    fn traces_add_up() {
        let mut linker = Linker::default();
        for trace in ["1 - C a>b", "1 - C a>b error", "1 - C b>c"] {
            linker.put_trace(&sketch(trace));
        }
        let link = |parent: &str, child: &str, call_count, error_count| DependencyLink {
            parent: parent.to_owned(),
            child: child.to_owned(),
            call_count,
            error_count,
        };
        assert_eq!(linker.links(), [link("a", "b", 2, 1), link("b", "c", 1, 0)]);
    }

    proptest! {
        #[test]
        fn any_trace_can_be_linked(spans in prop::collection::vec(plain_span(), 0..20)) {
            let mut linker = Linker::default();
            linker.put_trace(&spans);
            for link in linker.links() {
                prop_assert!(link.error_count <= link.call_count);
                prop_assert!(!link.parent.is_empty() && !link.child.is_empty());
            }
        }
    }
}
