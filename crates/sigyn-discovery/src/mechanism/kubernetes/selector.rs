//! Selectors of objects, checked as the API's own client checks them: by fields, and by labels.

#[cfg(test)]
mod tests;

use std::iter::Peekable;
use std::vec;

/// Which objects of a kind are followed. Empty ones select all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// By their labels: `app in (cart, shop),!canary`.
    pub label: String,
    /// By their fields: `spec.nodeName=n1`.
    pub field: String,
}

/// What stands between a field and its value, longest first.
const FIELD_OPERATORS: [&str; 3] = ["!=", "==", "="];

/// Names and values have so many characters at most, and what stands before a name's `/` so many.
const NAME_MAX: usize = 63;
const PREFIX_MAX: usize = 253;

impl Selector {
    /// Refuses what the API would not understand.
    pub(super) fn check(&self) -> Result<(), String> {
        check_fields(&self.field)?;
        check_labels(&self.label)
    }
}

fn check_fields(selector: &str) -> Result<(), String> {
    for term in terms(selector).filter(|term| !term.is_empty()) {
        let value = FIELD_OPERATORS
            .iter()
            .filter_map(|operator| term.split_once(operator))
            .min_by_key(|(field, _)| field.len())
            .map(|(_, value)| value);
        let Some(value) = value else {
            return Err(format!("invalid selector: '{selector}'; can't understand '{term}'"));
        };
        check_field_value(value)?;
    }
    Ok(())
}

/// Splits at commas that no backslash stands before.
fn terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    selector.split(move |c: char| {
        let is_end = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    })
}

fn check_field_value(value: &str) -> Result<(), String> {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { Some(chars.next()) } else { None };
        match (c, escaped) {
            (_, Some(Some('\\' | ',' | '='))) => {}
            (_, Some(other)) => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!("invalid field selector: invalid escape sequence: \\{other}"));
            }
            (',' | '=', None) => {
                return Err(format!("invalid field selector: unescaped character in value: {c}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_labels(selector: &str) -> Result<(), String> {
    let mut tokens = tokens(selector).into_iter().peekable();
    if tokens.peek().is_none() {
        return Ok(());
    }
    loop {
        check_requirement(&mut tokens)
            .map_err(|error| format!("unable to parse requirement: {error}"))?;
        match tokens.next() {
            None => return Ok(()),
            Some(Token::Sign(",")) => {}
            Some(other) => {
                return Err(format!("found '{}', expected: ',' or 'end of string'", other.text()));
            }
        }
        if !matches!(tokens.peek(), Some(Token::Word(_) | Token::Sign("!"))) {
            let found = text(tokens.peek());
            return Err(format!("found '{found}', expected: identifier after ','"));
        }
    }
}

/// A piece of a label selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Sign(text) => text,
        }
    }
}

type Tokens<'a> = Peekable<vec::IntoIter<Token<'a>>>;

fn text<'a>(token: Option<&Token<'a>>) -> &'a str {
    token.map_or("", |token| token.text())
}

fn tokens(selector: &str) -> Vec<Token<'_>> {
    const SIGNS: [&str; 9] = ["!=", "==", "=", "!", "(", ")", ",", ">", "<"];
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let is_end = |c: char| is_space(c) || "=!(),><".contains(c);
    let mut found = Vec::new();
    let mut rest = selector.trim_start_matches(is_space);
    while !rest.is_empty() {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let length = match sign {
            Some(sign) => sign.len(),
            None => rest.find(is_end).unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(length);
        found.push(if sign.is_some() { Token::Sign(piece) } else { Token::Word(piece) });
        rest = after.trim_start_matches(is_space);
    }
    found
}

fn check_requirement(tokens: &mut Tokens<'_>) -> Result<(), String> {
    let is_negated = tokens.next_if_eq(&Token::Sign("!")).is_some();
    match tokens.next() {
        Some(Token::Word(key)) => check_key(key)?,
        other => return Err(format!("found '{}', expected: identifier", text(other.as_ref()))),
    }
    if is_negated || matches!(tokens.peek(), None | Some(Token::Sign(","))) {
        return Ok(());
    }
    match tokens.next() {
        Some(Token::Sign("=" | "==" | "!=")) => check_value(value(tokens)?),
        Some(Token::Sign(sign @ (">" | "<"))) => {
            let value = value(tokens)?;
            let _: i64 = value.parse().map_err(|_| {
                format!("for 'Gt', 'Lt' operators, the value must be an integer: {sign}{value}")
            })?;
            Ok(())
        }
        Some(Token::Word("in" | "notin")) => check_values(tokens),
        other => {
            Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", text(other.as_ref())))
        }
    }
}

/// The one value after an operator, which may be empty.
fn value<'a>(tokens: &mut Tokens<'a>) -> Result<&'a str, String> {
    match tokens.peek() {
        None | Some(Token::Sign(",")) => Ok(""),
        Some(Token::Word(value)) => {
            let value = *value;
            tokens.next();
            Ok(value)
        }
        Some(other) => Err(format!("found '{}', expected: identifier", other.text())),
    }
}

/// `(a, b)`, where values may be left out but for the last of all.
fn check_values(tokens: &mut Tokens<'_>) -> Result<(), String> {
    if tokens.next_if_eq(&Token::Sign("(")).is_none() {
        return Err(format!("found '{}' expected: '('", text(tokens.peek())));
    }
    if tokens.next_if_eq(&Token::Sign(")")).is_some() {
        // The one value that is "".
        return Ok(());
    }
    loop {
        if let Some(Token::Word(value)) = tokens.peek() {
            check_value(value)?;
            tokens.next();
        }
        match tokens.next() {
            Some(Token::Sign(",")) => {}
            Some(Token::Sign(")")) => return Ok(()),
            other => {
                return Err(format!("found '{}', expected: ',' or ')'", text(other.as_ref())));
            }
        }
    }
}

/// `name` or `prefix/name`.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_domain = |prefix: &str| {
        let is_part = |part: &str| {
            let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            part.chars().all(is_inner) && begins_and_ends_well(part)
        };
        prefix.len() <= PREFIX_MAX && prefix.split('.').all(is_part)
    };
    if prefix.is_none_or(is_domain) && !name.is_empty() && is_label_value(name) {
        return Ok(());
    }
    Err(format!("Invalid value: \"{key}\": it is no label's name"))
}

fn check_value(value: &str) -> Result<(), String> {
    if is_label_value(value) {
        return Ok(());
    }
    Err(format!("Invalid value: \"{value}\": it is no label's value"))
}

fn is_label_value(value: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    value.is_empty()
        || (value.len() <= NAME_MAX && value.chars().all(is_inner) && begins_and_ends_well(value))
}

fn begins_and_ends_well(text: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_outer) && text.ends_with(is_outer)
}
