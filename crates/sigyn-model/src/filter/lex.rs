//! A filter's text in pieces.

use std::fmt;

use super::{FilterError, Relation};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    And,
    Or,
    Not,
    Relation(Relation),
    Like,
    Unlike,
    Word(String),
    Quoted(String),
}

/// A token with its place, in characters.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) token: Token,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// What ends a word.
const SPECIAL: &str = "=<>!\"'{}()&|";

/// Whether a text need not stand in quotes.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && keyword(text).is_none() && !text.contains(ends_word)
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || SPECIAL.contains(c)
}

fn keyword(word: &str) -> Option<Token> {
    [("and", Token::And), ("or", Token::Or), ("not", Token::Not)]
        .into_iter()
        .find(|(text, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, token)| token)
}

/// A text in quotes, as it is read back.
pub(super) fn write_quoted(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(c)?;
    }
    out.write_char('"')
}

pub(super) fn lex(text: &str) -> Result<Vec<Piece>, FilterError> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, to) = match (c, chars.get(at + 1)) {
            ('"' | '\'', _) => quoted(&chars, at)?,
            ('{', _) => (Token::OpenBrace, at + 1),
            ('}', _) => (Token::CloseBrace, at + 1),
            ('(', _) => (Token::OpenParen, at + 1),
            (')', _) => (Token::CloseParen, at + 1),
            ('&', Some('&')) => (Token::And, at + 2),
            ('|', Some('|')) => (Token::Or, at + 2),
            ('&' | '|', _) => {
                let message = format!("expected {c}{c}: a value with {c} in it stands in quotes");
                return Err(FilterError { from: at, to: at + 1, message });
            }
            ('=', Some('~')) => (Token::Like, at + 2),
            ('=', Some('=')) => (Token::Relation(Relation::Equal), at + 2),
            ('=', _) => (Token::Relation(Relation::Equal), at + 1),
            ('!', Some('~')) => (Token::Unlike, at + 2),
            ('!', Some('=')) => (Token::Relation(Relation::NotEqual), at + 2),
            ('!', _) => (Token::Not, at + 1),
            ('<', Some('=')) => (Token::Relation(Relation::LessOrEqual), at + 2),
            ('<', _) => (Token::Relation(Relation::Less), at + 1),
            ('>', Some('=')) => (Token::Relation(Relation::GreaterOrEqual), at + 2),
            ('>', _) => (Token::Relation(Relation::Greater), at + 1),
            _ => {
                let word: String = chars[at..].iter().take_while(|c| !ends_word(**c)).collect();
                let to = at + word.chars().count();
                (keyword(&word).unwrap_or(Token::Word(word)), to)
            }
        };
        pieces.push(Piece { token, from: at, to });
        at = to;
    }
    Ok(pieces)
}

/// A backslash takes what it means from a quote and from another backslash; before anything else it is
/// one, so that patterns read as they are written.
fn quoted(chars: &[char], from: usize) -> Result<(Token, usize), FilterError> {
    let quote = chars[from];
    let mut text = String::new();
    let mut at = from + 1;
    while let Some(&c) = chars.get(at) {
        match (c, chars.get(at + 1)) {
            (c, _) if c == quote => return Ok((Token::Quoted(text), at + 1)),
            ('\\', Some(&next)) if next == quote || next == '\\' => {
                text.push(next);
                at += 2;
            }
            _ => {
                text.push(c);
                at += 1;
            }
        }
    }
    let message = format!("the quote {quote} is never closed");
    Err(FilterError { from, to: chars.len(), message })
}
