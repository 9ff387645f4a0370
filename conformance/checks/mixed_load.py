"""All formats through all doors at once, a fifth of the bodies damaged: good spans are stored, bad bodies refused with
a cause that is counted, the server's memory stays where it was, and the server stays.

Beside them, several at once, bodies that are valid and take as much memory as a body may; and a sender of small ones
who does not come again when he is refused, and never is.

It is bounded: BODIES bodies of at most SPANS_MAX spans. What is random comes from a seed, which is printed.
"""

import os
import sys

import server

# gRPC and zstd are not in the standard library; the environment of the Python senders has both.
PYTHON = os.path.join(server.SCRATCH, "python", "venv", "bin", "python")
if os.path.abspath(sys.executable) != os.path.abspath(PYTHON) and sys.prefix == sys.base_prefix:
    os.execv(PYTHON, [PYTHON, *sys.argv])

import collections  # noqa: E402
import concurrent.futures  # noqa: E402
import gzip  # noqa: E402
import http.client  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import socket  # noqa: E402
import statistics  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import urllib.parse  # noqa: E402
import urllib.request  # noqa: E402
import zlib  # noqa: E402

import grpc  # noqa: E402
import zstandard  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "contract"))
import bodies  # noqa: E402
from bodies import block, fixed64, number  # noqa: E402

BODIES = int(os.environ.get("SIGYN_LOAD_BODIES", "6000"))
BAD_PART = 0.2
BOMBS = 24
SPANS_MAX = 20
WORKERS = 8
TRIES_MAX = 20
SEED = int(os.environ.get("SIGYN_LOAD_SEED", "1"))
# Bodies of about 100 MiB, of each kind, and how many are sent at once.
HEAVY, HEAVY_AT_ONCE = 4, 6
# Bodies of the sender who does not come again, at most.
IMPATIENT_MAX = 2000
# What a server may hold beyond its median for a moment: all of its budgets for messages.
RSS_OVER_MEDIAN_MAX = (1024 + 192) << 20

NOW_US = int(time.time() * 1_000_000)

WEB = urllib.parse.urlsplit(server.URL)
OTLP_HTTP = os.environ["SIGYN_OTLP_HTTP"]


def udp(name):
    host, port = os.environ[name].split(":")
    return host, int(port)


# Good bodies: of a trace id (an integer of 64 bits) and a count of spans


def v2_json(trace, count):
    return json.dumps([
        {"traceId": f"{trace:016x}", "id": f"{n + 1:016x}", "name": "load", "kind": "SERVER", "timestamp": NOW_US + n, "duration": 5,
         "localEndpoint": {"serviceName": "load"}, "tags": {"n": str(n), "text": "größe 🌞"}}
        for n in range(count)
    ], ensure_ascii=False).encode()


def v2_proto(trace, count):
    return bodies.proto_list(*(
        bodies.proto_span(f"{trace:016x}", f"{n + 1:016x}", kind=2, name="load", ts=NOW_US + n, duration=5,
                          local=bodies.proto_endpoint("load", bytes([127, 0, 0, 1])), tags=[("n", str(n))], annotations=[(NOW_US, "x")])
        for n in range(count)
    ))


def v1_parts(n):
    of = bodies.host("load", "127.0.0.1", 80)
    return {"annotations": [(NOW_US + n, "sr", of), (NOW_US + n + 5, "ss", of)], "ts": NOW_US + n, "duration": 5, "name": "load"}, of


def v1_json(trace, count):
    spans = []
    for n in range(count):
        parts, of = v1_parts(n)
        spans.append(bodies.v1_json(f"{trace:016x}", f"{n + 1:x}", binary=[("n", str(n), of)], **parts))
    return json.dumps(spans).encode()


def v1_thrift(trace, count):
    spans = []
    for n in range(count):
        parts, of = v1_parts(n)
        spans.append(bodies.thrift_fields(trace, n + 1, binary=[("n", "string", str(n), of)], **parts))
    return bodies.thrift_list(*spans)


def attribute(key, value):
    return block(1, key) + block(2, block(1, value))


def otlp_proto(trace, count):
    spans = b"".join(
        block(2, block(1, trace.to_bytes(16, "big")) + block(2, (n + 1).to_bytes(8, "big")) + block(5, "load") + number(6, 2)
              + fixed64(7, (NOW_US + n) * 1000) + fixed64(8, (NOW_US + n + 5) * 1000) + block(9, attribute("n", str(n))))
        for n in range(count)
    )
    return block(1, block(1, block(1, attribute("service.name", "load"))) + block(2, block(1, block(1, "load")) + spans))


def otlp_json(trace, count):
    text = lambda key, value: {"key": key, "value": {"stringValue": value}}  # noqa: E731
    spans = [
        {"traceId": f"{trace:032x}", "spanId": f"{n + 1:016x}", "name": "load", "kind": 2, "startTimeUnixNano": str((NOW_US + n) * 1000),
         "endTimeUnixNano": str((NOW_US + n + 5) * 1000), "attributes": [text("n", str(n))]}
        for n in range(count)
    ]
    return json.dumps({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", "load")]},
        "scopeSpans": [{"scope": {"name": "load"}, "spans": spans}],
    }]}).encode()


def jaeger_batch(trace, count):
    spans = [
        [(1, "i64", trace), (2, "i64", 0), (3, "i64", n + 1), (4, "i64", 0), (5, "string", "load"), (7, "i32", 1),
         (8, "i64", NOW_US + n), (9, "i64", 5), (10, "list", ("struct", [[(1, "string", "n"), (2, "i32", 0), (3, "string", str(n))]]))]
        for n in range(count)
    ]
    return [(1, "struct", [(1, "string", "load")]), (2, "list", ("struct", spans))]


def jaeger_thrift(trace, count):
    return bodies.binary_struct(jaeger_batch(trace, count))


def jaeger_compact_datagram(trace, count):
    return b"\x82\x81\x01\x09emitBatch" + bodies.compact_struct([(1, "struct", jaeger_batch(trace, count))])


def jaeger_binary_datagram(trace, count):
    return b"\x80\x01\0\x04\0\0\0\x09emitBatch\0\0\0\x01" + bodies.binary_struct([(1, "struct", jaeger_batch(trace, count))])


def jaeger_proto(trace, count):
    at = lambda us: number(1, us // 1_000_000) + number(2, us % 1_000_000 * 1000)  # noqa: E731
    spans = b"".join(
        block(1, block(1, trace.to_bytes(16, "big")) + block(2, (n + 1).to_bytes(8, "big")) + block(3, "load")
              + block(6, at(NOW_US + n)) + block(7, at(5)) + block(8, block(1, "n") + block(3, str(n))))
        for n in range(count)
    )
    return block(1, spans + block(2, block(1, "load")))


# Ways in. Each takes a body and says what became of it: "taken", "again" or a refusal's words.


class Http:
    def __init__(self, address, path, kind):
        self.address, self.path, self.kind = address, path, kind

    def send(self, body, kind=None, encoding=None):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        headers = {"Content-Type": kind or self.kind}
        if encoding:
            headers["Content-Encoding"] = encoding
        try:
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status in (200, 202):
            # OTLP's partial success is an answer that says something.
            return "taken" if answer.status == 202 or said in (b"", b"{}", b'{"partialSuccess":{}}') else "refused: in part"
        if answer.status in (429, 503):
            return "again"
        return f"refused: {answer.status}" if 400 <= answer.status < 500 else f"broken: {answer.status} {said[:200]!r}"


class Grpc:
    channels = {}

    def __init__(self, address, method):
        channel = self.channels.setdefault(address, grpc.insecure_channel(address))
        self.call = channel.unary_unary(method)

    def send(self, body, kind=None, encoding=None):
        compression = grpc.Compression.Gzip if encoding == "gzip" else None
        try:
            said = self.call(body, timeout=30, compression=compression)
        except grpc.RpcError as error:
            code = error.code()
            if code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE) and "many" in (error.details() or ""):
                return "again"
            if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
                return f"refused: {code.name}"
            return f"broken: {code.name} {error.details()}"
        return "taken" if said == b"" else "refused: in part"


class Udp:
    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, body, kind=None, encoding=None):
        self.socket.sendto(body, self.address)
        return "sent"


ZIPKIN = (WEB.hostname, WEB.port)
OTLP = (OTLP_HTTP.split(":")[0], int(OTLP_HTTP.split(":")[1]))
PROTOBUF, JSON, THRIFT = "application/x-protobuf", "application/json", "application/x-thrift"
WAYS = {
    "zipkin v2 JSON": (Http(ZIPKIN, "/api/v2/spans", JSON), v2_json),
    "zipkin v2 protobuf": (Http(ZIPKIN, "/api/v2/spans", PROTOBUF), v2_proto),
    "zipkin v1 JSON": (Http(ZIPKIN, "/api/v1/spans", JSON), v1_json),
    "zipkin v1 thrift": (Http(ZIPKIN, "/api/v1/spans", THRIFT), v1_thrift),
    "zipkin gRPC": (Grpc(WEB.netloc, "/zipkin.proto3.SpanService/Report"), v2_proto),
    "OTLP protobuf": (Http(OTLP, "/v1/traces", PROTOBUF), otlp_proto),
    "OTLP protobuf on the main port": (Http(ZIPKIN, "/v1/traces", PROTOBUF), otlp_proto),
    "OTLP JSON": (Http(OTLP, "/v1/traces", JSON), otlp_json),
    "OTLP gRPC": (Grpc(os.environ["SIGYN_OTLP_GRPC"], "/opentelemetry.proto.collector.trace.v1.TraceService/Export"), otlp_proto),
    "OTLP gRPC on the main port": (Grpc(WEB.netloc, "/opentelemetry.proto.collector.trace.v1.TraceService/Export"), otlp_proto),
    "Jaeger thrift": (Http(ZIPKIN, "/api/traces", "application/vnd.apache.thrift.binary"), jaeger_thrift),
    "Jaeger gRPC": (Grpc(WEB.netloc, "/jaeger.api_v2.CollectorService/PostSpans"), jaeger_proto),
    "Jaeger UDP compact": (Udp(udp("SIGYN_JAEGER_COMPACT")), jaeger_compact_datagram),
    "Jaeger UDP binary": (Udp(udp("SIGYN_JAEGER_BINARY")), jaeger_binary_datagram),
}


def packed(body, encoding):
    return {
        None: lambda: body,
        "gzip": lambda: gzip.compress(body, 1),
        "deflate": lambda: zlib.compress(body, 1),
        "zstd": lambda: zstandard.compress(body, 1),
    }[encoding]()


# Bad bodies. Each damage takes a way, a good body and chance, and sends.


def cut(way, body, chance):
    return way.send(body[: chance.randrange(len(body) // 4, len(body) - 1)])


def flipped(way, body, chance):
    damaged = bytearray(body)
    for _ in range(chance.randrange(1, 5)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return way.send(bytes(damaged))


def noise(way, body, chance):
    # 0xff begins no JSON, no list of thrift, no compact message, and no field of protobuf that ends.
    return way.send(b"\xff" * 11 + chance.randbytes(200))


def mistyped(way, body, chance):
    wrong = {JSON: b"\x0a\x02\x08\x01", PROTOBUF: b'[{"traceId":"1","id":"2"}]', THRIFT: b'[{"traceId":"1","id":"2"}]'}
    return way.send(wrong.get(getattr(way, "kind", None), b'[{"traceId":"1","id":"2"}]'))


def no_gzip(way, body, chance):
    return way.send(body, encoding="gzip") if isinstance(way, Http) else noise(way, body, chance)


DAMAGES = [cut, flipped, flipped, noise, mistyped, no_gzip]

_MIB = 1 << 20


def nested_otlp(depth):
    value = block(1, "x")
    for _ in range(depth):
        value = block(5, block(1, value))
    return block(1, block(2, block(2, block(1, b"\1" * 16) + block(2, b"\1" * 8) + block(9, block(1, "k") + block(2, value)))))


def nested_thrift(depth):
    return b"\x0c\0\0\0\1" + b"\x0c\0\x63" * depth + b"\0" * (depth + 1)


def bombs():
    """(what, way, body, encoding), each refused."""
    json_door, thrift_door = WAYS["zipkin v2 JSON"][0], WAYS["zipkin v1 thrift"][0]
    zeros, spaces = bytes(400 * _MIB), b"[" + b" " * (400 * _MIB)
    tiny = [(f"a {name} bomb to {door}", WAYS[door][0], packed(content, name), name)
            for name in ("gzip", "zstd", "deflate")
            for door, content in (("zipkin v2 JSON", spaces), ("OTLP protobuf", zeros), ("Jaeger thrift", zeros))]
    return tiny + [
        ("deep JSON", json_door, b'[{"traceId":"1","id":"2","new":' + b"[" * 200_000, None),
        ("deep JSON that ends", json_door, b'[{"traceId":"1","id":"2","new":' + b"[" * 200_000 + b"]" * 200_000 + b"}]", None),
        ("deep OTLP/JSON", WAYS["OTLP JSON"][0], b'{"resourceSpans":' + b"[" * 200_000, None),
        ("deep OTLP", WAYS["OTLP protobuf"][0], nested_otlp(5000), None),
        ("deep thrift", thrift_door, nested_thrift(200_000), None),
        ("a thrift list of two thousand million", thrift_door, b"\x0c\x7f\xff\xff\xff", None),
        ("a thrift text of two gigabytes", thrift_door, b"\x0c\0\0\0\1\x0b\0\3\x7f\xff\xff\xff", None),
        ("a protobuf length of two gigabytes", WAYS["zipkin v2 protobuf"][0], b"\x0a\xff\xff\xff\xff\x07", None),
        ("a Jaeger list of two thousand million", WAYS["Jaeger thrift"][0], b"\x0f\0\2\x0c\x7f\xff\xff\xff", None),
        ("11 MiB of spaces", json_door, b"[" + b" " * (11 * _MIB) + b"]", None),
    ]


def heavy():
    """(what, way, body, encoding), each as large as may be. Some are refused, and some are taken."""
    zipkin, otlp = WAYS["zipkin v2 JSON"][0], WAYS["OTLP protobuf"][0]
    span = block(1, b"\1" * 16) + block(2, b"\2" * 8)
    list_of_one = b'[{"traceId":"0101010101010101","id":"2"}' + b" " * (99 * _MIB) + b"]"
    # What all scopes share must not be kept for each.
    scopes = block(2, block(2, span)) * 1000
    shared = block(1, scopes + block(3, b"a" * (90 * _MIB)))
    shared_plain = block(1, scopes + block(3, b"a" * (5 * _MIB)))
    # Fifty million attributes of events: hardly a hundred KiB, packed.
    events = block(1, block(2, block(2, span + block(11, b"\x1a\0" * 19_999) * 2_600)))
    kinds = [
        ("a list of 99 MiB", zipkin, packed(list_of_one, "gzip"), "gzip"),
        ("a list of 99 MiB", zipkin, packed(list_of_one, "zstd"), "zstd"),
        ("a schema of 90 MiB", otlp, packed(shared, "gzip"), "gzip"),
        ("a schema of 5 MiB", otlp, shared_plain, None),
        ("millions of attributes", otlp, packed(events, "gzip"), "gzip"),
    ]
    return kinds * HEAVY


# Figures of the server


def page():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.URL + "/prometheus", timeout=10) as answer:
        return answer.read().decode()


def figures(name):
    """The values of a metric, by its labels."""
    return {labels: float(value) for labels, value in re.findall(rf"^{name}\{{(.*?)\}} (\S+)", page(), re.M)}


REFUSED, DROPPED = "sigyn_collect_messages_refused_total", "sigyn_collect_spans_dropped_total"


class Memory:
    """The server's resident memory, sampled until the end."""

    def __init__(self, pid):
        self.path, self.samples, self.done = f"/proc/{pid}/statm", [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.done.wait(0.1):
            with open(self.path, encoding="ascii") as file:
                self.samples.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    def end(self):
        self.done.set()
        self.thread.join()
        return self.samples


def outcome(said):
    """Without the server's own words."""
    return said if said.endswith("in part") else said.split(":")[0]


again, again_lock = [0], threading.Lock()


def patiently(send):
    """Sends again for as long as the server asks for it, and counts how often."""
    for _ in range(TRIES_MAX):
        said = send()
        if said != "again":
            return said
        with again_lock:
            again[0] += 1
        time.sleep(0.2)
    return "again, for ever"


def main():
    chance = random.Random(SEED)
    seed = chance.getrandbits(31)
    results, good = collections.Counter(), {}
    problems = []
    before = figures(REFUSED)
    lock = threading.Lock()
    bomb_list = bombs()
    memory = Memory(os.environ["SIGYN_PID"])

    def one(index, name, damage, count, own_seed):
        way, make = WAYS[name]
        own = random.Random(own_seed)
        # A few flipped bits must not lead from a bad body's trace to a good one.
        trace = (seed if damage is None else ~seed & 0xFFFFFFFF) << 32 | index + 1
        body = make(trace, count)
        if damage is None:
            encodings = {Http: [None, "gzip", "zstd", "deflate"], Grpc: [None, "gzip"], Udp: [None]}[type(way)]
            if isinstance(way, Http) and way.path.startswith("/v1/traces"):
                encodings = [None, "gzip", "zstd"]
            encoding = own.choice(encodings)
            content = body if isinstance(way, Grpc) else packed(body, encoding)
            said = patiently(lambda: way.send(content, encoding=encoding))
            with lock:
                results[f"good: {outcome(said)}"] += 1
                good[f"{trace:016x}"] = (name, count)
                if said not in ("taken", "sent"):
                    problems.append(f"a good body of {name} ({encoding}) was {said}")
            return
        said = patiently(lambda: damage(way, body, own))
        with lock:
            results[f"bad, {damage.__name__}: {outcome(said)}"] += 1
            # What was flipped may mean something else; a list in protobuf may be cut between two spans.
            may_be_good = damage is flipped or (damage is cut and make is v2_proto)
            if said.startswith(("broken", "again")) or (said == "taken" and not may_be_good):
                problems.append(f"a body of {name}, {damage.__name__}, was {said}")

    def bomb(index):
        what, way, body, encoding = bomb_list[index % len(bomb_list)]
        with bombing:
            try:
                said = patiently(lambda: way.send(body, encoding=encoding))
            except (BrokenPipeError, ConnectionResetError):
                said = "refused: before all was sent"
        with lock:
            results[f"bomb: {outcome(said)}"] += 1
            if not said.startswith("refused"):
                problems.append(f"{what} was {said}")

    def weigh(what, way, body, encoding):
        said = patiently(lambda: way.send(body, encoding=encoding))
        with lock:
            results[f"{what}: {outcome(said)}"] += 1
            # There may be no room for it as long as the others are there; whatever else happens is wrong.
            if not said.startswith(("taken", "refused", "again")):
                problems.append(f"{what} was {said}")

    done = threading.Event()

    def impatient():
        way, make = WAYS["zipkin v2 JSON"]
        for index in range(IMPATIENT_MAX):
            if done.wait(0.005):
                return
            trace, count = seed << 32 | 1 << 31 | index, 5
            said = way.send(make(trace, count))
            with lock:
                results[f"impatient: {outcome(said)}"] += 1
                if said == "taken":
                    good[f"{trace:016x}"] = ("the impatient sender", count)
                else:
                    problems.append(f"a body of the impatient sender was {said}")

    bombing = threading.Lock()
    heavy_list = heavy()
    started = time.monotonic()
    sender = threading.Thread(target=impatient)
    sender.start()
    with concurrent.futures.ThreadPoolExecutor(HEAVY_AT_ONCE) as pool:
        for job in [pool.submit(weigh, *one_of) for one_of in heavy_list]:
            job.result()
    print(f"mixed load: {len(heavy_list)} bodies of up to 100 MiB, {HEAVY_AT_ONCE} at once, in {time.monotonic() - started:.1f} s")
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        jobs = []
        for index in range(BODIES):
            name = chance.choice(list(WAYS))
            damage = chance.choice(DAMAGES) if chance.random() < BAD_PART else None
            jobs.append(pool.submit(one, index, name, damage, chance.randrange(1, SPANS_MAX), chance.getrandbits(32)))
            if index % max(BODIES // BOMBS, 1) == 0:
                jobs.append(pool.submit(bomb, index // max(BODIES // BOMBS, 1)))
        for job in jobs:
            job.result()
    took = time.monotonic() - started
    done.set()
    sender.join()

    spans = 0
    for trace, (name, count) in good.items():
        answer = server.wait_for(lambda t=trace: server.get_or_none(f"/api/v2/trace/{t}"), lambda found: len(found or []) >= count)
        found = len(answer or [])
        spans += found
        if found != count:
            problems.append(f"a trace of {name} has {found} of {count} spans")
    samples = memory.end()

    refused = {labels: value - before.get(labels, 0) for labels, value in figures(REFUSED).items()}
    by_udp = sum(int(value) for labels, value in refused.items() if 'transport="jaeger_udp"' in labels)
    counted = int(sum(refused.values())) - by_udp
    in_part = int(sum(figures(DROPPED).values()))
    print(f"mixed load: seed {SEED}, {BODIES} bodies and {min(BOMBS, BODIES)} bombs in {took:.1f} s, {spans} good spans stored")
    for what, count in sorted(results.items()):
        print(f"  {what} {count}")
    print(f"  refused and counted, by cause: { {labels: int(v) for labels, v in sorted(refused.items()) if v} }")
    print(f"  spans refused one by one: {in_part}")
    median, most = statistics.median(samples), max(samples)
    print(f"  resident memory: median {median / _MIB:.0f} MiB, at most {most / _MIB:.0f} MiB, in the end {samples[-1] / _MIB:.0f} MiB")
    # Whoever was refused was counted once, and once more for each time that it was asked to come again.
    refusals = sum(n for what, n in results.items() if what.endswith(": refused")) + again[0]
    refusals += results["impatient: again"]
    if counted != refusals:
        problems.append(f"{refusals} bodies were refused, and {counted} were counted")
    parts = sum(n for what, n in results.items() if what.endswith("in part"))
    if in_part < parts:
        problems.append(f"{parts} bodies were refused in part, and only {in_part} spans were counted")
    # Of datagrams nobody is told; what was flipped may still be good.
    lost = sum(n for what, n in results.items() if what.startswith("bad") and "flipped" not in what and what.endswith("sent"))
    if by_udp < lost:
        problems.append(f"{lost} bad datagrams were sent, and only {by_udp} counted")
    if most - median > RSS_OVER_MEDIAN_MAX:
        problems.append(f"memory was {(most - median) / _MIB:.0f} MiB above its median")
    server.expect("the server's health", server.get("/health")["status"], "UP")
    if problems:
        kinds = collections.Counter(problems)
        server.fail(f"{len(problems)} problems:\n  " + "\n  ".join(f"{n}x {text}" for text, n in kinds.most_common(30)))


main()
