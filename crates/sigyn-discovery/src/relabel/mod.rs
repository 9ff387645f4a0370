//! Relabelling: rules that rewrite a label set, or drop the target it belongs to.

mod case;
mod regex;
mod step;
mod template;

use std::fmt;
use std::sync::LazyLock;

use md5::{Digest, Md5};
use serde::de::MapAccess;

pub use self::regex::{Regex, RegexError};
pub use self::step::{Step, steps};
use self::template::Template;
use crate::labels::{Labels, is_legacy_name, quoted};
use crate::yaml::{Entry, Section};

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

/// One relabelling rule, checked and compiled.
///
/// ```
/// use sigyn_discovery::{Labels, relabel::{self, Rule, RuleConfig}};
///
/// let rules = [
///     Rule::new(&RuleConfig {
///         source_labels: Some(vec!["__meta_host".to_owned(), "__meta_port".to_owned()]),
///         separator: Some(":".to_owned()),
///         target_label: "__address__".to_owned(),
///         ..RuleConfig::default()
///     })
///     .unwrap(),
///     Rule::new(&RuleConfig {
///         action: Some("drop".to_owned()),
///         source_labels: Some(vec!["env".to_owned()]),
///         regex: Some("dev|test".to_owned()),
///         ..RuleConfig::default()
///     })
///     .unwrap(),
/// ];
/// let labels = Labels::from_iter([("__meta_host", "127.0.0.1"), ("__meta_port", "80"), ("env", "prod")]);
/// let relabelled = relabel::process(&labels, &rules).unwrap();
/// assert_eq!(relabelled.get("__address__"), Some("127.0.0.1:80"));
///
/// assert_eq!(relabel::process(&Labels::from_iter([("env", "dev")]), &rules), None);
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    target_label: Template,
    replacement: Template,
    modulus: u64,
    names: NameScheme,
}

/// Which label names are valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameScheme {
    /// Any text but the empty one.
    #[default]
    Utf8,
    /// `[a-zA-Z_][a-zA-Z0-9_]*`.
    Legacy,
}

impl NameScheme {
    /// Whether `name` may be a label's name.
    pub fn is_valid(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_name(name),
        }
    }

    /// Whether `name`, which may hold `$1` or `${1}`, can expand to a label's name.
    fn is_valid_template(self, name: &str) -> bool {
        static LEGACY: LazyLock<::regex::Regex> = LazyLock::new(|| {
            ::regex::Regex::new(r"^(?-u:(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+)$")
                .expect("a fixed pattern")
        });
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => LEGACY.is_match(name),
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ACTIONS.iter().find(|(_, action)| action == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// A rule as written. What is `None` was not written; a written null is the empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleConfig {
    /// `action`, by default `replace`.
    pub action: Option<String>,
    /// `source_labels`, by default none.
    pub source_labels: Option<Vec<String>>,
    /// `separator`, by default `;`.
    pub separator: Option<String>,
    /// `regex`, by default `(.*)`.
    pub regex: Option<String>,
    /// `target_label`.
    pub target_label: String,
    /// `replacement`, by default `$1`.
    pub replacement: Option<String>,
    /// `modulus`.
    pub modulus: u64,
}

impl Section for RuleConfig {
    const NAME: &'static str = "relabel.plain";

    fn field<'de, A: MapAccess<'de>>(&mut self, entry: Entry<'_, A>) -> Result<(), A::Error> {
        match entry.key() {
            "action" => self.action = Some(entry.text()?),
            "source_labels" => {
                let labels = entry.read_option::<Vec<crate::yaml::Text>>()?;
                self.source_labels =
                    labels.map(|labels| labels.into_iter().map(|label| label.0).collect());
            }
            "separator" => self.separator = Some(entry.text()?),
            "regex" => self.regex = Some(entry.text()?),
            "target_label" => self.target_label = entry.text()?,
            "replacement" => self.replacement = Some(entry.text()?),
            "modulus" => self.modulus = entry.integer_of("uint64")?,
            _ => return entry.unknown(),
        }
        Ok(())
    }
}

/// Why a rule is refused. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `action:` with nothing behind it.
    #[error("relabel action cannot be empty")]
    EmptyAction,
    /// No such action.
    #[error("unknown relabel action {}", quoted(.0))]
    UnknownAction(String),
    /// A regex that RE2 would refuse, or that is too large.
    #[error(transparent)]
    Regex(#[from] RegexError),
    /// `hashmod` needs a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    ZeroModulus,
    /// The action writes a label, but which?
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(String),
    /// A source label that cannot be a label name.
    #[error("{} is not a valid label name", quoted(.0))]
    SourceLabel(String),
    /// A target that cannot be a label name.
    #[error("{} is invalid 'target_label' for {action} action", quoted(.name))]
    Target {
        /// The name.
        name: String,
        /// The rule's action.
        action: String,
    },
    /// A `labelmap` replacement that cannot be a label name.
    #[error("{} is invalid 'replacement' for {action} action", quoted(.text))]
    Replacement {
        /// The replacement.
        text: String,
        /// The rule's action.
        action: String,
    },
    /// The action does not use a replacement.
    #[error("'replacement' can not be set for {0} action")]
    ReplacementSet(String),
    /// `keepequal` and `dropequal` compare two values and use nothing else.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlyLabels(String),
    /// `labeldrop` and `labelkeep` use the regex and nothing else.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(String),
}

impl Rule {
    /// Checks and compiles a rule, with label names of any UTF-8.
    pub fn new(config: &RuleConfig) -> Result<Self, RuleError> {
        Self::with_names(config, NameScheme::Utf8)
    }

    /// Checks and compiles a rule under the given naming scheme.
    pub fn with_names(config: &RuleConfig, names: NameScheme) -> Result<Self, RuleError> {
        let action = match config.action.as_deref() {
            None => Action::Replace,
            Some("") => return Err(RuleError::EmptyAction),
            Some(text) => ACTIONS
                .iter()
                .find(|(name, _)| text.eq_ignore_ascii_case(name))
                .map(|(_, action)| *action)
                .ok_or_else(|| RuleError::UnknownAction(text.to_owned()))?,
        };
        let regex = Regex::new(config.regex.as_deref().unwrap_or(DEFAULT_REGEX))?;
        let separator = config.separator.as_deref().unwrap_or(DEFAULT_SEPARATOR);
        let replacement = config.replacement.as_deref().unwrap_or(DEFAULT_REPLACEMENT);
        check(config, action, separator, replacement, names)?;
        Ok(Self {
            action,
            source_labels: config.source_labels.clone().unwrap_or_default(),
            separator: separator.to_owned(),
            target_label: Template::new(&config.target_label, &regex),
            replacement: Template::new(replacement, &regex),
            regex,
            modulus: config.modulus,
            names,
        })
    }

    /// Applies the rule. `false` means that the target is dropped.
    fn apply(&self, labels: &mut Labels) -> bool {
        match self.action {
            Action::Keep => return self.regex.is_match(&self.source(labels)),
            Action::Drop => return !self.regex.is_match(&self.source(labels)),
            Action::KeepEqual => {
                return labels.value(self.target_label.as_str()) == self.source(labels);
            }
            Action::DropEqual => {
                return labels.value(self.target_label.as_str()) != self.source(labels);
            }
            Action::Replace => self.replace(labels),
            Action::HashMod => {
                let digest: [u8; 16] = Md5::digest(self.source(labels)).into();
                let [.., a, b, c, d, e, f, g, h] = digest;
                let hash = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % self.modulus;
                labels.set(self.target_label.as_str(), hash.to_string());
            }
            Action::Lowercase => {
                labels.set(self.target_label.as_str(), case::lower(&self.source(labels)))
            }
            Action::Uppercase => {
                labels.set(self.target_label.as_str(), case::upper(&self.source(labels)))
            }
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    fn source(&self, labels: &Labels) -> String {
        let mut source = String::new();
        for (index, name) in self.source_labels.iter().enumerate() {
            if index > 0 {
                source.push_str(&self.separator);
            }
            source.push_str(labels.value(name));
        }
        source
    }

    fn replace(&self, labels: &mut Labels) {
        let source = self.source(labels);
        let Some(captures) = self.regex.captures(&source) else {
            return;
        };
        let target = self.target_label.expand(&captures);
        if self.names.is_valid(&target) {
            labels.set(target, self.replacement.expand(&captures));
        }
    }

    /// Prometheus leaves open which of two labels wins that map to one name. Here it is the one
    /// whose old name sorts last.
    fn map_names(&self, labels: &mut Labels) {
        let mut mapped = Vec::new();
        for (name, value) in labels.iter() {
            if let Some(captures) = self.regex.captures(name) {
                mapped.push((self.replacement.expand(&captures), value.to_owned()));
            }
        }
        labels.extend(mapped.into_iter().filter(|(name, _)| !name.is_empty()));
    }
}

/// Rules are equal if they were written with the same effect.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let key = |rule: &Self| {
            let texts = [
                rule.regex.as_str(),
                rule.target_label.as_str(),
                rule.replacement.as_str(),
                &rule.separator,
            ]
            .map(str::to_owned);
            (rule.action, texts, rule.source_labels.clone(), rule.modulus, rule.names)
        };
        key(self) == key(other)
    }
}

impl Eq for Rule {}

fn check(
    config: &RuleConfig,
    action: Action,
    separator: &str,
    replacement: &str,
    names: NameScheme,
) -> Result<(), RuleError> {
    use Action::{
        DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace,
        Uppercase,
    };
    let target = config.target_label.as_str();
    let action_name = || action.to_string();
    let invalid_target = || RuleError::Target { name: target.to_owned(), action: action_name() };

    // Labels of these names may be there in either scheme.
    let mut sources = config.source_labels.iter().flatten();
    if let Some(label) = sources.find(|label| !NameScheme::Utf8.is_valid(label)) {
        return Err(RuleError::SourceLabel(label.clone()));
    }
    if action == HashMod && config.modulus == 0 {
        return Err(RuleError::ZeroModulus);
    }
    if matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual) {
        if target.is_empty() {
            return Err(RuleError::NoTarget(action_name()));
        }
        let is_template = action == Replace && target.contains('$');
        let valid =
            if is_template { names.is_valid_template(target) } else { names.is_valid(target) };
        if !valid {
            return Err(invalid_target());
        }
    }
    let default_replacement = replacement == DEFAULT_REPLACEMENT;
    if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && !default_replacement {
        return Err(RuleError::ReplacementSet(action_name()));
    }
    if action == LabelMap && !names.is_valid_template(replacement) {
        return Err(RuleError::Replacement { text: replacement.to_owned(), action: action_name() });
    }
    let default_separator = separator == DEFAULT_SEPARATOR;
    // Prometheus compares the regex by identity here: one that is written out counts as set.
    if matches!(action, KeepEqual | DropEqual)
        && (config.regex.is_some() || config.modulus != 0 || !default_separator)
    {
        return Err(RuleError::OnlyLabels(action_name()));
    }
    if matches!(action, LabelDrop | LabelKeep)
        && (config.source_labels.is_some()
            || !target.is_empty()
            || config.modulus != 0
            || !default_separator
            || !default_replacement)
    {
        return Err(RuleError::OnlyRegex(action_name()));
    }
    Ok(())
}

/// Applies `rules` in order. `None` means that a rule dropped the target.
pub fn process(labels: &Labels, rules: &[Rule]) -> Option<Labels> {
    let mut labels = labels.clone();
    rules.iter().all(|rule| rule.apply(&mut labels)).then_some(labels)
}

#[cfg(test)]
mod tests;
