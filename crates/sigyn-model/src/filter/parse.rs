//! From a text to a filter.

use std::str::FromStr;
use std::sync::Arc;

use super::field::{is_of_trace, unfinished};
use super::lex::{Piece, Token, lex};
use super::literal::{self, Literal, Number, Pattern};
use super::{Field, Filter, FilterError, Outer, Relation, Test, TextTest, TraceTest, Tree};

/// Bytes of a text that a person may have written.
const TEXT_MAX: usize = 8 << 10;
const TESTS_MAX: usize = 64;
/// To make one ready takes a millisecond at worst, and whoever reads a filter keeps others waiting.
const PATTERNS_MAX: usize = 16;
/// Brackets and `not` within each other.
const DEPTH_MAX: usize = 32;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let chars = text.chars().count();
        if text.len() > TEXT_MAX {
            let message = format!("a filter has at most {TEXT_MAX} bytes");
            return Err(FilterError { from: 0, to: chars, message });
        }
        let mut parser = Parser { pieces: lex(text)?, at: 0, end: chars, tests: 0, patterns: 0 };
        let root = match parser.pieces.is_empty() {
            true => Tree::default(),
            false => {
                let tree = parser.any(0, false)?;
                if let Some(piece) = parser.peek() {
                    let piece = piece.clone();
                    return Err(parser.stray(&piece));
                }
                outer(tree)?
            }
        };
        Ok(Self { text: text.trim().to_owned(), root: Arc::new(root) })
    }
}

/// What stands in a text before it is known whether the text has braces.
enum Node {
    Braces(Tree<Test>),
    Test(Test, usize, usize),
}

/// A text with braces is a condition on traces; one without stands in braces as a whole.
fn outer(tree: Tree<Node>) -> Result<Tree<Outer>, FilterError> {
    let mut has_braces = false;
    tree.each_leaf(true, &mut |node, _| has_braces |= matches!(node, Node::Braces(_)));
    if !has_braces {
        return Ok(Tree::Leaf(Outer::Some(tree.map(&mut inner)?)));
    }
    tree.map(&mut |node| match node {
        Node::Braces(tree) => Ok(Outer::Some(tree)),
        Node::Test(Test::Trace(test), ..) => Ok(Outer::Trace(test)),
        Node::Test(_, from, to) => {
            let message = "beside braces, a condition on spans needs braces of its own".to_owned();
            Err(FilterError { from, to, message })
        }
    })
}

fn inner(node: Node) -> Result<Test, FilterError> {
    match node {
        Node::Test(test, ..) => Ok(test),
        Node::Braces(_) => unreachable!("braces are not read within braces"),
    }
}

impl<T> Tree<T> {
    fn map<U>(
        self,
        each: &mut dyn FnMut(T) -> Result<U, FilterError>,
    ) -> Result<Tree<U>, FilterError> {
        Ok(match self {
            Self::All(all) => {
                Tree::All(all.into_iter().map(|tree| tree.map(each)).collect::<Result<_, _>>()?)
            }
            Self::Any(any) => {
                Tree::Any(any.into_iter().map(|tree| tree.map(each)).collect::<Result<_, _>>()?)
            }
            Self::Not(tree) => Tree::Not(Box::new(tree.map(each)?)),
            Self::Leaf(one) => Tree::Leaf(each(one)?),
        })
    }
}

struct Parser {
    pieces: Vec<Piece>,
    at: usize,
    /// How many characters the text has.
    end: usize,
    tests: usize,
    patterns: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Piece> {
        self.pieces.get(self.at)
    }

    fn token(&self) -> Option<&Token> {
        self.peek().map(|piece| &piece.token)
    }

    /// Goes on if the next token is this one.
    fn eat(&mut self, token: &Token) -> bool {
        let is_next = self.token() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    /// What is wrong with what comes next.
    fn wrong(&self, message: impl Into<String>) -> FilterError {
        let (from, to) = self.peek().map_or((self.end, self.end), |piece| (piece.from, piece.to));
        FilterError { from, to, message: message.into() }
    }

    fn stray(&self, piece: &Piece) -> FilterError {
        self.wrong(match piece.token {
            Token::CloseBrace => "this } closes nothing",
            Token::CloseParen => "this ) closes nothing",
            _ => "expected a key, such as service or http.method",
        })
    }

    fn any(&mut self, depth: usize, in_braces: bool) -> Result<Tree<Node>, FilterError> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("brackets are too deep"));
        }
        let mut any = vec![self.all(depth, in_braces)?];
        while self.eat(&Token::Or) {
            any.push(self.all(depth, in_braces)?);
        }
        Ok(one_or(any, Tree::Any))
    }

    /// Joined by `and`, or just beside each other.
    fn all(&mut self, depth: usize, in_braces: bool) -> Result<Tree<Node>, FilterError> {
        let mut all = vec![self.one(depth, in_braces)?];
        loop {
            match self.token() {
                Some(Token::And) => self.at += 1,
                Some(
                    Token::OpenBrace
                    | Token::OpenParen
                    | Token::Not
                    | Token::Word(_)
                    | Token::Quoted(_),
                ) => {}
                _ => return Ok(one_or(all, Tree::All)),
            }
            all.push(self.one(depth, in_braces)?);
        }
    }

    fn one(&mut self, depth: usize, in_braces: bool) -> Result<Tree<Node>, FilterError> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("brackets are too deep"));
        }
        let from = self.peek().map_or(self.end, |piece| piece.from);
        match self.token() {
            Some(Token::Not) => {
                self.at += 1;
                Ok(Tree::Not(Box::new(self.one(depth + 1, in_braces)?)))
            }
            Some(Token::OpenParen) => {
                self.at += 1;
                let tree = self.any(depth + 1, in_braces)?;
                self.close(&Token::CloseParen, "the ( at character", ")", from)?;
                Ok(tree)
            }
            Some(Token::OpenBrace) if in_braces => Err(self.wrong("braces do not stand in braces")),
            Some(Token::OpenBrace) => {
                self.at += 1;
                if self.eat(&Token::CloseBrace) {
                    return Ok(Tree::Leaf(Node::Braces(Tree::default())));
                }
                let tree = self.any(depth + 1, true)?;
                self.close(&Token::CloseBrace, "the { at character", "}", from)?;
                Ok(Tree::Leaf(Node::Braces(tree.map(&mut inner)?)))
            }
            _ => self.test(),
        }
    }

    fn close(
        &mut self,
        token: &Token,
        what: &str,
        with: &str,
        from: usize,
    ) -> Result<(), FilterError> {
        if self.eat(token) {
            return Ok(());
        }
        Err(self.wrong(format!("expected {with} for {what} {}", from + 1)))
    }

    fn test(&mut self) -> Result<Tree<Node>, FilterError> {
        let Some(piece) = self.peek().cloned() else {
            return Err(self.wrong("expected a key, such as service or http.method"));
        };
        let (key, is_quoted) = match &piece.token {
            Token::Word(key) => (key.clone(), false),
            Token::Quoted(key) => (key.clone(), true),
            _ => return Err(self.stray(&piece)),
        };
        self.tests += 1;
        if self.tests > TESTS_MAX {
            return Err(self.wrong(format!("a filter has at most {TESTS_MAX} conditions")));
        }
        self.at += 1;
        let test = match key.as_str() {
            _ if is_quoted => Test::Text(Field::Tag(key.clone()), self.text_test(&key, None)?),
            "duration" => Test::Duration(match self.token() {
                Some(Token::Relation(_) | Token::Like | Token::Unlike) => {
                    Some(self.duration_relation(&key)?)
                }
                _ => None,
            }),
            "trace.duration" => {
                let (relation, bound) = self.duration_relation(&key)?;
                Test::Trace(TraceTest::Duration(relation, bound))
            }
            "trace.spans" => {
                let (relation, bound) = self.count_relation(&key)?;
                Test::Trace(TraceTest::Spans(relation, bound))
            }
            "trace.errors" => {
                let (relation, bound) = self.count_relation(&key)?;
                Test::Trace(TraceTest::Errors(relation, bound))
            }
            "root.service" => {
                let test = self.text_test(&key, Some(&Field::Service))?;
                Test::Trace(TraceTest::RootService(test))
            }
            "root.name" => {
                let test = self.text_test(&key, Some(&Field::Name))?;
                Test::Trace(TraceTest::RootName(test))
            }
            name if is_of_trace(name) => {
                self.at -= 1;
                let known = match name.starts_with("root.") {
                    true => "a root has root.service and root.name",
                    false => "a trace has trace.duration, trace.spans and trace.errors",
                };
                return Err(self.wrong(format!("{known}; a tag of this name is written .{name}")));
            }
            name => {
                if let Some(error) = unfinished(name) {
                    self.at -= 1;
                    return Err(self.wrong(error.to_string()));
                }
                let field = Field::read(name);
                let test = self.text_test(&key, Some(&field).filter(|field| field.is_name()))?;
                Test::Text(field, test)
            }
        };
        let to = self.at.checked_sub(1).and_then(|at| self.pieces.get(at));
        Ok(Tree::Leaf(Node::Test(test, piece.from, to.map_or(piece.to, |piece| piece.to))))
    }

    /// The rest of a condition on a text, or on a name.
    fn text_test(&mut self, key: &str, name: Option<&Field>) -> Result<TextTest, FilterError> {
        let operator = self.token().cloned();
        let relation = match operator {
            Some(Token::Like | Token::Unlike) => {
                self.at += 1;
                let not = operator == Some(Token::Unlike);
                self.patterns += 1;
                if self.patterns > PATTERNS_MAX {
                    let message =
                        format!("a filter has at most {PATTERNS_MAX} regular expressions");
                    return Err(self.wrong(message));
                }
                let (text, _) = self.value("a regular expression")?;
                return match Pattern::new(&text, name.is_some()) {
                    Ok(pattern) => Ok(TextTest::Like { not, pattern }),
                    Err(message) => {
                        self.at -= 1;
                        Err(self.wrong(message))
                    }
                };
            }
            Some(Token::Relation(relation)) => relation,
            _ => return Ok(TextTest::Exists),
        };
        let is_equality = matches!(relation, Relation::Equal | Relation::NotEqual);
        if name.is_some() && !is_equality {
            return Err(self.wrong(format!("expected =, !=, =~ or !~ after {key}")));
        }
        self.at += 1;
        let (text, is_quoted) = self.value("a value")?;
        if is_equality {
            let literal = match name {
                Some(field) => {
                    let text = text.to_lowercase();
                    if let Some(words) = field
                        .words()
                        .filter(|words| !text.is_empty() && !words.contains(&text.as_str()))
                    {
                        self.at -= 1;
                        return Err(self.wrong(format!("{key} is one of {}", words.join(", "))));
                    }
                    Literal::exact(text)
                }
                None if is_quoted => Literal::exact(text),
                None => Literal::typed(text),
            };
            return Ok(TextTest::Equal { not: relation == Relation::NotEqual, literal });
        }
        let number = Number::read(&text).map(|bound| TextTest::Number(relation, bound));
        let duration = || literal::duration(&text).map(|bound| TextTest::Duration(relation, bound));
        number.or_else(duration).ok_or_else(|| {
            self.at -= 1;
            self.wrong("only numbers and durations have an order: 500, 1.5, 100ms")
        })
    }

    fn duration_relation(
        &mut self,
        key: &str,
    ) -> Result<(Relation, std::time::Duration), FilterError> {
        let relation = self.relation(key)?;
        let (text, _) = self.value("a duration, such as 5ms or 1.5s,")?;
        literal::duration(&text).map(|bound| (relation, bound)).ok_or_else(|| {
            self.at -= 1;
            self.wrong("expected a duration with its unit, such as 5ms or 1.5s")
        })
    }

    fn count_relation(&mut self, key: &str) -> Result<(Relation, Number), FilterError> {
        let relation = self.relation(key)?;
        let (text, _) = self.value("a number")?;
        Number::read(&text).map(|bound| (relation, bound)).ok_or_else(|| {
            self.at -= 1;
            self.wrong("expected a number")
        })
    }

    fn relation(&mut self, key: &str) -> Result<Relation, FilterError> {
        match self.token() {
            Some(Token::Relation(relation)) => {
                let relation = *relation;
                self.at += 1;
                Ok(relation)
            }
            _ => Err(self.wrong(format!("expected =, !=, <, <=, > or >= after {key}"))),
        }
    }

    /// A text, and whether it stands in quotes.
    fn value(&mut self, what: &str) -> Result<(String, bool), FilterError> {
        let value = match self.token() {
            Some(Token::Word(text)) => (text.clone(), false),
            Some(Token::Quoted(text)) => (text.clone(), true),
            _ => return Err(self.wrong(format!("expected {what} here"))),
        };
        self.at += 1;
        Ok(value)
    }
}

fn one_or(
    mut trees: Vec<Tree<Node>>,
    many: impl FnOnce(Vec<Tree<Node>>) -> Tree<Node>,
) -> Tree<Node> {
    match trees.pop() {
        Some(only) if trees.is_empty() => only,
        Some(last) => {
            trees.push(last);
            many(trees)
        }
        None => Tree::default(),
    }
}
