"""Prometheus and Sigyn are given targets that fail, each in its own way, and write their `scrape_failure_log_file`: the same keys in
the same order, levels, jobs and targets, and in each message the words that people look for.

Debian's Prometheus is too old for this file (2.42; it came with 2.55), so the judge is the scraper of 3.14, built from its packages.
"""

import datetime
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import own_server
import server

JUDGE = os.path.join(server.SCRATCH, "prometheus_scrape", "senders")
WRITTEN_SECONDS = 40
KEYS = ["time", "level", "source", "msg", "job_name", "target"]
HEAD = "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n{}\r\n"


def answering(text):
    def answer(connection):
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    return answer


def silent(connection):
    connection.recv(1)


def closing(_connection):
    pass


def refuse():
    """A port at which nobody listens."""
    return own_server.free_port()


# How a target fails: its job's name, who answers there, further lines of the job, and what both messages say of it.
FAILING = [
    ("status", answering(HEAD.format("500 Internal Server Error", "")), "", "server returned HTTP status 500 Internal Server Error"),
    ("busy", answering(HEAD.format("429 Too Many Requests", "")), "", "server returned HTTP status 429 Too Many Requests"),
    ('own "words" <&> \\ é', answering(HEAD.format('599 Odd "one" <&>', "")), "", 'server returned HTTP status 599 Odd "one" <&>'),
    ("refused", None, "", "connection refused"),
    ("silent", silent, "", "context deadline exceeded"),
    ("closed", closing, "", "EOF"),
    ("redirected", answering(HEAD.format("302 Found", "Location: /traces\r\n")), "", "stopped after 10 redirects"),
    ("not http", answering("SSH-2.0-x\r\n"), "", "malformed HTTP response"),
    ("not tls", answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "scheme: https", "http: server gave HTTP response to HTTPS client"),
]
# Nobody is asked where there are too many, and that is told elsewhere.
TOO_MANY = "too many"


class Listener:
    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, args=(answer,), daemon=True).start()

    def serve(self, answer):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection, answer), daemon=True).start()

    @staticmethod
    def one(connection, answer):
        try:
            with connection:
                connection.settimeout(server.TIMEOUT_SECONDS)
                connection.recv(65536)
                answer(connection)
        except OSError:
            pass


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def write_config(path, log, ports):
    jobs = []
    for (job, _, more, _), port in zip(FAILING, ports):
        more = f"  {more}\n" if more else ""
        static = f"  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        jobs.append(f"- job_name: {quoted(job)}\n  metrics_path: /traces\n  params: {{q: ['a b&c']}}\n{more}{static}")
    targets = f"['127.0.0.1:{ports[0]}', '127.0.0.2:{ports[0]}']"
    jobs.append(f"- job_name: {TOO_MANY}\n  target_limit: 1\n  static_configs: [{{targets: {targets}}}]\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"global: {{scrape_interval: 1s, scrape_timeout: 500ms, scrape_failure_log_file: {quoted(log)}}}\n")
        file.write("scrape_configs:\n" + "".join(jobs))


def lines(log):
    """Each line's keys and values, in their order. The last one may not be whole yet."""
    if not os.path.exists(log):
        return []
    with open(log, encoding="utf-8") as file:
        return [json.loads(line, object_pairs_hook=list) for line in file if line.endswith("\n")]


def firsts(log):
    """The first line of each job."""
    first = {}
    for line in lines(log):
        first.setdefault(dict(line)["job_name"], line)
    return first


def check(job, words, ours, theirs):
    for name, line in (("prometheus", theirs), ("sigyn", ours)):
        server.expect(f"{job}: keys of {name}", [key for key, _ in line], KEYS)
        line = dict(line)
        datetime.datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", line["time"]).replace("Z", "+00:00"))
        if not re.fullmatch(r"\w+\.(go|rs):\d+", line["source"]):
            server.fail(f"{job}: {name} names the place {line['source']!r}")
        if words not in line["msg"]:
            server.fail(f"{job}: {name} says {line['msg']!r}, and not {words!r}")
    for key in ("level", "job_name", "target"):
        server.expect(f"{job}: {key}", dict(ours)[key], dict(theirs)[key])


def main():
    print("Debian's prometheus 2.42 has no scrape_failure_log_file: the judge is the scraper of 3.14")
    folder = tempfile.mkdtemp(dir=server.SCRATCH)
    ports = [Listener(answer).port if answer else refuse() for _, answer, _, _ in FAILING]
    logs = {}
    children = []
    try:
        for name in ("prometheus", "sigyn"):
            config, logs[name] = os.path.join(folder, f"{name}.yml"), os.path.join(folder, f"{name}.failures")
            write_config(config, logs[name], ports)
            command = [JUDGE, config]
            if name == "sigyn":
                flags = [f"--config.file={config}", f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{own_server.free_port()}"]
                command = [own_server.BINARY, "serve", *flags, "--otlp.grpc.listen-address=", "--otlp.http.listen-address="]
            with open(os.path.join(folder, f"{name}.log"), "wb") as log:
                children.append(subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        wanted = {job for job, _, _, _ in FAILING}
        deadline = time.monotonic() + WRITTEN_SECONDS
        while not all(wanted <= set(firsts(log)) for log in logs.values()):
            if time.monotonic() > deadline:
                missing = {name: sorted(wanted - set(firsts(log))) for name, log in logs.items()}
                server.fail(f"nothing is written of {missing}")
            time.sleep(0.1)
    finally:
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    theirs, ours = firsts(logs["prometheus"]), firsts(logs["sigyn"])
    for job, _, _, words in FAILING:
        check(job, words, ours[job], theirs[job])
    server.expect("jobs of which something is written", sorted(ours), sorted(theirs))
    print(f"{len(FAILING)} ways to fail: written alike")


if __name__ == "__main__":
    sys.exit(main())
