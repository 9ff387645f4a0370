//! What is looked at, and where the protocol's document says it.

use serde::Serialize;

/// How much a rule weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Scrapers rely on it.
    Must,
    /// Whoever breaks it is still read.
    Should,
}

/// One statement of `docs/formats/pull-protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    Epoch,
    Status,
    Headers,
    Spelling,
    Optional,
    Framing,
    NoContent,
    Vary,
    Next,
    More,
    OneMoment,
    Counters,
    Method,
    Busy,
    Bound,
    Contiguous,
    Start,
    FromTheOldest,
    OldEpoch,
    Beyond,
    Unreadable,
    Lost,
    SameBytes,
    StillThere,
    KeptForAll,
    Again,
    Sealed,
    AtOnce,
    Waits,
    InTime,
    Wakes,
    Name,
    Leases,
    Wishes,
    Budgets,
    Sampling,
    SamplingApplied,
    OtlpOffered,
    Decodes,
    SameSpans,
    Weights,
    NotAcceptable,
    Compression,
    Members,
    Law,
    Final,
    Clock,
    Untraced,
    Legacy,
    LegacyOnce,
    OneTrace,
    NoTrace,
    Kept,
    Collect,
    CollectRefused,
    CollectHeader,
    CollectOnce,
    Tracez,
    Views,
    WellKnown,
    Looks,
    Siblings,
    OtherEpochs,
    Ended,
}

/// Something that the document says and that no answer shows.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Beyond {
    pub(super) section: u8,
    pub(super) what: &'static str,
}

/// Files of §17 have some of it, for tests of a target that can be told what happens to it.
pub(super) const BEYOND: &[Beyond] = &[
    Beyond { section: 4, what: "what acknowledgements change: nothing but the target's own books" },
    Beyond { section: 5, what: "that a buffer is sealed at 64 KiB, and that 64 wait at once" },
    Beyond {
        section: 6,
        what: "how long leases last, whose acknowledgements count, which traces are left out, and that callers are obeyed",
    },
    Beyond { section: 8, what: "the target's own law" },
    Beyond { section: 9, what: "for whom it waits when it shuts down, and what it counts then" },
    Beyond { section: 10, what: "all of it: these are duties of scrapers" },
    Beyond {
        section: 11,
        what: "that nothing recorded ever waits for a scrape, and that all is bounded",
    },
    Beyond { section: 15, what: "which traces are kept, and for how long" },
    Beyond {
        section: 16,
        what: "that what it tells is all that runs; and who is let in, but with a token that is given",
    },
    Beyond {
        section: 18,
        what: "that the spans of a process that is gone are there, and how long they are kept",
    },
];

use Level::{Must, Should};

impl Rule {
    /// In the order of the document.
    pub(super) const ALL: [Self; 64] = [
        Self::Epoch,
        Self::Status,
        Self::Headers,
        Self::Spelling,
        Self::Optional,
        Self::Framing,
        Self::NoContent,
        Self::Vary,
        Self::Next,
        Self::More,
        Self::OneMoment,
        Self::Counters,
        Self::Method,
        Self::Busy,
        Self::Bound,
        Self::Contiguous,
        Self::Start,
        Self::FromTheOldest,
        Self::OldEpoch,
        Self::Beyond,
        Self::Unreadable,
        Self::Lost,
        Self::SameBytes,
        Self::StillThere,
        Self::KeptForAll,
        Self::Again,
        Self::Sealed,
        Self::AtOnce,
        Self::Waits,
        Self::InTime,
        Self::Wakes,
        Self::Name,
        Self::Leases,
        Self::Wishes,
        Self::Budgets,
        Self::Sampling,
        Self::SamplingApplied,
        Self::OtlpOffered,
        Self::Decodes,
        Self::SameSpans,
        Self::Weights,
        Self::NotAcceptable,
        Self::Compression,
        Self::Members,
        Self::Law,
        Self::Final,
        Self::Clock,
        Self::Untraced,
        Self::Legacy,
        Self::LegacyOnce,
        Self::OneTrace,
        Self::NoTrace,
        Self::Kept,
        Self::Collect,
        Self::CollectRefused,
        Self::CollectHeader,
        Self::CollectOnce,
        Self::Tracez,
        Self::Views,
        Self::WellKnown,
        Self::Looks,
        Self::Siblings,
        Self::OtherEpochs,
        Self::Ended,
    ];

    /// Its name, its section, its weight, and what it says.
    pub(super) fn about(self) -> (&'static str, u8, Level, &'static str) {
        match self {
            Self::Epoch => ("epoch", 1, Must, "one process has one epoch"),
            Self::Status => ("status", 3, Must, "a scrape gets 200 or 204"),
            Self::Headers => {
                ("headers", 3, Must, "every answer has the headers of the table, once each")
            }
            Self::Spelling => ("spelling", 2, Must, "values are spelled as the page says"),
            Self::Optional => {
                ("optional-headers", 3, Should, "headers that may be left out can be read")
            }
            Self::Framing => {
                ("framing", 3, Must, "a body has a length, chunks, or HTTP/2 that end it")
            }
            Self::NoContent => ("no-content", 3, Must, "a 204 has no Sigyn-Range, and no body"),
            Self::Vary => ("vary", 3, Must, "Vary names Accept and Accept-Encoding"),
            Self::Next => {
                ("next", 3, Must, "Sigyn-Next is last + 1; newest + 1 where nothing is sent")
            }
            Self::More => ("more", 3, Must, "Sigyn-More is 1 where last < newest, and else 0"),
            Self::OneMoment => ("one-moment", 3, Must, "no more spans are lost than finished"),
            Self::Counters => ("counters", 3, Must, "counters and newest of an epoch never fall"),
            Self::Method => {
                ("method", 3, Should, "another method than GET gets 405 and Allow: GET")
            }
            Self::Busy => ("busy", 3, Must, "a 429 has Retry-After, and no Sigyn- header"),
            Self::Bound => (
                "max-bytes",
                3,
                Must,
                "max_bytes bounds a body, whose first segment comes in any case",
            ),
            Self::Contiguous => {
                ("contiguous", 3, Must, "a body begins at the cursor sent unless spans are lost")
            }
            Self::Start => {
                ("start", 4, Must, "a cursor of a segment that is held is where the body begins")
            }
            Self::FromTheOldest => (
                "from-the-oldest",
                4,
                Must,
                "without a cursor, and with that of segment 0 or 1, the body begins at the oldest segment",
            ),
            Self::OldEpoch => ("old-epoch", 4, Must, "a cursor of another epoch is as none"),
            Self::Beyond => ("beyond", 4, Must, "a cursor beyond newest + 1 is as none"),
            Self::Unreadable => (
                "unreadable",
                2,
                Must,
                "an unreadable cursor is as none; upper case and short epochs are read",
            ),
            Self::Lost => (
                "lost",
                4,
                Must,
                "Sigyn-Lost is what was evicted between cursor and body: a span or more for each segment",
            ),
            Self::SameBytes => {
                ("same-bytes", 4, Must, "a segment asked for again is the same bytes")
            }
            Self::StillThere => (
                "still-there",
                4,
                Must,
                "what was read and not acknowledged is still there: reading destroys nothing",
            ),
            Self::KeptForAll => (
                "kept-for-all",
                4,
                Must,
                "who reads or acknowledges takes nothing from others, nor does who peeks",
            ),
            Self::Again => ("again", 4, Must, "a lower cursor than before gets what is still held"),
            Self::Sealed => (
                "sealed",
                5,
                Should,
                "a span that ended a second before an answer is not missing in it",
            ),
            Self::AtOnce => {
                ("at-once", 5, Must, "a long poll is answered at once if segments wait")
            }
            Self::Waits => ("waits", 5, Should, "a long poll waits for spans"),
            Self::InTime => (
                "in-time",
                5,
                Must,
                "a long poll waits no longer than asked, and no longer than 80% of the scrape timeout",
            ),
            Self::Wakes => (
                "wakes",
                5,
                Should,
                "a long poll ends early when a span that failed waits, or a segment is sealed",
            ),
            Self::Name => {
                ("name", 6, Must, "a name of 1 to 128 bytes is served, and a longer one gets 400")
            }
            Self::Leases => {
                ("leases", 6, Must, "whoever finds no lease free is served all the same")
            }
            Self::Wishes => (
                "wishes",
                6,
                Must,
                "intervals, budgets, samplings and waits that cannot be read are as none",
            ),
            Self::Budgets => {
                ("budgets", 6, Must, "a budget counts only if all who hold a lease have one")
            }
            Self::Sampling => {
                ("sampling", 6, Must, "who wants less of operations takes nothing from others")
            }
            Self::SamplingApplied => (
                "sampling-applied",
                6,
                Should,
                "what is wanted of an operation is applied as long as it is wanted",
            ),
            Self::OtlpOffered => ("otlp", 7, Must, "OTLP protobuf is offered"),
            Self::Decodes => (
                "decodes",
                7,
                Must,
                "a body can be read as its Content-Type and Content-Encoding say",
            ),
            Self::SameSpans => {
                ("same-spans", 7, Must, "a segment holds the same spans in all formats")
            }
            Self::Weights => {
                ("weights", 7, Must, "the format and compression with the greatest weight is sent")
            }
            Self::NotAcceptable => {
                ("not-acceptable", 7, Must, "what is not offered gets 406, with Vary")
            }
            Self::Compression => {
                ("compression", 7, Should, "bodies are compressed for those who can read it")
            }
            Self::Members => (
                "members",
                7,
                Must,
                "each segment is a run of its own: protobuf bodies are segments one after another",
            ),
            Self::Law => ("law", 8, Must, "finished = received + lost + oversize + shutdown"),
            Self::Final => ("final", 9, Must, "once Sigyn-Final is 1, it stays so"),
            Self::Clock => (
                "clock",
                3,
                Must,
                "Sigyn-Clock is the wall clock in nanoseconds, and runs as ours does",
            ),
            Self::Untraced => ("untraced", 11, Should, "scrapes leave no spans"),
            Self::Legacy => (
                "legacy",
                13,
                Must,
                "who sends neither Accept nor Sigyn- headers gets Thrift without hosts and 200, or what */* gets",
            ),
            Self::LegacyOnce => (
                "legacy-once",
                13,
                Must,
                "such a one gets each span once if the body comes in chunks, else everything each time",
            ),
            Self::OneTrace => (
                "one-trace",
                14,
                Must,
                "?trace_id= answers the spans of one trace, without Sigyn- headers",
            ),
            Self::NoTrace => {
                ("no-trace", 14, Must, "a trace that is not there is 204, and what is no id is 400")
            }
            Self::Kept => (
                "kept",
                15,
                Must,
                "Sigyn-Kept has at most 128 traces, with spans in this body or in the next",
            ),
            Self::Collect => (
                "collect",
                15,
                Must,
                "POST …/collect tells how many spans went to the log: none of a trace that nobody knows",
            ),
            Self::CollectRefused => (
                "collect-refused",
                15,
                Must,
                "what names no traces, or over 1000, gets 400, and over 64 KiB 413",
            ),
            Self::CollectHeader => {
                ("collect-header", 15, Must, "a scrape with Sigyn-Collect is a scrape")
            }
            Self::CollectOnce => (
                "collect-once",
                15,
                Must,
                "a span goes to the log once, however often it is asked for",
            ),
            Self::Tracez => {
                ("tracez", 16, Must, "tracez tells in JSON what runs, of one trace or of all")
            }
            Self::Views => ("views", 16, Must, "tracez is text, HTML or JSON, by weight; else 406"),
            Self::WellKnown => {
                ("well-known", 16, Must, "/.well-known/sigyn tells what is offered, and it is")
            }
            Self::Looks => ("looks", 16, Must, "who looks moves no cursor, and loses no spans"),
            Self::Siblings => (
                "siblings",
                18,
                Must,
                "other epochs are told to whom follows them alone, each once, and never the own one",
            ),
            Self::OtherEpochs => (
                "other-epochs",
                18,
                Must,
                "an epoch that is listed can be read by its own cursors, and the law holds for it",
            ),
            Self::Ended => (
                "ended",
                18,
                Must,
                "behind the end of an epoch that is over comes the own one, with Sigyn-Ended",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_listed_once_and_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            Rule::ALL.iter().map(|rule| rule.about().0).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        assert!(
            Rule::ALL.is_sorted(),
            "in the order of their declaration, so that none is missing"
        );
    }
}
