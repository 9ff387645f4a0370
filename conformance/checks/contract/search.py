"""Sections 1.3, 1.4 and 1.5: what a search finds, its little language, and the JSON that is written."""

import json

from harness import expect, row, table

# 1.3


def span(z, trace, number="1", **more):
    return {"traceId": trace, "id": number, **more}


def one_trace(z, service, *spans, at=None):
    """Stores a trace of the service, beginning at `at`; returns its id."""
    trace, at = z.id(), at or z.time()
    z.push([
        {"traceId": trace, "id": str(n + 1), "timestamp": at, "localEndpoint": {"serviceName": service}, **more}
        for n, more in enumerate(spans or [{}])
    ])
    return trace


def search(z, at, **parameters):
    """The ids found within half an hour of `at`, as they are ordered."""
    found = z.ok("/api/v2/traces", endTs=at // 1000 + 600_000, lookback=1_200_000, **parameters)
    return [trace[0]["traceId"] for trace in found]


def finds(z, spans, wanted, **parameters):
    """Whether a trace of these spans is found by these parameters beside its service."""
    service, at = z.service(), z.time()
    trace = one_trace(z, service, *spans, at=at)
    expect(f"found by {parameters}", search(z, at, serviceName=service, **parameters), [trace] if wanted else [])


table("1.3", lambda z, parameters, text: z.refused(400, text, "/api/v2/traces", **parameters), [
    ("endTs=0", {"endTs": 0}, "endTs <= 0"),
    ("limit=0", {"limit": 0}, "limit <= 0"),
    ("limit=-1", {"limit": -1}, "limit <= 0"),
    ("lookback=0", {"lookback": 0}, "lookback <= 0"),
    ("minDuration=0", {"minDuration": 0}, "minDuration <= 0"),
    ("maxDuration below minDuration", {"minDuration": 2, "maxDuration": 1}, "maxDuration < minDuration"),
    ("maxDuration alone", {"maxDuration": 1}, "maxDuration is only valid with minDuration"),
    ("endTs is looked at before limit", {"endTs": 0, "limit": 0, "lookback": 0}, "endTs <= 0"),
    ("limit is looked at before lookback", {"limit": 0, "lookback": 0}, "limit <= 0"),
    ("lookback is looked at before minDuration", {"lookback": 0, "minDuration": 0}, "lookback <= 0"),
])

A, B = "service", "other"
table("1.3", finds, [
    ("serviceName in capitals is looked up in lower case", [{"name": "a"}], True),
    ("equal bounds of duration are inclusive", [{"duration": 100}], True),
])
_cases = [
    ("spanName matches in any case", [{"name": "Get"}], True, {"spanName": "GET"}),
    ("spanName must be equal", [{"name": "get"}], False, {"spanName": "ge"}),
    ("an empty spanName is absent", [{"name": "get"}], True, {"spanName": ""}),
    ("spanName all is absent", [{"name": "get"}], True, {"spanName": "all"}),
    ("spanName ALL is absent", [{"name": "get"}], True, {"spanName": "ALL"}),
    ("remoteServiceName matches in any case", [{"remoteEndpoint": {"serviceName": "Db"}}], True, {"remoteServiceName": "dB"}),
    ("remoteServiceName must be there", [{}], False, {"remoteServiceName": "db"}),
    ("an empty remoteServiceName is absent", [{}], True, {"remoteServiceName": ""}),
    ("minDuration is inclusive", [{"duration": 100}], True, {"minDuration": 100}),
    ("minDuration excludes what is shorter", [{"duration": 99}], False, {"minDuration": 100}),
    ("maxDuration is inclusive", [{"duration": 200}], True, {"minDuration": 100, "maxDuration": 200}),
    ("maxDuration excludes what is longer", [{"duration": 201}], False, {"minDuration": 100, "maxDuration": 200}),
    ("a span without duration counts as 0", [{}], False, {"minDuration": 1}),
    ("any span's duration counts, not only the root's", [{"duration": 1}, {"parentId": "1", "duration": 500}], True, {"minDuration": 400}),
    ("one span satisfies the name, another the duration", [{"name": "a", "duration": 1}, {"name": "b", "duration": 500, "parentId": "1"}], True, {"spanName": "a", "minDuration": 400}),
    ("one span satisfies one term, another the other", [{"tags": {"a": "1"}}, {"tags": {"b": "2"}}], True, {"annotationQuery": "a=1 and b=2"}),
    ("a term that no span satisfies", [{"tags": {"a": "1"}}], False, {"annotationQuery": "a=1 and b=2"}),
]
for _text, _spans, _wanted, _parameters in _cases:
    row("1.3", _text)(lambda z, s=_spans, w=_wanted, p=_parameters: finds(z, s, w, **p))


@row("1.3", "T is inclusive at both ends of the window")
def _(z):
    service, at = z.service(), z.time()
    trace = one_trace(z, service, at=at)
    ms = at // 1000
    for end, lookback in ((ms, 1), (ms + 10, 10), (ms, 1000)):
        found = z.ok("/api/v2/traces", serviceName=service, endTs=end, lookback=lookback)
        expect(f"endTs={end - ms:+} lookback={lookback}", [t[0]["traceId"] for t in found], [trace])
    for end, lookback in ((ms - 1, 1000), (ms + 11, 10)):
        found = z.ok("/api/v2/traces", serviceName=service, endTs=end, lookback=lookback)
        expect(f"endTs={end - ms:+} lookback={lookback}", found, [])


@row("1.3", "a root before the window does not match, though its children are inside")
def _(z):
    service, at = z.service(), z.time()
    one_trace(z, service, {}, {"parentId": "1", "timestamp": at + 60_000_000}, at=at)
    found = z.ok("/api/v2/traces", serviceName=service, endTs=at // 1000 + 90_000, lookback=60_000)
    expect("found", found, [])


@row("1.3", "a root inside the window with spans after it does match, whole")
def _(z):
    service, at = z.service(), z.time()
    one_trace(z, service, {}, {"parentId": "1", "timestamp": at + 60_000_000}, at=at)
    (trace,) = z.ok("/api/v2/traces", serviceName=service, endTs=at // 1000 + 1000, lookback=2000)
    expect("spans", len(trace), 2)


@row("1.3", "without a root that has a timestamp, the smallest timestamp counts")
def _(z):
    service, at = z.service(), z.time()
    one_trace(z, service, {"parentId": "f", "timestamp": at + 60_000_000}, {"parentId": "f"}, at=at)
    (trace,) = z.ok("/api/v2/traces", serviceName=service, endTs=at // 1000, lookback=1)
    expect("spans", len(trace), 2)


@row("1.3", "a trace without any timestamp is not found")
def _(z):
    service, trace = z.service(), z.id()
    z.push([span(z, trace, localEndpoint={"serviceName": service})])
    expect("found", z.ok("/api/v2/traces", serviceName=service), [])
    expect("by its id", len(z.trace(trace)), 1)


@row("1.3", "a remote name does not satisfy serviceName")
def _(z):
    service, at = z.service(), z.time()
    one_trace(z, z.service(), {"remoteEndpoint": {"serviceName": service}}, at=at)
    expect("found", search(z, at, serviceName=service), [])


@row("1.3", "only the service's own spans satisfy the other filters")
def _(z):
    service, other, at = z.service(), z.service(), z.time()
    one_trace(z, service, {"name": "mine"}, {"name": "theirs", "localEndpoint": {"serviceName": other}, "parentId": "1"}, at=at)
    expect("theirs of mine", search(z, at, serviceName=service, spanName="theirs"), [])
    expect("theirs of theirs", len(search(z, at, serviceName=other, spanName="theirs")), 1)


@row("1.3", "without serviceName any service's spans satisfy the filters")
def _(z):
    tag, at = z.service(), z.time()
    trace = one_trace(z, z.service(), {"tags": {"which": tag}}, at=at)
    expect("found", search(z, at, annotationQuery=f"which={tag}"), [trace])


@row("1.3", "newest first, and limit keeps the newest")
def _(z):
    service, at = z.service(), z.time()
    ids = [one_trace(z, service, at=at + n * 1_000_000) for n in range(4)]
    expect("order", search(z, at, serviceName=service), ids[::-1])
    expect("limit", search(z, at, serviceName=service, limit=2), ids[::-1][:2])


@row("1.3", "ten by default, and no cap on limit")
def _(z):
    service, at = z.service(), z.time()
    for n in range(12):
        one_trace(z, service, at=at + n * 1000)
    expect("default", len(search(z, at, serviceName=service)), 10)
    expect("more", len(search(z, at, serviceName=service, limit=1_000_000)), 12)


@row("1.3", "no cap on lookback")
def _(z):
    expect("status", z.get("/api/v2/traces", lookback=9_000_000_000_000).status, 200)


@row("1.3", "traces come whole and raw: the halves of a shared span are not merged")
def _(z):
    service, at, trace = z.service(), z.time(), z.id()
    z.push([
        span(z, trace, kind="CLIENT", timestamp=at, duration=10, localEndpoint={"serviceName": service}),
        span(z, trace, kind="SERVER", shared=True, timestamp=at + 100, duration=10, localEndpoint={"serviceName": "b" + service}),
    ])
    (found,) = z.ok("/api/v2/traces", serviceName=service, endTs=at // 1000 + 1000, lookback=2000)
    expect("spans", sorted((s["kind"], s["timestamp"] - at) for s in found), [("CLIENT", 0), ("SERVER", 100)])


@row("1.3", "lookback is a day by default")
def _(z):
    service, at = z.service(), z.time()
    one_trace(z, service, at=at)
    ms = at // 1000
    expect("within", len(z.ok("/api/v2/traces", serviceName=service, endTs=ms + 86_400_000)), 1)
    expect("beyond", z.ok("/api/v2/traces", serviceName=service, endTs=ms + 86_400_001), [])


@row("1.3", "QUERY_LOOKBACK changes that", env={"QUERY_LOOKBACK": "1000"})
def _(z):
    service, at = z.service(), z.time()
    one_trace(z, service, at=at)
    ms = at // 1000
    expect("within", len(z.ok("/api/v2/traces", serviceName=service, endTs=ms + 1000)), 1)
    expect("beyond", z.ok("/api/v2/traces", serviceName=service, endTs=ms + 1001), [])


# 1.4

TAGGED = {"tags": {"foo": "bar", "a": "b=c", "empty": "", "http.path": "/x y"}, "annotations": [{"timestamp": 1, "value": "hello"}]}
table("1.4", lambda z, query, wanted: finds(z, [TAGGED], wanted, annotationQuery=query), [
    ("key: an annotation's value", "hello", True),
    ("key: a tag's name", "foo", True),
    ("key: a tag with an empty value", "empty", True),
    ("key: neither", "bar", False),
    ("key=value: a tag", "foo=bar", True),
    ("key=value: exact", "foo=ba", False),
    ("key=value: letter case counts", "foo=BAR", False),
    ("key=value: no annotation", "hello=hello", False),
    ("the first = splits", "a=b=c", True),
    ("foo= is foo", "foo=", True),
    ("an empty tag is not found by a value", "empty=1", False),
    (" and joins", "foo=bar and hello", True),
    (" and joins: all must match", "foo=bar and nothing", False),
    ("foo and foo=bar is foo=bar", "foo and foo=bar", True),
    ("foo=nope and foo is foo=nope", "foo=nope and foo", False),
    ("the last of two values wins", "foo=nope and foo=bar", True),
    ("the last of two values wins, the other way", "foo=bar and foo=nope", False),
    ("AND in capitals joins nothing", "foo AND hello", False),
    ("=x has an empty key, which matches nothing", "=x", False),
    ("both sides are trimmed", "  foo = bar  and  hello ", True),
    ("a value may have spaces", "http.path=/x y", True),
    ("an empty query is none", "", True),
])

# 1.5


def written(z, more, wanted):
    """The text of a trace of one span, with its id left out."""
    trace = z.id()
    z.push([{"traceId": trace, "id": "2", **more}])
    text = z.get(f"/api/v2/trace/{trace}").text
    expect("text", text, "[{" + f'"traceId":"{trace}",' + wanted + "}]")


table("1.5", written, [
    ("fields in Zipkin's order, compact", {
        "shared": True, "debug": True, "tags": {"z": "1", "a": "2"}, "annotations": [{"value": "v", "timestamp": 5}],
        "remoteEndpoint": {"port": 2, "ipv6": "::1", "ipv4": "1.2.3.5", "serviceName": "b"},
        "localEndpoint": {"port": 1, "ipv4": "1.2.3.4", "serviceName": "a"}, "duration": 3, "timestamp": 2, "name": "n",
        "kind": "SERVER", "parentId": "1"},
     '"parentId":"0000000000000001","id":"0000000000000002","kind":"SERVER","name":"n","timestamp":2,"duration":3,'
     '"localEndpoint":{"serviceName":"a","ipv4":"1.2.3.4","port":1},'
     '"remoteEndpoint":{"serviceName":"b","ipv4":"1.2.3.5","ipv6":"::1","port":2},'
     '"annotations":[{"timestamp":5,"value":"v"}],"tags":{"a":"2","z":"1"},"debug":true,"shared":true'),
    ("what says nothing is absent", {
        "name": "", "timestamp": 0, "duration": 0, "localEndpoint": {}, "remoteEndpoint": {"serviceName": ""},
        "annotations": [], "tags": {}, "debug": False, "shared": False},
     '"id":"0000000000000002"'),
    ("annotations by time, then value, each once", {"annotations": [
        {"timestamp": 2, "value": "b"}, {"timestamp": 1, "value": "z"}, {"timestamp": 2, "value": "a"}, {"timestamp": 2, "value": "b"}]},
     '"id":"0000000000000002","annotations":[{"timestamp":1,"value":"z"},{"timestamp":2,"value":"a"},{"timestamp":2,"value":"b"}]'),
    ("short escapes", {"tags": {"k": '"\\\t\b\n\r\f'}}, '"id":"0000000000000002","tags":{"k":"\\"\\\\\\t\\b\\n\\r\\f"}'),
    ("other control characters", {"tags": {"k": "\x01\x1f"}}, '"id":"0000000000000002","tags":{"k":"\\u0001\\u001f"}'),
    ("slash and DEL stay", {"tags": {"k": "/\x7f"}}, '"id":"0000000000000002","tags":{"k":"/\x7f"}'),
    ("U+2028 and U+2029 are escaped", {"tags": {"k": "a\u2028b\u2029c"}}, '"id":"0000000000000002","tags":{"k":"a\\u2028b\\u2029c"}'),
    ("beyond the basic plane stays UTF-8", {"tags": {"k": "🌞é"}}, '"id":"0000000000000002","tags":{"k":"🌞é"}'),
    ("U+2028 beside other letters leaves no NULs", {"tags": {"k": "é\u2028ü"}}, '"id":"0000000000000002","tags":{"k":"é\\u2028ü"}'),
], better=("U+2028 beside other letters leaves no NULs",))


@row("1.5", "tags in the order of UTF-16 code units")
def _(z):
    trace = z.id()
    z.push([{"traceId": trace, "id": "2", "tags": {"\uff5e": "1", "🌞": "2", "a": "3"}}])
    text = z.get(f"/api/v2/trace/{trace}").text
    expect("keys", list(json.loads(text)[0]["tags"]), ["a", "🌞", "\uff5e"])


@row("1.5", "a lone surrogate becomes a question mark")
def _(z):
    trace = z.id()
    z.push('[{"traceId":"%s","id":"2","tags":{"k":"a\\ud800b"}}]' % trace)
    expect("tag", z.one(trace)["tags"]["k"] in ("a?b", "a\ufffdb"), True)


@row("1.5", "a link: parent, child, callCount, errorCount only if there are any")
def _(z):
    at, trace = z.time(), z.id()
    z.push([{"traceId": trace, "id": "1", "kind": "CLIENT", "timestamp": at, "localEndpoint": {"serviceName": "L-a"}, "remoteEndpoint": {"serviceName": "L-B"}}])
    text = z.get("/api/v2/dependencies", endTs=at // 1000 + 1000, lookback=2000).text
    expect("text", text, '[{"parent":"l-a","child":"l-b","callCount":1}]')
    z.push([{"traceId": trace, "id": "2", "parentId": "1", "kind": "CLIENT", "timestamp": at, "tags": {"error": ""}, "localEndpoint": {"serviceName": "L-a"}, "remoteEndpoint": {"serviceName": "L-c"}}])
    links = z.ok("/api/v2/dependencies", endTs=at // 1000 + 1000, lookback=2000)
    expect("with an error", [link.get("errorCount") for link in links if link["child"] == "l-c"], [1])


@row("1.5", "an empty list is []")
def _(z):
    expect("text", z.get("/api/v2/spans", serviceName="nobody").text, "[]")
