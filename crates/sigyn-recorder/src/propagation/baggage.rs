//! W3C Baggage: what a caller wants all below it to know, carried beside the context of the trace.
//!
//! It is nobody's business but the services': it is passed on, and never recorded unless somebody puts
//! one of its values into a tag. A member that cannot be read is left out and counted, and so is what
//! goes beyond the limits: half a list is still a list.

use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::put;
use crate::percent;

static NAME: HeaderName = HeaderName::from_static("baggage");
/// What W3C asks everybody to pass on; more is not kept.
const MEMBERS_MAX: usize = 64;
const BYTES_MAX: usize = 8192;

/// Names and values that travel with a trace. A clone costs next to nothing, and so does an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    /// `None` if there is none of them.
    members: Option<Arc<Vec<Member>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    key: String,
    value: String,
    /// As they came, without the semicolon before them.
    properties: String,
}

impl Baggage {
    /// The baggage of an incoming request; what cannot be read is left out.
    pub fn extract(headers: &HeaderMap) -> Self {
        Self::read(headers).0
    }

    /// Like [`Self::extract`], and says how many members were left out. `Recorder::baggage` counts them.
    pub fn read(headers: &HeaderMap) -> (Self, u32) {
        let (mut baggage, mut invalid) = (Self::default(), 0);
        for value in headers.get_all(&NAME) {
            let Ok(text) = value.to_str() else {
                invalid += 1;
                continue;
            };
            for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
                let added = Member::read(member).is_some_and(|member| baggage.add(member));
                invalid += u32::from(!added);
            }
        }
        (baggage, invalid)
    }

    /// Writes it in place of what the headers have of it.
    pub fn inject(&self, headers: &mut HeaderMap) {
        headers.remove(&NAME);
        let mut text = String::new();
        for member in self.members() {
            if !text.is_empty() {
                text.push(',');
            }
            member.write(&mut text);
        }
        if !text.is_empty() {
            put(headers, &NAME, text);
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let member = self.members().iter().find(|member| member.key == key);
        member.map(|member| member.value.as_str())
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members().iter().map(|member| (member.key.as_str(), member.value.as_str()))
    }

    /// Puts a value, in place of an earlier one of the same key. False: nothing changes, as
    /// the key is no token of HTTP's, or there is no room.
    pub fn set(&mut self, key: &str, value: &str) -> bool {
        let (key, value) = (key.to_owned(), value.to_owned());
        is_token(&key) && self.add(Member { key, value, properties: String::new() })
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            self.change(|members| members.retain(|member| member.key != key));
        }
    }

    fn members(&self) -> &[Member] {
        self.members.as_ref().map_or(&[], |members| members.as_slice())
    }

    /// The last of one key counts.
    fn add(&mut self, new: Member) -> bool {
        let others = self.members().iter().filter(|member| member.key != new.key);
        let (count, bytes) =
            others.fold((0, 0), |(count, bytes), member| (count + 1, bytes + member.len() + 1));
        if count + 1 > MEMBERS_MAX || bytes + new.len() > BYTES_MAX {
            return false;
        }
        self.change(|members| match members.iter_mut().find(|member| member.key == new.key) {
            Some(member) => *member = new,
            None => members.push(new),
        });
        true
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Member>)) {
        let members = Arc::make_mut(self.members.get_or_insert_default());
        change(members);
        if members.is_empty() {
            self.members = None;
        }
    }
}

impl Member {
    /// `key=value`, and properties behind semicolons.
    fn read(text: &str) -> Option<Self> {
        let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if !is_token(key) || !value.bytes().all(is_octet) {
            return None;
        }
        let properties = properties.trim();
        let fine = |byte: u8| is_octet(byte) || matches!(byte, b';' | b' ' | b'\t');
        properties.bytes().all(fine).then(|| Self {
            key: key.to_owned(),
            // What is no UTF-8 then has signs for that, as W3C asks.
            value: percent::lenient(value),
            properties: properties.to_owned(),
        })
    }

    fn write(&self, to: &mut String) {
        to.push_str(&self.key);
        to.push('=');
        for byte in self.value.bytes() {
            if is_octet(byte) && byte != b'%' {
                to.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(to, "%{byte:02X}");
            }
        }
        if !self.properties.is_empty() {
            to.push(';');
            to.push_str(&self.properties);
        }
    }

    /// As it is written.
    fn len(&self) -> usize {
        let octet = |byte: u8| if is_octet(byte) && byte != b'%' { 1 } else { 3 };
        let properties = self.properties.len() + usize::from(!self.properties.is_empty());
        self.key.len() + 1 + self.value.bytes().map(octet).sum::<usize>() + properties
    }
}

/// HTTP's.
fn is_token(key: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !key.is_empty() && key.bytes().all(sign)
}

/// A sign of a value that stands for itself.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&NAME, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    fn written(baggage: &Baggage) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(&NAME, HeaderValue::from_static("stale=1"));
        baggage.inject(&mut headers);
        headers.get(&NAME).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_comes_in_and_goes_out() {
        let check = |lines: &[&str], out: &str, invalid: u32| {
            let (baggage, left_out) = Baggage::read(&headers(lines));
            assert_eq!(written(&baggage), out, "{lines:?}");
            assert_eq!(left_out, invalid, "{lines:?}");
            assert_eq!(baggage.is_empty(), out.is_empty(), "{lines:?}");
        };
        check(&[], "", 0);
        check(&["", " , "], "", 0);
        check(&["a=1"], "a=1", 0);
        check(&[" a = 1 , b=2 ", "c="], "a=1,b=2,c=", 0);
        check(&["a=1;x;y=2, b=2; z"], "a=1;x;y=2,b=2;z", 0);
        check(&["a=x%20y%2C%25%e2%82%ac"], "a=x%20y%2C%25%E2%82%AC", 0);
        check(&["a=1=2"], "a=1=2", 0);
        // What is no escape stands for itself; what is no UTF-8 has a sign for that.
        check(&["a=5%,b=%zz,c=%ff"], "a=5%25,b=%25zz,c=%EF%BF%BD", 0);
        // The last of one key counts.
        check(&["a=1,b=2", "a=3"], "a=3,b=2", 0);
        check(&["a=1,x,=2,b c=3,d=\"4\",e=5 6,f=7"], "a=1,f=7", 5);
        check(&["a=1", "b=\u{e4}", "c=2"], "a=1,c=2", 1);
        check(&["a=1;p=\"x\""], "", 1);
    }

    #[test]
    fn it_has_limits_and_what_is_beyond_them_is_counted() {
        let many: Vec<String> = (0..66).map(|number| format!("k{number}=v")).collect();
        let (kept, left_out) = Baggage::read(&headers(&[&many.join(",")]));
        assert_eq!((kept.iter().count(), left_out), (64, 2));
        // Whatever still fits is kept.
        let large = format!("a={},b={},c=1", "x".repeat(8000), "x".repeat(400));
        let (kept, left_out) = Baggage::read(&headers(&[&large]));
        assert_eq!((kept.iter().count(), left_out), (2, 1));
        let exact = format!("a={}", "x".repeat(8190));
        assert_eq!(Baggage::read(&headers(&[&exact])).1, 0);
        let mut baggage = Baggage::extract(&headers(&[&exact]));
        assert!(!baggage.set("b", ""));
        assert!(baggage.set("a", "1"));
        assert_eq!(written(&baggage), "a=1");
    }

    #[test]
    fn it_is_changed_for_oneself_alone() {
        let theirs = Baggage::extract(&headers(&["tenant=7"]));
        let mut mine = theirs.clone();
        assert!(mine.set("user", "a b"));
        assert!(!mine.set("a key", "1"));
        assert_eq!((theirs.get("user"), mine.get("user")), (None, Some("a b")));
        mine.remove("tenant");
        mine.remove("user");
        assert_eq!(mine, Baggage::default());
    }

    proptest! {
        #[test]
        fn what_goes_out_comes_back_in(
            pairs in prop::collection::btree_map("[a-z]{1,8}", any::<String>(), 0..20),
        ) {
            let mut baggage = Baggage::default();
            for (key, value) in &pairs {
                prop_assume!(baggage.set(key, value));
            }
            let mut sent = HeaderMap::new();
            baggage.inject(&mut sent);
            prop_assert_eq!(Baggage::read(&sent), (baggage, 0));
        }

        #[test]
        fn whatever_comes_in_it_stays_within_its_limits(lines in prop::collection::vec("[ -~]{0,300}", 0..40)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let baggage = Baggage::extract(&headers(&lines));
            prop_assert!(written(&baggage).len() <= BYTES_MAX);
            prop_assert!(baggage.iter().count() <= MEMBERS_MAX);
        }
    }
}
