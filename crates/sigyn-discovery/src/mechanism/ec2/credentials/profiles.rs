//! The files in which AWS' own tools keep profiles.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::CredentialsError;
use crate::mechanism::Environment;

type Profile = BTreeMap<String, String>;

/// All profiles, by name.
#[derive(Default)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads both files. It blocks as long as small files take. A file that is not there is empty.
    pub(super) fn read(environment: &Environment) -> Result<Self, CredentialsError> {
        let path = |variable: &str, usual: &str| match environment.get(variable) {
            Some(path) => Some(PathBuf::from(path)),
            None => environment.get("HOME").map(|home| Path::new(&home).join(".aws").join(usual)),
        };
        let text = |path: Option<PathBuf>| match path {
            None => Ok(String::new()),
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Ok(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                Err(source) => Err(CredentialsError::File { path, source }),
            },
        };
        let config = text(path("AWS_CONFIG_FILE", "config"))?;
        let credentials = text(path("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
        Ok(Self::parse(&config, &credentials))
    }

    /// What stands in the file of credentials goes before what stands in the other one.
    pub(super) fn parse(config: &str, credentials: &str) -> Self {
        let mut all = Self::default();
        all.add(config, of_config);
        all.add(credentials, of_credentials);
        all
    }

    /// `name` says which profile a section is, if it is one.
    fn add(&mut self, text: &str, name: fn(&str) -> Option<&str>) {
        let mut profile: Option<String> = None;
        for line in text.lines() {
            // What is indented belongs to a key that is none of ours.
            let is_indented = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let section = rest.split(']').next().unwrap_or_default().trim();
                profile = name(section).map(str::to_owned);
                if let Some(profile) = &profile {
                    self.0.entry(profile.clone()).or_default();
                }
                continue;
            }
            let (Some(profile), Some((key, value))) = (&profile, line.split_once('=')) else {
                continue;
            };
            if is_indented {
                continue;
            }
            let value = without_comment(value).trim();
            let values = self.0.entry(profile.clone()).or_default();
            if value.is_empty() {
                values.remove(&key.trim().to_ascii_lowercase());
            } else {
                values.insert(key.trim().to_ascii_lowercase(), value.to_owned());
            }
        }
    }

    pub(super) fn has(&self, profile: &str) -> bool {
        self.0.contains_key(profile)
    }

    pub(super) fn value(&self, profile: &str, key: &str) -> Option<&str> {
        self.0.get(profile)?.get(key).map(String::as_str)
    }
}

fn of_config(section: &str) -> Option<&str> {
    match section.split_once([' ', '\t']) {
        None => (section == "default").then_some(section),
        Some(("profile", name)) => Some(name.trim().trim_matches('"')),
        // Such as `sso-session x`.
        Some(_) => None,
    }
}

fn of_credentials(section: &str) -> Option<&str> {
    Some(section)
}

/// A comment begins with a space before it: a key may have a `#` in it.
fn without_comment(value: &str) -> &str {
    let starts = [" #", "\t#", " ;", "\t;"].into_iter().filter_map(|start| value.find(start));
    starts.min().map_or(value, |at| &value[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_come_to_one() {
        let profiles = Profiles::parse(
            "# mine\n[default]\nregion = eu-central-1\naws_access_key_id=A # of last year\n\
             s3 =\n  max_concurrent_requests = 20\n\n[profile \"night shift\"]\nRole_Arn = arn:r\n\
             [sso-session x]\nsso_start_url = http://127.0.0.1/\n[left-over]\nregion = r\n",
            "[default]\naws_access_key_id = B\naws_secret_access_key = c#d/=\n[x]\n; nothing\n",
        );
        let check = |profile: &str, key: &str, expected: Option<&str>| {
            assert_eq!(profiles.value(profile, key), expected, "{profile} {key}");
        };
        check("default", "region", Some("eu-central-1"));
        check("default", "aws_access_key_id", Some("B"));
        check("default", "aws_secret_access_key", Some("c#d/="));
        check("default", "max_concurrent_requests", None);
        check("default", "s3", None);
        check("night shift", "role_arn", Some("arn:r"));
        assert!(profiles.has("x") && !profiles.has("sso-session x") && !profiles.has("left-over"));
    }

    #[test]
    fn files_are_where_the_environment_says() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".aws");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("config"), "[default]\nregion = a\n").unwrap();
        std::fs::write(dir.path().join("other"), "[default]\nregion = b\n").unwrap();
        let given = |variables: &[(&str, &str)]| {
            let named = |(name, file): &(&str, &str)| {
                ((*name).to_owned(), dir.path().join(file).display().to_string())
            };
            Profiles::read(&Environment::Given(variables.iter().map(named).collect()))
        };
        let region = |variables: &[(&str, &str)]| {
            given(variables).unwrap().value("default", "region").map(str::to_owned)
        };
        assert_eq!(region(&[]), None);
        assert_eq!(region(&[("HOME", "")]).as_deref(), Some("a"));
        assert_eq!(region(&[("HOME", ""), ("AWS_CONFIG_FILE", "other")]).as_deref(), Some("b"));
        assert_eq!(region(&[("AWS_CONFIG_FILE", "gone")]), None);
        // A folder is no file.
        assert!(given(&[("AWS_SHARED_CREDENTIALS_FILE", ".aws")]).is_err());
    }
}
