//! Whether a text is a password's hash by bcrypt at all, in the words of Go's library.

use sigyn_discovery::http::Secret;

/// No hash is shorter.
const BYTES_MIN: usize = 59;
/// `$2y$`, or `$2$` of old.
const VERSION: u8 = b'2';
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// Errors if nobody could have this hash. What is wrong is told, the hash is not.
pub(super) fn check(hash: &Secret) -> Result<(), String> {
    let hash = hash.reveal().as_bytes();
    let problem = match hash {
        [b'$', version, rest @ ..] if hash.len() >= BYTES_MIN && *version <= VERSION => {
            match cost(rest) {
                Some(cost) if COSTS.contains(&cost) => return Ok(()),
                Some(cost) => format!("cost {cost} is outside allowed inclusive range 4..31"),
                None => "the cost is no number".to_owned(),
            }
        }
        [b'$', version, ..] if hash.len() >= BYTES_MIN => format!(
            "bcrypt algorithm version '{}' requested is newer than current version '2'",
            char::from(*version)
        ),
        [first, ..] if hash.len() >= BYTES_MIN => format!(
            "bcrypt hashes must start with '$', but hashedSecret started with '{}'",
            char::from(*first)
        ),
        _ => "hashedSecret too short to be a bcrypted password".to_owned(),
    };
    Err(format!("crypto/bcrypt: {problem}"))
}

/// What follows the version: a letter perhaps, and then two digits between dollars.
fn cost(after_version: &[u8]) -> Option<u32> {
    let rest = match after_version {
        [b'$', rest @ ..] | [_, b'$', rest @ ..] => rest,
        _ => return None,
    };
    match rest {
        [tens, ones, b'$', ..] => std::str::from_utf8(&[*tens, *ones]).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_hash_is_told_and_the_hash_is_not() {
        let check = |begin: &str, expected: &str| {
            let hash = format!("{begin}{}", "a".repeat(60 - begin.len().min(60)));
            let checked = check(&Secret::from(hash.as_str()));
            match expected {
                "" => assert_eq!(checked, Ok(())),
                expected => assert_eq!(checked, Err(format!("crypto/bcrypt: {expected}"))),
            }
        };
        check("$2y$10$", "");
        check("$2b$04$", "");
        check("$2$31$", "");
        check(
            "$3y$10$",
            "bcrypt algorithm version '3' requested is newer than current version '2'",
        );
        check("x2y$10$", "bcrypt hashes must start with '$', but hashedSecret started with 'x'");
        check("$2y$03$", "cost 3 is outside allowed inclusive range 4..31");
        check("$2y$99$", "cost 99 is outside allowed inclusive range 4..31");
        check("$2y$1x$", "the cost is no number");
        let short = "hashedSecret too short to be a bcrypted password";
        for hash in ["", "$2y$10$short"] {
            let expected = Err(format!("crypto/bcrypt: {short}"));
            assert_eq!(super::check(&Secret::from(hash)), expected);
        }
    }
}
