//! What a span of `tracing` carries with it while it runs.

use sigyn_model::{Kind, StatusCode};
use sigyn_recorder::{ActiveSpan, Context, TagValue, Text};
use tracing::{Level, Metadata};

use crate::fields::{self, Fields, Takes};
use crate::layer::Wanted;

/// What is said in a field `otel.…` is written out up to here, if it is no text yet.
const WORD_BYTES_MAX: usize = 16 * 1024;

/// A span that is recorded when this is dropped, or the root of a trace that is not sampled.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) span: ActiveSpan,
    /// Its context is known elsewhere: to a child, or to another process.
    pub(crate) told: bool,
    /// How it ended has been said.
    settled: bool,
}

impl Running {
    #[inline]
    pub(crate) fn new(span: ActiveSpan) -> Self {
        Self { span, told: false, settled: false }
    }

    /// Its context, which it keeps from now on.
    #[inline]
    pub(crate) fn tell(&mut self) -> &Context {
        self.told = true;
        self.span.decide()
    }

    #[inline(always)]
    pub(crate) fn field(&mut self, key: &'static str, value: TagValue<'_>) {
        if key.as_bytes().first() == Some(&b'o') && self.may_take_word(key, value) {
            return;
        }
        self.span.tag(key, value);
    }

    #[inline(never)]
    fn may_take_word(&mut self, key: &str, value: TagValue<'_>) -> bool {
        key.strip_prefix("otel.").is_some_and(|word| self.take_word(word, value))
    }

    /// What the users of OpenTelemetry say of a span by fields of their own. False if it is nothing of
    /// the kind.
    #[cold]
    fn take_word(&mut self, word: &str, value: TagValue<'_>) -> bool {
        match (word, value) {
            (_, TagValue::Format(arguments)) => {
                let text = fields::written(arguments, WORD_BYTES_MAX);
                return self.take_word(word, TagValue::Str(&text));
            }
            ("name", TagValue::Str(name)) => {
                self.span.set_name(Text::new(name));
            }
            ("kind", TagValue::Str(text)) => {
                let Some(kind) = kind(text) else { return false };
                self.span.set_kind(kind);
            }
            ("status_code", TagValue::Str(text)) => {
                let Some(code) = status(text) else { return false };
                self.span.set_status(code);
                self.settled = true;
            }
            ("status_description", TagValue::Str(text)) => {
                self.span.error(text);
                self.settled = true;
            }
            _ => return false,
        }
        true
    }

    pub(crate) fn event(&mut self, of: &'static Metadata<'static>, said: &Fields, wanted: Wanted) {
        let error = said.text("error");
        let name = said.text("message").or(error);
        let text = name.map_or(Text::from(of.name()), Text::new);
        // Those of the crate `log` bring along what is known of them, as fields.
        let is_beside =
            |key: &str| key == "message" || (of.target() == "log" && key.starts_with("log."));
        let level = ("level", TagValue::Str(of.level().as_str()));
        let fields = said.iter().filter(|(key, _)| !is_beside(key));
        let tags = std::iter::once(level).chain(wanted.tags(of)).chain(fields);
        self.span.annotate_with(text, tags.map(|(key, value)| (Text::from(key), value)));
        if wanted.failures && *of.level() == Level::ERROR && !self.settled {
            self.span.error(name.unwrap_or_default());
            self.settled = true;
        }
    }
}

impl Takes for &mut Running {
    #[inline(always)]
    fn take(&mut self, key: &'static str, value: TagValue<'_>) {
        self.field(key, value);
    }
}

/// `None` within: neither side of a call, as for most spans.
fn kind(text: &str) -> Option<Option<Kind>> {
    let kinds = [
        ("client", Some(Kind::Client)),
        ("server", Some(Kind::Server)),
        ("producer", Some(Kind::Producer)),
        ("consumer", Some(Kind::Consumer)),
        ("internal", None),
    ];
    kinds.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, kind)| kind)
}

fn status(text: &str) -> Option<StatusCode> {
    let codes =
        [("ok", StatusCode::Ok), ("error", StatusCode::Error), ("unset", StatusCode::Unset)];
    codes.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, code)| code)
}
