//! Which tags are recorded, and which only as names: spans must not carry what nobody may read.

use std::borrow::Cow;
use std::collections::HashSet;

/// Keys of tags that are not recorded, or whose values are not. A key is named in any case; `card.*` names all that begin
/// with `card.`.
///
/// The rules apply where a tag is recorded, of spans, annotations and links alike: what they keep out is nowhere in this
/// process's log. Names of spans, annotations and what is said of an error are not looked at. Any rule at all makes each
/// tag some 50 ns dearer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagRules {
    /// If any are named, only these are recorded.
    pub allow: Vec<String>,
    /// These are not recorded, and counted ([`Activity::tags_denied`](crate::Activity)).
    pub deny: Vec<String>,
    /// Of these the value is not recorded; in its place stands `REDACTED`.
    pub redact: Vec<String>,
}

impl TagRules {
    /// Redacts what headers and forms usually call their secrets.
    pub fn without_secrets() -> Self {
        let keys = [
            "authorization",
            "cookie",
            "set-cookie",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
        ];
        let headers = ["request", "response"]
            .into_iter()
            .flat_map(|side| keys.map(|key| format!("http.{side}.header.{key}")));
        let plain = ["password", "passwd", "secret", "token", "access_token", "api_key", "apikey"];
        let all = keys.into_iter().chain(plain).map(str::to_owned).chain(headers);
        Self { redact: all.collect(), ..Self::default() }
    }

    pub(crate) fn compile(&self) -> Option<Rules> {
        let rules = Rules {
            allow: (!self.allow.is_empty()).then(|| Keys::of(&self.allow)),
            deny: Keys::of(&self.deny),
            redact: Keys::of(&self.redact),
        };
        (*self != Self::default()).then_some(rules)
    }
}

/// What becomes of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Recorded,
    Redacted,
    Denied,
}

/// [`TagRules`], ready to be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    allow: Option<Keys>,
    deny: Keys,
    redact: Keys,
}

impl Rules {
    pub(crate) fn fate(&self, key: &str) -> Fate {
        let key = match key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(key.to_ascii_lowercase()),
            false => Cow::Borrowed(key),
        };
        if self.deny.have(&key) || self.allow.as_ref().is_some_and(|allow| !allow.have(&key)) {
            Fate::Denied
        } else if self.redact.have(&key) {
            Fate::Redacted
        } else {
            Fate::Recorded
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Keys {
    whole: HashSet<String>,
    beginnings: Vec<String>,
}

impl Keys {
    fn of(keys: &[String]) -> Self {
        let mut all = Self::default();
        for key in keys {
            let key = key.to_ascii_lowercase();
            match key.strip_suffix('*') {
                Some(beginning) => all.beginnings.push(beginning.to_owned()),
                None => {
                    all.whole.insert(key);
                }
            }
        }
        all
    }

    fn have(&self, key: &str) -> bool {
        self.whole.contains(key)
            || self.beginnings.iter().any(|beginning| key.starts_with(beginning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(allow: &[&str], deny: &[&str], redact: &[&str], key: &str) -> Fate {
        let owned = |keys: &[&str]| keys.iter().copied().map(str::to_owned).collect();
        let rules = TagRules { allow: owned(allow), deny: owned(deny), redact: owned(redact) };
        rules.compile().map_or(Fate::Recorded, |rules| rules.fate(key))
    }

    #[test]
    fn keys_are_named_whole_or_by_their_beginning() {
        assert_eq!(fate(&[], &[], &[], "a"), Fate::Recorded);
        assert_eq!(fate(&[], &["a"], &[], "A"), Fate::Denied);
        assert_eq!(fate(&[], &["a"], &[], "ab"), Fate::Recorded);
        assert_eq!(fate(&[], &["A*"], &[], "ab"), Fate::Denied);
        assert_eq!(fate(&["b", "c.*"], &[], &[], "a"), Fate::Denied);
        assert_eq!(fate(&["b", "c.*"], &[], &["c.d"], "c.d"), Fate::Redacted);
        assert_eq!(fate(&["*"], &["a"], &["a"], "a"), Fate::Denied);
        assert_eq!(fate(&[], &[], &["*"], ""), Fate::Redacted);
    }

    #[test]
    fn secrets_go_by_many_names() {
        let rules = TagRules::without_secrets().compile().unwrap();
        for key in ["Authorization", "http.request.header.authorization", "password"] {
            assert_eq!(rules.fate(key), Fate::Redacted, "{key}");
        }
        assert_eq!(rules.fate("http.request.header.accept"), Fate::Recorded);
    }
}
