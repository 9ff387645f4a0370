//! Lists of names and tags: bounded, and the same whatever was sealed and opened again.

use std::sync::Arc;

use sigyn_model::{Endpoint, QueryParams, Resource, Value};
use sigyn_store::Store;

use crate::{everything, ids_found, open, pushed, span};

const SERVICES_MAX: usize = 10_000;
const NAMES_MAX: usize = 10_000;
const KEYS_MAX: usize = 1_000;
const VALUES_MAX: usize = 4_000;
/// More than any of them.
const MANY: usize = 10_500;
const RESOURCE_KEYS: usize = 300;

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n:05}")).collect()
}

/// What the lists say, each of which has lost its end.
fn check(store: &Store, when: &str) {
    assert_eq!(store.service_names().unwrap(), numbered("a", SERVICES_MAX), "{when}");
    assert_eq!(store.span_names("a-00000").unwrap(), numbered("op", NAMES_MAX), "{when}");
    let mut keys = numbered("from", RESOURCE_KEYS);
    keys.extend(numbered("key", KEYS_MAX - RESOURCE_KEYS));
    assert_eq!(store.tag_keys().unwrap(), keys, "{when}");
    assert_eq!(store.tag_values("key-00000").unwrap(), numbered("value", VALUES_MAX), "{when}");
    assert_eq!(store.tag_values("from-00299").unwrap(), ["x"], "{when}");
    // What is not listed has no lists of its own; a part that has room for it must not make one.
    assert_eq!(store.span_names("a-10499").unwrap(), [""; 0], "{when}");
    assert_eq!(store.tag_values("key-00700").unwrap(), [""; 0], "{when}");
    // It is found all the same.
    let query = QueryParams { service_name: Some("a-10499".to_owned()), ..everything() };
    assert_eq!(ids_found(store, &query), [2], "{when}");
}

#[tokio::test]
async fn lists_that_are_cut_say_the_same_before_and_after_a_seal_and_a_restart() {
    let tags = numbered("from", RESOURCE_KEYS).into_iter().map(|key| (key, Value::from("x")));
    let resource = Arc::new(Resource { tags: tags.collect(), ..Resource::default() });
    // The last in order come first.
    let mut spans = Vec::new();
    for n in (0..MANY).rev() {
        let mut of_one = span(1, n as u64 + 1, "a-00000", 0);
        of_one.tags.clear();
        of_one.name = format!("op-{n:05}");
        of_one.resource = Some(resource.clone());
        of_one.set_tag(format!("key-{:05}", n % (KEYS_MAX + 500)), "value-00000");
        of_one.set_tag("key-00000", format!("value-{:05}", n % (VALUES_MAX + 500)));
        of_one.set_tag("x".repeat(300), "a key that is too long");
        let mut of_many = span(if n + 1 == MANY { 2 } else { 3 }, n as u64 + 1, "", 0);
        of_many.tags = vec![("key-00000".to_owned(), Value::from(format!("a{}", "x".repeat(300))))];
        of_many.local_endpoint = Endpoint::named(&format!("a-{n:05}")).into_option();
        spans.extend([of_one, of_many]);
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rest = spans.split_off(spans.len() / 2);
    store.append(pushed(spans)).await.unwrap();
    store.append(pushed(rest.clone())).await.unwrap();
    check(&store, "in the head");
    assert!(store.stats().unlisted_names_total >= 1_000);
    store.close().unwrap();
    let store = open(dir.path());
    check(&store, "in a head that was opened again");
    store.seal().unwrap();
    check(&store, "in a block");
    // Some of it once more, in another part.
    store.append(pushed(rest)).await.unwrap();
    check(&store, "in a block and a head");
    store.seal().unwrap();
    store.close().unwrap();
    check(&open(dir.path()), "in two blocks that were opened again");
}
