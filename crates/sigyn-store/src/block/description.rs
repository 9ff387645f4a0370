//! What a block says of itself: enough for a catalog that has lost it.

use crate::catalog::BlockEntry;

/// The key in the footer's metadata under which it stands.
pub(super) const DESCRIPTION_KEY: &str = "sigyn.block";
const VERSION: u32 = 1;

/// `<version> <instance> <first frame> <last frame> <spans> <traces> <first arrival> <last arrival>
/// [<earliest timestamp> <latest timestamp>]`.
pub(super) fn describe(instance: u64, entry: &BlockEntry) -> String {
    let BlockEntry { first_seq, last_seq, spans, traces, starts_ns, .. } = entry;
    let BlockEntry { first_arrival_ms, last_arrival_ms, .. } = entry;
    let mut text = format!(
        "{VERSION} {instance:016x} {first_seq} {last_seq} {spans} {traces} {first_arrival_ms} {last_arrival_ms}"
    );
    if let Some((earliest, latest)) = starts_ns {
        text.push_str(&format!(" {earliest} {latest}"));
    }
    text
}
