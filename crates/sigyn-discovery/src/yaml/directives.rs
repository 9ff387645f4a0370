//! The lines before a document: those that begin with a percent sign, and an end that stands before all.

use super::{Place, YamlError};

/// Prometheus reads YAML 1.1, and refuses a text that says it is anything else, or that ends before it
/// begins.
pub(super) fn check(text: &str) -> Result<(), YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut has_version = false;
    for (index, line) in text.lines().enumerate() {
        let is_empty = line.trim().is_empty() || line.starts_with('#');
        let place = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
        let Some(directive) = line.strip_prefix('%') else {
            match line {
                _ if is_empty => continue,
                line if line.trim_end() == "..." => {
                    let message = "did not find expected node content".to_owned();
                    return Err(Place { line: place, column: 1 }.error(message));
                }
                _ => break,
            }
        };
        let message = match read(directive) {
            Ok(Directive::Tag) => continue,
            Ok(Directive::Version(_)) if has_version => "found duplicate %YAML directive",
            Ok(Directive::Version("1.1")) => {
                has_version = true;
                continue;
            }
            Ok(Directive::Version(_)) => "found incompatible YAML document",
            Err(message) => message,
        };
        return Err(Place { line: place, column: 1 }.error(message));
    }
    Ok(())
}

/// A line that ends a document, as it begins with a percent sign, must be one that may begin the next:
/// else it is a mistake, and what follows would not be missed by anybody.
pub(super) fn check_end(text: &str, line: u64) -> Result<(), YamlError> {
    let index = usize::try_from(line).unwrap_or_default().saturating_sub(1);
    match text.lines().nth(index).and_then(|line| line.strip_prefix('%')).map(read) {
        Some(Err(message)) => Err(Place { line, column: 1 }.error(message)),
        _ => Ok(()),
    }
}

enum Directive<'a> {
    Tag,
    Version(&'a str),
}

/// What stands behind a percent sign.
fn read(line: &str) -> Result<Directive<'_>, &'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return Err("could not find expected directive name");
    }
    if rest.starts_with(|c: char| !c.is_ascii_whitespace()) {
        return Err("found unexpected non-alphabetical character");
    }
    match name {
        "TAG" => Ok(Directive::Tag),
        "YAML" => match rest.split_ascii_whitespace().next() {
            Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(Directive::Version(version))
            }
            _ => Err("did not find expected version number"),
        },
        _ => Err("found unknown directive name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_says_it_is_of_another_version_is_refused() {
        let check = |text: &str, expected: Result<(), (u64, &str)>| {
            let checked = check(text).map_err(|error| (error.line, error.message));
            let expected = expected.map_err(|(line, message)| (line, message.to_owned()));
            assert_eq!(checked, expected, "{text:?}");
        };
        let incompatible = "found incompatible YAML document";
        check("", Ok(()));
        check("a: 1\n%YAML 1.2\n", Ok(()));
        check("%YAML 1.1\n---\na: 1\n", Ok(()));
        check("# about\n\n%YAML  1.1 \r\n%TAG ! tag:a,\n---\n", Ok(()));
        check("%YAML 1.2\n---\na: 1\n", Err((1, incompatible)));
        check("\u{feff}%YAML 1.2\n---\n", Err((1, incompatible)));
        check("# about\n%YAML 1.0\n---\n", Err((2, incompatible)));
        check("%YAML 1.2\na: 1\n", Err((1, incompatible)));
        check("%YAML 1.1\n%YAML 1.1\n---\n", Err((2, "found duplicate %YAML directive")));
        check("%FOO bar\n---\n", Err((1, "found unknown directive name")));
        check("%\n---\n", Err((1, "could not find expected directive name")));
        check("%YAML\n---\n", Err((1, "did not find expected version number")));
        check("%a:b\n---\n", Err((1, "found unexpected non-alphabetical character")));
        check("\n...\na: 1\n", Err((2, "did not find expected node content")));
        check("---\n...\n", Ok(()));
    }
}
