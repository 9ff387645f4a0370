//! What an API is asked about objects of one kind.

use url::Url;

use super::Selector;
use super::resource::Resource;

/// Objects of one kind, in one namespace or in all, that are selected.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) resource: Resource,
    /// All if it is empty.
    pub(super) namespace: String,
    selector: Selector,
}

/// A part of a list, or a list in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// So many objects at most. An API that answers out of its memory does not heed it.
    pub(super) limit: u32,
    /// Whether what the API has in its memory is new enough.
    pub(super) from_memory: bool,
    /// What the page before ended with; empty for the first one.
    pub(super) token: &'a str,
}

impl Question {
    pub(super) fn new(resource: Resource, namespace: &str, selector: &Selector) -> Self {
        Self { resource, namespace: namespace.to_owned(), selector: selector.clone() }
    }

    /// Asks for a page of all objects.
    pub(super) fn list(&self, base: &Url, page: Page<'_>) -> Url {
        let limit = page.limit.to_string();
        // A page that continues is of the version that the first one was of.
        let version = if page.from_memory && page.token.is_empty() { "0" } else { "" };
        let parameters =
            [("limit", limit.as_str()), ("resourceVersion", version), ("continue", page.token)];
        self.url(base, &parameters)
    }

    /// Asks for what changes after a version, for so long.
    pub(super) fn watch(&self, base: &Url, version: &str, seconds: u64) -> Url {
        let seconds = seconds.to_string();
        let parameters = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", seconds.as_str()),
        ];
        self.url(base, &parameters)
    }

    fn url(&self, base: &Url, parameters: &[(&str, &str)]) -> Url {
        let mut url = base.clone();
        // Only a URL without a host has no path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(self.resource.path(&self.namespace));
        }
        let selectors = [
            ("labelSelector", self.selector.label.as_str()),
            ("fieldSelector", self.selector.field.as_str()),
        ];
        let parameters = parameters.iter().chain(&selectors).filter(|(_, value)| !value.is_empty());
        url.query_pairs_mut().extend_pairs(parameters);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_as_the_api_reads_them() {
        let selector = Selector {
            label: "app in (cart, shop)".to_owned(),
            field: "spec.nodeName!=n1".to_owned(),
        };
        let base = Url::parse("https://127.0.0.1:6443/clusters/a/").unwrap();
        let selected = Question::new(Resource::Pods, "shop", &selector);
        let all = Question::new(Resource::Nodes, "", &Selector::default());
        let check = |url: Url, expected: &str| {
            assert_eq!(url.as_str(), format!("https://127.0.0.1:6443/clusters/a/{expected}"));
        };
        let first = Page { limit: 500, from_memory: true, token: "" };
        check(all.list(&base, first), "api/v1/nodes?limit=500&resourceVersion=0");
        check(all.list(&base, Page { from_memory: false, ..first }), "api/v1/nodes?limit=500");
        check(
            all.list(&base, Page { token: "a/b=", ..first }),
            "api/v1/nodes?limit=500&continue=a%2Fb%3D",
        );
        check(
            selected.list(&base, first),
            "api/v1/namespaces/shop/pods?limit=500&resourceVersion=0\
             &labelSelector=app+in+%28cart%2C+shop%29&fieldSelector=spec.nodeName%21%3Dn1",
        );
        check(
            all.watch(&base, "17", 300),
            "api/v1/nodes?watch=1&allowWatchBookmarks=true&resourceVersion=17&timeoutSeconds=300",
        );
    }
}
