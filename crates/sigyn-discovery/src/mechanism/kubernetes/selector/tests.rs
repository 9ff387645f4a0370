//! Selectors that the API's own client takes and refuses.

use super::*;

#[track_caller]
fn check(told: Result<(), String>, expected: &str) {
    match expected {
        "" => assert_eq!(told, Ok(())),
        expected => {
            let told = told.unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
    }
}

#[test]
fn fields() {
    for (selector, expected) in [
        ("", ""),
        ("metadata.name=a", ""),
        ("status.phase!=Running,spec.nodeName==n1", ""),
        ("a=b,", ""),
        (",a=b", ""),
        ("a=", ""),
        ("=a", ""),
        (r"a=b\,c\=d\\", ""),
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b, c", "invalid selector: 'a=b, c'; can't understand ' c'"),
        ("a>b", "invalid selector: 'a>b'; can't understand 'a>b'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        ("a===b", "invalid field selector: unescaped character in value: ="),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
        (r"a=b\", r"invalid field selector: invalid escape sequence: \"),
    ] {
        check(check_fields(selector), expected);
    }
}

#[test]
fn labels() {
    let long = "a".repeat(64);
    for (selector, expected) in [
        ("", ""),
        (" ", ""),
        ("app", ""),
        ("!app", ""),
        ("! app,tier", ""),
        ("app=cart,tier!=web", ""),
        ("app==", ""),
        ("app=,tier", ""),
        (" app in ( cart , shop ) ", ""),
        ("app notin (cart),x", ""),
        ("app in (,a,,b)", ""),
        ("in in (in)", ""),
        ("a=in", ""),
        ("size>5,size < -7", ""),
        ("kubernetes.io/os=linux", ""),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("=a", "unable to parse requirement: found '=', expected: identifier"),
        ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a>b", "unable to parse requirement: for 'Gt', 'Lt' operators"),
        ("-a", "unable to parse requirement: Invalid value: \"-a\""),
        ("a/b/c", "unable to parse requirement: Invalid value: \"a/b/c\""),
        ("A.b/c", "unable to parse requirement: Invalid value: \"A.b/c\""),
        ("/c", "unable to parse requirement: Invalid value: \"/c\""),
        ("a=b/c", "unable to parse requirement: Invalid value: \"b/c\""),
        (&long, "unable to parse requirement: Invalid value"),
    ] {
        check(check_labels(selector), expected);
    }
}
