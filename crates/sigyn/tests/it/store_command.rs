//! `sigyn store` on what a server left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::http;
use crate::program::{Tracer, command};

/// A folder with the data of a server that is gone: trace 1 and 2 in a block, 3 in the log.
fn stored(folder: &Path) {
    let tracer = Tracer::start_with(folder, &["--web.enable-admin-api"]);
    let post = |id: u32| {
        let body = format!(
            r#"[{{"traceId":"{id}","id":"1","name":"get","timestamp":{id}000000,"localEndpoint":{{"serviceName":"shop"}}}}]"#
        );
        assert_eq!(tracer.post_spans(body.as_bytes()).status, 202);
    };
    post(1);
    post(2);
    let seal = "/api/v1/admin/store/seal";
    assert_eq!(http::request(tracer.address, "POST", seal, &[], b"").status, 204);
    post(3);
    tracer.stop();
}

fn store(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command();
    command.arg("store").args(arguments).current_dir(folder);
    command.output().unwrap()
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn block(folder: &Path) -> PathBuf {
    let blocks = fs::read_dir(folder.join("data/blocks")).unwrap();
    blocks.map(|file| file.unwrap().path()).next().unwrap()
}

#[test]
fn a_store_is_shown_with_its_blocks_and_columns() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let (status, out, _) = told(&store(folder.path(), &["inspect"]));
    assert_eq!(status, 0);
    assert!(
        out.contains("1 block, 2 spans")
            && out.contains("in the log 1 span,")
            && out.contains("those that came twice count twice.\n")
            && out.contains("span_id"),
        "{out}"
    );
    let (status, out, _) = told(&store(folder.path(), &["inspect", "--format", "json"]));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 0);
    let block = &shown["blocks"][0];
    assert_eq!((&block["spans"], &block["traces"]), (&2.into(), &2.into()));
    assert_eq!(block["earliestNs"], 1_000_000_000u64);
    let columns = shown["columns"].as_array().unwrap();
    let sum: u64 = columns.iter().map(|column| column["bytes"].as_u64().unwrap()).sum();
    assert_eq!(block["bytes"].as_u64(), Some(sum));
    let log = &shown["log"];
    assert_eq!((&log["spans"], &log["traces"], &log["files"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(log["earliestNs"], 3_000_000_000u64);
}

#[test]
fn damage_is_found_and_the_status_says_so() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let (status, out, _) = told(&store(folder.path(), &["verify"]));
    assert_eq!((status, out.as_str()), (0, "everything is as it was written\n"));
    let block = block(folder.path());
    let mut bytes = fs::read(&block).unwrap();
    bytes[40] ^= 1;
    fs::write(&block, bytes).unwrap();
    let (status, out, err) = told(&store(folder.path(), &["verify", "--format", "json"]));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, found["damaged"].as_array().unwrap().len()), (1, 1), "{out} {err}");
    let file = found["damaged"][0]["file"].as_str().unwrap();
    assert!(block.ends_with(file), "{file}");
}

#[test]
fn everything_is_exported_and_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let tracer = Tracer::start(elsewhere.path());
    for (format, file) in [("zipkin-json", "spans.json"), ("otlp", "spans.pb")] {
        let (status, _, err) = told(&store(folder.path(), &["export", file, "--format", format]));
        assert!(status == 0 && err.contains("wrote 3 spans\n"), "{err}");
        let mut import = command();
        import.arg("import").arg(file).arg("--to").arg(format!("http://{}", tracer.address));
        let output = import.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    for id in 1..=3 {
        let spans = tracer.json(&format!("/api/v2/trace/{id}"));
        assert_eq!(spans.as_array().unwrap().len(), 1, "{spans}");
        assert_eq!(spans[0]["localEndpoint"]["serviceName"], "shop");
    }
    let again = told(&store(folder.path(), &["export", "spans.json"]));
    let expected = "sigyn: spans.json is there already, and is not written over: give another name, or remove it\n";
    assert_eq!((again.0, again.2.as_str()), (1, expected));
    for (to, format) in [
        ("data/blocks/spans.json", "otlp"),
        ("data/copies/new", "parquet"),
        ("data", "parquet"),
        ("./spans/../data/x", "zipkin-json"),
    ] {
        fs::create_dir_all(folder.path().join("spans")).unwrap();
        let (status, _, err) = told(&store(folder.path(), &["export", to, "--format", format]));
        assert!(status == 1 && err.contains("is inside the folder of the store"), "{to}: {err}");
    }
    assert!(!folder.path().join("data/copies").exists());
    let out = told(&store(folder.path(), &["export", "-"])).1;
    assert_eq!(out, fs::read_to_string(folder.path().join("spans.json")).unwrap());
    assert_eq!(told(&store(folder.path(), &["export", "/dev/stdout"])).1, out);
    let (status, _, err) = told(&store(folder.path(), &["export", "/dev/full"]));
    assert!(status == 1 && err.contains("No space left"), "{err}");
    let (status, _, err) = told(&store(folder.path(), &["export", "-", "--format", "parquet"]));
    assert!(status != 0 && err.contains("not to standard output"), "{status} {err}");
    assert!(!folder.path().join("-").exists());
    // The log becomes a block, too.
    let parquet = store(folder.path(), &["export", "copies", "--format", "parquet"]);
    assert_eq!(told(&parquet).0, 0);
    let copies = fs::read_dir(folder.path().join("copies")).unwrap();
    let mut sizes: Vec<u64> = copies.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    sizes.sort_unstable();
    assert!(sizes.len() == 2 && sizes[0] > 1_000, "{sizes:?}");
    let (status, _, err) =
        told(&store(folder.path(), &["export", "copies", "--format", "parquet"]));
    assert!(
        status == 1
            && err.starts_with("sigyn: copies/B-0")
            && err.ends_with(
                ".parquet is there already, from another export: export to a new folder, or remove that one\n"
            ),
        "{err}"
    );
    assert_eq!(fs::read_dir(folder.path().join("copies")).unwrap().count(), 2);
}

#[test]
fn what_can_be_read_is_exported_though_a_block_is_damaged_or_missing() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let block = block(folder.path());
    let mut bytes = fs::read(&block).unwrap();
    bytes[40] ^= 1;
    fs::write(&block, bytes).unwrap();
    let (status, _, err) = told(&store(folder.path(), &["export", "spans.json"]));
    assert!(
        status == 1
            && err.contains("1 file of the store is damaged")
            && err.contains("wrote 1 span\n"),
        "{err}"
    );
    let spans = fs::read_to_string(folder.path().join("spans.json")).unwrap();
    assert!(spans.contains("0000000000000003"), "{spans}");
    fs::remove_file(&block).unwrap();
    let (status, _, err) =
        told(&store(folder.path(), &["export", "copies", "--format", "parquet"]));
    assert!(status == 1 && err.contains("1 file of the store cannot be read"), "{err}");
    assert_eq!(fs::read_dir(folder.path().join("copies")).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_exported_has_its_name_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    {
        // More than a pipe holds.
        let tracer = Tracer::start(folder.path());
        let big = "x".repeat(200_000);
        for id in 1..=4 {
            let body = format!(
                r#"[{{"traceId":"{id}","id":"1","name":"get","timestamp":{id}000000,"tags":{{"big":"{big}"}}}}]"#
            );
            assert_eq!(tracer.post_spans(body.as_bytes()).status, 202);
        }
        tracer.stop();
    }
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let start = |to: &Path| {
        let mut command = command();
        command.arg("store").arg("export").arg(to).current_dir(folder.path());
        command.spawn().unwrap()
    };
    // A pipe is written as it goes.
    let mut writer = start(&pipe);
    let read = fs::read_to_string(&pipe).unwrap();
    assert!(writer.wait().unwrap().success());
    assert!(read.len() > 800_000 && read.lines().count() >= 1);
    // Of a file that another one still writes nothing is seen under its name.
    let whole = folder.path().join("x.json");
    let partial = folder.path().join("x.json.partial");
    fs::write(&partial, "what a kill left").unwrap();
    let held = fs::File::open(&partial).unwrap();
    held.lock().unwrap();
    assert_eq!(start(&whole).wait().unwrap().code(), Some(1));
    assert!(!whole.exists() && partial.exists());
    drop(held);
    assert!(start(&whole).wait().unwrap().success());
    assert!(!partial.exists());
    assert_eq!(fs::read_to_string(&whole).unwrap(), read);
}

#[test]
fn who_closes_a_pipe_is_told_nothing() {
    use std::process::Stdio;
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let tracer = Tracer::start(folder.path());
    let server = format!("--server={}", tracer.address);
    let closed = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command();
        command.args(arguments).current_dir(folder.path());
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?} {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    };
    closed(&["query", &server, "services"]);
    closed(&["query", &server, "status"]);
    tracer.stop();
    closed(&["store", "inspect"]);
    closed(&["store", "verify"]);
    closed(&["store", "export", "-"]);
    closed(&["store", "export", "/dev/stdout", "--format", "otlp"]);
}

/// All files below a folder, and what is in them.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn who_looks_changes_nothing_whatever_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let data = folder.path().join("data");
    let log = fs::read_dir(data.join("wal")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&log).unwrap();
    let check = |expected: usize, damage: &dyn Fn()| {
        damage();
        let before = all_files(&data);
        let (_, out, err) = told(&store(folder.path(), &["verify", "--output", "json"]));
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(found["damaged"].as_array().unwrap().len(), expected, "{out} {err}");
        for (at, format) in ["zipkin-json", "otlp", "parquet"].iter().enumerate() {
            let to = format!("copy-{}-{at}", before.len() + expected * 100);
            told(&store(folder.path(), &["export", &to, "--format", format]));
            assert!(folder.path().join(to).exists());
        }
        assert_eq!(told(&store(folder.path(), &["inspect"])).0, 0);
        assert!(all_files(&data) == before, "{expected}");
    };
    check(0, &|| {});
    check(0, &|| fs::write(&log, [&whole[..], b"torn"].concat()).unwrap());
    check(1, &|| fs::write(data.join("IDENTITY"), "hello").unwrap());
    check(2, &|| {
        let path = data.join("cat/00000000000000000001.commit");
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
    });
}

#[test]
fn traces_are_deleted_while_no_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let (status, out, err) = told(&store(folder.path(), &["delete", "1", "3", "9"]));
    assert_eq!((status, out.as_str()), (0, "2 of 3 traces were there and are deleted\n"), "{err}");
    assert_eq!(told(&store(folder.path(), &["delete", "no id"])).0, 2);
    let before = all_files(&folder.path().join("data"));
    let (status, out, err) = told(&store(folder.path(), &["delete", "1", "9"]));
    assert!(status == 1 && out.is_empty() && err.contains("0 of 2 traces were there"), "{err}");
    assert!(all_files(&folder.path().join("data")) == before);
    let (_, out, _) = told(&store(folder.path(), &["inspect", "--format", "json"]));
    let shown: Value = serde_json::from_str(&out).unwrap();
    let blocks = shown["blocks"].as_array().unwrap();
    let spans: u64 = blocks.iter().map(|block| block["spans"].as_u64().unwrap()).sum();
    assert_eq!((spans, &shown["deletedTraces"]), (1, &0.into()), "{shown}");
    let tracer = Tracer::start(folder.path());
    let status = |id: u32| tracer.get(&format!("/api/v2/trace/{id}")).status;
    assert_eq!((status(1), status(2), status(3)), (404, 200, 404));
}

#[test]
fn a_store_that_is_open_or_not_there_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, err) = told(&store(folder.path(), &["inspect"]));
    let expected = "sigyn: cannot open the store in data/: there is no store\n";
    assert_eq!((status, err.as_str()), (1, expected));
    assert!(!folder.path().join("data").exists(), "none is made");
    let _tracer = Tracer::start(folder.path());
    for arguments in [&["inspect"][..], &["verify"], &["export", "-"], &["delete", "1"]] {
        let (status, _, err) = told(&store(folder.path(), arguments));
        assert!(status == 1 && err.contains("a running server has it open"), "{err}");
    }
}
