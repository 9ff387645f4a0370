//! `basic_auth_users`: whether somebody is who they say. What was found out once is remembered, since
//! finding it out is meant to be slow.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use http::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest as _, Sha256};
use sigyn_discovery::http::Secret;

use super::lock;
use crate::grpc::base64;

/// Verdicts that are remembered.
const KNOWN_MAX: usize = 100;
/// How many of them make room at once.
const FORGOTTEN: usize = KNOWN_MAX / 10;
/// What the password of somebody who is not there is compared with, so that it takes as long. It is
/// no password's hash that anybody knows.
const NOBODY: &str = "$2b$10$nobodyhasthispasswordOsothereforeitneverisaccepted...";

/// A name and a password.
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// What a request says in `Authorization: Basic`, if it does.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        const SCHEME: &[u8] = b"basic ";
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let mut user = base64::decode(rest)?;
        let colon = user.iter().position(|byte| *byte == b':')?;
        let password = user.split_off(colon + 1);
        user.pop();
        Some(Self { user, password })
    }
}

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Users {
    known: Mutex<HashMap<Question, bool>>,
    /// One hash is computed at a time: strangers must not take all the processors.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Who says what, and what it is compared with, as one hash: passwords are not kept.
type Question = [u8; 32];

impl Users {
    /// Whether one of `users`, whose passwords are kept as hashes of bcrypt, has these credentials.
    pub(super) async fn are(
        &self,
        users: &BTreeMap<String, Secret>,
        credentials: Credentials,
    ) -> bool {
        let Credentials { user, password } = credentials;
        let hash = str::from_utf8(&user).ok().and_then(|user| users.get(user));
        let is_there = hash.is_some();
        let hash = hash.map_or(NOBODY, Secret::reveal).to_owned();
        let question = question([&user, hash.as_bytes(), &password]);
        if let Some(verdict) = self.known(&question) {
            return verdict;
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Whoever was before may have asked the same.
        if let Some(verdict) = self.known(&question) {
            return verdict;
        }
        let compared = tokio::task::spawn_blocking(move || {
            // It ends here, even if nobody waits for it any more.
            let _turn = turn;
            bcrypt::verify(&password, &hash).unwrap_or(false)
        });
        let verdict = compared.await.unwrap_or(false) && is_there;
        self.remember(question, verdict);
        verdict
    }

    fn known(&self, question: &Question) -> Option<bool> {
        lock(&self.known).get(question).copied()
    }

    fn remember(&self, question: Question, verdict: bool) {
        let mut known = lock(&self.known);
        if known.len() >= KNOWN_MAX {
            // A map has no order, so these are any.
            let some: Vec<Question> = known.keys().take(FORGOTTEN).copied().collect();
            known.retain(|question, _| !some.contains(question));
        }
        known.insert(question, verdict);
    }
}

/// With lengths, so that what belongs to one part is not taken for another's.
fn question(parts: [&[u8]; 3]) -> Question {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    fn hashed(password: &str) -> Secret {
        bcrypt::hash(password, 4).unwrap().into()
    }

    #[tokio::test]
    async fn a_user_has_one_password_and_strangers_have_none() {
        let users = [("ann".to_owned(), hashed("secret")), ("bob".to_owned(), hashed(""))].into();
        let known = Users::default();
        // Each twice: what is remembered is what was found out.
        for _ in 0..2 {
            for (user, password, expected) in [
                ("ann", "secret", true),
                ("ann", "Secret", false),
                ("ann", "", false),
                ("bob", "", true),
                ("eve", "secret", false),
                ("", "", false),
            ] {
                let verdict = known.are(&users, credentials(user, password)).await;
                assert_eq!(verdict, expected, "{user} {password}");
            }
        }
        assert_eq!(lock(&known.known).len(), 6);
    }

    #[tokio::test]
    async fn another_hash_is_another_question() {
        let known = Users::default();
        let mut users: BTreeMap<String, Secret> = [("ann".to_owned(), hashed("old"))].into();
        assert!(known.are(&users, credentials("ann", "old")).await);
        users.insert("ann".to_owned(), hashed("new"));
        assert!(!known.are(&users, credentials("ann", "old")).await);
        assert!(known.are(&users, credentials("ann", "new")).await);
        users.clear();
        assert!(!known.are(&users, credentials("ann", "new")).await);
    }

    #[tokio::test]
    async fn a_hash_that_is_none_lets_nobody_in() {
        let users = [("ann".to_owned(), Secret::from("$2y$10$broken"))].into();
        assert!(!Users::default().are(&users, credentials("ann", "")).await);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = Users::default();
        for n in 0..1_000u64 {
            known.remember(question([&n.to_be_bytes(), b"", b""]), n % 2 == 0);
            assert!(lock(&known.known).len() <= KNOWN_MAX);
        }
        let last = question([&999u64.to_be_bytes(), b"", b""]);
        assert_eq!(known.known(&last), Some(false));
    }

    #[test]
    fn nobody_is_a_hash_that_takes_as_long_as_others() {
        super::super::hash::check(&Secret::from(NOBODY)).unwrap();
        let parts: bcrypt::HashParts = NOBODY.parse().unwrap();
        assert_eq!(parts.get_cost(), 10);
    }

    #[test]
    fn credentials_stand_in_one_header() {
        let check = |value: &str, expected: Option<(&str, &str)>| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            let found = Credentials::of(&headers);
            let found = found.map(|found| (found.user, found.password));
            let expected = expected.map(|(user, password)| (user.into(), password.into()));
            assert_eq!(found, expected, "{value}");
        };
        check("Basic YW5uOnNlY3JldA==", Some(("ann", "secret")));
        check("bAsIc YW5uOnNlY3JldA==", Some(("ann", "secret")));
        check("Basic YW5uOmE6Yg==", Some(("ann", "a:b")));
        check("Basic Og==", Some(("", "")));
        check("Basic YW5u", None);
        check("Basic !", None);
        check("Bearer YW5uOnNlY3JldA==", None);
        check("Basic", None);
        assert!(Credentials::of(&HeaderMap::new()).is_none());
        assert!(!format!("{:?}", credentials("ann", "secret")).contains("secret"));
    }
}
