//! YAML 1.1 as Prometheus reads it, and where each mistake is said to be.

use serde::de::MapAccess;

use super::*;

#[derive(Debug, Default, PartialEq)]
struct Probe {
    place: Place,
    name: String,
    on: bool,
    list: Vec<String>,
    number: u64,
}

impl Section for Probe {
    const NAME: &'static str = "config.Probe";
    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "name" => {
                self.place = entry.place();
                self.name = entry.text()?;
            }
            "on" => self.on = entry.boolean()?.unwrap_or_default(),
            "list" => self.list = entry.texts()?,
            "number" => self.number = entry.integer()?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

#[test]
fn scalars_stay_as_written_and_null_is_nothing() {
    let probe: Probe =
        section("on: yes\nlist: [8080, 012, 1.0, off, 2020-01-01, ~, '']\n  \nname: 0x10\n")
            .unwrap();
    assert_eq!(probe.list, ["8080", "012", "1.0", "off", "2020-01-01", "", ""]);
    assert_eq!(probe.place, Place { line: 4, column: 1 });
    assert!(probe.on);
    assert_eq!(probe.name, "0x10");
    for empty in ["", "# only a comment\n", "---\n", "~", "name:\non:\nlist:\nnumber:\n"] {
        let probe: Probe = section(empty).unwrap();
        assert_eq!(Probe { place: Place::default(), ..probe }, Probe::default(), "{empty:?}");
    }
}

#[test]
fn what_is_plain_stays_so_whatever_is_around_it() {
    for text in [
        "number: 5   # five\n",
        "number:   5\r\non: on \n",
        "{number: 5 , on: y}",
        "number:\n  5\n",
        "name: &x 5\nnumber: *x\n",
        "<<: {number: 5}\n",
    ] {
        assert_eq!(section::<Probe>(text).unwrap().number, 5, "{text:?}");
    }
    for (text, expected) in
        [("Y", true), ("yes", true), ("On", true), ("TRUE", true), ("n", false), ("OFF", false)]
    {
        assert_eq!(section::<Probe>(&format!("on: {text} # so\n")).unwrap().on, expected, "{text}");
    }
}

#[test]
fn aliases_and_what_follows_the_first_document() {
    assert_eq!(section::<Probe>("name: &x a\nlist: [*x]\n...\n} rubbish").unwrap().list, ["a"]);
    let text = "name: &x a\nlist: [&x b, *x]\n---\nlist: [*y]\n";
    assert_eq!(section::<Probe>(text).unwrap().list, ["b", "b"]);
}

#[test]
fn of_what_is_merged_and_what_is_written_the_later_one_counts() {
    let check = |text: &str, name: &str, number: u64| {
        let probe: Probe = section(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!((probe.name.as_str(), probe.number), (name, number), "{text:?}");
    };
    check("<<: {name: a, number: 3}\nname: b\n", "b", 3);
    check("name: b\n<<: {name: a, number: 3}\n", "a", 3);
    check("number: 1\n<<: {name: a}\n<<: {name: b, number: 3}\n", "b", 3);
    check("<<: [{name: a}, {name: b, number: 3}]\n", "a", 3);
    check("<<: [{<<: {name: b}}, {name: a, number: 3}]\n", "b", 3);
    check("!!merge <<: {name: a}\n? <<\n: {number: 3}\n", "a", 3);
    check("! '<<': {name: a, number: 3}\n", "a", 3);
    check("name: ~\n<<: {name: a, number: 3}\nnumber: ~", "a", 0);
}

#[test]
fn in_maps_nothing_stands_twice_and_of_structs_without_sections_the_last_counts() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Pair {
        a: Option<String>,
        b: u64,
    }
    let pair = |a: &str, b| Pair { a: Some(a.to_owned()), b };
    assert_eq!(from_yaml("{<<: {a: x, b: 1}, b: 2}"), Ok(pair("x", 2)));
    assert_eq!(from_yaml("{b: 2, <<: [{b: 1, a: x}, {b: 3, a: y}]}"), Ok(pair("x", 1)));
    assert!(from_yaml::<Pair>("{b: 1, b: 2}").is_err());
    let refusal = |text: &str| from_yaml::<LabelMap>(text).unwrap_err().to_string();
    let twice = "line 1: key \"a\" already set in map";
    assert_eq!(refusal("{a: x, a: y}"), format!("{twice} (column 8)"));
    assert_eq!(refusal("{a: x, <<: {a: y}}"), format!("{twice} (column 13)"));
    assert_eq!(refusal("{<<: {a: y}, a: x}"), format!("{twice} (column 14)"));
    assert_eq!(refusal("{<<: [{a: y}, {a: x}]}"), format!("{twice} (column 8)"));
}

#[test]
fn tags_make_something_of_scalars_or_nothing() {
    let text = "name: !!binary |\n  dGls\n  bA==\nlist: [!!int 0x10, !!bool yes, !!null ~, !x ~, !!str ]\n";
    let probe: Probe = section(text).unwrap();
    assert_eq!(probe.name, "till");
    assert_eq!(probe.list, ["0x10", "yes", "", "~", ""]);
    for (text, number) in [("!!int '5'", 5), ("!!float 5", 5), ("!!null ''", 0)] {
        let probe: Probe = section(&format!("number: {text}")).unwrap();
        assert_eq!(probe.number, number, "{text}");
    }
}

#[test]
fn aliases_may_not_repeat_much_more_than_is_written() {
    let levels = |many: usize| {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..many {
            let before = format!("*a{}, ", level - 1).repeat(9);
            text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        text
    };
    assert!(Node::read(&levels(3)).is_ok());
    let error = Node::read(&levels(9)).unwrap_err();
    assert_eq!(error.message, "document contains excessive aliasing");
    let merges = "a0: &a0 {x: y}\n".to_owned()
        + &(1..20)
            .map(|n| format!("a{n}: &a{n} {{<<: [*a{0}, *a{0}]}}\n", n - 1))
            .collect::<String>();
    let error = Node::read(&merges).unwrap_err();
    assert_eq!(error.message, "document contains excessive aliasing");
    // A lot that is written leaves room for some that is not, but not for values in values without end.
    let deep = format!("- [{}]\n- &a0 []\n", "x, ".repeat(30_000))
        + &(1..2000).map(|n| format!("- &a{n} [*a{}]\n", n - 1)).collect::<String>();
    let error = Node::read(&deep).unwrap_err();
    assert_eq!(error.message, "values are nested too deeply");
    let error = from_yaml::<serde::de::IgnoredAny>(&deep).unwrap_err();
    assert_eq!(error.message, "values are nested too deeply");
    // Many targets of many jobs are no trouble.
    let shared = "a: &a [b, c]\nlist:\n".to_owned() + &"- *a\n- {x: y, z: z}\n".repeat(2000);
    assert!(Node::read(&shared).is_ok());
}

#[test]
fn every_mistake_has_a_place() {
    for (text, expected) in [
        ("name: a\nbogus: 1\n", "line 2: field bogus not found in type config.Probe (column 1)"),
        ("name: a\nname: b\n", "line 2: field name already set in type config.Probe (column 1)"),
        ("number: many\n", "line 1: cannot unmarshal !!str `many` into uint (column 9)"),
        ("number: -1\n", "line 1: cannot unmarshal !!int `-1` into uint (column 9)"),
        ("number: -1.5\n", "line 1: cannot unmarshal !!float `-1.5` into uint (column 9)"),
        ("number: ! 5\n", "line 1: cannot unmarshal !!str `5` into uint (column 11)"),
        ("number: '5'\n", "line 1: cannot unmarshal !!str `5` into uint (column 9)"),
        ("number: \"\\x35\"\n", "line 1: cannot unmarshal !!str `5` into uint (column 9)"),
        ("number: |-\n  5\n", "line 2: cannot unmarshal !!str `5` into uint (column 3)"),
        ("name: &x '5'\nnumber: *x\n", "line 2: cannot unmarshal !!str `5` into uint (column 9)"),
        ("number: off\n", "line 1: cannot unmarshal !!bool `off` into uint (column 9)"),
        ("on: maybe\n", "line 1: cannot unmarshal !!str `maybe` into bool (column 5)"),
        ("on: 'yes'\n", "line 1: cannot unmarshal !!str `yes` into bool (column 5)"),
        ("on: 1\n", "line 1: cannot unmarshal !!int `1` into bool (column 5)"),
        ("on: ''\n", "line 1: cannot unmarshal !!str `` into bool (column 5)"),
        ("# a\n%YAML 1.2\n---\non: yes\n", "line 2: found incompatible YAML document (column 1)"),
        ("name: [a]\n", "line 1: cannot unmarshal !!seq into string (column 7)"),
        ("list: a\n", "line 1: cannot unmarshal !!str `a` into []string (column 7)"),
        (
            "bogus: {a: [1]}\nname: a\nnix: 1\nnumber: many\n",
            "line 1: field bogus not found in type config.Probe (column 1)\n  \
             line 3: field nix not found in type config.Probe (column 1)\n  \
             line 4: cannot unmarshal !!str `many` into uint (column 9)",
        ),
        ("name: 'a\n", "line 1: unclosed quote (column 7)"),
        ("- a\n", "line 1: expected a mapping (column 1)"),
        ("name: !!int a\n", "line 1: cannot decode !!str `a` as a !!int (column 13)"),
        ("number: !!str 5\n", "line 1: cannot unmarshal !!str `5` into uint (column 15)"),
        ("name: !!binary é\n", "line 1: !!binary value contains invalid base64 data (column 16)"),
        ("list: &x [a, *x]\n", "line 1: anchor 'x' value contains itself (column 14)"),
        ("<<: a\n", "line 1: map merge requires map or sequence of maps as the value (column 5)"),
        ("'<<': {}\n", "line 1: field << not found in type config.Probe (column 1)"),
        ("<<: {bogus: 1}\n", "line 1: field bogus not found in type config.Probe (column 6)"),
        ("name: *x\n", "line 1: unknown anchor 'x' referenced (column 7)"),
        ("...\nname: a\n", "line 1: did not find expected node content (column 1)"),
        ("name: a\n  b: c\n", "line 2: mapping values are not allowed in this context (column 4)"),
    ] {
        assert_eq!(section::<Probe>(text).unwrap_err().to_string(), expected, "{text:?}");
    }
}

#[test]
fn files_of_other_systems_read_the_same() {
    for text in [
        "\u{feff}name: a\nlist: [b]\n",
        "name: a\r\nlist: [b]\r\n",
        "---\r\nname: a\r\nlist: [b]\r\n---\r\nbogus: 1\r\n",
    ] {
        let probe: Probe = section(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(
            (probe.name.as_str(), probe.list.as_slice()),
            ("a", ["b".to_owned()].as_slice()),
            "{text:?}"
        );
    }
}

#[test]
fn only_a_marker_ends_the_first_document() {
    for (text, name) in [
        ("name: |\n  ---\n  a\n", "---\na\n"),
        ("name: '--- a'\n", "--- a"),
        ("name: ...a\n", "...a"),
        ("%YAML 1.1\n---\nname: a\n", "a"),
        ("# comment\n---\nname: a\n---\nname: b\n", "a"),
        ("--- {name: a}\n", "a"),
    ] {
        assert_eq!(section::<Probe>(text).map(|probe| probe.name), Ok(name.to_owned()), "{text:?}");
    }
}

#[test]
fn a_line_with_a_percent_sign_ends_a_document_only_if_it_may_begin_another() {
    let read = |line: &str| Node::read(&format!("a: [b]\n{line}\nc: d\n"));
    assert_eq!(read("%YAML 1.1").unwrap().to_string(), "a:\n- b\n");
    assert!(read("%TAG ! tag:a,").is_ok());
    let error = read("%- e: f").unwrap_err();
    assert_eq!((error.line, error.message.as_str()), (2, "found unknown directive name"));
    assert!(read("%e: f").is_err());
    assert!(read("%YAML").is_err());
}
