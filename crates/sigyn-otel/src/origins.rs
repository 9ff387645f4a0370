//! Where spans come from, in the recorder's form: a provider's resource and an instrumentation scope, put
//! together once by each thread that meets them.

use std::cell::RefCell;
use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use sigyn_model::{Resource, Scope};
use sigyn_recorder::Origin;

use crate::values;

/// A thread remembers so many; a program has a few. One that is not remembered is made again.
const REMEMBERED_MAX: usize = 8;

#[derive(Debug)]
struct Met {
    resource: Option<Arc<Resource>>,
    scope: InstrumentationScope,
    origin: Origin,
}

thread_local! {
    /// The one that was met last comes first.
    static LATELY: RefCell<Vec<Met>> = const { RefCell::new(Vec::new()) };
}

/// Calls with an origin in the recorder's form; with none if there is nothing to say of it.
#[inline]
pub(crate) fn with(
    resource: Option<&Arc<Resource>>,
    scope: &InstrumentationScope,
    then: impl Fn(Option<&Origin>),
) {
    if resource.is_none() && is_empty(scope) {
        return then(None);
    }
    let told = LATELY.try_with(|lately| {
        let mut lately = lately.try_borrow_mut().ok()?;
        then(Some(find(&mut lately, resource, scope)));
        Some(())
    });
    if !matches!(told, Ok(Some(()))) {
        // A thread that is ending remembers nothing any more, nor one that is at it already.
        then(Some(&made(resource, scope)));
    }
}

fn find<'a>(
    lately: &'a mut Vec<Met>,
    resource: Option<&Arc<Resource>>,
    scope: &InstrumentationScope,
) -> &'a Origin {
    if lately.first().is_some_and(|met| met.is(resource, scope)) {
        return &lately[0].origin;
    }
    match lately.iter().position(|met| met.is(resource, scope)) {
        Some(at) => lately[..=at].rotate_right(1),
        None => {
            lately.truncate(REMEMBERED_MAX - 1);
            let origin = made(resource, scope);
            lately.insert(0, Met { resource: resource.cloned(), scope: scope.clone(), origin });
        }
    }
    &lately[0].origin
}

impl Met {
    fn is(&self, resource: Option<&Arc<Resource>>, scope: &InstrumentationScope) -> bool {
        self.resource.as_ref().map(Arc::as_ptr) == resource.map(Arc::as_ptr)
            && same(Some(self.scope.name()), Some(scope.name()))
            && same(self.scope.version(), scope.version())
            && same(self.scope.schema_url(), scope.schema_url())
            && self.scope.attributes().eq(scope.attributes())
    }
}

/// A literal's clone lies where the literal does, and need not be read.
#[inline]
fn same(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => std::ptr::eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn is_empty(scope: &InstrumentationScope) -> bool {
    scope.name().is_empty()
        && scope.version().is_none()
        && scope.schema_url().is_none()
        && scope.attributes().next().is_none()
}

fn made(resource: Option<&Arc<Resource>>, scope: &InstrumentationScope) -> Origin {
    let told = (!is_empty(scope)).then(|| {
        Arc::new(Scope {
            name: scope.name().to_owned(),
            version: scope.version().unwrap_or_default().to_owned(),
            tags: values::tags(scope.attributes().map(|it| (&it.key, &it.value))),
            dropped_tags: 0,
            schema_url: scope.schema_url().unwrap_or_default().to_owned(),
        })
    });
    Origin::new(resource.cloned(), told)
}
