//! Upper and lower case as Go maps them: each character alone, never one to several.

use icu_casemap::CaseMapper;

/// Go's `strings.ToLower`.
pub(super) fn lower(text: &str) -> String {
    let mapper = CaseMapper::new();
    text.chars().map(|c| mapper.simple_lowercase(c)).collect()
}

/// Go's `strings.ToUpper`.
pub(super) fn upper(text: &str) -> String {
    let mapper = CaseMapper::new();
    text.chars().map(|c| mapper.simple_uppercase(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_character_maps_to_one() {
        for (text, expected_lower, expected_upper) in [
            ("", "", ""),
            ("aBc-1", "abc-1", "ABC-1"),
            ("Straße", "straße", "STRAßE"),
            ("İ", "i", "İ"),
            ("ı", "ı", "I"),
            ("ΑΣ", "ασ", "ΑΣ"),
            ("ς", "ς", "Σ"),
            ("ǅ", "ǆ", "Ǆ"),
            ("ﬁ", "ﬁ", "ﬁ"),
            ("ŉ", "ŉ", "ŉ"),
            ("ÿ", "ÿ", "Ÿ"),
            ("ſ", "ſ", "S"),
            ("K", "k", "K"),
            ("日本", "日本", "日本"),
        ] {
            assert_eq!(lower(text), expected_lower, "{text}");
            assert_eq!(upper(text), expected_upper, "{text}");
        }
    }
}
