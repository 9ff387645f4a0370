//! Replacement templates as Go's `Regexp.Expand` reads them: `$1`, `${name}`, `$$`.

use std::sync::LazyLock;

use regex::Captures;

use super::regex::Regex;

/// A template, its group references resolved against one regex.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The first of these groups that took part in the match.
    Group(Vec<usize>),
}

impl Template {
    pub(super) fn new(text: &str, regex: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                literal.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(rest) {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                // Of a group that does not exist there is nothing to write.
                parts.push(Part::Group(regex.groups(name)));
                rest = after;
            } else {
                literal.push('$');
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Self { text: text.to_owned(), parts }
    }

    /// The template as written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn expand(&self, captures: &Captures<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(groups) => {
                    let group = groups.iter().find_map(|group| captures.get(*group));
                    out.push_str(group.map_or("", |group| group.as_str()));
                }
            }
        }
        out
    }
}

/// Splits `name` or `{name}` off the front. `None` if malformed: then the `$` is an ordinary one.
fn reference(text: &str) -> Option<(&str, &str)> {
    static NAME: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"^[\p{L}\p{Nd}_]+").expect("a fixed pattern"));
    let (braced, text) = match text.strip_prefix('{') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let name = NAME.find(text)?;
    let rest = &text[name.end()..];
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    Some((name.as_str(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion_follows_go() {
        let regex = Regex::new("(?P<first>[a-z]+)-(?P<n>b)?(?P<n>c*)").unwrap();
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$0", "ab-cc"),
            ("$1", "ab"),
            ("${1}", "ab"),
            ("$1x", ""),
            ("${1}x", "abx"),
            ("$1-$3", "ab-cc"),
            ("$2", ""),
            ("$9", ""),
            ("$first", "ab"),
            ("${first}_x", "ab_x"),
            ("$first_x", ""),
            ("$é", ""),
            // Of two groups with one name, that which took part.
            ("$n", "cc"),
            ("$日", ""),
            ("$01", ""),
            ("$00", ""),
            ("$$", "$"),
            ("$$1", "$1"),
            ("$$$1", "$ab"),
            ("$", "$"),
            ("a$", "a$"),
            ("$ ", "$ "),
            ("$-", "$-"),
            ("${", "${"),
            ("${}", "${}"),
            ("${1", "${1"),
            ("${a-b}", "${a-b}"),
            ("${1}${", "ab${"),
            ("$1$3", "abcc"),
            ("\\1", "\\1"),
            ("$99999999999", ""),
            ("$_", ""),
            ("$①", "$①"),
        ] {
            let captures = regex.captures("ab-cc").unwrap();
            assert_eq!(Template::new(template, &regex).expand(&captures), expected, "{template:?}");
        }
    }
}
