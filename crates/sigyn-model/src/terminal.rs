//! Text of strangers on a terminal.

/// A text without what could steer a terminal, or show it in another order than it has: a name of a span must not
/// write over what stands beside it.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Controls, and the marks and overrides of bidirectional text.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(plain("get /cart · größe"), "get /cart · größe");
        assert_eq!(plain("a\x1b[2J\u{9b}b\r\n"), "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}");
        assert_eq!(
            plain("pay\u{202e}txt.exe\u{2066}\u{200f}"),
            "pay\u{fffd}txt.exe\u{fffd}\u{fffd}"
        );
    }
}
