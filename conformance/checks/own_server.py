"""Servers that a check starts, kills and starts again by itself, each with a store of its own."""

import http.client
import json
import os
import socket
import subprocess
import time
import urllib.parse

import server

BINARY = os.environ["SIGYN_BIN"]
READY_SECONDS = 60
END_SECONDS = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class OwnServer:
    """Started, and ready. `storage` are lines of its configuration, and `jobs` is what else is in there."""

    def __init__(self, folder, data, storage, more=(), jobs=""):
        os.makedirs(folder, exist_ok=True)
        config = os.path.join(folder, "sigyn.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("sigyn:\n  storage:\n" + "".join(f"    {line}\n" for line in storage) + jobs)
        self.address = ("127.0.0.1", free_port())
        flags = [f"--config.file={config}", f"--storage.path={data}", "--web.enable-admin-api"]
        flags += [f"--web.listen-address=127.0.0.1:{self.address[1]}"]
        flags += ["--otlp.grpc.listen-address=", "--otlp.http.listen-address=", *more]
        self.log = os.path.join(folder, "log")
        with open(self.log, "a", encoding="utf-8") as log:
            self.child = subprocess.Popen([BINARY, "serve", *flags], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        server.wait_for(lambda: self.is_up() or self.child.poll() is not None, bool, READY_SECONDS)
        if not self.is_up():
            self.kill()
            server.fail(f"a server of this check did not start:\n{self.said()}")

    def said(self):
        with open(self.log, encoding="utf-8") as log:
            return "".join(log.readlines()[-40:])

    def is_up(self):
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def connection(self):
        return http.client.HTTPConnection(*self.address, timeout=server.TIMEOUT_SECONDS)

    def ask(self, method, path, body=None, headers=None):
        """Status and text of the answer, whatever they are."""
        connection = self.connection()
        try:
            headers = headers or ({"Content-Type": "application/json"} if body is not None else {})
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def get(self, path, **params):
        """The JSON at `path`."""
        query = "?" + urllib.parse.urlencode(params) if params else ""
        status, text = self.ask("GET", path + query)
        if status != 200:
            server.fail(f"GET {path}{query}: {status} {text}")
        return json.loads(text)

    def trace(self, trace_id):
        """Spans of a trace; none if it is not there."""
        status, text = self.ask("GET", f"/api/v2/trace/{trace_id}")
        if status not in (200, 404):
            server.fail(f"trace {trace_id}: {status} {text}")
        return json.loads(text) if status == 200 else []

    def status(self):
        return self.get("/api/v1/status/store")["data"]

    def metric(self, name):
        # Without it they are in Zipkin's form.
        _, text = self.ask("GET", "/metrics", headers={"Accept": "text/plain"})
        for line in text.splitlines():
            if line.split(" ")[0].removesuffix("{}") == name:
                return float(line.split(" ")[1])
        server.fail(f"no metric {name}")

    def kill(self):
        """As a crash ends it."""
        self.child.kill()
        self.child.wait()

    def stop(self):
        self.child.terminate()
        try:
            status = self.child.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            server.fail(f"a server of this check did not end:\n{self.said()}")
        server.expect("exit code of a server that was asked to end", status, 0)
