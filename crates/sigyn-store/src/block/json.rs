//! Values as JSON that anyone can read, and that reads back to the last bit and with its types.
//!
//! What JSON has no word for stands in an object with one key that begins with `$`.

use sigyn_model::codec::write_json_str;
use sigyn_model::{Labels, Link, Resource, Scope, SpanId, Tags, TraceId, Value};

use crate::codec::{Malformed, VALUE_DEPTH_MAX};

const DOUBLE: &str = "$double";
const BYTES: &str = "$bytes";
const MAP: &str = "$map";

pub(super) fn put_tags(out: &mut String, tags: &Tags) {
    put_members(out, tags.iter().map(|(key, value)| (key.as_str(), value)));
}

/// An object of these members, in their order.
pub(super) fn put_members<'a>(
    out: &mut String,
    members: impl Iterator<Item = (&'a str, &'a Value)>,
) {
    out.push('{');
    for (i, (key, value)) in members.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_json_str(out, key);
        out.push(':');
        put_value(out, value, 0);
    }
    out.push('}');
}

fn put_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Str(text) => write_json_str(out, text),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        // With a point or an exponent, always.
        Value::Double(value) if value.is_finite() => out.push_str(&format!("{value:?}")),
        Value::Double(value) => {
            out.push_str(&format!("{{\"{DOUBLE}\":\"{:016x}\"}}", value.to_bits()));
        }
        Value::Bytes(bytes) => {
            out.push_str(&format!("{{\"{BYTES}\":\""));
            bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
            out.push_str("\"}");
        }
        Value::Empty => out.push_str("null"),
        Value::List(_) | Value::Map(_) if depth >= VALUE_DEPTH_MAX => {
            write_json_str(out, &value.text());
        }
        Value::List(values) => put_list(out, values, |out, value| put_value(out, value, depth + 1)),
        Value::Map(entries) if entries.iter().any(|(key, _)| key.starts_with('$')) => {
            out.push_str(&format!("{{\"{MAP}\":"));
            put_list(out, entries, |out, (key, value)| {
                out.push('[');
                write_json_str(out, key);
                out.push(',');
                put_value(out, value, depth + 1);
                out.push(']');
            });
            out.push('}');
        }
        Value::Map(entries) => {
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_str(out, key);
                out.push(':');
                put_value(out, value, depth + 1);
            }
            out.push('}');
        }
    }
}

fn put_list<T>(out: &mut String, list: &[T], put: impl Fn(&mut String, &T)) {
    out.push('[');
    for (i, element) in list.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        put(out, element);
    }
    out.push(']');
}

/// An object with what is not at its default.
struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
        write_json_str(self.out, key);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            write_json_str(self.key(key), text);
        }
    }

    fn number(&mut self, key: &str, number: u32) {
        if number != 0 {
            self.key(key).push_str(&number.to_string());
        }
    }

    fn tags(&mut self, key: &str, tags: &Tags) {
        if !tags.is_empty() {
            put_tags(self.key(key), tags);
        }
    }

    fn end(self) {
        self.out.push('}');
    }
}

pub(super) fn put_resource(out: &mut String, resource: &Resource) {
    let mut object = Object::new(out);
    object.tags("attributes", &resource.tags);
    object.number("dropped_attributes", resource.dropped_tags);
    object.text("schema_url", &resource.schema_url);
    object.end();
}

pub(super) fn put_scope(out: &mut String, scope: &Scope) {
    let mut object = Object::new(out);
    object.text("name", &scope.name);
    object.text("version", &scope.version);
    object.tags("attributes", &scope.tags);
    object.number("dropped_attributes", scope.dropped_tags);
    object.text("schema_url", &scope.schema_url);
    object.end();
}

pub(super) fn put_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_json_str(out, name);
        out.push(':');
        write_json_str(out, value);
    }
    out.push('}');
}

pub(super) fn put_links(out: &mut String, links: &[Link]) {
    put_list(out, links, |out, link| {
        let mut object = Object::new(out);
        object.text("trace_id", &format!("{:032x}", link.trace_id.as_u128()));
        object.text("span_id", &format!("{:016x}", link.span_id.as_u64()));
        object.text("trace_state", &link.trace_state);
        object.tags("attributes", &link.tags);
        object.number("dropped_attributes", link.dropped_tags);
        object.number("flags", link.flags);
        object.end();
    });
}

type Result<T> = std::result::Result<T, Malformed>;

const UNKNOWN: Malformed = Malformed { what: "JSON of another shape" };

pub(super) fn tags(text: &str) -> Result<Tags> {
    match Parser::whole(text)? {
        Json::Object(members) => members.into_iter().map(|(k, v)| Ok((k, v.value()?))).collect(),
        _ => Err(UNKNOWN),
    }
}

pub(super) fn resource(text: &str) -> Result<Resource> {
    let mut resource = Resource::default();
    for (key, value) in Parser::whole(text)?.members()? {
        match key.as_str() {
            "attributes" => resource.tags = value.tags()?,
            "dropped_attributes" => resource.dropped_tags = value.number()?,
            "schema_url" => resource.schema_url = value.text()?,
            _ => return Err(UNKNOWN),
        }
    }
    Ok(resource)
}

pub(super) fn scope(text: &str) -> Result<Scope> {
    let mut scope = Scope::default();
    for (key, value) in Parser::whole(text)?.members()? {
        match key.as_str() {
            "name" => scope.name = value.text()?,
            "version" => scope.version = value.text()?,
            "attributes" => scope.tags = value.tags()?,
            "dropped_attributes" => scope.dropped_tags = value.number()?,
            "schema_url" => scope.schema_url = value.text()?,
            _ => return Err(UNKNOWN),
        }
    }
    Ok(scope)
}

pub(super) fn labels(text: &str) -> Result<Labels> {
    let members = Parser::whole(text)?.members()?;
    members.into_iter().map(|(name, value)| Ok((name, value.text()?))).collect()
}

pub(super) fn links(text: &str) -> Result<Vec<Link>> {
    let Json::List(links) = Parser::whole(text)? else { return Err(UNKNOWN) };
    let link = |link: Json| {
        let mut ids = (None, None);
        let mut read = Link {
            trace_id: TraceId::new(1).ok_or(UNKNOWN)?,
            span_id: SpanId::from_raw(0),
            trace_state: String::new(),
            tags: Tags::new(),
            dropped_tags: 0,
            flags: 0,
        };
        for (key, value) in link.members()? {
            match key.as_str() {
                "trace_id" => ids.0 = u128::from_str_radix(&value.text()?, 16).ok(),
                "span_id" => ids.1 = u64::from_str_radix(&value.text()?, 16).ok(),
                "trace_state" => read.trace_state = value.text()?,
                "attributes" => read.tags = value.tags()?,
                "dropped_attributes" => read.dropped_tags = value.number()?,
                "flags" => read.flags = value.number()?,
                _ => return Err(UNKNOWN),
            }
        }
        read.trace_id = ids.0.and_then(TraceId::new).ok_or(UNKNOWN)?;
        read.span_id = SpanId::from_raw(ids.1.ok_or(UNKNOWN)?);
        Ok(read)
    };
    links.into_iter().map(link).collect()
}

enum Json {
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    Plain(Value),
}

impl Json {
    fn members(self) -> Result<Vec<(String, Self)>> {
        if let Self::Object(members) = self { Ok(members) } else { Err(UNKNOWN) }
    }

    fn tags(self) -> Result<Tags> {
        self.members()?.into_iter().map(|(key, value)| Ok((key, value.value()?))).collect()
    }

    fn text(self) -> Result<String> {
        if let Self::Plain(Value::Str(text)) = self { Ok(text) } else { Err(UNKNOWN) }
    }

    fn number(self) -> Result<u32> {
        let Self::Plain(Value::Int(number)) = self else { return Err(UNKNOWN) };
        u32::try_from(number).map_err(|_| UNKNOWN)
    }

    fn value(self) -> Result<Value> {
        let members = match self {
            Self::Plain(value) => return Ok(value),
            Self::List(values) => {
                return values.into_iter().map(Self::value).collect::<Result<_>>().map(Value::List);
            }
            Self::Object(members) => members,
        };
        if let [(key, _)] = &members[..]
            && key.starts_with('$')
        {
            let Some((key, value)) = members.into_iter().next() else { return Err(UNKNOWN) };
            return Self::special(&key, value);
        }
        let members = members.into_iter().map(|(key, value)| Ok((key, value.value()?)));
        members.collect::<Result<_>>().map(Value::Map)
    }

    fn special(key: &str, value: Self) -> Result<Value> {
        match (key, value) {
            (DOUBLE, Self::Plain(Value::Str(hex))) => {
                let bits = u64::from_str_radix(&hex, 16).map_err(|_| UNKNOWN)?;
                Ok(Value::Double(f64::from_bits(bits)))
            }
            (BYTES, Self::Plain(Value::Str(hex))) => {
                let byte = |digits: &[u8]| {
                    let digits = std::str::from_utf8(digits).map_err(|_| UNKNOWN)?;
                    u8::from_str_radix(digits, 16).map_err(|_| UNKNOWN)
                };
                hex.as_bytes().chunks(2).map(byte).collect::<Result<_>>().map(Value::Bytes)
            }
            (MAP, Self::List(entries)) => {
                let entry = |entry: Self| {
                    let Self::List(pair) = entry else { return Err(UNKNOWN) };
                    let [key, value] = <[Self; 2]>::try_from(pair).map_err(|_| UNKNOWN)?;
                    Ok((key.text()?, value.value()?))
                };
                entries.into_iter().map(entry).collect::<Result<_>>().map(Value::Map)
            }
            _ => Err(UNKNOWN),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
}

/// Deeper than anything that is written here.
const DEPTH_MAX: usize = 4 * VALUE_DEPTH_MAX;

impl Parser<'_> {
    fn whole(text: &str) -> Result<Json> {
        let mut parser = Parser { text };
        let json = parser.json(0)?;
        if parser.text.is_empty() { Ok(json) } else { Err(UNKNOWN) }
    }

    fn next_is(&mut self, letters: &str) -> bool {
        let rest = self.text.strip_prefix(letters);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn expect(&mut self, letters: &str) -> Result<()> {
        if self.next_is(letters) { Ok(()) } else { Err(UNKNOWN) }
    }

    fn json(&mut self, depth: usize) -> Result<Json> {
        if depth > DEPTH_MAX {
            return Err(UNKNOWN);
        }
        let plain = |value| Ok(Json::Plain(value));
        match self.text.as_bytes().first() {
            Some(b'{') => {
                let mut members = Vec::new();
                self.elements("{", "}", |parser| {
                    let key = parser.string()?;
                    parser.expect(":")?;
                    members.push((key, parser.json(depth + 1)?));
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            Some(b'[') => {
                let mut list = Vec::new();
                self.elements("[", "]", |parser| {
                    list.push(parser.json(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::List(list))
            }
            Some(b'"') => plain(Value::Str(self.string()?)),
            Some(b't') => self.expect("true").and_then(|()| plain(Value::Bool(true))),
            Some(b'f') => self.expect("false").and_then(|()| plain(Value::Bool(false))),
            Some(b'n') => self.expect("null").and_then(|()| plain(Value::Empty)),
            _ => plain(self.number()?),
        }
    }

    fn elements(
        &mut self,
        begin: &str,
        end: &str,
        mut each: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.expect(begin)?;
        if self.next_is(end) {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.next_is(end) {
                return Ok(());
            }
            self.expect(",")?;
        }
    }

    fn number(&mut self) -> Result<Value> {
        let is_of_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let len = self.text.find(|c| !is_of_number(c)).unwrap_or(self.text.len());
        let (number, rest) = self.text.split_at(len);
        self.text = rest;
        if number.contains(['.', 'e', 'E']) {
            return number.parse().map(Value::Double).map_err(|_| UNKNOWN);
        }
        number.parse().map(Value::Int).map_err(|_| UNKNOWN)
    }

    fn string(&mut self) -> Result<String> {
        self.expect("\"")?;
        let mut string = String::new();
        loop {
            let len = self.text.find(['"', '\\']).ok_or(UNKNOWN)?;
            let (plain, rest) = self.text.split_at(len);
            string.push_str(plain);
            self.text = rest;
            if self.next_is("\"") {
                return Ok(string);
            }
            self.expect("\\")?;
            let escaped = self.text.chars().next().ok_or(UNKNOWN)?;
            self.text = &self.text[escaped.len_utf8()..];
            string.push(match escaped {
                '"' | '\\' | '/' => escaped,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => self.unicode()?,
                _ => return Err(UNKNOWN),
            });
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let unit = self.hex4()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit).ok_or(UNKNOWN);
        }
        self.expect("\\u")?;
        let low = self.hex4()?.checked_sub(0xdc00).ok_or(UNKNOWN)?;
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + low).ok_or(UNKNOWN)
    }

    fn hex4(&mut self) -> Result<u32> {
        let (digits, rest) = self.text.split_at_checked(4).ok_or(UNKNOWN)?;
        self.text = rest;
        u32::from_str_radix(digits, 16).map_err(|_| UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn written(put: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        put(&mut out);
        out
    }

    #[test]
    fn whatever_spans_say_reads_back() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..2_000 {
            let span = testing::span(&mut random);
            let json = written(|out| put_tags(out, &span.tags));
            assert_eq!(tags(&json).unwrap(), span.tags, "round {round}: {json}");
            let json = written(|out| put_links(out, &span.links));
            assert_eq!(links(&json).unwrap(), span.links, "round {round}: {json}");
            if let Some(expected) = span.resource.as_deref() {
                let json = written(|out| put_resource(out, expected));
                assert_eq!(&resource(&json).unwrap(), expected, "round {round}: {json}");
            }
            if let Some(expected) = span.scope.as_deref() {
                let json = written(|out| put_scope(out, expected));
                assert_eq!(&scope(&json).unwrap(), expected, "round {round}: {json}");
            }
            if let Some(expected) = span.target.as_deref() {
                let json = written(|out| put_labels(out, expected));
                assert_eq!(&labels(&json).unwrap(), expected, "round {round}: {json}");
            }
        }
    }

    #[test]
    fn what_json_has_no_word_for_reads_back_to_the_last_bit() {
        let doubles = [0.0, -0.0, 1.0, 0.1, 1e300, -5e-324, f64::MAX, f64::NAN, f64::INFINITY];
        let doubles = doubles.map(Value::Double).into_iter();
        let map = |key: &str| Value::Map(vec![(key.to_owned(), Value::Int(i64::MIN))]);
        let text = Value::Str("\u{0}\u{7f}\"\\/\n\u{1f980}".to_owned());
        let others = [map("$bytes"), map("a"), map(""), Value::Bytes(vec![0, 255]), text];
        for value in doubles.chain(others) {
            let expected: Tags =
                vec![("$map".to_owned(), value.clone()), ("$map".to_owned(), value)];
            let json = written(|out| put_tags(out, &expected));
            // In their words, for what is not a number is not equal to itself.
            assert_eq!(format!("{:?}", tags(&json).unwrap()), format!("{expected:?}"), "{json}");
        }
    }

    #[test]
    fn values_that_are_too_deep_are_kept_as_text() {
        let mut deep = Value::Int(1);
        for _ in 0..VALUE_DEPTH_MAX + 5 {
            deep = Value::Map(vec![("$".to_owned(), Value::List(vec![deep]))]);
        }
        let json = written(|out| put_tags(out, &vec![("deep".to_owned(), deep)]));
        assert!(tags(&json).is_ok());
        for broken in
            ["", "{", "{\"a\"}", "{\"a\":1} ", "[", "{\"a\":{\"$bytes\":\"x\"}}", "{\"\\u\":1}"]
        {
            assert!(tags(broken).is_err(), "{broken}");
        }
        let nested = "[".repeat(100_000);
        assert!(links(&nested).is_err());
    }
}
