//! Which crate may know which: the arrows, and that only `app.rs` knows two libraries at once.

use super::Finding;
use super::code::has_word;

/// Every crate, and the crates of ours it may depend on. Tests may know more: dev-dependencies are free.
const ARROWS: [(&str, &[&str]); 10] = [
    ("sigyn-model", &[]),
    ("sigyn-discovery", &[]),
    ("sigyn-ui", &[]),
    ("sigyn-store", &["sigyn-model"]),
    ("sigyn-recorder", &["sigyn-model"]),
    ("sigyn-tracing", &["sigyn-model", "sigyn-recorder"]),
    ("sigyn-otel", &["sigyn-model", "sigyn-recorder"]),
    ("sigyn-tower", &["sigyn-recorder"]),
    ("sigyn-scrape", &["sigyn-model", "sigyn-discovery"]),
    (
        "sigyn",
        &[
            "sigyn-model",
            "sigyn-discovery",
            "sigyn-scrape",
            "sigyn-store",
            "sigyn-recorder",
            "sigyn-ui",
        ],
    ),
];

/// The libraries that meet only where they are wired together.
const LIBRARIES: [&str; 3] = ["sigyn_discovery", "sigyn_scrape", "sigyn_store"];

/// Where two of [`LIBRARIES`] may be named in one file, and why. Files, and folders ending in `/`.
const KNOW_TWO: [(&str, &str); 4] = [
    ("crates/sigyn/src/app.rs", "it is the wiring"),
    (
        "crates/sigyn/src/config.rs",
        "one file configures all: it makes each library's options and calls none of them",
    ),
    (
        "crates/sigyn/src/api/targets.rs",
        "it shows what scraping knows of a target, whose labels are discovery's",
    ),
    (
        "crates/sigyn/src/demo/",
        "a demo is a small world of its own: services, their discovery, and what was found",
    ),
];

/// A crate depends on no more of our crates than the table says, and takes the workspace's lints.
pub(super) fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut section = "";
    let (mut name, mut allowed, mut has_lints) = ("", None, false);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        let (key, value) =
            line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value.trim()));
        match section {
            "package" if key == "name" => {
                name = value.trim_matches('"');
                allowed = ARROWS.iter().find(|(of, _)| *of == name).map(|(_, allowed)| *allowed);
                if allowed.is_none() {
                    findings.push(Finding::new(
                        path,
                        index + 1,
                        format!("{name} is not in the table of arrows"),
                    ));
                }
            }
            "lints" => has_lints |= key == "workspace" && value == "true",
            _ => {}
        }
        let Some(dependency) = dependency(section, line, key) else { continue };
        if !allowed.unwrap_or_default().contains(&dependency) {
            findings.push(Finding::new(
                path,
                index + 1,
                format!("{name} must not depend on {dependency}"),
            ));
        }
    }
    if !has_lints {
        findings.push(Finding::new(path, 0, "does not say `[lints] workspace = true`"));
    }
    findings
}

/// The crate of ours that a line of a manifest depends on, tests aside.
fn dependency<'a>(section: &'a str, line: &'a str, key: &'a str) -> Option<&'a str> {
    let kind = |section: &'a str| {
        ["dependencies", "build-dependencies"]
            .contains(&section.rsplit('.').next().unwrap_or(section))
    };
    let named = if line.starts_with('[') {
        // [dependencies.sigyn-model]
        let (before, named) = section.rsplit_once('.')?;
        kind(before).then_some(named)
    } else {
        // sigyn-model.workspace = true, sigyn-model = { .. }
        kind(section).then_some(key.split('.').next().unwrap_or(key))
    };
    named.map(|name| name.trim_matches('"')).filter(|name| name.starts_with("sigyn-"))
}

/// Inside the program, one file names at most one of the libraries.
pub(super) fn check_wiring(path: &str, code: &str) -> Option<Finding> {
    let exempt = KNOW_TWO
        .iter()
        .any(|(known, _)| path == *known || (known.ends_with('/') && path.starts_with(known)));
    if exempt || !path.starts_with("crates/sigyn/src/") {
        return None;
    }
    let named: Vec<&str> =
        LIBRARIES.into_iter().filter(|library| has_word(code, library)).collect();
    let (last, others) = named.split_last()?;
    (!others.is_empty()).then(|| {
        Finding::new(
            path,
            0,
            format!("knows {} and {last}: only app.rs knows two libraries", others.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, expected: &[&str]) {
        let found: Vec<String> =
            check_manifest("Cargo.toml", manifest).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{manifest}");
    }

    #[test]
    fn a_crate_depends_on_what_the_table_allows() {
        let head = "[package]\nname = \"sigyn-store\"\n[lints]\nworkspace = true\n";
        let with = |more: &str| format!("{head}{more}");
        check(&with("[dependencies]\nsigyn-model.workspace = true\nbytes.workspace = true\n"), &[]);
        check(&with("[dev-dependencies]\nsigyn-recorder.workspace = true\n"), &[]);
        let problem = "Cargo.toml:6: sigyn-store must not depend on sigyn-scrape";
        check(&with("[dependencies]\nsigyn-scrape.workspace = true\n"), &[problem]);
        check(&with("[dependencies]\nsigyn-scrape = { path = \"../sigyn-scrape\" }\n"), &[problem]);
        check(&with("[build-dependencies]\nsigyn-scrape.workspace = true\n"), &[problem]);
        check(
            &with("[target.'cfg(unix)'.dependencies]\nsigyn-scrape.workspace = true\n"),
            &[problem],
        );
        check(&with("\n[dependencies.sigyn-scrape]\nworkspace = true\n"), &[problem]);
    }

    #[test]
    fn a_new_crate_is_put_into_the_table() {
        let manifest = "[package]\nname = \"sigyn-util\"\n[lints]\nworkspace = true\n";
        check(manifest, &["Cargo.toml:2: sigyn-util is not in the table of arrows"]);
    }

    #[test]
    fn a_crate_takes_the_lints_of_the_workspace() {
        check(
            "[package]\nname = \"sigyn-model\"\n",
            &["Cargo.toml: does not say `[lints] workspace = true`"],
        );
    }

    #[test]
    fn only_the_wiring_knows_two_libraries() {
        let two = "use sigyn_scrape::Status;\nuse sigyn_store::Store;\n";
        let problem =
            check_wiring("crates/sigyn/src/api/zipkin.rs", two).map(|finding| finding.message);
        assert_eq!(
            problem.as_deref(),
            Some("knows sigyn_scrape and sigyn_store: only app.rs knows two libraries")
        );
        assert_eq!(check_wiring("crates/sigyn/src/api/zipkin.rs", "use sigyn_store::Store;"), None);
        assert_eq!(check_wiring("crates/sigyn/src/app.rs", two), None);
        assert_eq!(check_wiring("crates/sigyn/src/demo/shop.rs", two), None);
        assert_eq!(check_wiring("crates/sigyn-scrape/src/lib.rs", two), None);
    }

    #[test]
    fn the_table_has_no_cycle() {
        for (of, allowed) in ARROWS {
            for dependency in allowed {
                let position = |name: &str| ARROWS.iter().position(|(listed, _)| *listed == name);
                assert!(position(dependency) < position(of), "{of} stands before {dependency}");
            }
        }
    }
}
