//! JSON as it grows: the fields of objects, and the commas between them.

use std::fmt::{Arguments, Write as _};

use super::write_json_str;

/// JSON as it grows. What is empty or zero is left out.
#[derive(Debug, Default)]
pub(crate) struct Json(pub(crate) String);

impl Json {
    /// Whatever comes next comes after what is there.
    pub(crate) fn comma(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
    }

    pub(crate) fn field(&mut self, name: &str) {
        self.comma();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// Whole fields, if there are any.
    pub(crate) fn raw(&mut self, fields: &str) {
        if !fields.is_empty() {
            self.comma();
            self.0.push_str(fields);
        }
    }

    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Self)) {
        self.0.push('{');
        write(self);
        self.0.push('}');
    }

    /// A list of objects, each with the fields that `write` writes.
    pub(crate) fn list<'i, T>(
        &mut self,
        name: &str,
        items: &'i [T],
        write: impl FnMut(&mut Self, &'i T),
    ) {
        if !items.is_empty() {
            self.list_always(name, items, write);
        }
    }

    /// The same even if there are none.
    pub(crate) fn list_always<'i, T>(
        &mut self,
        name: &str,
        items: &'i [T],
        mut write: impl FnMut(&mut Self, &'i T),
    ) {
        self.field(name);
        self.0.push('[');
        for item in items {
            self.comma();
            self.object(|out| write(out, item));
        }
        self.0.push(']');
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.field(name);
            write_json_str(&mut self.0, text);
        }
    }

    pub(crate) fn count(&mut self, name: &str, number: u32) {
        if number != 0 {
            self.field(name);
            self.display(format_args!("{number}"));
        }
    }

    /// JSON's numbers are doubles to many readers, so nanoseconds are text.
    pub(crate) fn nanos(&mut self, name: &str, nanos: u64) {
        if nanos != 0 {
            self.quoted(name, format_args!("{nanos}"));
        }
    }

    /// Text that needs no escapes.
    pub(crate) fn quoted(&mut self, name: &str, text: Arguments<'_>) {
        self.field(name);
        self.0.push('"');
        self.display(text);
        self.0.push('"');
    }

    pub(crate) fn display(&mut self, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
    }
}
