"""Sections 2.5 and 2.6: v2 in protobuf, v1 in thrift."""

import bodies
from bodies import block, fixed64, host, number, proto_endpoint, proto_list, proto_span, thrift_fields, thrift_list
from harness import expect, row, table

PROTO, THRIFT = "application/x-protobuf", "application/x-thrift"


def raw(text):
    return bytes.fromhex(text)


# 2.5


def proto(z, wanted, **fields):
    """A span of these fields comes back so."""
    trace = z.id()
    z.push(proto_list(proto_span(trace, "0000000000000002", **fields)), kind=PROTO)
    got = z.one(trace)
    expect("ids", (got.pop("traceId"), got.pop("id")), (trace, "0000000000000002"))
    expect("the rest", got, wanted)


def local(**fields):
    return {"localEndpoint": fields}


IPV6 = raw("20010db8000000000000000000000001")
_cases = [
    ("parent", {"parentId": "0000000000000003"}, {"parent": "0000000000000003"}),
    *[(f"kind {n}", {"kind": name}, {"kind": n}) for n, name in enumerate(("CLIENT", "SERVER", "PRODUCER", "CONSUMER"), 1)],
    ("kind 0 is none", {}, {"kind": 0}),
    ("an unknown kind is none", {}, {"kind": 9}),
    ("name, in lower case", {"name": "get"}, {"name": "GET"}),
    ("timestamp and duration", {"timestamp": 5, "duration": 300}, {"ts": 5, "duration": 300}),
    ("local endpoint", local(serviceName="a", ipv4="1.2.3.4", ipv6="2001:db8::1", port=80),
     {"local": proto_endpoint("A", raw("01020304"), IPV6, 80)}),
    ("remote endpoint", {"remoteEndpoint": {"serviceName": "b"}}, {"remote": proto_endpoint("b")}),
    ("an empty endpoint is absent", {}, {"local": b""}),
    ("IPv4-compatible bytes are IPv4", local(ipv4="1.2.3.4"), {"local": proto_endpoint(ipv6=bytes(12) + raw("01020304"))}),
    ("IPv4-mapped bytes stay IPv6", local(ipv6="::ffff:102:304"), {"local": proto_endpoint(ipv6=bytes(10) + raw("ffff01020304"))}),
    ("::1 in bytes stays", local(ipv6="::1"), {"local": proto_endpoint(ipv6=bytes(15) + b"\1")}),
    ("an address of 5 bytes is ignored", local(serviceName="a"), {"local": proto_endpoint("a", raw("0102030405"))}),
    ("annotations", {"annotations": [{"timestamp": 1, "value": "a"}, {"timestamp": 2, "value": "b"}]}, {"annotations": [(2, "b"), (1, "a")]}),
    ("an annotation at 0 is dropped", {}, {"annotations": [(0, "a")]}),
    ("an annotation without a value is dropped", {}, {"annotations": [(1, "")]}),
    ("tags", {"tags": {"a": "1", "b": ""}}, {"tags": [("b", ""), ("a", "1")]}),
    ("a tag without a value is empty", {"tags": {"a": ""}}, {"tags": [("a", None)]}),
    ("the last of two equal tags wins", {"tags": {"a": "2"}}, {"tags": [("a", "1"), ("a", "2")]}),
    ("debug", {"debug": True}, {"debug": 1}),
    ("shared", {"shared": True}, {"shared": 1}),
    ("false is absent", {}, {"debug": 0, "shared": 0}),
    ("an unknown varint is skipped", {"name": "n"}, {"name": "n", "more": number(99, 5)}),
]
for _text, _wanted, _fields in _cases:
    row("2.5", _text)(lambda z, w=_wanted, f=_fields: proto(z, w, **f))
for _text, _more in (("bytes", block(99, b"hello")), ("fixed 64", fixed64(98, 7)), ("fixed 32", bodies.key(97, 5) + b"abcd"),
                     ("group", bodies.key(96, 3) + number(1, 5) + bodies.key(96, 4))):
    row("2.5", f"an unknown field is skipped: {_text}", better=True)(
        lambda z, m=_more: (proto(z, {"name": "n"}, name="n", more=m)))


@row("2.5", "an unknown field loses no later span", better=True)
def _(z):
    trace = z.id()
    z.push(proto_list(proto_span(trace, "0000000000000002", more=block(99, b"x")), proto_span(trace, "0000000000000003")), kind=PROTO)
    expect("spans", len(z.trace(trace)), 2)


@row("2.5", "ids of 16 bytes, and short ones")
def _(z):
    trace = z.id()
    z.push(proto_list(proto_span("0000000000000001" + trace, "02")), kind=PROTO)
    expect("id", z.one("0000000000000001" + trace)["id"], "0000000000000002")


@row("2.5", "an id whose high half is zero is cut")
def _(z):
    trace = z.id()
    z.push(proto_list(proto_span("0" * 16 + trace, "0000000000000002")), kind=PROTO)
    expect("id", z.one(trace)["traceId"], trace)


table("2.5", lambda z, body, text=None: z.push_bad(text, body, kind=PROTO), [
    ("a traceId of 17 bytes", proto_list(proto_span(b"\1" * 17, "0000000000000002"))),
    ("an empty traceId", proto_list(proto_span(b"", "0000000000000002"))),
    ("no traceId", proto_list(block(3, b"\1" * 8))),
    ("a traceId of zeros", proto_list(proto_span(bytes(8), "0000000000000002"))),
    ("an id of 9 bytes", proto_list(proto_span(b"\1" * 8, b"\1" * 9))),
    ("no id", proto_list(block(1, b"\1" * 8))),
    ("an overlong length", b"\x0a\x15" + bytes(8) + b"\x01" * 12, "Truncated: length 21 > bytes available 20 reading List<Span> from proto3"),
    ("a message that is cut", proto_list(proto_span("0000000000000001", "0000000000000002", name="long name"))[:-3]),
    ("a varint that does not end", b"\x0a" + b"\xff" * 11),
    ("a port above 65535", proto_list(proto_span("0000000000000001", "0000000000000002", local=proto_endpoint("a", port=65536)))),
])

# 2.6

SHOP = host("shop", "1.2.3.4", 80)


def thrift(z, wanted, *fields, **named):
    trace = z.id()
    z.push(thrift_list(thrift_fields(int(trace, 16), 2, *fields, **named)), "/api/v1/spans", THRIFT)
    got = z.one(trace)
    expect("ids", (got.pop("traceId"), got.pop("id")), (trace, "0000000000000002"))
    expect("the rest", got, wanted)


SHOPPED = local(serviceName="shop", ipv4="1.2.3.4", port=80)
_cases = [
    ("name, in lower case", {"name": "get"}, {"name": "GET"}),
    ("parent", {"parentId": "ffffffffffffffff"}, {"parent": -1}),
    ("debug", {"debug": True}, {"debug": True}),
    ("timestamp and duration", {"timestamp": 5, "duration": 3}, {"ts": 5, "duration": 3}),
    ("an annotation with its host", {**SHOPPED, "annotations": [{"timestamp": 1, "value": "a"}]}, {"annotations": [(1, "a", SHOP)]}),
    ("an annotation at 0 is dropped", {}, {"annotations": [(0, "a", None)]}),
    ("a STRING is a tag", {**SHOPPED, "tags": {"k": "v"}}, {"binary": [("k", "string", "v", SHOP)]}),
    *[(f"{kind} is dropped", SHOPPED, {"binary": [("k", kind, value, SHOP), ("lc", "string", "", SHOP)]})
      for kind, value in (("bytes", b"\1\2"), ("i16", b"\0\1"), ("i32", bytes(4)), ("i64", bytes(8)), ("double", bytes(8)), ("bool", b"\1"))],
    ("BOOL sa with a host is the other side", {**SHOPPED, "remoteEndpoint": {"serviceName": "db"}},
     {"binary": [("lc", "string", "", SHOP), ("sa", "bool", b"\1", host("db"))]}),
    ("BOOL sa that is false is dropped", SHOPPED, {"binary": [("lc", "string", "", SHOP), ("sa", "bool", b"\0", host("db"))]}),
    ("BOOL sa without a host is dropped", SHOPPED, {"binary": [("lc", "string", "", SHOP), ("sa", "bool", b"\1", None)]}),
    ("an address of 0 is absent", local(serviceName="shop"), {"binary": [("lc", "string", "", host("shop", "0.0.0.0"))]}),
    ("a port above 32767", local(serviceName="shop", port=65535), {"binary": [("lc", "string", "", host("shop", port=-1))]}),
    ("IPv6", local(serviceName="shop", ipv6="2001:db8::1"), {"binary": [("lc", "string", "", host("shop", ipv6=IPV6))]}),
]
for _text, _wanted, _fields in _cases:
    row("2.6", _text)(lambda z, w=_wanted, f=_fields: thrift(z, w, **f))
for _text, _more in (("a string", (40, "string", "x")), ("an i64", (41, "i64", 5)), ("a struct", (42, "struct", [(1, "string", "x")])),
                     ("a list", (43, "list", ("i32", [1, 2]))), ("a bool", (44, "bool", True))):
    row("2.6", f"an unknown field is skipped: {_text}", better=True)(lambda z, m=_more: thrift(z, {"name": "n"}, name="n", more=[m]))


@row("2.6", "trace_id_high makes 32 digits")
def _(z):
    trace = z.id()
    z.push(thrift_list(thrift_fields(int(trace, 16), 2, high=1)), "/api/v1/spans", THRIFT)
    expect("id", z.one("0000000000000001" + trace)["traceId"], "0000000000000001" + trace)


@row("2.6", "a list of element type 11 is read all the same")
def _(z):
    trace = z.id()
    z.push(thrift_list(thrift_fields(int(trace, 16), 2), element=11), "/api/v1/spans", THRIFT)
    expect("spans", len(z.trace(trace)), 1)


@row("2.6", "bytes after the list are ignored")
def _(z):
    trace = z.id()
    z.push(thrift_list(thrift_fields(int(trace, 16), 2)) + b"more", "/api/v1/spans", THRIFT)
    expect("spans", len(z.trace(trace)), 1)


row("2.6", "a count of 0 is no spans")(lambda z: z.push(thrift_list(), "/api/v1/spans", THRIFT))
row("2.6", "a count below 0 is no spans")(lambda z: z.push(thrift_list(count=-1), "/api/v1/spans", THRIFT))

_GOOD = thrift_list(thrift_fields(1, 2, "name", annotations=[(1, "a", SHOP)]))
table("2.6", lambda z, body, text=None: z.push_bad(text, body, "/api/v1/spans", THRIFT), [
    ("traceId 0", thrift_list(thrift_fields(0, 2)), "..traceId == 0 reading List<Span> from TBinary"),
    ("id 0", thrift_list(thrift_fields(1, 0)), "..id == 0 reading List<Span> from TBinary"),
    ("short input", _GOOD[:-5], "..Truncated.."),
    ("a count that claims more", thrift_list(thrift_fields(1, 2), count=2)),
    ("a count of two thousand million", thrift_list(thrift_fields(1, 2), count=2_000_000_000)),
    ("a string longer than the message", _GOOD.replace(b"\0\0\0\4name", b"\x7f\xff\xff\xffname")),
    ("a string of a length below zero", _GOOD.replace(b"\0\0\0\4name", b"\xff\xff\xff\xffname")),
    ("the compact protocol", bytes([0x1C]) + bodies.compact_struct(thrift_fields(1, 2))),
])
