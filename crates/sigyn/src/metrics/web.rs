//! Figures of what guards the doors.

use super::{Family, Series, counter};
use crate::web_config::Counts;

pub(crate) fn families(counts: &Counts) -> Vec<Family> {
    let refused = counts.refused_total();
    vec![
        Family {
            name: "sigyn_web_requests_refused_total",
            help: "Requests that were refused before anything was looked at, by reason",
            series: Series::Counter(
                refused
                    .into_iter()
                    .map(|(reason, count)| (vec![("reason", reason.to_owned())], count))
                    .collect(),
            ),
        },
        counter(
            "sigyn_web_tls_handshakes_failed_total",
            "Connections that ended before TLS was agreed upon",
            counts.handshakes_failed_total(),
        ),
    ]
}
