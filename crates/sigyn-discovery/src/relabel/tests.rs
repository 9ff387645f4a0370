//! Relabelling case by case: every action, and every check when a rule is read.

use super::*;

/// Reads a rule as it stands in a file.
fn rule(yaml: &str) -> Result<Rule, String> {
    let config: RuleConfig = crate::yaml::section(yaml).map_err(|error| error.to_string())?;
    Rule::new(&config).map_err(|error| error.to_string())
}

fn labels(text: &str) -> Labels {
    text.split_whitespace().map(|label| label.split_once('=').unwrap()).collect()
}

/// `rules` are one flow mapping each; `expected` is `None` for a dropped target.
#[track_caller]
fn check(input: &str, rules: &[&str], expected: Option<&str>) {
    let compiled: Vec<Rule> = rules.iter().map(|yaml| rule(yaml).unwrap()).collect();
    let result = process(&labels(input), &compiled);
    assert_eq!(result, expected.map(labels), "{input} through {rules:?}");
}

#[test]
fn replace() {
    for (input, yaml, expected) in [
        // The whole value must match, and groups are counted from 1.
        (
            "a=foo",
            "{source_labels: [a], target_label: d, regex: 'f(.*)', replacement: 'ch${1}-ch${1}'}",
            "a=foo d=choo-choo",
        ),
        ("a=foo", "{source_labels: [a], target_label: d, regex: 'f', replacement: x}", "a=foo"),
        ("a=foo", "{source_labels: [a], target_label: d, regex: 'f|o', replacement: x}", "a=foo"),
        ("a=o", "{source_labels: [a], target_label: d, regex: 'f|o', replacement: x}", "a=o d=x"),
        // Defaults: all of the value.
        ("a=foo", "{source_labels: [a], target_label: d}", "a=foo d=foo"),
        ("a=foo", "{source_labels: [a], target_label: a, replacement: 'x$1'}", "a=xfoo"),
        // Sources are joined, absent ones are empty.
        ("a=1 b=2", "{source_labels: [a, b], target_label: c}", "a=1 b=2 c=1;2"),
        ("a=1 b=2", "{source_labels: [a, b], separator: '', target_label: c}", "a=1 b=2 c=12"),
        ("a=1 b=2", "{source_labels: [a, b], separator: ~, target_label: c}", "a=1 b=2 c=12"),
        (
            "a=1 b=2",
            "{source_labels: [b, zz, a], separator: '--', target_label: c}",
            "a=1 b=2 c=2----1",
        ),
        ("a=1", "{source_labels: [zz], target_label: c, replacement: x}", "a=1 c=x"),
        (
            "a=1",
            "{source_labels: [a, a], separator: ':', target_label: c, regex: '(.):(.)', replacement: '$2$1'}",
            "a=1 c=11",
        ),
        // Without sources the value is empty, and the default regex matches it: a fixed label.
        ("a=1", "{target_label: env, replacement: prod}", "a=1 env=prod"),
        ("a=1", "{target_label: a, replacement: prod}", "a=prod"),
        // An empty replacement deletes.
        ("a=1 b=2", "{target_label: a, replacement: ''}", "b=2"),
        ("a=1 b=2", "{target_label: a, replacement: ~}", "b=2"),
        ("a=1 b=2", "{source_labels: [zz], target_label: a}", "b=2"),
        (
            "a=1 b=2",
            "{source_labels: [b], target_label: a, regex: '(.)(x)?', replacement: '$2'}",
            "b=2",
        ),
        // An empty or null regex matches only nothing.
        ("a=1", "{source_labels: [a], target_label: b, regex: '', replacement: x}", "a=1"),
        ("a=1", "{source_labels: [a], target_label: b, regex: ~, replacement: x}", "a=1"),
        ("a=1", "{source_labels: [zz], target_label: b, regex: ~, replacement: x}", "a=1 b=x"),
        // Groups that do not exist are nothing; a name ends where it must.
        ("a=foo", "{source_labels: [a], target_label: b, replacement: 'x$2'}", "a=foo b=x"),
        ("a=foo", "{source_labels: [a], target_label: b, replacement: 'x$1y'}", "a=foo b=x"),
        ("a=foo", "{source_labels: [a], target_label: b, replacement: '$$1'}", "a=foo b=$1"),
        (
            "a=foo",
            "{source_labels: [a], target_label: b, regex: '(?P<x>f)(?P<y>.*)', replacement: '${y}${x}'}",
            "a=foo b=oof",
        ),
        // Targets may be templates, and a name may be any text but the empty one.
        (
            "a=pair-floor",
            "{source_labels: [a], target_label: '${1}', regex: 'pair-([^-]+)', replacement: x}",
            "a=pair-floor floor=x",
        ),
        (
            "a=pair-floor",
            "{source_labels: [a], target_label: 'x_${1}_y', regex: 'pair-(.*)', replacement: '$1'}",
            "a=pair-floor x_floor_y=floor",
        ),
        (
            "a=some.dots",
            "{source_labels: [a], target_label: '$1', replacement: x}",
            "a=some.dots some.dots=x",
        ),
        ("a=b", "{source_labels: [zz], target_label: '$1', replacement: x}", "a=b"),
        ("a=b", "{source_labels: [a], target_label: '$0', replacement: x}", "a=b b=x"),
        ("a=b", "{source_labels: [a], target_label: 'a.b', replacement: x}", "a=b a.b=x"),
        ("a=b", "{source_labels: [a], target_label: '${3}', regex: '(.*)', replacement: x}", "a=b"),
        // The well-known rule that sets a port.
        (
            "__address__=127.0.0.1:80 p=8080",
            r"{source_labels: [__address__, p], target_label: __address__, regex: '([^:]+)(?::\d+)?;(\d+)', replacement: '$1:$2'}",
            "__address__=127.0.0.1:8080 p=8080",
        ),
        (
            "__address__=127.0.0.1 p=8080",
            r"{source_labels: [__address__, p], target_label: __address__, regex: '([^:]+)(?::\d+)?;(\d+)', replacement: '$1:$2'}",
            "__address__=127.0.0.1:8080 p=8080",
        ),
        (
            "__address__=127.0.0.1:80",
            r"{source_labels: [__address__, p], target_label: __address__, regex: '([^:]+)(?::\d+)?;(\d+)', replacement: '$1:$2'}",
            "__address__=127.0.0.1:80",
        ),
        // The action's case does not matter.
        ("a=1", "{action: RePlace, source_labels: [a], target_label: b}", "a=1 b=1"),
    ] {
        check(input, &[yaml], Some(expected));
    }
}

#[test]
fn a_dot_matches_a_line_break() {
    let rules = [rule("{source_labels: [a], target_label: b}").unwrap()];
    let input = Labels::from_iter([("a", "x\ny")]);
    assert_eq!(process(&input, &rules).unwrap().get("b"), Some("x\ny"));
}

#[test]
fn keep_and_drop() {
    for (input, yaml, kept) in [
        ("a=foo", "{action: keep, source_labels: [a], regex: foo}", true),
        ("a=foo", "{action: keep, source_labels: [a], regex: fo}", false),
        ("a=foo", "{action: keep, source_labels: [a], regex: 'fo.*'}", true),
        ("a=foo", "{action: keep, source_labels: [zz], regex: '.+'}", false),
        ("a=foo", "{action: keep, source_labels: [zz], regex: ''}", true),
        ("a=foo", "{action: keep, source_labels: [a]}", true),
        ("a=foo", "{action: drop, source_labels: [a], regex: foo}", false),
        ("a=foo", "{action: drop, source_labels: [a], regex: 'o'}", true),
        ("a=foo", "{action: drop, source_labels: [a], regex: '.*o.*'}", false),
        ("a=foo", "{action: drop, source_labels: [a, zz], regex: 'foo;'}", false),
        ("a=foo", "{action: drop}", false),
        ("a=foo", "{action: keep}", true),
        ("a=foo", "{action: drop, source_labels: [a], regex: 'FOO'}", true),
        ("a=foo", "{action: drop, source_labels: [a], regex: '(?i)FOO'}", false),
        ("a=foo b=foo", "{action: keepequal, source_labels: [a], target_label: b}", true),
        ("a=foo b=bar", "{action: keepequal, source_labels: [a], target_label: b}", false),
        ("a=foo b=bar", "{action: keepequal, source_labels: [zz], target_label: yy}", true),
        ("a=1 b=2 c=1;2", "{action: keepequal, source_labels: [a, b], target_label: c}", true),
        ("a=foo b=foo", "{action: dropequal, source_labels: [a], target_label: b}", false),
        ("a=foo b=bar", "{action: dropequal, source_labels: [a], target_label: b}", true),
        ("a=foo", "{action: dropequal, source_labels: [zz], target_label: yy}", false),
        ("a=foo b=foo", "{action: DropEqual, source_labels: [a], target_label: b}", false),
    ] {
        check(input, &[yaml], kept.then_some(input));
    }
}

#[test]
fn hashmod() {
    for (input, yaml, expected) in [
        (
            "c=baz",
            "{action: hashmod, source_labels: [c], target_label: d, modulus: 1000}",
            "c=baz d=976",
        ),
        (
            "c=baz",
            "{action: hashmod, source_labels: [c], target_label: d, modulus: 1}",
            "c=baz d=0",
        ),
        (
            "a=foo b=bar",
            "{action: hashmod, source_labels: [a, b], target_label: a, modulus: 1000}",
            "a=750 b=bar",
        ),
        (
            "a=foo",
            "{action: hashmod, source_labels: [zz], target_label: d, modulus: 8}",
            "a=foo d=6",
        ),
    ] {
        check(input, &[yaml], Some(expected));
    }
}

#[test]
fn label_names() {
    for (input, yaml, expected) in [
        (
            "a=1 b1=2 b2=3",
            "{action: labelmap, regex: 'b(.)', replacement: 'bar_$1'}",
            "a=1 b1=2 b2=3 bar_1=2 bar_2=3",
        ),
        (
            "a=1 __meta_x_y=2 __meta_x_z=3",
            "{action: labelmap, regex: '__meta_x_(.+)'}",
            "a=1 __meta_x_y=2 __meta_x_z=3 y=2 z=3",
        ),
        ("a=1 __meta_x_a=2", "{action: labelmap, regex: '__meta_x_(.+)'}", "a=2 __meta_x_a=2"),
        // Names are matched as they were before; what is written is not looked at again.
        ("a=1 aa=2", "{action: labelmap, regex: '(a+)', replacement: 'a$1'}", "a=1 aa=1 aaa=2"),
        // Of two labels with one new name, that which sorts last wins.
        ("x1=a x2=b", "{action: labelmap, regex: 'x.', replacement: y}", "x1=a x2=b y=b"),
        ("x1=a", "{action: labelmap, regex: 'x.', replacement: '$2'}", "x1=a"),
        ("a=1 b=2", "{action: labelmap}", "a=1 b=2"),
        ("a=1 b1=2 b2=3", "{action: labeldrop, regex: 'b.*'}", "a=1"),
        ("a=1 b1=2", "{action: labeldrop, regex: 'b'}", "a=1 b1=2"),
        ("a=1 b1=2", "{action: labeldrop}", ""),
        ("a=1 b1=2 b2=3", "{action: labelkeep, regex: 'b.*'}", "b1=2 b2=3"),
        ("__address__=x a=1", "{action: labelkeep, regex: 'a'}", "a=1"),
        ("a=1", "{action: labeldrop, regex: 'b', separator: ;, replacement: $1}", "a=1"),
    ] {
        check(input, &[yaml], Some(expected));
    }
}

#[test]
fn case() {
    for (input, yaml, expected) in [
        (
            "a=bAr123Foo",
            "{action: lowercase, source_labels: [a], target_label: b}",
            "a=bAr123Foo b=bar123foo",
        ),
        ("a=bAr123Foo", "{action: uppercase, source_labels: [a], target_label: a}", "a=BAR123FOO"),
        (
            "a=straße",
            "{action: uppercase, source_labels: [a], target_label: b}",
            "a=straße b=STRAßE",
        ),
        ("a=X b=Y", "{action: lowercase, source_labels: [a, b], target_label: c}", "a=X b=Y c=x;y"),
        ("a=X b=Y", "{action: lowercase, source_labels: [zz], target_label: b}", "a=X"),
    ] {
        check(input, &[yaml], Some(expected));
    }
}

#[test]
fn rules_run_in_order_until_one_drops() {
    check(
        "a=foo b=bar",
        &[
            "{source_labels: [a], target_label: b, regex: f(.*), replacement: d$1}",
            "{source_labels: [b], target_label: c, replacement: '${1}!'}",
            "{action: labeldrop, regex: a}",
        ],
        Some("b=doo c=doo!"),
    );
    check(
        "a=foo",
        &[
            "{target_label: __tmp_keep, replacement: yes}",
            "{action: keep, source_labels: [__tmp_keep], regex: 'yes'}",
        ],
        Some("a=foo __tmp_keep=yes"),
    );
    check(
        "a=foo",
        &["{action: drop, source_labels: [a], regex: foo}", "{target_label: b, replacement: x}"],
        None,
    );
    check("a=foo", &[], Some("a=foo"));
    check("", &["{target_label: a, replacement: b}"], Some("a=b"));
}

#[test]
fn refused_rules() {
    for (yaml, expected) in [
        ("{action: ''}", "relabel action cannot be empty"),
        ("{action: ~}", "relabel action cannot be empty"),
        ("{action: bogus}", "unknown relabel action \"bogus\""),
        ("{}", "relabel configuration for replace action requires 'target_label' value"),
        (
            "{action: hashmod, modulus: 5}",
            "relabel configuration for hashmod action requires 'target_label' value",
        ),
        (
            "{action: hashmod, target_label: a}",
            "relabel configuration for hashmod requires non-zero modulus",
        ),
        (
            "{action: lowercase}",
            "relabel configuration for lowercase action requires 'target_label' value",
        ),
        (
            "{action: keepequal}",
            "relabel configuration for keepequal action requires 'target_label' value",
        ),
        (
            "{action: lowercase, target_label: a, replacement: b}",
            "'replacement' can not be set for lowercase action",
        ),
        (
            "{action: uppercase, target_label: a, replacement: ~}",
            "'replacement' can not be set for uppercase action",
        ),
        (
            "{action: labelmap, replacement: ''}",
            "\"\" is invalid 'replacement' for labelmap action",
        ),
        (
            "{action: keepequal, target_label: a, regex: '(.*)'}",
            "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "{action: dropequal, target_label: a, separator: x}",
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "{action: dropequal, target_label: a, modulus: 1}",
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "{action: dropequal, target_label: a, replacement: b}",
            "'replacement' can not be set for dropequal action",
        ),
        (
            "{action: labeldrop, source_labels: []}",
            "labeldrop action requires only 'regex', and no other fields",
        ),
        (
            "{action: labeldrop, target_label: a}",
            "labeldrop action requires only 'regex', and no other fields",
        ),
        (
            "{action: labelkeep, separator: ''}",
            "labelkeep action requires only 'regex', and no other fields",
        ),
        (
            "{action: labelkeep, replacement: x}",
            "labelkeep action requires only 'regex', and no other fields",
        ),
        (
            "{action: labelkeep, modulus: 1}",
            "labelkeep action requires only 'regex', and no other fields",
        ),
        ("{source_labels: [''], target_label: a}", "\"\" is not a valid label name"),
        ("{target_label: a, regex: '(a'}", "error parsing regexp: missing closing ): `^(?s:(a)$`"),
        (
            "{target_label: a, modulus: -1}",
            "line 1: cannot unmarshal !!int `-1` into uint64 (column 28)",
        ),
        (
            "{target_label: a, bogus: 1}",
            "line 1: field bogus not found in type relabel.plain (column 19)",
        ),
        ("{target_label: [a]}", "line 1: cannot unmarshal !!seq into string (column 16)"),
    ] {
        assert_eq!(rule(yaml).unwrap_err(), expected, "{yaml}");
    }
    for yaml in [
        "{target_label: a, regex: ~, separator: ~, replacement: ~, source_labels: ~, modulus: ~}",
        "{action: keepequal, source_labels: [a], target_label: b, separator: ;}",
        "{action: hashmod, target_label: a, modulus: 18446744073709551616}",
        "{action: labelmap, replacement: 'a-$1'}",
        "{action: keep}",
    ] {
        assert!(rule(yaml).is_ok(), "{yaml}");
    }
}

#[test]
fn legacy_names_are_narrower() {
    for (config, expected) in [
        ("{target_label: a-b}", "\"a-b\" is invalid 'target_label' for replace action"),
        ("{target_label: '$1-b'}", "\"$1-b\" is invalid 'target_label' for replace action"),
        (
            "{action: lowercase, target_label: a.b}",
            "\"a.b\" is invalid 'target_label' for lowercase action",
        ),
        (
            "{action: labelmap, replacement: 'a.$1'}",
            "\"a.$1\" is invalid 'replacement' for labelmap action",
        ),
    ] {
        let raw: RuleConfig = crate::yaml::section(config).unwrap();
        let error = Rule::with_names(&raw, NameScheme::Legacy).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(Rule::new(&raw).is_ok(), "{config}");
    }
    // What there is may have any name.
    let raw: RuleConfig = crate::yaml::section("{source_labels: [a.b], target_label: c}").unwrap();
    assert!(Rule::with_names(&raw, NameScheme::Legacy).is_ok());
    let raw: RuleConfig =
        crate::yaml::section("{source_labels: [a], target_label: 'x_${1}', replacement: y}")
            .unwrap();
    let rules = [Rule::with_names(&raw, NameScheme::Legacy).unwrap()];
    assert_eq!(process(&labels("a=b"), &rules), Some(labels("a=b x_b=y")));
    assert_eq!(process(&labels("a=b.c"), &rules), Some(labels("a=b.c")), "x_b.c is no legacy name");
}

#[test]
fn equal_rules_are_those_that_say_the_same() {
    let written =
        rule("{source_labels: [a], target_label: b, regex: '(.*)', separator: ;}").unwrap();
    assert_eq!(written, rule("{source_labels: [a], target_label: b}").unwrap());
    assert_ne!(written, rule("{source_labels: [a], target_label: c}").unwrap());
}
