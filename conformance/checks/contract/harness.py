"""Rows of the contract, the servers they are checked against, and how they are counted.

A row is a function that takes a `Zipkin` and raises `Mismatch` where it differs. `@row` gives it its section and
number. A row that says `env` gets a server started with those variables; one that says `better` is checked for what
Sigyn does on purpose where Zipkin does something that nobody needs.
"""

import gzip
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse

TIMEOUT_SECONDS = 15
READY_SECONDS = 60

ROWS = []


class Mismatch(Exception):
    """A row's answer is not the expected one."""


class Row:
    def __init__(self, section, text, check, env, better):
        self.section, self.text, self.check, self.env, self.better = section, text, check, env or {}, better
        self.number = sum(1 for other in ROWS if other.section == section) + 1

    def __str__(self):
        return f"{self.section} #{self.number} {self.text}"


def row(section, text, env=None, better=False):
    def add(check):
        ROWS.append(Row(section, text, check, env, better))
        return check

    return add


def table(section, check, cases, better=()):
    """Rows that differ in their data alone: cases are (text, arguments..)."""
    for text, *arguments in cases:
        ROWS.append(Row(section, text, lambda z, a=arguments: check(z, *a), None, text in better))


def expect(what, got, wanted):
    if got != wanted:
        raise Mismatch(f"{what}: got {shown(got)}, expected {shown(wanted)}")


def expect_in(what, got, wanted):
    if wanted not in got:
        raise Mismatch(f"{what}: got {shown(got)}, which should contain {shown(wanted)}")


def shown(value):
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else repr(value)
    return text if len(text) < 600 else text[:600] + ".."


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return self.headers.get(name.lower())

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Mismatch(f"no JSON: {self.status} {self.text[:300]!r}") from None


class Zipkin:
    """A server that speaks Zipkin's HTTP."""

    _numbers = itertools.count(1)
    _seed = int(time.time() * 1000) & 0xFFFFFFFF

    def __init__(self, url):
        self.url = url
        address = urllib.parse.urlsplit(url)
        self.host, self.port, self.prefix = address.hostname, address.port or 80, address.path.rstrip("/")

    # What a row may use without meeting another row.

    def id(self):
        """A trace id of 16 digits that nobody else uses."""
        return f"{0x1000_0000 + next(self._numbers):08x}{self._seed:08x}"

    def service(self):
        return f"service-{self._seed:x}-{next(self._numbers)}"

    def time(self):
        """Microseconds, with half an hour on either side that nobody else uses."""
        return (1_600_000_000 + next(self._numbers) * 3600) * 1_000_000

    # HTTP

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, self.prefix + path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise Mismatch(f"{method} {path[:100]}: {error!r}") from error
        finally:
            connection.close()

    def get(self, path, headers=None, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        return self.ask("GET", path + query, headers=headers)

    def ok(self, path, **parameters):
        """The JSON of a 200."""
        answer = self.get(path, **parameters)
        if answer.status != 200:
            raise Mismatch(f"GET {path} {parameters}: {answer.status} {answer.text[:300]!r}")
        return answer.json()

    def refused(self, status, text, path, **parameters):
        answer = self.get(path, **parameters)
        expect(f"status of {path} {parameters}", answer.status, status)
        if text is not None:
            expect(f"body of {path} {parameters}", answer.text.rstrip("\n"), text)

    def post(self, path, body, kind="application/json", headers=None):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body, ensure_ascii=False)
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        all_headers = {"Content-Type": kind} if kind is not None else {}
        return self.ask("POST", path, body, {**all_headers, **(headers or {})})

    def push(self, body, path="/api/v2/spans", kind="application/json", headers=None):
        answer = self.post(path, body, kind, headers)
        if (answer.status, answer.body) != (202, b""):
            raise Mismatch(f"POST {path}: {answer.status} {answer.text[:300]!r}, expected 202 and nothing")

    def push_bad(self, text, body, path="/api/v2/spans", kind="application/json", headers=None):
        """Refused with 400. `text` is all of the body, or a part of it where it begins or ends with `..`."""
        answer = self.post(path, body, kind, headers)
        expect("status", (answer.status, answer.text[:200] if answer.status != 400 else ""), (400, ""))
        if text is None:
            return
        if text.startswith("..") or text.endswith(".."):
            expect_in("body", answer.text, text.strip("."))
        else:
            expect("body", answer.text, text)

    def trace(self, trace_id):
        return sorted(self.ok(f"/api/v2/trace/{trace_id}"), key=lambda span: json.dumps(span, sort_keys=True))

    def one(self, trace_id):
        """The only span of a trace."""
        (span,) = self.trace(trace_id)
        return span

    def links(self, at_us, lookback_ms=600_000):
        found = self.ok("/api/v2/dependencies", endTs=at_us // 1000 + 300_000, lookback=lookback_ms)
        return sorted([link["parent"], link["child"], link["callCount"], link.get("errorCount", 0)] for link in found)


def gzipped(body):
    return gzip.compress(body if isinstance(body, bytes) else body.encode())


class Servers:
    """One server for each set of variables, started when first asked for."""

    def __init__(self, default, binary=None, jar=None):
        self.default, self.binary, self.jar = default, binary, jar
        self.running = {}
        self.folder = tempfile.mkdtemp(prefix="sigyn-contract-")

    def can(self, env):
        return (not env and self.default) or self.binary or self.jar

    def get(self, env):
        if not env and self.default:
            return Zipkin(self.default)
        name = tuple(sorted(env.items()))
        if name not in self.running:
            self.running[name] = self.start(env)
        return self.running[name][0]

    def start(self, env):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("ZIPKIN_", "QUERY_"))}
        variables.update({key: value for key, value in env.items() if not key.startswith("_")})
        number = len(self.running)
        if self.binary:
            data = os.path.join(self.folder, f"data-{number}")
            config = os.path.join(self.folder, "sigyn.yml")
            with open(config, "w", encoding="utf-8") as file:
                file.write("scrape_configs: []\n")
            command = [
                self.binary, "serve", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}",
                f"--storage.path={data}", "--otlp.grpc.listen-address=", "--otlp.http.listen-address=",
            ]
        else:
            variables["QUERY_PORT"] = str(port)
            command = ["java", "-Xmx1g", "-jar", self.jar]
        with open(os.path.join(self.folder, f"log-{number}"), "wb") as log:
            child = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        server = Zipkin(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if server.get("/health").status == 200:
                    return server, child
            except Mismatch:
                pass
            if child.poll() is not None or time.monotonic() > deadline:
                with open(log.name, encoding="utf-8", errors="replace") as file:
                    said = file.read()[-2000:]
                child.kill()
                raise Mismatch(f"no server with {env}: {said}")
            time.sleep(0.05)

    def stop(self):
        for _, child in self.running.values():
            child.terminate()
        for _, child in self.running.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(servers, part=""):
    """Checks the rows whose text contains `part`; says what differs; returns how many differ."""
    passed, failed, skipped, better = 0, [], 0, 0
    for one in ROWS:
        if part not in str(one):
            continue
        if not servers.can(one.env):
            skipped += 1
            print(f"  SKIPPED {one}: needs a server of its own with {one.env}")
            continue
        try:
            one.check(servers.get(one.env))
        except Mismatch as mismatch:
            failed.append(one)
            print(f"  {one}{' (better)' if one.better else ''}: {mismatch}")
        except Exception as error:  # noqa: BLE001: a row that breaks has not passed
            failed.append(one)
            print(f"  {one}: {type(error).__name__}: {error}")
        else:
            passed += 1
            better += one.better
    total = passed + len(failed) + skipped
    print(f"contract: {total} rows, {passed} passed ({better} of them better on purpose), {len(failed)} failed, {skipped} skipped")
    return len(failed)
