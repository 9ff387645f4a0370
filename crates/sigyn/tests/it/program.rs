//! The binary under test: started on a free port, watched, signalled, and never left behind.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;

/// How long anything may take before a test fails. Generous: machines are slow and busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running `sigyn serve`.
#[derive(Debug)]
pub(crate) struct Tracer {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Tracer {
    /// Starts with data in `folder`, and with `folder/sigyn.yml` if that exists.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    pub(crate) fn start_with(folder: &Path, flags: &[&str]) -> Self {
        Self::start_in(folder, flags, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_in(folder: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(variables.iter().copied());
        command.arg("serve");
        command.arg("--web.listen-address=127.0.0.1:0");
        if !flags.iter().any(|flag| flag.starts_with("--otlp.")) {
            // Tests run side by side, and beside whatever this machine has at the well-known ports.
            command.args(["--otlp.grpc.listen-address=", "--otlp.http.listen-address="]);
        }
        command.arg(format!("--storage.path={}", folder.join("data").display()));
        command.args(flags);
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (found_tx, found) = std::sync::mpsc::sync_channel(1);
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let listening = line.contains("msg=listening");
                    if let Some((_, rest)) = line.split_once("address=").filter(|_| listening) {
                        let _ = found_tx
                            .try_send(rest.split(' ').next().unwrap().parse::<SocketAddr>());
                    }
                    let mut log = log.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let address = match found.recv_timeout(DEADLINE) {
            Ok(address) => address.unwrap(),
            Err(_) => {
                let _ = child.kill();
                panic!("the tracer did not start: {}", log.lock().unwrap());
            }
        };
        Self { child, address, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL, as the kernel would under memory pressure.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns how it ended and how long that took.
    pub(crate) fn stop(self) -> (ExitStatus, Duration) {
        let from = Instant::now();
        self.signal("TERM");
        (self.ended(), from.elapsed())
    }

    /// How it ended, after it was told to.
    pub(crate) fn ended(mut self) -> ExitStatus {
        until("the tracer ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> http::Answer {
        http::get(self.address, path)
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn post_spans(&self, body: &[u8]) -> http::Answer {
        http::post_json(self.address, "/api/v2/spans", body)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> http::Answer {
        http::post_json(self.address, path, body.as_bytes())
    }

    /// What `sigyn query` prints.
    pub(crate) fn query(&self, args: &[&str]) -> String {
        let server = self.address.to_string();
        let output = command().args(["query", "--server", &server]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every active target, by its `instance` label.
    pub(crate) fn target(&self, instance: &str) -> Option<Value> {
        let targets = self.json("/api/v1/targets");
        let targets = targets["data"]["activeTargets"].as_array().unwrap();
        targets.iter().find(|target| target["labels"]["instance"] == instance).cloned()
    }

    /// The value of a series of `/prometheus` whose line begins with `name` and holds `part`.
    pub(crate) fn metric(&self, name: &str, part: &str) -> Option<f64> {
        let text = self.get("/prometheus").text();
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(part))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Ours, by its handle; already gone in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, without what the surroundings might tell it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigyn"));
    command.env_remove("QUERY_PORT").env_remove("SIGYN_SERVER").env_remove("NO_COLOR");
    command
}

/// Polls until there is a value, or fails the test.
pub(crate) fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
