//! Questions to AWS: a form goes out, XML comes back.

use std::str::Utf8Error;

use http::StatusCode;
use http::header::InvalidHeaderValue;
use jiff::Timestamp;
use url::Url;

use super::credentials::Keys;
use super::instances::AnswerError;
use super::sign::{Scope, sign};
use crate::http::Secret;
use crate::mechanism::ask::{AskError, Asker, form, shown};
use crate::mechanism::pages::PagesError;
use crate::mechanism::xml::{content, find, whole};

/// One of AWS' services, where it is for one region.
#[derive(Debug)]
pub(super) struct Service<'a> {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) region: &'a str,
    pub(super) url: Url,
}

/// Why there is no answer of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("the answer is not UTF-8")]
    Text(#[from] Utf8Error),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Pages(#[from] PagesError),
    #[error("the credentials cannot be sent in a header")]
    Header(#[from] InvalidHeaderValue),
}

impl Service<'_> {
    /// Asks, and signs the question with the keys if there are any. `secrets` are in the parameters,
    /// and in no error.
    pub(super) async fn ask(
        &self,
        asker: &Asker,
        keys: Option<&Keys>,
        parameters: &[(&str, &str)],
        secrets: &[&Secret],
    ) -> Result<String, ApiError> {
        let mut request = form(&[parameters, &[("Version", self.version)]].concat());
        if let Some(keys) = keys {
            let scope = Scope { region: self.region, service: self.name, at: Timestamp::now() };
            sign(&mut request, &self.url, keys, scope)?;
        }
        let (head, body) = asker.send(&self.url, request).await?;
        if head.status == StatusCode::OK {
            return Ok(str::from_utf8(&body)?.to_owned());
        }
        let of_keys = keys.map(|keys| [&keys.secret_key, &keys.token]);
        let secrets: Vec<_> =
            secrets.iter().copied().chain(of_keys.into_iter().flatten()).collect();
        Err(refusal(&String::from_utf8_lossy(&body), &secrets)
            .unwrap_or(ApiError::Status(head.status)))
    }
}

/// What the answer to a refused question says, if it says anything.
fn refusal(text: &str, secrets: &[&Secret]) -> Option<ApiError> {
    let told = |name: &str| {
        let mut xml = whole(text);
        find(&mut xml, name).and_then(|()| content(&mut xml)).ok()
    };
    let code = told("Code")?;
    let message = told("Message").unwrap_or_default();
    Some(ApiError::Refused { code: shown(&code, secrets), message: shown(&message, secrets) })
}

/// What the names of a region's hosts end in.
pub(super) fn domain(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        region if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        region if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_without_secrets() {
        let check = |text: &str, expected: Option<&str>| {
            let told = refusal(text, &[&"hidden".into()]);
            assert_eq!(told.map(|error| error.to_string()).as_deref(), expected);
        };
        check(
            "<?xml version='1.0'?>\n<Response><Errors><Error><Code>AuthFailure</Code>\
             <Message>AWS was not able to validate hidden</Message></Error></Errors></Response>",
            Some("AuthFailure: AWS was not able to validate <secret>"),
        );
        check(
            "<ErrorResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><Error>\
             <Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>",
            Some("AccessDenied: "),
        );
        check("<html><body>502 Bad Gateway</body></html>", None);
        check("", None);
    }

    #[test]
    fn where_regions_are() {
        assert_eq!(domain("eu-central-1"), "amazonaws.com");
        assert_eq!(domain("cn-north-1"), "amazonaws.com.cn");
    }
}
