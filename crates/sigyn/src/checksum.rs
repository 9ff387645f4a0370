//! Whether the files of a configuration have changed.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use sigyn_discovery::config::files_of;

/// Of what files say.
pub(crate) type Checksum = [u8; 32];

/// Of the file and of those that it names in `rule_files` and `scrape_config_files`: names and
/// content. Rules are none of our business, but whoever waits for a reload sees it where Prometheus
/// has one. A file that cannot be read counts as empty, so that a change back is a change, too. Files
/// with targets, and with secrets, are followed by others.
pub(crate) fn checksum(path: &Path) -> Checksum {
    let mut sum = Sha256::new();
    let mut add = |kind: &[u8], path: &Path, content: &[u8]| {
        for part in [kind, path.as_os_str().as_encoded_bytes(), content] {
            sum.update(part);
            sum.update([0]);
        }
    };
    let text = std::fs::read(path).unwrap_or_default();
    add(b"", path, &text);
    let dir = path.parent().unwrap_or(Path::new(""));
    for (key, path) in files_of(&String::from_utf8_lossy(&text), dir) {
        add(key.as_bytes(), &path, &std::fs::read(&path).unwrap_or_default());
    }
    sum.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_in_any_of_the_files_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sigyn.yml");
        let mut seen = vec![checksum(&path)];
        let mut changed = |what: &str| {
            let now = checksum(&path);
            assert_eq!(now, checksum(&path), "{what}");
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        let text = "scrape_config_files: ['jobs/*.yml']\nrule_files: [rules.yml]\n";
        fs::write(&path, text).unwrap();
        changed("the file is there");
        fs::create_dir(folder.path().join("jobs")).unwrap();
        fs::write(folder.path().join("jobs/a.yml"), "").unwrap();
        changed("a file that it names is there");
        fs::write(folder.path().join("jobs/a.yml"), "scrape_configs: []").unwrap();
        changed("a file that it names says something else");
        fs::rename(folder.path().join("jobs/a.yml"), folder.path().join("jobs/b.yml")).unwrap();
        changed("a file that it names has another name");
        fs::write(&path, format!("{text}global: [")).unwrap();
        changed("the file cannot be understood");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("rules.yml"), "groups: []").unwrap();
        changed("a file of rules is there");
        fs::remove_file(folder.path().join("rules.yml")).unwrap();
        fs::write(folder.path().join("jobs/c.txt"), "").unwrap();
        fs::write(&path, text).unwrap();
        assert_eq!(checksum(&path), seen[4], "what it does not name does not matter");
    }
}
