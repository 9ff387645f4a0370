"""`sigyn import` empties a real Zipkin server into an empty Sigyn; afterwards both answer alike.

The Zipkin holds the ten real traces and 100,000 made ones, always the same. The first run is interrupted half-way and goes
on; a second one finds everything there. The Zipkin server is a jar of 135 MB that Maven fetches once.
"""

import concurrent.futures
import glob
import gzip
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import server

JARS = os.path.join(server.SCRATCH, "zipkin_server", "lib")
BINARY = os.environ["SIGYN_BIN"]
DATA = os.path.join(server.SCRATCH, f"import-data-{os.getpid()}")
SPANS = int(os.environ.get("SIGYN_IMPORT_SPANS", "100000"))
READY_SECONDS = 120
IMPORT_SECONDS = 600
DAY_MS = 24 * 60 * 60 * 1000
# Back to the end of 2015: the oldest of the real traces is of August 2016.
LOOKBACK_DAYS = int(time.time() / 86_400 - 16_800)

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


# --- servers ---


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Program:
    """A server of this check, on a port of its own, ended with it."""

    def __init__(self, name, command, port, environment):
        inherited = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        self.url = f"http://127.0.0.1:{port}"
        self.log = os.path.join(server.SCRATCH, f"import-{name}-{os.getpid()}.log")
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**inherited, **environment})
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    server.fail(f"{name} does not answer:\n{log.read()[-3000:]}")
            time.sleep(0.1)

    def answers(self):
        try:
            with _opener.open(self.url + "/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path, **params):
        query = "?" + urllib.parse.urlencode(params, safe=",") if params else ""
        try:
            with _opener.open(self.url + path + query, timeout=60) as answer:
                # Zipkin fills up some answers with NULs.
                return json.loads(answer.read().rstrip(b"\0"))
        except urllib.error.HTTPError as error:
            server.fail(f"GET {self.url}{path}{query}: {error.code} {error.read().decode(errors='replace')}")

    def post(self, spans):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        body = gzip.compress(json.dumps(spans).encode(), 1)
        with _opener.open(urllib.request.Request(self.url + "/api/v2/spans", body, headers), timeout=60) as answer:
            server.expect("status of a push", answer.status, 202)

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def zipkin():
    port = free_port()
    flags = [f"--armeria.ports[0].{name}" for name in ("ip=127.0.0.1", f"port={port}", "protocols[0]=http")]
    (jar,) = glob.glob(os.path.join(JARS, "zipkin-server-*-exec.jar"))
    command = ["java", "-Xmx2g", "-jar", jar, *flags]
    return Program("zipkin", command, port, {"MEM_MAX_SPANS": "1000000", "QUERY_TIMEOUT": "60s"})


def sigyn():
    port = free_port()
    # Real traces are years old: nothing may be forgotten for its age.
    flags = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.path={DATA}", "--storage.retention.time=0"]
    flags += ["--otlp.grpc.listen-address=", "--otlp.http.listen-address="]
    return Program("sigyn", [BINARY, "serve", *flags], port, {})


# --- spans ---

SERVICES = [f"service-{letter}" for letter in "abcdefghij"] + ["größe", "gateway"]
NAMES = ["get", "post /orders", "put /cart/{id}", "select", "consume", "render"]
REMOTES = ["mysql", "redis", "stripe", "kafka"]


def made_traces(now_us):
    """Traces of about five spans: calls with both halves, messaging, local work, errors. Same seed, same spans."""
    dice = random.Random(9411)
    count = 0
    while count < SPANS:
        trace = made_trace(dice, now_us)
        count += len(trace)
        yield trace


def made_trace(dice, now_us):
    trace_id = f"{dice.getrandbits(64) | 1:016x}"
    if dice.random() < 0.5:
        trace_id = f"{dice.getrandbits(63) | 1 << 62:016x}" + trace_id
    # A third starts within five single milliseconds: far more than one search returns. Many clocks know milliseconds only.
    place = dice.random()
    if place < 0.33:
        start = now_us - 3_600_000_000 + dice.randrange(5) * 60_000_000
        start = start // 1000 * 1000 + dice.choice([0, 0, 500, 999])
    elif place < 0.66:
        start = (now_us - dice.randrange(7_200_000_000)) // 1000 * 1000
    else:
        start = now_us - dice.randrange(7_200_000_000)
    root = {
        "traceId": trace_id,
        "id": f"{dice.getrandbits(63) | 1:016x}",
        "kind": "SERVER",
        "name": dice.choice(NAMES),
        "timestamp": start,
        "duration": dice.randrange(1, 500_000),
        "localEndpoint": {"serviceName": "gateway", "ipv4": f"127.0.0.{dice.randrange(1, 255)}", "port": 8080},
    }
    if dice.random() < 0.1:
        # Its parent was never reported.
        root["parentId"] = f"{dice.getrandbits(63) | 1:016x}"
    if dice.random() < 0.05:
        root["debug"] = True
    spans, caller = [root], root
    for _ in range(dice.randrange(1, 5)):
        made = made_call(dice, caller)
        spans.extend(made)
        caller = dice.choice(spans)
    return spans


def made_call(dice, caller):
    """One call out of `caller`: both of its halves, or the one that is traced."""
    at, service = caller["timestamp"] + dice.randrange(1, 9_000), dice.choice(SERVICES)
    half = {
        "traceId": caller["traceId"],
        "parentId": caller["id"],
        "id": f"{dice.getrandbits(63) | 1:016x}",
        "name": dice.choice(NAMES),
        "timestamp": at,
        "duration": dice.randrange(1, 200_000),
        "localEndpoint": {"serviceName": caller["localEndpoint"]["serviceName"]},
        "tags": {"http.path": f"/{dice.randrange(50)}", "env": dice.choice(["prod", "test", "süd"])},
    }
    if dice.random() < 0.1:
        half["tags"]["error"] = dice.choice(["", "timeout", "500"])
    kind = dice.random()
    if kind < 0.3:
        remote = {"serviceName": dice.choice(REMOTES), "ipv6": f"2001:db8::{dice.randrange(1, 9999):x}", "port": 3306}
        return [{**half, "kind": "CLIENT", "remoteEndpoint": remote}]
    if kind < 0.4:
        return [{**half, "annotations": [{"timestamp": at + 1, "value": "cache miss"}, {"timestamp": at, "value": 'say "hä"'}]}]
    if kind < 0.5:
        broker = {"serviceName": "kafka"}
        sent = {**half, "kind": "PRODUCER", "remoteEndpoint": broker}
        taken = {**half, "kind": "CONSUMER", "id": f"{dice.getrandbits(63) | 1:016x}", "parentId": half["id"], "timestamp": at + 77}
        return [sent, {**taken, "localEndpoint": {"serviceName": service}, "remoteEndpoint": broker}]
    asked = {**half, "kind": "CLIENT", "remoteEndpoint": {"serviceName": service}}
    served = {**half, "kind": "SERVER", "shared": True, "timestamp": at + 15, "localEndpoint": {"serviceName": service, "port": 9000}}
    return [asked, served]


def odd_traces(now_us):
    """What few senders write and every Zipkin takes."""
    at = now_us - 1_800_000_000
    base = {"id": "00000000000000a1", "timestamp": at, "localEndpoint": {"serviceName": "odd"}}
    yield [{**base, "traceId": "00000000000000a1", "name": "no end"}]
    yield [{**base, "traceId": "00000000000000a2", "tags": {"text": "größe\u2028und\u2029mehr", "empty": ""}}]
    # A span twice, word for word, and once more with another end.
    yield [{**base, "traceId": "00000000000000a3"}] * 2 + [{**base, "traceId": "00000000000000a3", "duration": 7}]
    # The root comes last, and a child before it is older: the root decides when the trace starts.
    child = {**base, "traceId": "00000000000000a4", "id": "00000000000000b1", "parentId": "00000000000000a1", "timestamp": at - 9_000_000}
    yield [child, {**base, "traceId": "00000000000000a4"}]
    yield [{"traceId": "00000000000000a5", "id": "00000000000000a5", "localEndpoint": {"ipv4": "127.0.0.9"}, "timestamp": at, "name": "nobody"}]


# --- the import ---


def command(source, target, *more):
    state = os.path.join(server.SCRATCH, f"import-state-{os.getpid()}.json")
    flags = ["--from", source.url, "--to", target.url, "--lookback", f"{LOOKBACK_DAYS}d", "--limit", "500", "--state", state]
    return [BINARY, "import", *flags, "--progress", "lines", *more], state


def run_import(source, target, *more):
    words, _ = command(source, target, *more)
    done = subprocess.run(words, capture_output=True, text=True, timeout=IMPORT_SECONDS, encoding="utf-8")
    if done.returncode != 0:
        server.fail(f"the import ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return counts(done.stdout), done


def counts(closing):
    number = lambda pattern: int(re.search(pattern, closing, re.M).group(1).replace(",", ""))  # noqa: E731
    patterns = {
        "traces": r"^found\s+([\d,]+) traces",
        "spans": r"^found.* ([\d,]+) spans",
        "stored": r"^(?:stored|to be stored)\s+([\d,]+) ",
        "there": r"^already there\s+([\d,]+) ",
        "refused": r"^refused\s+([\d,]+) ",
    }
    return {name: number(pattern) for name, pattern in patterns.items()}


def interrupt_half_way(source, target, spans):
    """Begins an import and ends it by SIGINT when about a third is done. Returns how many spans were done."""
    words, state = command(source, target)
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    deadline = time.monotonic() + IMPORT_SECONDS
    done = 0
    while done < spans // 3:
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            server.fail(f"the import was not there to be interrupted: {child.communicate()}")
        time.sleep(0.01)
        if os.path.exists(state):
            with open(state, encoding="utf-8") as file:
                done = json.load(file)["tally"]["spans"]
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=30)
    server.expect("status of an interrupted import", child.returncode, 1)
    server.expect("it says how to go on", "The same command goes on from there" in told, True)
    with open(state, encoding="utf-8") as file:
        return json.load(file)["tally"]["spans"]


# --- comparing ---


def traces_of(program, ids):
    """Every trace by its id, as a set of spans in normal form."""
    found = {}
    chunks = [ids[i : i + 100] for i in range(0, len(ids), 100)]
    ask = lambda chunk: program.get("/api/v2/traceMany", traceIds=",".join(chunk))  # noqa: E731
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for answer in pool.map(ask, chunks):
            found.update({trace[0]["traceId"]: {plain(span) for span in server.normal_spans(trace)} for trace in answer})
    return found


def plain(span):
    """A real trace spells an address `52.0.0.04`: Zipkin keeps that, Sigyn writes `52.0.0.4`."""
    return re.sub(r'("ipv4": "[0-9.]*\.)0+(\d)', r"\1\2", span)


def searches(now_ms, services):
    """Searches that find something, each within limits that nothing exceeds."""
    made = {"endTs": now_ms, "lookback": 3 * 3600_000, "limit": 1_000_000}
    ever = {"endTs": now_ms, "lookback": LOOKBACK_DAYS * DAY_MS, "limit": 1_000_000}
    yield ever
    yield made
    for service in services:
        yield {**ever, "serviceName": service}
    for service in SERVICES[:3] + SERVICES[-2:]:
        yield {**made, "serviceName": service, "spanName": "post /orders"}
        yield {**made, "serviceName": service, "remoteServiceName": "mysql"}
        yield {**made, "serviceName": service, "annotationQuery": "error"}
        yield {**made, "serviceName": service, "annotationQuery": "error=timeout and env=süd"}
        yield {**made, "serviceName": service, "minDuration": 150_000, "maxDuration": 180_000}
    yield {**made, "spanName": "render", "annotationQuery": "cache miss"}
    yield {**made, "remoteServiceName": "kafka", "minDuration": 190_000}
    yield {**made, "annotationQuery": "http.path=/7"}
    for minutes in range(0, 120, 7):
        yield {**made, "endTs": now_ms - minutes * 60_000, "lookback": 60_000}


def compare(one, two, now_ms, ids):
    services = one.get("/api/v2/services")
    server.expect("services", two.get("/api/v2/services"), services)
    server.expect("there are many services", len(services) > 20, True)
    for service in services:
        for kind in ("spans", "remoteServices"):
            path = f"/api/v2/{kind}"
            server.expect(f"{kind} of {service}", two.get(path, serviceName=service), one.get(path, serviceName=service))
    wanted, got = traces_of(one, ids), traces_of(two, ids)
    server.expect("number of traces by id", len(got), len(ids))
    for trace_id in ids:
        less, more = wanted[trace_id] - got.get(trace_id, set()), got.get(trace_id, set()) - wanted[trace_id]
        if less or more:
            server.fail(f"trace {trace_id}: only in Zipkin {sorted(less)}, only in Sigyn {sorted(more)}")
    count = 0
    for query in searches(now_ms, services):
        found = [{trace[0]["traceId"] for trace in program.get("/api/v2/traces", **query)} for program in (one, two)]
        if found[0] != found[1]:
            less, more = sorted(found[0] - found[1])[:5], sorted(found[1] - found[0])[:5]
            server.fail(f"search {query}: {len(found[0])} and {len(found[1])}; only in Zipkin {less}, only in Sigyn {more}")
        count += bool(found[0])
    links = [dependencies(program, now_ms) for program in (one, two)]
    server.expect("dependencies", links[1], links[0])
    server.expect("there are many dependencies", len(links[0]) > 50, True)
    return len(services), len(ids), count, len(links[0])


def dependencies(program, now_ms):
    found = program.get("/api/v2/dependencies", endTs=now_ms, lookback=LOOKBACK_DAYS * DAY_MS)
    return sorted([link["parent"], link["child"], link["callCount"], link.get("errorCount", 0)] for link in found)


def fill(source, now_us):
    """Returns the ids of all traces that a search can find, and how many different spans they have."""
    traces = []
    for name in sorted(glob.glob(os.path.join(server.FOLDER, "zipkin-traces", "*.json"))):
        with open(name, encoding="utf-8") as file:
            traces.append(json.load(file))
    traces.extend(odd_traces(now_us))
    traces.extend(made_traces(now_us))
    timeless = [{"traceId": "00000000000000ff", "id": "00000000000000ff", "localEndpoint": {"serviceName": "gateway"}}]
    batch = timeless
    for trace in traces:
        batch = batch + trace if len(batch) < 5_000 else (source.post(batch), trace)[1]
    source.post(batch)
    ids = [trace[0]["traceId"].rjust(16, "0") for trace in traces]
    return ids, sum(len(server.normal_spans(trace)) for trace in traces)


def main():
    source = zipkin()
    try:
        target = sigyn()
        try:
            now_us = int(time.time() * 1_000_000)
            ids, spans = fill(source, now_us)
            all_of_it = {"traces": len(ids), "spans": spans, "refused": 0}

            dry, _ = run_import(source, target, "--dry-run")
            server.expect("a dry run", dry, {**all_of_it, "stored": spans, "there": 0})
            server.expect("a dry run stores nothing", target.get("/api/v2/services"), [])

            before = interrupt_half_way(source, target, spans)
            server.expect("it was interrupted half-way", spans // 3 <= before < spans, True)
            started = time.monotonic()
            rest, done = run_import(source, target)
            seconds = time.monotonic() - started
            server.expect("it went on", "goes on from" in done.stderr, True)
            server.expect("in the end it found", {key: rest[key] for key in all_of_it}, all_of_it)
            server.expect("each is stored or was there", rest["stored"] + rest["there"], spans)
            server.expect("most were stored once", rest["there"] < spans // 3, True)

            now_ms = now_us // 1000 + 60_000
            services, traces, found, links = compare(source, target, now_ms, ids)
            again, _ = run_import(source, target)
            server.expect("another import", again, {**all_of_it, "stored": 0, "there": spans})
            try:
                _opener.open(target.url + "/api/v2/trace/ff", timeout=10)
                server.fail("a trace without a time cannot have been found")
            except urllib.error.HTTPError as error:
                server.expect("a trace without a time", error.code, 404)
            print(
                f"{spans} spans of {traces} traces imported ({spans - before} of them in {seconds:.1f} s after an interruption); "
                f"alike: {services} services with their names, {traces} traces, {found} searches, {links} links"
            )
        finally:
            target.stop()
            shutil.rmtree(DATA, ignore_errors=True)
    finally:
        source.stop()


main()
