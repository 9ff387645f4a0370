"""Sections 2.3 and 2.4: reading v2 JSON, and the normal form of what every format says."""

import json

from harness import expect, row, table


def reads(z, more, wanted, ids=None):
    """A span of these fields, as JSON text or as a value, comes back with these."""
    trace = z.id()
    ids = ids or f'"traceId":"{trace}","id":"2"'
    text = more if isinstance(more, str) else json.dumps(more)[1:-1]
    z.push(f"[{{{ids}{',' if text else ''}{text}}}]")
    got = z.one(trace)
    expect("ids", (got.pop("traceId"), got.pop("id")), (trace, "0000000000000002"))
    expect("the rest", got, wanted)


# 2.3

table("2.3", reads, [
    ("an unknown field is skipped", '"new":{"a":[1,{"b":null}]},"name":"n"', {"name": "n"}),
    ("null is absent", '"name":null,"kind":null,"timestamp":null,"duration":null,"parentId":null,"localEndpoint":null,"remoteEndpoint":null,"annotations":null,"tags":null,"debug":null,"shared":null', {}),
    ("null within an endpoint is absent", '"localEndpoint":{"serviceName":"a","ipv4":null,"port":null}', {"localEndpoint": {"serviceName": "a"}}),
    ("a number as a string", '"timestamp":"12","duration":"3"', {"timestamp": 12, "duration": 3}),
    ("1.0 and 1e3 are whole", '"timestamp":1.0,"duration":1e3', {"timestamp": 1, "duration": 1000}),
    ("a tag's value may be a number", '"tags":{"a":1,"b":2.5}', {"tags": {"a": "1", "b": "2.5"}}),
    ("a name may be a number", '"name":7', {"name": "7"}),
    ("an annotation's value may be a number", '"annotations":[{"timestamp":1,"value":2}]', {"annotations": [{"timestamp": 1, "value": "2"}]}),
    ("CLIENT", '"kind":"CLIENT"', {"kind": "CLIENT"}),
    ("SERVER", '"kind":"SERVER"', {"kind": "SERVER"}),
    ("PRODUCER", '"kind":"PRODUCER"', {"kind": "PRODUCER"}),
    ("CONSUMER", '"kind":"CONSUMER"', {"kind": "CONSUMER"}),
    ("the last of two equal tags wins", '"tags":{"a":"1","a":"2"}', {"tags": {"a": "2"}}),
    ("the last of two equal fields wins", '"name":"a","name":"b"', {"name": "b"}),
    ("false is absent", '"debug":false,"shared":false', {}),
    ("true is true", '"debug":true,"shared":true', {"debug": True, "shared": True}),
    ("escapes are read", r'"name":"\u0061\n\ud83c\udf1e\/"', {"name": "a\n🌞/"}),
    ("white space anywhere", ' "name" : "n" , \n\t "timestamp" : 5 ', {"name": "n", "timestamp": 5}),
])
row("2.3", "a trace id may be a number")(
    lambda z: (z.push('[{"traceId":98765432109,"id":"2"}]'), expect("id", z.trace("98765432109")[0]["id"], "0000000000000002")))


def refuses(z, more, text=None, ids=None):
    ids = '"traceId":"1","id":"2"' if ids is None else ids
    z.push_bad(text, f"[{{{ids}{',' if ids and more else ''}{more}}}]")


table("2.3", refuses, [
    ("no id", "", "..Missing : id reading List<Span> from json", '"traceId":"1"'),
    ("no traceId", "", "..Missing : traceId reading List<Span> from json", '"id":"1"'),
    ("traceId is null", "", None, '"traceId":null,"id":"1"'),
    ("id is null", "", None, '"traceId":"1","id":null'),
    ("a tag is null", '"tags":{"a":null}', "..No value at $[0].tags.a.."),
    ("a tag is a boolean", '"tags":{"a":true}'),
    ("a tag is an object", '"tags":{"a":{}}'),
    ("a tag is a list", '"tags":{"a":[]}'),
    ("an annotation's value is null", '"annotations":[{"timestamp":1,"value":null}]'),
    ("an annotation's timestamp is null", '"annotations":[{"timestamp":null,"value":"a"}]'),
    ("an annotation without a timestamp", '"annotations":[{"value":"a"}]', "..Incomplete annotation at.."),
    ("an annotation without a value", '"annotations":[{"timestamp":1}]', "..Incomplete annotation at.."),
    ("a fraction", '"timestamp":1.5'),
    ("a number that is none", '"timestamp":"abc"'),
    ("kind INTERNAL", '"kind":"INTERNAL"'),
    ("kind in lower case", '"kind":"client"'),
    ("an empty kind", '"kind":""'),
    ("a name that is a boolean", '"name":true'),
    ("a name that is a list", '"name":[]'),
    ("tags that are a list", '"tags":[]'),
    ("annotations that are an object", '"annotations":{}'),
    ("an endpoint that is a string", '"localEndpoint":"a"'),
    ("a comment", '/* why */"name":"n"'),
    ("single quotes", "'name':'n'"),
    ("a trailing comma", '"name":"n",'),
    ("debug that is a number", '"debug":1'),
])
for _text, _body in (("a list that does not end", '[{"traceId":"1","id":"2"}'), ("a string that does not end", '[{"traceId":"1","id":"2'),
                     ("a number in the list", "[1]"), ("a list in the list", "[[]]"), ("a comma after the last span", '[{"traceId":"1","id":"2"},]'),
                     ("null in the list", "[null]")):
    row("2.3", f"{_text} is refused")(lambda z, b=_body: z.push_bad(None, b))

# 2.4


def id_reads(z, sent, wanted):
    """A trace id reads as another one. Rows share these ids, so only their presence counts."""
    z.push(f'[{{"traceId":"{sent}","id":"2","name":"n"}}]')
    expect("ids", {span["traceId"] for span in z.trace(wanted)}, {wanted})


table("2.4", id_reads, [
    ("traceId of 1 digit", "9", "0000000000000009"),
    ("traceId of 15 digits", "123456789abcdef", "0123456789abcdef"),
    ("traceId of 16 digits", "a23456789abcdef0", "a23456789abcdef0"),
    ("traceId of 17 digits", "1a23456789abcdef0", "0000000000000001a23456789abcdef0"),
    ("traceId of 31 digits", "123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    ("traceId of 32 digits", "f23456789abcdef0123456789abcdef0", "f23456789abcdef0123456789abcdef0"),
    ("traceId of 32 digits, half of them zero", "0000000000000000b23456789abcdef0", "b23456789abcdef0"),
    ("traceId of 32 digits, more than half zero", "00000000000000000000000000000c0d", "0000000000000c0d"),
    ("traceId of 20 digits with a zero high half", "0000d23456789abcdef0", "d23456789abcdef0"),
], better=("traceId of 20 digits with a zero high half",))

table("2.4", lambda z, ids, text: refuses(z, "", text, ids), [
    ("an empty traceId", '"traceId":"","id":"1"', "..traceId is empty.."),
    ("traceId of 33 digits", '"traceId":"%s","id":"1"' % ("1" * 33), "..traceId.length > 32.."),
    ("traceId of zeros", '"traceId":"0000000000000000","id":"1"', "..traceId is all zeros.."),
    ("traceId of 32 zeros", '"traceId":"%s","id":"1"' % ("0" * 32), "..traceId is all zeros.."),
    ("traceId in capitals", '"traceId":"ABC","id":"1"', "..ABC should be lower-hex encoded with no prefix.."),
    ("traceId with a prefix", '"traceId":"0x1","id":"1"', "..0x1 should be lower-hex encoded with no prefix.."),
    ("traceId with a dash", '"traceId":"a-b","id":"1"', "..a-b should be lower-hex encoded with no prefix.."),
    ("an empty id", '"traceId":"1","id":""', "..id is empty.."),
    ("id of 17 digits", '"traceId":"1","id":"12345678901234567"', "..id.length > 16.."),
    ("id of 16 zeros", '"traceId":"1","id":"0000000000000000"', "..id is all zeros.."),
    ("id in capitals", '"traceId":"1","id":"F"', "..F should be lower-hex encoded with no prefix.."),
    ("an empty parentId", '"traceId":"1","id":"1","parentId":""', "..parentId is empty.."),
    ("parentId of 17 digits", '"traceId":"1","id":"1","parentId":"12345678901234567"', "..parentId.length > 16.."),
    ("port above 65535", '"traceId":"1","id":"1","localEndpoint":{"port":65536}', "..invalid port 65536.."),
])


@row("2.4", "an id of one zero is an id of zero")
def _(z):
    trace = z.id()
    z.push(f'[{{"traceId":"{trace}","id":"0"}}]')
    expect("id", z.one(trace)["id"], "0000000000000000")


def local(**fields):
    return {"localEndpoint": fields}


table("2.4", reads, [
    ("a parent of zeros is none", {"parentId": "0000000000000000"}, {}),
    ("a parent that is the span itself is none", {"parentId": "2"}, {}),
    ("a short parent is padded", {"parentId": "a"}, {"parentId": "000000000000000a"}),
    ("names in lower case", {"name": "GET Ä", **local(serviceName="ShOP")}, {"name": "get ä", **local(serviceName="shop")}),
    ("names are not trimmed", {"name": " n ", **local(serviceName=" s ")}, {"name": " n ", **local(serviceName=" s ")}),
    ("an empty name is absent", {"name": "", **local(serviceName="")}, {}),
    ("tags and annotations stay as they are", {"tags": {"Key": " Value "}, "annotations": [{"timestamp": 1, "value": " V "}]},
     {"tags": {"Key": " Value "}, "annotations": [{"timestamp": 1, "value": " V "}]}),
    ("an empty tag stays", {"tags": {"a": ""}}, {"tags": {"a": ""}}),
    ("times of zero are absent", {"timestamp": 0, "duration": 0}, {}),
    ("times below zero are absent", {"timestamp": -1, "duration": -1}, {}),
    ("a duration of one stays", {"timestamp": 1, "duration": 1}, {"timestamp": 1, "duration": 1}),
    ("an empty endpoint is absent", local(), {}),
    ("an endpoint of port 0 is absent", local(port=0), {}),
    ("an endpoint with a bad address is absent", local(ipv4="nonsense"), {}),
    ("port -1 is absent", local(serviceName="a", port=-1), local(serviceName="a")),
    ("port 65535 stays", local(port=65535), local(port=65535)),
    ("IPv4 in the field for IPv6", local(ipv6="1.2.3.4"), local(ipv4="1.2.3.4")),
    ("IPv6 in the field for IPv4", local(ipv4="2001:db8::1"), local(ipv6="2001:db8::1")),
    ("a mapped address is IPv4", local(ipv6="::ffff:1.2.3.4"), local(ipv4="1.2.3.4")),
    ("a compatible address is IPv4", local(ipv6="::1.2.3.4"), local(ipv4="1.2.3.4")),
    ("an address mapped in hexadecimal stays", local(ipv6="::ffff:102:304"), local(ipv6="::ffff:102:304")),
    ("a zone is ignored, address and all", local(serviceName="a", ipv6="fe80::1%eth0"), local(serviceName="a")),
    ("brackets are ignored, address and all", local(serviceName="a", ipv6="[2001:db8::1]"), local(serviceName="a")),
    ("a host name is ignored", local(serviceName="a", ipv4="localhost"), local(serviceName="a")),
    ("three numbers are no address", local(serviceName="a", ipv4="1.2.3"), local(serviceName="a")),
    ("IPv6 in lower case, without leading zeros", local(ipv6="2001:0DB8:0001:0002:0003:0004:0005:0006"), local(ipv6="2001:db8:1:2:3:4:5:6")),
    ("the first longest run of zeros is shortened", local(ipv6="2001:0:0:1:0:0:0:1"), local(ipv6="2001:0:0:1::1")),
    ("a single zero is shortened", local(ipv6="2001:db8:0:1:1:1:1:1"), local(ipv6="2001:db8::1:1:1:1:1")),
    ("::1 stays", local(ipv6="::1"), local(ipv6="::1")),
    ("shared on a client is dropped", {"kind": "CLIENT", "shared": True}, {"kind": "CLIENT"}),
    ("shared on a server stays", {"kind": "SERVER", "shared": True}, {"kind": "SERVER", "shared": True}),
    ("shared without a kind stays", {"shared": True}, {"shared": True}),
])
