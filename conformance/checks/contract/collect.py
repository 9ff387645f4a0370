"""Sections 2.1, 2.2, 2.9 and 2.10: what a collector takes, what it samples, and gRPC."""

import base64
import struct
import zlib

import bodies
from harness import expect, expect_in, gzipped, row, table

GUNZIP = "Cannot gunzip spans"
PROTO, THRIFT = "application/x-protobuf", "application/x-thrift"
V1, V2 = "/api/v1/spans", "/api/v2/spans"


def v2(trace):
    return f'[{{"traceId":"{trace}","id":"2"}}]'


def in_proto(trace):
    return bodies.proto_list(bodies.proto_span(trace, "0000000000000002"))


def in_v1(trace):
    return f'[{{"traceId":"{trace}","id":"2","name":"n"}}]'


def in_thrift(trace):
    return bodies.thrift_list(bodies.thrift_fields(int(trace, 16), 2))


# 2.1


def taken(z, body, path, kind, headers=None):
    trace = z.id()
    z.push(body(trace), path, kind, headers)
    expect("id", z.one(trace)["id"], "0000000000000002")


table("2.1", taken, [
    ("v2: JSON", v2, V2, "application/json"),
    ("v2: JSON with a charset", v2, V2, "application/json; charset=utf-8"),
    ("v2: JSON without a type", v2, V2, None),
    ("v2: JSON as text/plain", v2, V2, "text/plain"),
    ("v2: JSON as application/octet-stream", v2, V2, "application/octet-stream"),
    ("v2: protobuf", in_proto, V2, PROTO),
    ("v1: JSON", in_v1, V1, "application/json"),
    ("v1: JSON without a type", in_v1, V1, None),
    ("v1: thrift", in_thrift, V1, THRIFT),
    ("v2: JSON, gzip", lambda t: gzipped(v2(t)), V2, "application/json", {"Content-Encoding": "gzip"}),
    ("v2: protobuf, gzip", lambda t: gzipped(in_proto(t)), V2, PROTO, {"Content-Encoding": "gzip"}),
    ("v1: thrift, gzip", lambda t: gzipped(in_thrift(t)), V1, THRIFT, {"Content-Encoding": "gzip"}),
    ("v1: JSON, gzip", lambda t: gzipped(in_v1(t)), V1, "application/json", {"Content-Encoding": "gzip"}),
    ("an encoding that contains gzip is gzip", lambda t: gzipped(v2(t)), V2, "application/json", {"Content-Encoding": "x-gzip"}),
    ("deflate is read", lambda t: zlib.compress(v2(t).encode()), V2, "application/json", {"Content-Encoding": "deflate"}),
    ("an identity encoding is none", v2, V2, "application/json", {"Content-Encoding": "identity"}),
    ("text after the list is ignored", lambda t: v2(t) + "xyz", V2, "application/json"),
], better=("deflate is read",))

_GZIP = {"Content-Encoding": "gzip"}
table("2.1", lambda z, text, body, path, kind, headers=None: z.push_bad(text, body, path, kind, headers), [
    ("gzip of nothing", GUNZIP, gzipped(b""), V2, "application/json", _GZIP),
    ("gzip that is none, short", GUNZIP, b"\x1f\x8b", V2, "application/json", _GZIP),
    ("gzip that is none, long", GUNZIP, b"this is no gzip, however long it is read", V2, "application/json", _GZIP),
    ("gzip that is damaged", GUNZIP, gzipped(b"[" + b" " * 3000)[:-20], V2, "application/json", _GZIP),
    ("an object instead of a list", "Expected a JSON_V2 encoded list\n", b'{"traceId":"1","id":"2"}', V2, "application/json"),
    ("an object instead of a list, v1", "Expected a JSON_V1 encoded list\n", b'{"traceId":"1","id":"2"}', V1, "application/json"),
    ("what is no JSON", "Expected a JSON_V2 encoded list\n", b"hello", V2, "application/json"),
    ("a space before the list", "Expected a JSON_V2 encoded list\n", b' [{"traceId":"1","id":"2"}]', V2, "application/json"),
    ("a byte order mark", "Expected a JSON_V2 encoded list\n", b'\xef\xbb\xbf[]', V2, "application/json"),
    ("what is no thrift", "Expected a THRIFT encoded list\n", b"hello", V1, THRIFT),
    ("what is no protobuf", "Expected a PROTO3 encoded list\n", b"hello", V2, PROTO),
    ("v1 to v2", "Expected a JSON_V2 encoded list, but received: JSON_V1\n", b'[{"traceId":"1","id":"2","binaryAnnotations":[]}]', V2, "application/json"),
    ("v2 to v1", "Expected a JSON_V1 encoded list, but received: JSON_V2\n", b'[{"traceId":"1","id":"2","tags":{}}]', V1, "application/json"),
    ("v2 to v1, by its endpoint", "Expected a JSON_V1 encoded list, but received: JSON_V2\n", b'[{"traceId":"1","id":"2","localEndpoint":{}}]', V1, "application/json"),
    ("thrift to v2", None, bodies.thrift_list(bodies.thrift_fields(1, 2)), V2, THRIFT),
    ("protobuf to v1", None, bodies.proto_list(bodies.proto_span("0000000000000001", "0000000000000002")), V1, PROTO),
], better=("gzip that is none, long",))

for _path, _kind in ((V2, "application/json"), (V2, PROTO), (V1, "application/json"), (V1, THRIFT)):
    row("2.1", f"an empty body to {_path} as {_kind}")(lambda z, p=_path, k=_kind: z.push(b"", p, k))
for _path in (V1, V2):
    row("2.1", f"an empty list to {_path}")(lambda z, p=_path: z.push(b"[]", p))


@row("2.1", "one bad span refuses the message, and nothing of it is stored")
def _(z):
    trace = z.id()
    z.push_bad(None, f'[{{"traceId":"{trace}","id":"2"}},{{"traceId":"{trace}"}}]')
    expect("status", z.get(f"/api/v2/trace/{trace}").status, 404)


@row("2.1", "what is 202 is there at once", better=True)
def _(z):
    for _ in range(20):
        taken(z, v2, V2, "application/json")


# 2.9

# 2^63-1 by the rate as a float of 32 bits: the contract names the products.
BOUNDS = {"0.0001": 922337180385280, "0.1": 922337217429372928, "0.5": 4611686018427387904}


def sampled(z, trace, wanted, **more):
    z.push([{"traceId": trace, "id": "2", **more}])
    expect(f"status of trace {trace}", z.get(f"/api/v2/trace/{trace}").status, 200 if wanted else 404)


for _rate, _bound in BOUNDS.items():
    for _trace, _wanted in [(f"{_bound:016x}", 1), (f"{_bound + 1:016x}", 0), (f"{(1 << 64) - _bound:016x}", 1),
                            (f"{(1 << 64) - _bound - 1:016x}", 0), ("ffffffffffffffff", 1), ("8000000000000000", 0)]:
        row("2.9", f"rate {_rate}: trace {_trace} is {'kept' if _wanted else 'dropped'}", env={"COLLECTOR_SAMPLE_RATE": _rate})(
            lambda z, t=_trace, w=_wanted: sampled(z, t, w))
row("2.9", "rate 0.5: only the low 64 bits count", env={"COLLECTOR_SAMPLE_RATE": "0.5"})(
    lambda z: (sampled(z, "ffffffffffffffff0000000000000005", 1), sampled(z, "00000000000000017000000000000005", 0)))
row("2.9", "rate 0.5: debug spans are always kept", env={"COLLECTOR_SAMPLE_RATE": "0.5"})(
    lambda z: sampled(z, "7000000000000006", 1, debug=True))
row("2.9", "rate 0: nothing is kept, but 202", env={"COLLECTOR_SAMPLE_RATE": "0"})(
    lambda z: sampled(z, z.id(), 0))
row("2.9", "rate 0: debug spans are kept", env={"COLLECTOR_SAMPLE_RATE": "0"})(
    lambda z: sampled(z, z.id(), 1, debug=True))
row("2.9", "rate 1: everything is kept")(lambda z: sampled(z, "8000000000000000", 1))


@row("2.9", "what is not sampled is counted as dropped", env={"COLLECTOR_SAMPLE_RATE": "0"})
def _(z):
    name = "counter.zipkin_collector.spans_dropped.http"
    count = lambda: z.get("/metrics", headers={"Accept": "application/json"}).json()[name]  # noqa: E731
    before = count()
    z.push(v2(z.id()))
    expect("grown by", count() - before, 1)


# 2.10, in the form that goes over HTTP/1.1

REPORT = "/zipkin.proto3.SpanService/Report"


def frame(message):
    return b"\0" + struct.pack(">I", len(message)) + message


def trailers(answer):
    """The status of a call, wherever it stands."""
    text = answer.text.lower()
    if answer.header("grpc-status") is not None:
        return answer.header("grpc-status")
    return text.split("grpc-status:", 1)[1].split("\r\n")[0].strip() if "grpc-status:" in text else None


@row("2.10", "Report over gRPC-Web")
def _(z):
    trace = z.id()
    answer = z.post(REPORT, frame(in_proto(trace)), "application/grpc-web+proto")
    expect("status", (answer.status, trailers(answer)), (200, "0"))
    expect("an empty message", answer.body[:5], b"\0\0\0\0\0")
    expect("id", z.one(trace)["id"], "0000000000000002")


@row("2.10", "Report over gRPC-Web in text")
def _(z):
    trace = z.id()
    answer = z.post(REPORT, base64.b64encode(frame(in_proto(trace))), "application/grpc-web-text+proto")
    expect("status", answer.status, 200)
    expect("id", z.one(trace)["id"], "0000000000000002")


@row("2.10", "an empty message is taken")
def _(z):
    answer = z.post(REPORT, frame(b""), "application/grpc-web+proto")
    expect("status", (answer.status, trailers(answer)), (200, "0"))


@row("2.10", "bytes that are no spans: 200 and status 13")
def _(z):
    answer = z.post(REPORT, frame(b"\x0a\x05hello"), "application/grpc-web+proto")
    expect("status", (answer.status, trailers(answer)), (200, "13"))


@row("2.10", "any other type is a 415")
def _(z):
    expect("status", z.post(REPORT, b"{}", "application/json").status, 415)


@row("2.10", "COLLECTOR_GRPC_ENABLED=false removes it", env={"COLLECTOR_GRPC_ENABLED": "false"})
def _(z):
    answer = z.post(REPORT, frame(in_proto(z.id())), "application/grpc-web+proto")
    expect("not taken", answer.status == 200 and trailers(answer) == "0", False)


@row("2.2", "a leading line feed passes for a list, and then is none", better=True)
def _(z):
    expect("below 500", z.post(V2, b"\n").status < 500, True)


@row("2.2", "the guard's text ends with a line feed")
def _(z):
    expect_in("body", z.post(V2, b"nonsense").text, "encoded list\n")
