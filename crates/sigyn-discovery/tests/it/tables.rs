//! The tables of `tests/data/`: what rules make of labels, and what becomes of label sets.

use std::path::Path;
use std::sync::Arc;

use sigyn_discovery::config::{self, Job};
use sigyn_discovery::target::{self, Outcome};
use sigyn_discovery::yaml::Node;
use sigyn_discovery::{Labels, TargetGroup, relabel};

/// The cases of a table, each of which is looked at on its own.
fn each(table: &str, check: fn(&str, &Node)) {
    let path = Path::new("tests/data").join(table);
    let Node::List(cases) = Node::read(&std::fs::read_to_string(path).unwrap()).unwrap() else {
        panic!("{table} is no list");
    };
    assert!(cases.len() > 10, "{table} is cut");
    for case in &cases {
        check(text(case, "name").expect("a case has a name"), case);
    }
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match node.get(key)? {
        Node::Text(text) | Node::Plain(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

fn labels(node: &Node) -> Labels {
    let Node::Map(entries) = node else { panic!("{node:?} are no labels") };
    let label = |(name, value): &(String, Node)| match value {
        Node::Text(text) | Node::Plain(text) => (name.clone(), text.clone()),
        other => panic!("{name} is {other:?}"),
    };
    entries.iter().map(label).collect()
}

/// A job of these keys, written out and read as a file would be.
fn job(mut keys: Vec<(String, Node)>) -> Result<Job, String> {
    let plain = |text: &str| Node::Plain(text.to_owned());
    for (key, value) in [("job_name", "job"), ("scrape_interval", "1s"), ("scrape_timeout", "1s")] {
        keys.push((key.to_owned(), plain(value)));
    }
    let file = Node::Map(vec![("scrape_configs".to_owned(), Node::List(vec![Node::Map(keys)]))]);
    let config = config::parse(&file.to_string(), Path::new("/"));
    Ok(config.map_err(|error| error.to_string())?.jobs.remove(0))
}

#[test]
fn rules() {
    each("relabelling.yml", |name, case| {
        let mut keys =
            vec![("relabel_configs".to_owned(), case.get("rules").expect("rules").clone())];
        if let Some(names) = text(case, "names") {
            let names = Node::Text(names.to_owned());
            keys.push(("metric_name_validation_scheme".to_owned(), names));
        }
        let job = match (job(keys), text(case, "refused")) {
            (Ok(job), None) => job,
            (Err(error), Some(expected)) => {
                assert!(error.contains(expected), "{name}: {error}");
                return;
            }
            (Ok(_), Some(expected)) => panic!("{name}: must be refused: {expected}"),
            (Err(error), None) => panic!("{name}: {error}"),
        };
        let input = case.get("labels").map(labels).unwrap_or_default();
        let expected = match case.get("expect").expect("what comes out") {
            Node::Text(dropped) if dropped == "dropped" => None,
            expected => Some(labels(expected)),
        };
        assert_eq!(relabel::process(&input, &job.relabel_configs), expected, "{name}");
    });
}

#[test]
fn targets() {
    each("targets.yml", |name, case| {
        let keys = match case.get("job") {
            Some(Node::Map(keys)) => keys.clone(),
            _ => Vec::new(),
        };
        let job = job(keys).unwrap_or_else(|error| panic!("{name}: {error}"));
        let targets = vec![case.get("labels").map(labels).unwrap_or_default()];
        let group = TargetGroup { source: "0".to_owned(), targets, ..TargetGroup::default() };
        let outcome = target::outcomes(&job, "/traces", &group).remove(0);
        let populated = target::populate(&job, "/traces", &[Arc::new(group)]);
        let (discovered, told) = match &outcome {
            Outcome::Active(target) => {
                if let Some(url) = text(case, "url") {
                    assert_eq!(target.url, url, "{name}");
                }
                assert_eq!(populated.active, std::slice::from_ref(target), "{name}");
                (&target.discovered_labels, target.labels.to_string())
            }
            Outcome::Dropped { discovered_labels } => {
                assert_eq!(populated.dropped, std::slice::from_ref(discovered_labels), "{name}");
                (discovered_labels, "dropped".to_owned())
            }
            Outcome::Failed { discovered_labels, error } => {
                let told = [format!("instance 0 in group 0: {error}")];
                assert_eq!(populated.errors, told, "{name}");
                (discovered_labels, error.to_string())
            }
        };
        if let Some(expected) = case.get("discovered") {
            assert_eq!(*discovered, labels(expected), "{name}");
        }
        let expected = match (case.get("expect"), text(case, "error")) {
            (Some(Node::Text(dropped)), None) => dropped.clone(),
            (Some(expected), None) => labels(expected).to_string(),
            (None, Some(error)) => error.to_owned(),
            // Only the URL is looked at.
            (None, None) => return,
            (Some(_), Some(_)) => panic!("{name}: a target and an error"),
        };
        assert_eq!(told, expected, "{name}");
    });
}

#[test]
fn refused() {
    each("refused.yml", |name, case| {
        let read = match (text(case, "text"), case.get("job"), case.get("files")) {
            (Some(text), None, None) => config::parse(text, Path::new("/")),
            (None, Some(Node::Map(keys)), None) => {
                let name = ("job_name".to_owned(), Node::Plain("till".to_owned()));
                let job = Node::Map(std::iter::once(name).chain(keys.iter().cloned()).collect());
                let file = Node::Map(vec![("scrape_configs".to_owned(), Node::List(vec![job]))]);
                config::parse(&file.to_string(), Path::new("/"))
            }
            (None, None, Some(Node::Map(files))) => {
                let dir = tempfile::tempdir().unwrap();
                for (name, content) in files {
                    let (Node::Text(content) | Node::Plain(content)) = content else {
                        panic!("{name} is no text");
                    };
                    std::fs::write(dir.path().join(name), content).unwrap();
                }
                config::load(&dir.path().join(&files[0].0))
            }
            _ => panic!("{name}: one of a text, a job and files"),
        };
        match (read, text(case, "says"), text(case, "ignored")) {
            (Err(error), Some(expected), None) => {
                let told = error.to_string();
                assert!(told.contains(expected), "{name}: {told}");
            }
            (Ok(config), None, Some(section)) => {
                let expected = format!("{section} is ignored by Sigyn");
                let told = config.warnings.iter().any(|warning| warning.contains(&expected));
                assert!(told, "{name}: {:?}", config.warnings);
            }
            (Ok(config), None, None) if case.get("taken").is_some() => {
                assert_eq!(config.warnings, [""; 0], "{name}");
            }
            (read, says, _) => panic!("{name}: {says:?} is not {:?}", read.map(|_| "accepted")),
        }
    });
}
