//! YAML 1.1 as Prometheus reads it, and where each mistake is said to be.

use serde::de::MapAccess;

use super::scalar::integer;
use super::*;

#[test]
fn integers_in_every_spelling() {
    for (text, expected) in [
        ("0", Some(0)),
        ("5", Some(5)),
        ("+5", Some(5)),
        ("010", Some(8)),
        ("08", Some(8)),
        ("0o10", Some(8)),
        ("0x10", Some(16)),
        ("0b11", Some(3)),
        ("1_000", Some(1000)),
        ("1.5", Some(1)),
        ("1e3", Some(1000)),
        ("18446744073709551616", Some(u64::MAX)),
        ("-1", None),
        ("", None),
        ("x", None),
        ("nan", None),
    ] {
        assert_eq!(integer(text), expected, "{text}");
    }
}

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
fn merge_keys_aliases_and_what_follows_the_first_document() {
    let probe: Probe = section("<<: {name: a, number: 3}\nname: b\n---\nbogus: 1\n").unwrap();
    assert_eq!((probe.name.as_str(), probe.number), ("b", 3));
    assert_eq!(section::<Probe>("name: &x a\nlist: [*x]\n...\n} rubbish").unwrap().list, ["a"]);
}

#[test]
fn every_mistake_has_a_place() {
    for (text, expected) in [
        ("name: a\nbogus: 1\n", "line 2: field bogus not found in type config.Probe (column 1)"),
        ("name: a\nname: b\n", "line 2: key \"name\" already set in map (column 1)"),
        ("number: many\n", "line 1: cannot unmarshal !!str `many` into uint (column 9)"),
        ("number: -1\n", "line 1: cannot unmarshal !!int `-1` into uint (column 9)"),
        ("number: -0.5\n", "line 1: cannot unmarshal !!float `-0.5` into uint (column 9)"),
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
        ("name: [a]\n", "line 1: expected a string (column 7)"),
        ("list: a\n", "line 1: expected a list (column 7)"),
        ("name: 'a\n", "line 1: unclosed quote (column 7)"),
        ("- a\n", "line 1: expected a mapping (column 1)"),
        ("name: *x\n", "line 1: reference to unknown value (column 7)"),
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
