//! A label set: what is known of a target, as sorted names with non-empty values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::pairs::Pairs;

/// A sorted set of labels. An empty value means "absent", as everywhere in Prometheus.
///
/// ```
/// use sigyn_discovery::Labels;
///
/// let mut labels = Labels::from_iter([("job", "shop"), ("__address__", "127.0.0.1:80")]);
/// labels.set("zone", "a");
/// labels.set("job", ""); // deletes
/// assert_eq!(labels.get("job"), None);
/// assert_eq!(labels.to_string(), r#"{__address__="127.0.0.1:80", zone="a"}"#);
/// assert_eq!(labels.public().to_string(), r#"{zone="a"}"#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Pairs);

impl Labels {
    /// The empty set.
    pub const fn new() -> Self {
        Self(Pairs::new())
    }

    /// The value of `name`, if present.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// The value of `name`, or "" if absent: what relabelling sees.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Sets `name`; an empty `value` removes it.
    pub fn set(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name, value);
        }
    }

    /// Sets `name` unless it is present already.
    pub fn set_default(&mut self, name: &str, value: &str) {
        if !value.is_empty() && self.get(name).is_none() {
            self.0.insert(name, value);
        }
    }

    /// Removes `name` and returns the value it had.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Keeps only the labels for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        *self = self.filtered(|name, value| keep(name, value));
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + Clone {
        self.0.iter()
    }

    /// The labels a user sees: those whose names do not start with `__`.
    pub fn public(&self) -> Self {
        self.filtered(|name, _| !name.starts_with("__"))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives back room that was made for more than there is.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    fn filtered(&self, mut keep: impl FnMut(&str, &str) -> bool) -> Self {
        let mut kept = Pairs::new();
        for (name, value) in self.iter().filter(|(name, value)| keep(name, value)) {
            kept.push(name, value);
        }
        kept.shrink_to_fit();
        Self(kept)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        // Whoever has very many need not have them in order.
        let mut map = BTreeMap::new();
        for (name, value) in labels {
            map.insert(name.into(), value.into());
        }
        map.retain(|_, value: &mut String| !value.is_empty());
        Self(map.into())
    }
}

impl<N: Into<String>, V: Into<String>> Extend<(N, V)> for Labels {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, labels: I) {
        for (name, value) in labels {
            self.set(name.into(), value.into());
        }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_name(name) {
                f.write_str(name)?;
            } else {
                write!(f, "\"{}\"", escaped(name))?;
            }
            write!(f, "=\"{}\"", escaped(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `name` is a label name of the classic kind: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is left of `name` as part of a label name of the classic kind: every other character becomes
/// `_`.
#[cfg_attr(
    not(any(
        test,
        feature = "aws",
        feature = "azure",
        feature = "consul",
        feature = "docker",
        feature = "eureka",
        feature = "gcp",
        feature = "hetzner",
        feature = "kubernetes"
    )),
    expect(dead_code, reason = "only these mechanisms need it")
)]
pub(crate) fn sanitized(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(fit).collect()
}

/// `host:port`, with brackets around an IPv6 address.
#[cfg_attr(
    not(any(
        test,
        feature = "aws",
        feature = "azure",
        feature = "consul",
        feature = "digitalocean",
        feature = "dns",
        feature = "docker",
        feature = "eureka",
        feature = "hetzner",
        feature = "kubernetes",
        feature = "linode",
        feature = "nomad"
    )),
    expect(dead_code, reason = "only these mechanisms need it")
)]
pub(crate) fn host_port(host: &str, port: impl fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// `,a,b,`: texts with a separator between them and at both ends, so that rules need not care where
/// in the list one stands. No texts are an empty one.
#[cfg_attr(
    not(any(
        test,
        feature = "aws",
        feature = "digitalocean",
        feature = "gcp",
        feature = "linode",
        feature = "nomad"
    )),
    expect(dead_code, reason = "only these mechanisms need it")
)]
pub(crate) fn listed<S: AsRef<str>>(texts: &[S], separator: &str) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let mut list = separator.to_owned();
    for text in texts {
        list.push_str(text.as_ref());
        list.push_str(separator);
    }
    list
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['"', '\\']) && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `text` between double quotes, escaped as Go's `%q` does it.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_an_absent_label() {
        let mut labels = Labels::from_iter([("a", "1"), ("b", "")]);
        assert_eq!(labels.len(), 1);
        labels.set_default("a", "2");
        labels.set_default("c", "");
        assert_eq!(labels, Labels::from_iter([("a", "1")]));
        labels.set("a", "");
        assert!(labels.is_empty());
    }

    #[test]
    fn display_sorts_quotes_and_escapes() {
        let labels = Labels::from_iter([("b", "say \"hi\"\\\n"), ("a", "1"), ("a.b", "2")]);
        assert_eq!(labels.to_string(), r#"{a="1", "a.b"="2", b="say \"hi\"\\\n"}"#);
        assert_eq!(Labels::new().to_string(), "{}");
    }

    #[test]
    fn names_and_addresses_that_are_made_of_others() {
        assert_eq!(sanitized("app.kubernetes.io/näme-1_x"), "app_kubernetes_io_n_me_1_x");
        assert_eq!(host_port("127.0.0.1", 80), "127.0.0.1:80");
        assert_eq!(host_port("::1", "80"), "[::1]:80");
        assert_eq!(listed(&["a", "b"], ";"), ";a;b;");
        assert_eq!(listed(&[String::new()], ","), ",,");
        assert_eq!(listed::<&str>(&[], ","), "");
    }

    #[test]
    fn legacy_names() {
        for name in ["a", "_", "__address__", "A9"] {
            assert!(is_legacy_name(name), "{name}");
        }
        for name in ["", "9a", "a-b", "a.b", "é"] {
            assert!(!is_legacy_name(name), "{name}");
        }
    }
}
