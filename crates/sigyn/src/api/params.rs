//! Query parameters by Zipkin's rules: the first of a repeated one counts, unknown ones are ignored. Our own
//! routes refuse both.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::reply::ApiError;

/// The decoded query string of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Errors if a percent sign is not followed by two hexadecimal digits, or the result is not UTF-8.
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((percent_decode(key)?.into_owned(), percent_decode(value)?.into_owned()))
        });
        Ok(Self(pairs.collect::<Result<_, ApiError>>()?))
    }

    /// The parameters of these names alone, as they are.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(key, _)| names.contains(&key.as_str()));
        Self(kept.cloned().collect())
    }

    /// All parameters but those of this name.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(key, _)| key != name).cloned().collect())
    }

    /// The first value of this name, empty ones included.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A text parameter as an option.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.first(name).map(str::to_owned)
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.first(name).ok_or_else(|| {
            ApiError::bad(format!("Mandatory parameter/header/attribute is missing: {name}"))
        })
    }

    /// The same in the words of our own routes.
    pub(crate) fn wanted(&self, name: &'static str) -> Result<&str, ApiError> {
        self.first(name).ok_or_else(|| ApiError::bad(format!("{name} is missing")))
    }

    /// An optional whole number in our own words; an empty value counts as absent.
    pub(crate) fn whole(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let text = self.first(name).filter(|text| !text.is_empty());
        let read = |text: &str| {
            text.parse().map_err(|_| ApiError::bad(format!("{name} is no whole number: {text:?}")))
        };
        text.map(read).transpose()
    }

    /// Errors if there are others than these, or one of them is there twice: of two values only one would count.
    pub(crate) fn each_once(&self, known: &[&str]) -> Result<(), ApiError> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(ApiError::bad(match known {
                    [] => format!("there is no parameter {name:?}, and no other"),
                    known => format!("there is no parameter {name:?}, but {}", known.join(", ")),
                }));
            }
            if self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::bad(format!("{name} is there more than once")));
            }
        }
        Ok(())
    }

    /// An optional number; an empty value counts as absent.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.first(name).filter(|text| !text.is_empty()).map(parse_number).transpose()
    }

    /// A 32-bit number with a default, whose empty value Zipkin refuses.
    pub(crate) fn primitive(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        if self.first(name) == Some("") {
            let text = format!("Cannot set null to primitive type parameter: {name}");
            return Err(ApiError::bad(text));
        }
        let number = self.first(name).filter(|text| !text.is_empty()).map(|text| {
            let number: Result<i32, _> = text.parse();
            number.map(i64::from).map_err(|_| not_a_number(text))
        });
        number.transpose()
    }
}

fn parse_number(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| not_a_number(text))
}

fn not_a_number(text: &str) -> ApiError {
    ApiError::bad(format!("For input string: \"{text}\""))
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::parse(parts.uri.query().unwrap_or(""))
    }
}

/// Decodes `%41` and, as forms do, `+` for a space.
pub(crate) fn percent_decode(text: &str) -> Result<Cow<'_, str>, ApiError> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let bad = || ApiError::bad(format!("cannot decode {text:?}: bad percent-encoding"));
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit =
                    || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
                let value = digit()? * 16 + digit()?;
                out.push(u8::try_from(value).map_err(|_| bad())?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_repeated_parameter_counts() {
        let params = Params::parse("a=1&a=2&b=&c&serviceName=na%C3%AFve+one").unwrap();
        assert_eq!(params.first("a"), Some("1"));
        assert_eq!(params.first("b"), Some(""));
        assert_eq!(params.first("c"), Some(""));
        assert_eq!(params.first("serviceName"), Some("naïve one"));
        assert_eq!(params.number("b").unwrap(), None);
    }

    #[test]
    fn what_is_no_number_is_refused_in_zipkins_words() {
        let params = Params::parse("limit=x&endTs=").unwrap();
        assert_eq!(params.number("limit").unwrap_err().message, "For input string: \"x\"");
        let error = params.primitive("endTs").unwrap_err();
        assert_eq!(error.message, "Cannot set null to primitive type parameter: endTs");
    }

    #[test]
    fn what_our_own_routes_do_not_have_or_have_twice_is_refused() {
        let check = |query: &str, known: &[&str], expected: Option<&str>| {
            let refused = Params::parse(query).unwrap().each_once(known).err();
            assert_eq!(refused.map(|error| error.message).as_deref(), expected, "{query}");
        };
        check("", &[], None);
        check("q=a&limit=", &["q", "limit"], None);
        check("x=1", &["q", "limit"], Some("there is no parameter \"x\", but q, limit"));
        check("x=1", &[], Some("there is no parameter \"x\", and no other"));
        check("q=a&limit=1&q=b", &["q", "limit"], Some("q is there more than once"));
        check("q&q", &["q"], Some("q is there more than once"));
    }

    #[test]
    fn bad_percent_encoding_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Params::parse(text).is_err(), "{text}");
        }
    }
}
