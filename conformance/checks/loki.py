"""Loki of 2017, both ways: what a target sends to a server of that time, as a reader in Go understands it, and what a client of that
time sends, as Sigyn stores it.
"""

import glob
import http.server
import json
import os
import struct
import tempfile
import threading
import time

import own_server
import pull
import server

READER = os.path.join(server.SCRATCH, "pull_go", "senders")
GOLDEN = os.path.join(os.path.dirname(server.FOLDER), "docs", "formats", "pull-protocol")
THRIFT = "application/vnd.apache.thrift.compact"
# What is older than a week is not kept.
NOW_US = int(time.time() * 1_000_000)
SPANS_MIN = 50
KINDS = {"cs": "CLIENT", "cr": "CLIENT", "sr": "SERVER", "ss": "SERVER", "ms": "PRODUCER", "mr": "CONSUMER"}


def as_v2(span):
    """A span of version 1 as Zipkin's version 2 has it, as far as one without hosts goes."""
    both = {key: span[key] for key in ("traceId", "id", "parentId", "name", "timestamp", "duration", "debug") if span.get(key)}
    logged = [(one["timestamp"], one["value"]) for one in span["annotations"]]
    kinds = {KINDS[value] for _, value in logged if value in KINDS}
    if kinds:
        (both["kind"],) = kinds
    both["annotations"] = [{"timestamp": at, "value": value} for at, value in logged if value not in KINDS]
    both["tags"] = {one["key"]: one["value"] for one in span["binaryAnnotations"] if one["type"] == 6}
    if both["tags"].get("lc") == "":
        # It has said where the span was, for one that says nothing else.
        del both["tags"]["lc"]
    return both


def without_hosts(span):
    return {key: value for key, value in span.items() if key not in ("localEndpoint", "remoteEndpoint")}


def golden():
    """Every body in Thrift of the test vectors: the reader and Zipkin's v2 JSON beside it agree."""
    bodies = 0
    for path in sorted(glob.glob(os.path.join(GOLDEN, "target", "*.json"))):
        with open(path, encoding="utf-8") as file:
            steps = json.load(file)["steps"]
        for step in steps:
            answer = step.get("response", {})
            headers = answer.get("headers", {})
            if headers.get("content-type") != THRIFT or "content-encoding" in headers:
                continue
            with open(os.path.join(server.SCRATCH, "golden.hex"), "w", encoding="ascii") as file:
                file.write(answer["body"])
            read = server.run_client(READER, "loki", os.path.join(server.SCRATCH, "golden.hex"))
            wanted = answer["spans"]
            if os.path.basename(path) == "legacy.json":
                hosts = [one for span in read for one in span["annotations"] + span["binaryAnnotations"] if "host" in one]
                server.expect("hosts for a 2017 server", hosts, [])
            # A core annotation without a host is one like others to Zipkin, and no kind.
            wanted = [normal_v1(span) for span in wanted]
            server.expect(f"{os.path.basename(path)}: spans", [normal_v1(as_v2(span)) for span in read], wanted)
            bodies += 1
    if bodies < 5:
        server.fail(f"only {bodies} golden bodies in Thrift")
    print(f"  golden: {bodies} bodies read")


def normal_v1(span):
    """Without hosts, and with core annotations as what they say."""
    span = without_hosts(span)
    kept = []
    for one in span.get("annotations", []):
        if one["value"] in KINDS:
            span["kind"] = KINDS[one["value"]]
        else:
            kept.append(one)
    return server.normal(span | {"annotations": kept})


def live():
    """A target that runs, read as a server of 2017 reads: again and again, each span once, none of them missing."""
    with pull.Demo() as demo:
        seen = set()
        end = time.monotonic() + 30
        while len(seen) < SPANS_MIN and time.monotonic() < end:
            for span in server.run_client(READER, "loki", demo.target):
                key = (span["traceId"], span["id"], json.dumps(span["annotations"]))
                if key in seen:
                    server.fail(f"a span came twice: {span}")
                seen.add(key)
            time.sleep(0.1)
        if len(seen) < SPANS_MIN:
            server.fail(f"only {len(seen)} spans")
    print(f"  live: {len(seen)} spans, each once")


class Writer:
    """Thrift's compact protocol, as the libraries of 2017 wrote it."""

    def __init__(self):
        self.bytes = bytearray()
        self.last = [0]

    def varint(self, number):
        while number > 0x7F:
            self.bytes.append(number & 0x7F | 0x80)
            number >>= 7
        self.bytes.append(number)

    def zigzag(self, number):
        self.varint((number << 1) ^ (number >> 63))

    def list(self, count, kind=12):
        if count < 15:
            self.bytes.append(count << 4 | kind)
        else:
            self.bytes.append(0xF0 | kind)
            self.varint(count)

    def field(self, number, kind):
        delta = number - self.last[-1]
        if 0 < delta < 16:
            self.bytes.append(delta << 4 | kind)
        else:
            self.bytes.append(kind)
            self.zigzag(number)
        self.last[-1] = number

    def i64(self, number, value):
        self.field(number, 6)
        self.zigzag(struct.unpack(">q", struct.pack(">Q", value))[0])

    def text(self, number, value):
        self.field(number, 8)
        value = value if isinstance(value, bytes) else value.encode()
        self.varint(len(value))
        self.bytes += value

    def begin(self):
        self.last.append(0)

    def end(self):
        self.last.pop()
        self.bytes.append(0)

    def host(self, number, service):
        self.field(number, 12)
        self.begin()
        self.field(1, 5)
        self.zigzag(0x0A000001)
        self.field(2, 4)
        self.zigzag(8080)
        self.text(3, service)
        self.end()

    def span(self, trace, id, parent, name, start, duration, tags, logs, kinds):
        self.begin()
        self.i64(1, trace)
        self.text(3, name)
        self.i64(4, id)
        if parent:
            self.i64(5, parent)
        self.field(6, 9)
        logs = [(start, kinds[0]), (start + duration, kinds[1]), *logs]
        self.list(len(logs))
        for at, value in logs:
            self.begin()
            self.i64(1, at)
            self.text(2, value)
            self.host(3, "")
            self.end()
        self.field(8, 9)
        self.list(len(tags))
        for key, value, kind in tags:
            self.begin()
            self.text(1, key)
            self.text(2, value)
            self.field(3, 5)
            self.zigzag(kind)
            self.host(4, "")
            self.end()
        # A switch that is off, in the head of its field.
        self.field(9, 2)
        self.i64(10, start)
        self.i64(11, duration)
        self.end()


def body_of_2017(first, count):
    """What a client of that time answers: ids of 64 bits, services without a name, tags of several types."""
    writer = Writer()
    writer.list(count)
    spans = []
    for n in range(first, first + count):
        trace, start = 0xF000000000000000 + n, NOW_US + n
        side, kinds = ("SERVER", ("sr", "ss")) if n % 2 else ("CLIENT", ("cs", "cr"))
        tags = [("http.url", f"/shop/{n}", 6), ("http.status_code", struct.pack(">h", 200), 2), ("retried", b"\1", 0)]
        writer.span(trace, n, n + 1 if n % 3 == 0 else 0, f"Get /{n}", start, 1000 + n, tags, [(start + 5, "wait")], kinds)
        span = {
            "traceId": f"{trace:016x}", "id": f"{n:016x}", "name": f"get /{n}", "kind": side,
            "timestamp": start, "duration": 1000 + n, "tags": {"http.url": f"/shop/{n}"},
            "annotations": [{"timestamp": start + 5, "value": "wait"}],
            # It does not name itself: the job does.
            "localEndpoint": {"serviceName": "shop", "ipv4": "10.0.0.1", "port": 8080},
        }
        spans.append(span | ({"parentId": f"{n + 1:016x}"} if n % 3 == 0 else {}))
    return bytes(writer.bytes), spans


def foreign():
    """A client of 2017 as a target: read once, without a cursor, its losses unknown."""
    rounds = [body_of_2017(1, 3), body_of_2017(4, 20), body_of_2017(24, 1)]
    left = [body for body, _ in rounds]
    asked = []

    class Client(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(dict(self.headers))
            body = left.pop(0) if left else b"\x0c"
            # Of HTTP/1.0: no length, no type, and its end is the connection's.
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)

        def log_message(self, *_):
            pass

    client = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Client)
    threading.Thread(target=client.serve_forever, daemon=True).start()
    # Of its own, as the scratch folder may be kept over several runs.
    folder = tempfile.mkdtemp(prefix="loki-", dir=server.SCRATCH)
    jobs = (
        "scrape_configs:\n- job_name: shop\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{client.server_port}']}}]\n"
    )
    tracer = own_server.OwnServer(folder, os.path.join(folder, "data"), ["merge_window: 1h"], jobs=jobs)
    try:
        wanted = [span for _, spans in rounds for span in spans]
        last = wanted[-1]["traceId"]
        server.wait_for(lambda: tracer.trace(last), bool, 20)
        for span in wanted:
            server.expect_spans(f"trace {span['traceId']}", tracer.trace(span["traceId"]), [span])
        (target,) = tracer.get("/api/v1/targets")["data"]["activeTargets"]
        server.expect("health", target["health"], "up")
        server.expect("received", target["sigyn"]["received"], len(wanted))
        cursors = [headers for headers in asked if any(name.lower() == "sigyn-cursor" for name in headers)]
        server.expect("requests with a cursor", cursors, [])
    finally:
        tracer.stop()
        client.shutdown()
    print(f"  foreign: {len(wanted)} spans of three bodies")


golden()
live()
foreign()
