//! The three forms of the protocol: gRPC itself, and gRPC-Web in bytes or in text.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};

/// How messages and trailers travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Trailers are HTTP's.
    Grpc,
    /// Trailers are the last frame of the body: a browser cannot read HTTP's.
    Web,
    /// The same, all of it in base64.
    WebText,
}

impl Form {
    /// `None` for other types, a coding other than protobuf among them.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.strip_suffix("+proto").unwrap_or(&media_type) {
            "application/grpc" => Some(Self::Grpc),
            "application/grpc-web" => Some(Self::Web),
            "application/grpc-web-text" => Some(Self::WebText),
            _ => None,
        }
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "application/grpc+proto",
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_names_a_form() {
        let check = |text: &'static str, expected| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(Form::of(&headers), expected, "{text}");
        };
        check("application/grpc", Some(Form::Grpc));
        check("application/grpc+proto", Some(Form::Grpc));
        check("Application/gRPC; x=y", Some(Form::Grpc));
        check("application/grpc-web", Some(Form::Web));
        check("application/grpc-web+proto", Some(Form::Web));
        check("application/grpc-web-text", Some(Form::WebText));
        check("application/grpc-web-text+proto", Some(Form::WebText));
        check("application/grpc+json", None);
        check("application/grpcweb", None);
        check("application/x-protobuf", None);
        assert_eq!(Form::of(&HeaderMap::new()), None);
    }
}
