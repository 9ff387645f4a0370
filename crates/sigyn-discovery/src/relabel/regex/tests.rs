//! Go's reading of patterns, case by case.

use super::*;

#[test]
fn patterns_mean_what_they_mean_in_go() {
    for (pattern, matching, others) in [
        // ASCII classes.
        (r"\d+", &["123"][..], &["٣", "a", ""][..]),
        (r"\D", &["٣", "a"], &["1"]),
        (r"\w+", &["a_1"], &["é", "a-b"]),
        (r"\W", &["é", "-"], &["a", "_"]),
        (r"\s", &[" ", "\t", "\n", "\x0c", "\r"], &["\u{a0}", "\u{b}", "a"]),
        (r"\S", &["\u{a0}", "a"], &[" "]),
        (r"é\b", &[], &["é"]),
        (r"a\bé", &["aé"], &["aa"]),
        (r"é\Bé", &["éé"], &["ab"]),
        (r"(?i)\w", &["ſ", "K", "k"], &["é"]),
        (r"(?i)\W", &["é"], &["ſ", "k"]),
        (r"(?i)[[:upper:]]+", &["aBſ"], &["é", "1"]),
        (r"(?i)[^k]", &["a"], &["k", "K", "K"]),
        (r"(?i)straße", &["STRAẞE", "straße"], &["strasse"]),
        // Literals inside brackets.
        (r"[a&&b]+", &["a&b", "&&"], &["c"]),
        (r"[[a]b]", &["[b]", "ab]"], &["a", "b"]),
        (r"[[]", &["["], &["]"]),
        (r"[a[]", &["a", "["], &["]"]),
        (r"[]a]", &["]", "a"], &["["]),
        (r"[^]]", &["a"], &["]"]),
        (r"[\w-z]", &["a", "-"], &["."]),
        (r"[\d-a]", &["1", "-", "a"], &["b"]),
        (r"[a-]", &["a", "-"], &["b"]),
        (r"[~~a]", &["~", "a"], &["b"]),
        (r"[+--]", &["+", ",", "-"], &["."]),
        (r"[\]\[]", &["]", "["], &["\\"]),
        (r"[a-z&&[^b]]", &["b]"], &["a", "c"]),
        (r"[^\D\w]", &[], &["1", "a", "-"]),
        (r"[^\D]", &["1"], &["a"]),
        // Literal braces.
        (r"{", &["{"], &[""]),
        (r"a{", &["a{"], &["a"]),
        (r"a{,5}", &["a{,5}"], &["aa"]),
        (r"a{01}", &["a{01}"], &["a"]),
        (r"a{5", &["a{5"], &["aaaaa"]),
        (r"a{2}", &["aa"], &["a", "a{2}"]),
        (r"a{2,}", &["aa", "aaaa"], &["a"]),
        (r"a{1,2}b", &["ab", "aab"], &["aaab"]),
        // Escapes.
        (r"\<a\>", &["<a>"], &["a"]),
        (r"\_\-\/\@", &["_-/@"], &[]),
        (r"\Qa.b\E.", &["a.bc"], &["axbc"]),
        (r"\Q*\E+", &["***"], &[""]),
        (r"\101", &["A"], &["101"]),
        (r"\0101", &["\u{8}1"], &["A"]),
        (r"\0", &["\0"], &["0"]),
        (r"\777", &["\u{1ff}"], &["777"]),
        (r"\x41\x{1F600}\x{0000041}", &["A😀A"], &[]),
        (r"\a\f\n\r\t\v", &["\x07\x0c\n\r\t\x0b"], &[]),
        // Unicode classes, by general category and script.
        (r"\pL+", &["aéα"], &["1"]),
        (r"\PL", &["1"], &["a"]),
        (r"\p{Greek}", &["α"], &["a"]),
        (r"\p{greek}", &["α"], &["a"]),
        (r"\p{Letter}", &["a"], &["1"]),
        (r"\p{^Greek}", &["a"], &["α"]),
        (r"\P{^Greek}", &["α"], &["a"]),
        (r"[^\P{Greek}a]", &["α"], &["a"]),
        (r"\p{Any}", &["a", "\n"], &[""]),
        (r"\p{Old_Italic}|\p{Lisu}", &["𐌀", "ꓐ"], &["a"]),
        (r"(?i)\p{Lu}", &["a", "A"], &["1"]),
        // Surrogates exist as numbers, but in no text.
        (r"\x{D800}", &[], &["a", ""]),
        (r"[\x{D800}]", &[], &["a"]),
        (r"[^\x{D800}]", &["a", "\n"], &["ab"]),
        (r"[a-\x{10FFFF}]", &["a", "😀"], &["A"]),
        // Groups and flags.
        (r"(?P<n>a)(?P<n>b)", &["ab"], &["a"]),
        (r"(?<n>a)(?P<1a>b)", &["ab"], &["a"]),
        (r"(?)a", &["a"], &["A"]),
        (r"(?i)a(?-i)b", &["Ab"], &["AB"]),
        (r"a(?i)*", &["aa", ""], &["A"]),
        (r"(?i:a)b", &["Ab"], &["AB"]),
        (r"(?ii)ab", &["AB"], &["c"]),
        (r"(?si-i)a", &["a"], &["A"]),
        (r"(?ii-ss:a.)", &["AB"], &["a\n"]),
        (r"(?-s:.)+", &["a"], &["\n"]),
        (r".+", &["a\nb"], &[""]),
        (r"(?m)^a$\n^b$", &["a\nb"], &["ab"]),
        (r"^a$", &["a"], &["a\n"]),
        (r"\Aa\z", &["a"], &["a\n"]),
        (r"(?U)a+?", &["aaa"], &[""]),
        (r"^*a$*\b+", &["a"], &[]),
        // What is repeated may be repeated again, if something that matches nothing stands between.
        (r"a*(?i)*b", &["b", "aaB"], &["Ab", "a"]),
        (r"x(a{2}\Q\E{2})", &["xaaaa"], &["xaa", "xaaa"]),
        (r"([ab]??)(?i){0,2}c", &["c", "abC"], &["abac", "ABc"]),
        // Closing a bracket that the anchors opened is well-formed, if odd.
        (r"a)(b", &["ab"], &["a"]),
        (r"(|a)+", &["", "aa"], &["b"]),
        (r"", &[""], &["a"]),
        // A space, a hash sign and line breaks are themselves.
        (r"a b#c", &["a b#c"], &["ab"]),
    ] {
        let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for text in matching {
            assert!(regex.is_match(text), "{pattern} must match {text:?}");
        }
        for text in others {
            assert!(!regex.is_match(text), "{pattern} must not match {text:?}");
        }
    }
}

#[test]
fn patterns_that_go_refuses() {
    for (pattern, expected) in [
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a?+", "invalid nested repetition operator: `?+`"),
        ("a*??", "invalid nested repetition operator: `*??`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a*{2}", "invalid nested repetition operator: `*{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("((a{0}){1000}){1000}", "invalid repeat count: `{1000}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("(*)", "missing argument to repetition operator: `*`"),
        ("+", "missing argument to repetition operator: `+`"),
        ("{2}", "missing argument to repetition operator: `{2}`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("(a", "missing closing ): `^(?s:(a)$`"),
        ("a)b", "unexpected ): `^(?s:a)b)$`"),
        ("\\", "missing closing ): `^(?s:\\)$`"),
        ("\\Qa", "missing closing ): `^(?s:\\Qa)$`"),
        ("[a", "missing closing ]: `[a)$`"),
        ("[]", "missing closing ]: `[])$`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ("\\pX", "invalid character class range: `\\pX`"),
        ("\\p{Grek}", "invalid character class range: `\\p{Grek}`"),
        ("\\p{Script=Greek}", "invalid character class range: `\\p{Script=Greek}`"),
        ("\\p{Alphabetic}", "invalid character class range: `\\p{Alphabetic}`"),
        ("\\p{}", "invalid character class range: `\\p{}`"),
        ("\\p{", "invalid character class range: `\\p{)$`"),
        ("[\\p{Foo}]", "invalid character class range: `\\p{Foo}`"),
        ("\\u0041", "invalid escape sequence: `\\u`"),
        ("\\1", "invalid escape sequence: `\\1`"),
        ("\\8", "invalid escape sequence: `\\8`"),
        ("\\Z", "invalid escape sequence: `\\Z`"),
        ("\\C", "invalid escape sequence: `\\C`"),
        ("\\é", "invalid escape sequence: `\\é`"),
        ("\\xg", "invalid escape sequence: `\\xg)`"),
        ("\\x{}", "invalid escape sequence: `\\x{}`"),
        ("\\x{110000}", "invalid escape sequence: `\\x{110000`"),
        ("[a-\\d]", "invalid escape sequence: `\\d`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?u)a", "invalid or unsupported Perl syntax: `(?u`"),
        ("(?R)a", "invalid or unsupported Perl syntax: `(?R`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?#a)", "invalid or unsupported Perl syntax: `(?#`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?-)a", "invalid or unsupported Perl syntax: `(?-)`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?--i)a", "invalid or unsupported Perl syntax: `(?--`"),
        ("(?P<a", "invalid named capture: `(?P<a)$`"),
        ("(?P<>a)", "invalid named capture: `(?P<>`"),
        ("(?P<a b>a)", "invalid named capture: `(?P<a b>`"),
    ] {
        match Regex::new(pattern) {
            Ok(_) => panic!("{pattern} must be refused"),
            Err(error) => assert_eq!(
                error.to_string(),
                format!("error parsing regexp: {expected}"),
                "{pattern}"
            ),
        }
    }
    let deep = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
    assert!(Regex::new(&deep).unwrap_err().message.starts_with("expression nests too deeply"));
    assert!(Regex::new(r"[\pL\pN_-]{1,253}").unwrap().is_match("größe-1"));
    let large = r"\pL{900}".repeat(4);
    assert!(Regex::new(&large).unwrap_err().message.starts_with("expression too large"));
}

proptest::proptest! {
    /// Whatever is accepted compiles: the translator never writes what the crate cannot read,
    /// other than for its size.
    #[test]
    fn the_translation_is_always_well_formed(pattern in r"([a-z\[\](){}|*+?.^$\\:&~#<>=, -]|\\[pPdDwWsSbBAzQEx0-7]|\{\d,?\d?\}|\(\?[imsU:-]{1,3}|\[:alpha:\]|é){0,16}") {
        if let Err(error) = Regex::new(&pattern) {
            proptest::prop_assert!(!error.message.starts_with("expression too large"), "{}", error);
        }
    }
}
