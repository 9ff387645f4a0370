//! `http_server_config.headers`: what every answer says besides. Only headers that keep browsers safe
//! may be there.

use std::collections::BTreeMap;

use http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

/// Their names as they have to be written, and the values that there are, if these are few.
const KNOWN: [(&str, HeaderName, &[&str]); 5] = [
    ("Strict-Transport-Security", STRICT_TRANSPORT_SECURITY, &[]),
    ("X-Content-Type-Options", X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
    ("X-Frame-Options", X_FRAME_OPTIONS, &["deny", "sameorigin"]),
    ("X-XSS-Protection", X_XSS_PROTECTION, &[]),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY, &[]),
];

/// The headers of a file, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(super) fn new(written: &BTreeMap<String, String>) -> Result<Self, String> {
        let checked = written.iter().map(|(name, value)| header(name, value));
        Ok(Self(checked.collect::<Result<_, _>>()?))
    }

    /// What the file says goes before what an answer says by itself.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
    }
}

fn header(written: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let known = KNOWN.into_iter().find(|(name, ..)| *name == written);
    let (_, name, values) =
        known.ok_or_else(|| format!("HTTP header {written:?} can not be configured"))?;
    if !values.is_empty() && !values.contains(&value) {
        let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        return Err(format!(
            "invalid value for {written}. Expected one of: [{}], but got: {value:?}",
            values.join(" ")
        ));
    }
    let value = HeaderValue::from_str(value)
        .map_err(|_| format!("the value of {written} has what no header can have"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Headers, String> {
        Headers::new(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn few_headers_can_be_had() {
        for (name, value) in [
            ("Strict-Transport-Security", "max-age=31536000"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "deny"),
            ("X-Frame-Options", "sameorigin"),
            ("X-XSS-Protection", "0"),
            ("Content-Security-Policy", ""),
        ] {
            let mut answer = HeaderMap::new();
            answer.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("of the answer"));
            read(name, value).unwrap().add_to(&mut answer);
            assert_eq!(answer[name], value, "{name}");
        }
        let check =
            |name, value, expected: &str| assert_eq!(read(name, value).unwrap_err(), expected);
        check("X-Custom", "a", "HTTP header \"X-Custom\" can not be configured");
        check("x-frame-options", "deny", "HTTP header \"x-frame-options\" can not be configured");
        check(
            "X-Frame-Options",
            "allow",
            "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"allow\"",
        );
        check(
            "X-Content-Type-Options",
            "",
            "invalid value for X-Content-Type-Options. Expected one of: [\"nosniff\"], but got: \"\"",
        );
        let split = "the value of Content-Security-Policy has what no header can have";
        check("Content-Security-Policy", "a\nb", split);
    }
}
