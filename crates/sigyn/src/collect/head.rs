//! What the doors over HTTP share: what the head of a request says of its body.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::{Cause, refusal::Refusal};
use crate::unpack::Encoding;

/// The media type in lower case, without its parameters; empty if there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// How the body is packed; one that is packed twice is not known.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let mut encoding = Encoding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        let name = String::from_utf8_lossy(value.as_bytes());
        match (Encoding::named(&name), encoding) {
            (Some(named), Encoding::Identity) => encoding = named,
            (Some(Encoding::Identity), _) => {}
            _ => {
                let message = format!("content encoding {name:.40} is not known");
                return Err(Refusal::new(Cause::Type, message));
            }
        }
    }
    Ok(encoding)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_body_is_packed_in_one_way_or_refused() {
        let check = |values: &[&'static str], expected| {
            let pairs = values.iter().map(|v| (CONTENT_ENCODING, HeaderValue::from_static(v)));
            assert_eq!(encoding(&pairs.collect()).map_err(|e| e.cause), expected, "{values:?}");
        };
        check(&[], Ok(Encoding::Identity));
        check(&["gzip"], Ok(Encoding::Gzip));
        check(&["GZIP"], Ok(Encoding::Gzip));
        check(&["identity", "zstd"], Ok(Encoding::Zstd));
        check(&["deflate", "identity"], Ok(Encoding::Deflate));
        check(&["br"], Err(Cause::Type));
        check(&["gzip, gzip"], Err(Cause::Type));
        check(&["gzip", "gzip"], Err(Cause::Type));
    }
}
