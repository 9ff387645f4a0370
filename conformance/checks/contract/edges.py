"""Section 7: cases that clients or operators rely on, by their numbers there."""

import bodies
from collect import REPORT, frame, trailers
from harness import expect, gzipped, row

V1, V2 = "/api/v1/spans", "/api/v2/spans"
GZIP = {"Content-Encoding": "gzip"}


def case(number, text, env=None, better=False):
    return row("7", f"case {number}: {text}", env, better)


def span(z, **more):
    return {"traceId": z.id(), "id": "2", **more}


def back(z, **more):
    """A span goes and comes back."""
    one = span(z, **more)
    z.push([one])
    got = z.one(one["traceId"])
    expect("fields", {key: got.get(key) for key in more}, more)


case(1, "an empty list and an empty body are 202")(lambda z: (z.push(b"[]"), z.push(b"")))
case(2, "gzip of nothing is a 400")(lambda z: z.push_bad("Cannot gunzip spans", gzipped(b""), headers=GZIP))
case(3, "gzip with any type is a 202")(lambda z: z.push(gzipped('[{"traceId":"%s","id":"2"}]' % z.id()), kind="text/html", headers=GZIP))


@case(4, "no type, or text/plain, is JSON")
def _(z):
    z.push([span(z)], kind=None)
    z.push([span(z)], kind="text/plain")


case(5, "a charset is fine")(lambda z: z.push([span(z)], kind="application/json; charset=utf-8"))
case(6, "thrift to v2 is a 400")(
    lambda z: z.push_bad(None, bodies.thrift_list(bodies.thrift_fields(1, 2)), V2, "application/x-thrift"))
case(7, "protobuf to v1 is a 400")(
    lambda z: z.push_bad(None, bodies.proto_list(bodies.proto_span("0000000000000001", "0000000000000002")), V1, "application/x-protobuf"))


@case(8, "v1 to v2, and v2 to v1, are told apart")
def _(z):
    z.push_bad("..but received: JSON_V1..", b'[{"traceId":"1","id":"2","binaryAnnotations":[]}]', V2)
    z.push_bad("..but received: JSON_V2..", b'[{"traceId":"1","id":"2","localEndpoint":{"serviceName":"a"}}]', V1)


case(9, "a single object is a 400")(lambda z: z.push_bad("Expected a JSON_V2 encoded list\n", b'{"traceId":"1","id":"2"}'))


@case(10, "one bad span among good: nothing is stored")
def _(z):
    trace = z.id()
    z.push_bad(None, [{"traceId": trace, "id": "1"}, {"traceId": trace, "id": ""}, {"traceId": trace, "id": "3"}])
    expect("status", z.get(f"/api/v2/trace/{trace}").status, 404)


case(11, "a header b3: 0 is ignored")(lambda z: z.push([span(z)], headers={"b3": "0"}))
case(12, "unknown fields are ignored")(lambda z: z.push([span(z, new={"a": [1]})]))
case(13, "kind INTERNAL is a 400")(lambda z: z.push_bad(None, [span(z, kind="INTERNAL")]))


@case(14, "a tag's number becomes text; booleans and null are a 400")
def _(z):
    trace = z.id()
    z.push('[{"traceId":"%s","id":"2","tags":{"a":5}}]' % trace)
    expect("tag", z.one(trace)["tags"], {"a": "5"})
    for value in ("true", "null"):
        z.push_bad(None, '[{"traceId":"1","id":"2","tags":{"a":%s}}]' % value)


@case(15, "ids in capitals are a 400, in JSON and in a path")
def _(z):
    z.push_bad("..ABC should be lower-hex encoded with no prefix..", '[{"traceId":"ABC","id":"2"}]')
    z.refused(400, "ABC should be lower-hex encoded with no prefix", "/api/v2/trace/ABC")


case(16, "a dash in a path's id is a 400")(
    lambda z: z.refused(400, "0e8b46e1-81b should be lower-hex encoded with no prefix", "/api/v2/trace/0e8b46e1-81b"))


@case(17, "a space behind a path's id is trimmed")
def _(z):
    one = span(z)
    z.push([one])
    expect("spans", len(z.ok(f"/api/v2/trace/{one['traceId']}%20")), 1)


@case(18, "a short id in a path finds the padded one")
def _(z):
    z.push('[{"traceId":"00000000000000e7","id":"2"}]')
    expect("id", z.trace("e7")[0]["traceId"], "00000000000000e7")


case(19, "/trace/0 is a 400")(lambda z: z.refused(400, "traceId is all zeros", "/api/v2/trace/0"))


@case(20, "32 digits with a zero high half are the 16 digits")
def _(z):
    one = span(z)
    z.push([one])
    expect("id", z.trace("0" * 16 + one["traceId"])[0]["traceId"], one["traceId"])


case(21, "an unknown trace is a 404 with its id")(lambda z: z.refused(404, "00000000deadbeef not found", "/api/v2/trace/deadbeef"))


@case(22, "traceMany with some unknown finds the others")
def _(z):
    one = span(z)
    z.push([one])
    found = z.ok("/api/v2/traceMany", traceIds=f"{one['traceId']},deadbeef")
    expect("ids", [trace[0]["traceId"] for trace in found], [one["traceId"]])


case(23, "traceMany with none is an empty list")(lambda z: expect("found", z.ok("/api/v2/traceMany", traceIds="fa1,fb1"), []))
case(24, "traces without parameters")(lambda z: expect("at most ten", len(z.ok("/api/v2/traces")) <= 10, True))


@case(25, "limit, lookback and endTs of 0")
def _(z):
    for name in ("limit", "lookback", "endTs"):
        z.refused(400, f"{name} <= 0", "/api/v2/traces", **{name: 0})


case(26, "maxDuration alone is a 400")(
    lambda z: z.refused(400, "maxDuration is only valid with minDuration", "/api/v2/traces", maxDuration=1))


@case(27, "spanName=all and serviceName= are no filters")
def _(z):
    at = z.time()
    z.push([span(z, timestamp=at, name="x")])
    found = z.ok("/api/v2/traces", spanName="all", serviceName="", endTs=at // 1000 + 1, lookback=1000)
    expect("found", len(found), 1)


@case(28, "serviceName=FrontEnd finds frontend")
def _(z):
    at, service = z.time(), z.service()
    z.push([span(z, timestamp=at, localEndpoint={"serviceName": service})])
    expect("found", len(z.ok("/api/v2/traces", serviceName=service.upper(), endTs=at // 1000 + 1, lookback=1000)), 1)


@case(29, "service names with a tab or beyond ASCII")
def _(z):
    for odd in ("\t", "é大"):
        service = z.service() + odd
        z.push([span(z, name="n", localEndpoint={"serviceName": service})])
        expect("listed", service in z.ok("/api/v2/services"), True)
        expect("span names", z.ok("/api/v2/spans", serviceName=service), ["n"])


@case(30, "client and server of one id come back as two")
def _(z):
    trace = z.id()
    z.push([{"traceId": trace, "id": "2", "kind": "CLIENT"}, {"traceId": trace, "id": "2", "kind": "SERVER", "shared": True}])
    expect("kinds", [(s["kind"], s.get("shared")) for s in z.trace(trace)], [("CLIENT", None), ("SERVER", True)])


@case(31, "a duration that comes later: two rows, and the search by duration works")
def _(z):
    at, trace, service = z.time(), z.id(), z.service()
    z.push([{"traceId": trace, "id": "2", "timestamp": at, "localEndpoint": {"serviceName": service}}])
    z.push([{"traceId": trace, "id": "2", "timestamp": at, "duration": 500, "localEndpoint": {"serviceName": service}}])
    (found,) = z.ok("/api/v2/traces", serviceName=service, minDuration=500, endTs=at // 1000 + 1, lookback=1000)
    expect("rows", len(found), 2)


@case(32, "without a timestamp: in /trace, not in a search")
def _(z):
    service = z.service()
    one = span(z, localEndpoint={"serviceName": service})
    z.push([one])
    expect("by id", len(z.trace(one["traceId"])), 1)
    expect("search", z.ok("/api/v2/traces", serviceName=service), [])


case(33, "a name that is JSON, keys that begin alike")(
    lambda z: back(z, name='{"a":"b\'c"}', tags={"http.path": "/x", "http.path.morepath": "/y"}))
case(34, "long tags")(lambda z: back(z, tags={"long": "xyz" * 5000}))


@case(35, "an empty error tag is an error, in links and in queries")
def _(z):
    at, service = z.time(), z.service()
    z.push([span(z, timestamp=at, kind="CLIENT", tags={"error": ""}, localEndpoint={"serviceName": service}, remoteEndpoint={"serviceName": "db"})])
    expect("links", z.links(at), [[service, "db", 1, 1]])
    found = z.ok("/api/v2/traces", serviceName=service, annotationQuery="error", endTs=at // 1000 + 1, lookback=1000)
    expect("found", len(found), 1)


@case(36, "no hidden limits: 101 spans, 12 links, 1000 traces")
def _(z):
    at, trace, service = z.time(), z.id(), z.service()
    z.push([
        {"traceId": trace, "id": f"{n + 1:x}", "timestamp": at, "kind": "CLIENT", "localEndpoint": {"serviceName": service}, "remoteEndpoint": {"serviceName": f"r{n % 12}"}}
        | ({"parentId": "1"} if n else {})
        for n in range(101)
    ])
    expect("spans", len(z.trace(trace)), 101)
    # Of the root, which is a client with children, its children tell.
    expect("links", len(z.links(at)), 12)
    at, service = z.time(), z.service()
    z.push([span(z, timestamp=at, localEndpoint={"serviceName": service}) for _ in range(1000)])
    expect("traces", len(z.ok("/api/v2/traces", serviceName=service, limit=2000, endTs=at // 1000 + 1, lookback=1000)), 1000)


@case(37, "a message sent twice doubles no link")
def _(z):
    at = z.time()
    body = [span(z, timestamp=at, kind="CLIENT", localEndpoint={"serviceName": "a"}, remoteEndpoint={"serviceName": "b"})]
    z.push(body)
    z.push(body)
    expect("links", z.links(at), [["a", "b", 1, 0]])


@case(38, "links of another day's window")
def _(z):
    at = z.time()
    day = 86_400_000_000 * 400
    for when, name in ((at - day, "yesterday"), (at - day + 86_400_000_000, "today")):
        z.push([span(z, timestamp=when, kind="CLIENT", localEndpoint={"serviceName": "a"}, remoteEndpoint={"serviceName": name})])
    expect("links", z.links(at - day), [["a", "yesterday", 1, 0]])


@case(39, "64 and 128 bits in one trace are one link, even when strict")
def _(z):
    at, low = z.time(), z.id()
    z.push([
        {"traceId": low, "id": "2", "timestamp": at, "kind": "CLIENT", "localEndpoint": {"serviceName": "a"}},
        {"traceId": "1".rjust(16, "0") + low, "id": "2", "timestamp": at, "kind": "SERVER", "shared": True, "localEndpoint": {"serviceName": "b"}},
    ])
    expect("links", z.links(at), [["a", "b", 1, 0]])


@case(40, "the same span twice is stored once")
def _(z):
    one = span(z, timestamp=5, tags={"a": "b"})
    z.push([one])
    z.push([one])
    expect("spans", len(z.trace(one["traceId"])), 1)


@case(41, "a preflight for a push of JSON")
def _(z):
    answer = z.ask("OPTIONS", V2, headers={"Origin": "http://a.example", "Access-Control-Request-Method": "POST",
                                           "Access-Control-Request-Headers": "content-type"})
    expect("status", answer.status, 200)
    expect("headers", "content-type" in (answer.header("access-control-allow-headers") or ""), True)


@case(42, "/ leads to /zipkin/, relative, so that proxies work")
def _(z):
    answer = z.get("/")
    expect("answer", (answer.status, answer.header("location")), (302, "/zipkin/"))


case(44, "no /config.json at the root, only /zipkin/config.json")(lambda z: (
    expect("root", z.get("/config.json").status, 404), expect("zipkin", z.get("/zipkin/config.json").status, 200)))


@case(45, "debug spans are stored whatever the rate", env={"COLLECTOR_SAMPLE_RATE": "0"})
def _(z):
    one = span(z, debug=True)
    z.push([one])
    expect("debug", z.one(one["traceId"])["debug"], True)


@case(46, "gRPC Report of bad bytes: 200 and status 13")
def _(z):
    answer = z.post(REPORT, frame(b"\x0a\x05hello"), "application/grpc-web+proto")
    expect("status", (answer.status, trailers(answer)), (200, "13"))


case(48, "few services are not cached", env={"_few": "services"})(
    lambda z: expect("header", z.get("/api/v2/services").header("cache-control"), None))
