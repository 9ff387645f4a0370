//! Values that a search asks for, as an index can look them up.

use std::borrow::Cow;

use super::literal::Alike;
use super::{Field, TextTest};
use crate::{Searched, TagTerm};

/// A value that some span of every matching trace has: its own or of its process, of a tag or a label, or
/// an annotation.
#[derive(Clone, Debug)]
pub struct Sought(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Term(TagTerm),
    Field(Field, TextTest),
    Annotation(TextTest),
}

/// Keys whose values are told by more than tags.
const TOLD_OTHERWISE: [&str; 4] =
    ["error", "otel.status_code", "otel.scope.name", "otel.scope.version"];

impl Sought {
    pub(super) fn of_test(field: &Field, test: &TextTest) -> Option<Self> {
        // What is met by nothing at all asks for no value.
        let is_asked = match field {
            Field::Tag(key) => !test.holds(None) && !TOLD_OTHERWISE.contains(&key.as_str()),
            Field::Resource(_) | Field::Label(_) => !test.holds(None),
            Field::Annotation => !test.passes_without(),
            Field::Service | Field::Name | Field::Remote | Field::Kind | Field::Status => false,
        };
        is_asked.then(|| match field {
            Field::Annotation => Self(Inner::Annotation(test.clone())),
            field => Self(Inner::Field(field.clone(), test.clone())),
        })
    }

    /// What a term of Zipkin's asks for.
    pub fn of_term(term: &TagTerm) -> Option<Self> {
        let is_asked = !TOLD_OTHERWISE.contains(&term.key.as_str());
        is_asked.then(|| Self(Inner::Term(term.clone())))
    }

    /// The key of tags that may have it; labels of targets have `target.` in front of their names.
    pub fn key(&self) -> Option<Cow<'_, str>> {
        match &self.0 {
            Inner::Term(term) => Some(Cow::Borrowed(&term.key)),
            Inner::Field(Field::Tag(key) | Field::Resource(key), _) => Some(Cow::Borrowed(key)),
            Inner::Field(Field::Label(name), _) => Some(Cow::Owned(format!("target.{name}"))),
            Inner::Field(..) | Inner::Annotation(_) => None,
        }
    }

    /// Whether this value of the key is one.
    pub fn takes(&self, text: &str) -> bool {
        match &self.0 {
            Inner::Term(term) => term.value.as_ref().is_none_or(|value| value == text),
            Inner::Field(_, test) => test.holds(Some(text)),
            Inner::Annotation(_) => false,
        }
    }

    /// Whether a span has one.
    pub fn is_in(&self, span: &impl Searched) -> bool {
        match &self.0 {
            Inner::Term(term) => term.matches(span),
            Inner::Field(field, test) => test.holds(field.of(span).as_deref()),
            Inner::Annotation(test) => test.any(span),
        }
    }

    /// All values of the key that it takes are alike, and like this one.
    pub fn alike(&self) -> Option<Alike<'_>> {
        match &self.0 {
            Inner::Term(term) => term.value.as_deref().map(Alike::of),
            Inner::Field(_, TextTest::Equal { not: false, literal }) => {
                Some(Alike::of(literal.text()))
            }
            Inner::Field(..) | Inner::Annotation(_) => None,
        }
    }

    /// Whether an annotation may be one as well.
    pub fn may_be_annotation(&self) -> bool {
        match &self.0 {
            Inner::Term(term) => term.value.is_none(),
            Inner::Field(..) => false,
            Inner::Annotation(_) => true,
        }
    }

    /// Whether this annotation is one.
    pub fn takes_annotation(&self, text: &str) -> bool {
        match &self.0 {
            Inner::Term(term) => term.value.is_none() && term.key == text,
            Inner::Field(..) => false,
            Inner::Annotation(test) => test.holds(Some(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;

    fn sought(text: &str) -> Vec<Sought> {
        let filter: Filter = text.parse().unwrap();
        let mut all = Vec::new();
        filter.each_sought(&mut |sought| all.push(sought));
        all
    }

    #[test]
    fn a_filter_asks_for_values_where_it_is_not_met_without() {
        let check = |text: &str, expected: &[&str]| {
            let all = sought(text);
            let keys: Vec<_> = all.iter().map(|one| one.key().unwrap_or("-".into())).collect();
            assert_eq!(keys, expected, "{text}");
        };
        check("a = b and c != d and resource.e and target.f =~ 'x.*'", &["a", "e", "target.f"]);
        check("a = '' or b = c", &[]);
        check("{ a =~ '.*' } and { annotation = x } and { annotation != y }", &["-"]);
        check("not a = b and error and kind = client and c > 5 and d < 1s", &["c", "d"]);
    }

    #[test]
    fn a_number_is_alike_its_text() {
        for number in [0, 1, -1, 500, (1 << 53) + 1, i64::MIN, i64::MAX] {
            assert_eq!(Alike::of(&number.to_string()), Alike::of_whole(number));
        }
    }

    #[test]
    fn what_is_taken_is_alike() {
        let check = |text: &str, value: &str, is_taken: bool| {
            let one = sought(text).remove(0);
            assert_eq!(one.takes(value), is_taken, "{text} {value}");
            if is_taken {
                assert_eq!(one.alike(), Some(Alike::of(value)), "{text} {value}");
            }
        };
        check("a = 500", "500.0", true);
        check("a = 500", "5e2", true);
        check("a = '500'", "500.0", false);
        check("a = 1s", "1000ms", true);
        check("a = -0.0", "0", true);
        check("a = b", "b", true);
        let term =
            |value: Option<&str>| TagTerm { key: "k".into(), value: value.map(str::to_owned) };
        let alone = Sought::of_term(&term(None)).unwrap();
        assert!(alone.takes("x") && alone.takes_annotation("k") && !alone.takes_annotation("x"));
        let whole = Sought::of_term(&term(Some("x"))).unwrap();
        assert!(whole.takes("x") && !whole.takes("y") && !whole.may_be_annotation());
    }
}
