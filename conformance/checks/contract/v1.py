"""Sections 2.7, 2.8 and 10: v1 JSON, how v1 becomes v2, and the contract's vectors.

Every conversion is sent twice, as JSON and as thrift, and must come out the same.
"""

import json

import bodies
from bodies import host
from harness import expect, row, table

V1, THRIFT = "/api/v1/spans", "application/x-thrift"

# 2.7


def reads(z, more, wanted):
    trace = z.id()
    z.push(f'[{{"traceId":"{trace}","id":"2"{"," if more else ""}{more}}}]', V1)
    got = z.one(trace)
    expect("ids", (got.pop("traceId"), got.pop("id")), (trace, "0000000000000002"))
    expect("the rest", got, wanted)


LC = '{"key":"lc","value":"","endpoint":{"serviceName":"a"}}'
LOCAL = {"localEndpoint": {"serviceName": "a"}}
table("2.7", reads, [
    ("name and parent", '"name":"GET","parentId":"3"', {"name": "get", "parentId": "0000000000000003"}),
    ("timestamp and duration", '"timestamp":5,"duration":6', {"timestamp": 5, "duration": 6}),
    ("debug", '"debug":true', {"debug": True}),
    ("an annotation and its endpoint", '"annotations":[{"timestamp":1,"value":"x","endpoint":{"serviceName":"A","ipv4":"1.2.3.4","port":80}}]',
     {"localEndpoint": {"serviceName": "a", "ipv4": "1.2.3.4", "port": 80}, "annotations": [{"timestamp": 1, "value": "x"}]}),
    ("a string is a tag", '"binaryAnnotations":[{"key":"k","value":"v","endpoint":{"serviceName":"a"}}]', {**LOCAL, "tags": {"k": "v"}}),
    ("true is kept for sa", f'"binaryAnnotations":[{LC},{{"key":"sa","value":true,"endpoint":{{"serviceName":"b"}}}}]', {**LOCAL, "remoteEndpoint": {"serviceName": "b"}}),
    ("true for another key is dropped", f'"binaryAnnotations":[{LC},{{"key":"k","value":true,"endpoint":{{"serviceName":"b"}}}}]', LOCAL),
    ("false is dropped", f'"binaryAnnotations":[{LC},{{"key":"sa","value":false,"endpoint":{{"serviceName":"b"}}}}]', LOCAL),
    ("a number is dropped", f'"binaryAnnotations":[{LC},{{"key":"k","value":5}}]', LOCAL),
    ("an object is dropped", f'"binaryAnnotations":[{LC},{{"key":"k","value":{{"a":1}}}}]', LOCAL),
    ("a type field is ignored", f'"binaryAnnotations":[{{"key":"k","value":"5","type":"I64","endpoint":{{"serviceName":"a"}}}}]', {**LOCAL, "tags": {"k": "5"}}),
    ("unknown fields are skipped", '"new":[{"a":1}],"name":"n"', {"name": "n"}),
    ("null is absent", '"name":null,"timestamp":null,"annotations":null,"binaryAnnotations":null,"parentId":null', {}),
])


@row("2.7", "traceId of 32 digits is kept whole")
def _(z):
    trace = "0000000000000001" + z.id()
    z.push(f'[{{"traceId":"{trace}","id":"2"}}]', V1)
    expect("id", z.one(trace)["traceId"], trace)


@row("2.7", "traceId of 20 digits is cut to the right 16")
def _(z):
    trace = z.id()
    z.push(f'[{{"traceId":"abcd{trace}","id":"2"}}]', V1)
    expect("id", z.one(trace)["traceId"], trace)


@row("2.7", "ids of more than 16 digits are cut to the right 16")
def _(z):
    trace = z.id()
    z.push(f'[{{"traceId":"{trace}","id":"ff0000000000000002","parentId":"ff0000000000000003"}}]', V1)
    expect("ids", (z.one(trace)["id"], z.one(trace)["parentId"]), ("0000000000000002", "0000000000000003"))


table("2.7", lambda z, body, text=None: z.push_bad(text, f"[{{{body}}}]", V1), [
    ("traceId of zeros", '"traceId":"0000000000000000","id":"1"', "..traceId == 0 reading List<Span> from json"),
    ("id of zeros", '"traceId":"1","id":"0000000000000000"', "..id == 0 reading List<Span> from json"),
    ("no traceId", '"id":"1"'),
    ("no id", '"traceId":"1"'),
    ("traceId in capitals", '"traceId":"ABC","id":"1"'),
    ("traceId of 33 digits", '"traceId":"%s","id":"1"' % ("1" * 33)),
    ("a binary annotation without a key", '"traceId":"1","id":"1","binaryAnnotations":[{"value":"v"}]'),
    ("an annotation without a value", '"traceId":"1","id":"1","annotations":[{"timestamp":1}]'),
])

# 2.8 and 10: v1 -> v2. Annotations are "value@time:service", services are single letters.

A, B, C = host("a"), host("b"), host("c")


def annotation(text):
    value, _, rest = text.partition("@")
    at, _, service = rest.partition(":")
    return int(at), value, host(service) if service else None


def converts(z, annotations, binary, wanted, ts=None, duration=None):
    """`wanted` are spans as (kind, timestamp, duration, local, remote, more)."""
    annotations = [annotation(text) for text in annotations.split()]
    full = []
    for kind, start, took, local, remote, more in wanted:
        span = {"kind": kind, "timestamp": start, "duration": took, "localEndpoint": local, "remoteEndpoint": remote, **more}
        full.append({key: value for key, value in span.items() if value})
    order = lambda spans: sorted(spans, key=lambda span: json.dumps(span, sort_keys=True))  # noqa: E731

    def check(trace, what):
        got = z.trace(trace)
        for span in got:
            expect(f"{what}: ids", (span.pop("traceId"), span.pop("id")), (trace, "0000000000000002"))
        expect(what, order(got), order(full))

    trace = z.id()
    in_json = [(key, value, of) for key, kind, value, of in binary if kind in ("string", "flag", "other")]
    z.push([bodies.v1_json(trace, "2", annotations=annotations, binary=in_json, ts=ts, duration=duration)], V1)
    check(trace, "from JSON")
    trace = z.id()
    in_thrift = [(key, {"flag": "bool", "other": "i32"}.get(kind, kind), {"flag": b"\1", "other": bytes(4)}.get(kind, value), of)
                 for key, kind, value, of in binary]
    z.push(bodies.thrift_list(bodies.thrift_fields(int(trace, 16), 2, annotations=annotations, binary=in_thrift, ts=ts, duration=duration)), V1, THRIFT)
    check(trace, "from thrift")


def at(service, **more):
    return {"serviceName": service, **more}


def address(key, of):
    return (key, "flag", True, of)


a, b, c = at("a"), at("b"), at("c")
SHARED = {"shared": True}


def noted(*annotations):
    return {"annotations": [{"timestamp": when, "value": value} for when, value in annotations]}


table("2.8", converts, [
    ("cs cr", "cs@10:a cr@20:a", [], [("CLIENT", 10, 10, a, None, {})]),
    ("cs cr, the span's own times go first", "cs@11:a cr@19:a", [], [("CLIENT", 10, 10, a, None, {})], 10, 10),
    ("cs alone", "cs@10:a", [], [("CLIENT", 10, None, a, None, {})]),
    ("cr alone stays an annotation", "cr@20:a", [], [("CLIENT", None, None, a, None, noted((20, "cr")))]),
    ("ss alone stays an annotation", "ss@20:a", [], [("SERVER", None, None, a, None, noted((20, "ss")))]),
    ("sr ss, no timestamp: shared", "sr@10:b ss@15:b", [], [("SERVER", 10, 5, b, None, SHARED)]),
    ("sr ss, timestamp and duration: not shared", "sr@10:b ss@15:b", [], [("SERVER", 10, 5, b, None, {})], 10, 5),
    ("sr ss, timestamp alone: shared", "sr@10:b ss@15:b", [], [("SERVER", 10, 5, b, None, SHARED)], 10),
    ("sr alone, no timestamp: shared", "sr@10:b", [], [("SERVER", 10, None, b, None, SHARED)]),
    ("sr alone, with a timestamp", "sr@10:b", [], [("SERVER", 10, None, b, None, {})], 10),
    ("cr at the end of the span makes up cs", "cr@15:a", [], [("CLIENT", 10, 5, a, None, {})], 10, 5),
    ("ss at the end of the span makes up sr", "ss@15:a", [], [("SERVER", 10, 5, a, None, {})], 10, 5),
    ("client and server with addresses, a tag, a number, a flag", "cs@10:a cr@20:a sr@12:b ss@18:b",
     [address("sa", host("b", "1.2.3.4")), address("ca", host("b", port=9)), ("k", "string", "v", B), ("num", "other", 5, A), ("error", "flag", True, A)],
     [("CLIENT", 10, 10, a, at("b", ipv4="1.2.3.4"), {}), ("SERVER", 12, 6, b, {"port": 9}, {"tags": {"k": "v"}, **SHARED})], 10, 10),
    ("both of one service: two spans", "cs@10:a sr@11:a ss@18:a cr@19:a", [],
     [("CLIENT", 10, 9, a, None, {}), ("SERVER", 11, 7, a, None, SHARED)], 10, 9),
    ("one way", "cs@10:a sr@12:b", [], [("CLIENT", 10, None, a, None, {}), ("SERVER", 12, None, b, None, SHARED)]),
    ("core names without endpoints are plain", "cs@10 foo@11", [], [(None, 10, None, None, None, noted((10, "cs"), (11, "foo")))], 10),
    ("lc, empty", "", [("lc", "string", "", A)], [(None, 10, 5, a, None, {})], 10, 5),
    ("lc with a value is a tag", "", [("lc", "string", "arch", A)], [(None, 10, 5, a, None, {"tags": {"lc": "arch"}})], 10, 5),
    ("ca and sa alone", "", [address("ca", A), address("sa", B)], [(None, 10, None, a, b, {})], 10),
    ("ca alone: a server", "", [address("ca", A)], [("SERVER", 10, None, None, a, {})], 10),
    ("sa alone, with a tag", "", [address("sa", B), ("k", "string", "v", A)], [(None, 10, None, a, b, {"tags": {"k": "v"}})], 10),
    ("ms ws", "ms@10:a ws@12:a", [address("ma", host("kafka"))], [("PRODUCER", 10, 2, a, at("kafka"), {})]),
    ("ms alone", "ms@10:a", [address("ma", host("kafka"))], [("PRODUCER", 10, None, a, at("kafka"), {})]),
    ("wr mr", "wr@10:a mr@12:a", [], [("CONSUMER", 10, 2, a, None, {})]),
    ("mr alone", "mr@12:a", [], [("CONSUMER", 12, None, a, None, {})]),
    ("ms and mr", "ms@10:a mr@12:b", [address("ma", host("kafka"))],
     [("PRODUCER", 10, None, a, at("kafka"), {}), ("CONSUMER", 12, None, b, at("kafka"), SHARED)]),
    ("ws alone stays an annotation", "ws@12:a", [], [(None, None, None, a, None, noted((12, "ws")))]),
    ("wr alone stays an annotation", "wr@12:a", [], [(None, None, None, a, None, noted((12, "wr")))]),
    ("annotations of three services, a tag of none", "cs@10:a x@12:b y@13:c", [("t", "string", "v", None)],
     [("CLIENT", 10, None, a, None, {"tags": {"t": "v"}}), (None, None, None, b, None, noted((12, "x"))), (None, None, None, c, None, noted((13, "y")))], 10),
    ("ca of the server's own name keeps its address", "sr@10:b ss@15:b", [address("ca", host("b", "1.2.3.4", 9))],
     [("SERVER", 10, 5, b, {"ipv4": "1.2.3.4", "port": 9}, {})], 10, 5),
    ("ca equal to the server itself is none", "sr@10:b ss@15:b", [address("ca", B)], [("SERVER", 10, 5, b, None, {})], 10, 5),
    ("other annotations stay", "cs@10:a foo@12:a cr@20:a", [], [("CLIENT", 10, 10, a, None, noted((12, "foo")))]),
])

# 10: the vectors themselves, which carry trace 1, span 2. The first to read it finds it, and equal spans are one.

J = {"traceId": "0000000000000001", "id": "0000000000000002", "kind": "CLIENT", "timestamp": 100, "duration": 10,
     "localEndpoint": {"serviceName": "a"}, "remoteEndpoint": {"serviceName": "b"}, "tags": {"x": "y"}}
IN_PROTO = bytes.fromhex("0a330a0800000000000000011a0800000000000000022001316400000000000000380a42030a01614a030a01625a060a0178120179")
IN_THRIFT = bytes.fromhex(
    "0c000000010a000100000000000000010b0003000000000a000400000000000000020f00060c000000020a000100000000000000640b0002000000"
    "0263730c00030800010000000006000200000b0003000000016100000a0001000000000000006e0b00020000000263720c00030800010000000006"
    "000200000b0003000000016100000f00080c000000020b00010000000273610b00020000000101080003000000000c000408000100000000060002"
    "00000b0003000000016200000b000100000001780b00020000000179080003000000060c00040800010000000006000200000b0003000000016100"
    "000a000a00000000000000640a000b000000000000000a00")
IN_V1 = ('[{"traceId":"0000000000000001","id":"0000000000000002","name":"","timestamp":100,"duration":10,"annotations":['
         '{"timestamp":100,"value":"cs","endpoint":{"serviceName":"a"}},{"timestamp":110,"value":"cr","endpoint":{"serviceName":"a"}}],'
         '"binaryAnnotations":[{"key":"sa","value":true,"endpoint":{"serviceName":"b"}},{"key":"x","value":"y","endpoint":{"serviceName":"a"}}]}]')


def vector(z, body, path, kind):
    z.push(body, path, kind)
    expect("J is there", J in z.trace("1"), True)


table("10", vector, [
    ("span J in protobuf", IN_PROTO, "/api/v2/spans", "application/x-protobuf"),
    ("span J in v1 JSON", IN_V1, V1, "application/json"),
    ("span J in thrift", IN_THRIFT, V1, THRIFT),
    ("span J in v2 JSON", json.dumps([J]), "/api/v2/spans", "application/json"),
])
row("10", "J in protobuf, sent as JSON")(lambda z: z.push_bad(None, IN_PROTO))
row("10", "J in protobuf, sent as thrift")(
    lambda z: z.push_bad("traceId == 0 reading List<Span> from TBinary", IN_PROTO, V1, THRIFT))
