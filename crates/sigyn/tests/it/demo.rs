//! The demo: everything that it promises is there to see, and nothing is left behind.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::http;
use crate::program::{command, until};

#[test]
fn the_shop_is_traced_its_problems_show_and_it_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command()
        .args(["demo", "--port", "0", "--rate", "30", "--for", "3m"])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let page = lines.find(|line| line.contains("Pages")).unwrap();
    let address: SocketAddr =
        page.split("//").nth(1).unwrap().trim_end_matches('/').parse().unwrap();

    let links: Vec<String> = lines
        .by_ref()
        .filter_map(|line| line.split_once("http://").map(|(_, link)| link.to_owned()))
        .take(4)
        .collect();
    for path in links
        .iter()
        .filter_map(|link| link.strip_prefix(&address.to_string()))
        .filter(|path| !path.is_empty())
    {
        assert_eq!(http::get(address, path).status, 200, "{path}");
    }
    let trace = links.iter().find_map(|link| link.split_once("/zipkin/traces/")).unwrap().1;
    let spans = http::get(address, &format!("/api/v2/trace/{trace}")).json();
    let services: BTreeSet<&str> = spans
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| s["localEndpoint"]["serviceName"].as_str())
        .collect();
    assert!(services.contains("storefront") && services.len() >= 5, "{services:?}");

    until("every kind of target shows", || {
        let targets = http::get(address, "/api/v1/targets").json();
        let targets = targets["data"]["activeTargets"].as_array()?.clone();
        let states: BTreeSet<&str> =
            targets.iter().filter_map(|t| t["sigyn"]["state"].as_str()).collect();
        ["up", "down", "not traced", "lossy", "context lost"]
            .iter()
            .all(|s| states.contains(s))
            .then_some(())
    });
    let interrupted =
        Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let status = until("the demo ends", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
