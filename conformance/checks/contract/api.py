"""Sections 1.1, 1.2 and 1.6: what holds on every path, each endpoint, health and metrics."""

import gzip
import json
import socket

from harness import Mismatch, expect, expect_in, gzipped, row


def span(z, **more):
    return {"traceId": z.id(), "id": "2", "timestamp": z.time(), "localEndpoint": {"serviceName": z.service()}, **more}


def raw(z, request):
    """What comes back for these bytes, up to the end of the connection or a pause."""
    with socket.create_connection((z.host, z.port), timeout=3) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() if isinstance(request, str) else request)
        out = b""
        try:
            while chunk := connection.recv(65536):
                out += chunk
        except TimeoutError:
            pass
        return out.decode("utf-8", "replace")


# 1.1


@row("1.1", "an unknown path is a 404")
def _(z):
    expect("status", z.get("/nothing/here").status, 404)


@row("1.1", "no GET /api/v1/spans remains")
def _(z):
    expect("status", z.get("/api/v1/spans").status, 404)


@row("1.1", "an API path with another method is a 404")
def _(z):
    for path in ("/api/v2/services", "/api/v2/traces", "/api/v2/dependencies?endTs=1"):
        expect(path, z.post(path, b"").status, 404)


@row("1.1", "the collectors are not under /zipkin")
def _(z):
    answer = z.post("/zipkin/api/v2/spans", [span(z)])
    expect("one of 404 and 405", answer.status in (404, 405), True)


@row("1.1", "TRACE is a 405 on any path")
def _(z):
    for path in ("/api/v2/services", "/health", "/zipkin/"):
        expect(path, z.ask("TRACE", path).status, 405)


@row("1.1", "the query API is also under /zipkin")
def _(z):
    for path in ("services", "traces", "autocompleteKeys", "dependencies?endTs=1600000000000"):
        expect(path, z.get("/zipkin/api/v2/" + path).status, 200)


@row("1.1", "an error is text, not JSON")
def _(z):
    answer = z.get("/api/v2/traces", limit=0)
    expect("status", answer.status, 400)
    expect("type", (answer.header("content-type") or "").startswith("text/"), True)


@row("1.1", "a missing parameter is named")
def _(z):
    for path, name in (("spans", "serviceName"), ("remoteServices", "serviceName"), ("traceMany", "traceIds"),
                       ("dependencies", "endTs"), ("autocompleteValues", "key")):
        z.refused(400, f"Mandatory parameter/header/attribute is missing: {name}", f"/api/v2/{path}")


@row("1.1", "an empty endTs of dependencies")
def _(z):
    z.refused(400, "Cannot set null to primitive type parameter: endTs", "/api/v2/dependencies", endTs="")


@row("1.1", "an empty limit of traces")
def _(z):
    z.refused(400, "Cannot set null to primitive type parameter: limit", "/api/v2/traces", limit="")


@row("1.1", "other empty numbers are absent")
def _(z):
    for name in ("lookback", "minDuration", "maxDuration", "endTs"):
        expect(name, z.get("/api/v2/traces", **{name: ""}).status, 200)


@row("1.1", "what is no number is quoted")
def _(z):
    for name in ("limit", "lookback", "minDuration", "endTs"):
        z.refused(400, 'For input string: "x"', "/api/v2/traces", **{name: "x"})


@row("1.1", "the first of a repeated parameter wins")
def _(z):
    expect("1 then 0", z.get("/api/v2/traces?limit=1&limit=0").status, 200)
    expect("0 then 1", z.get("/api/v2/traces?limit=0&limit=1").status, 400)


@row("1.1", "unknown parameters are ignored")
def _(z):
    expect("status", z.get("/api/v2/traces", colour="blue").status, 200)


@row("1.1", "a chunked body is read")
def _(z):
    body = json.dumps([span(z)])
    half = len(body) // 2
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (body[:half], body[half:]))
    said = raw(z, f"POST /api/v2/spans HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  f"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunks}0\r\n\r\n".encode())
    expect("answer", said.split("\r\n")[0], "HTTP/1.1 202 Accepted")


@row("1.1", "a connection serves several requests")
def _(z):
    one = "GET /api/v2/services HTTP/1.1\nHost: x\n"
    said = raw(z, one + "\n" + one + "Connection: close\n\n")
    expect("answers", said.count("HTTP/1.1 200 OK"), 2)


@row("1.1", "Expect: 100-continue is answered")
def _(z):
    body = json.dumps([span(z)])
    said = raw(z, f"POST /api/v2/spans HTTP/1.1\nHost: x\nContent-Type: application/json\nConnection: close\n"
                  f"Expect: 100-continue\nContent-Length: {len(body)}\n\n{body}")
    expect_in("answer", said, "HTTP/1.1 100 Continue")
    expect_in("answer", said, "HTTP/1.1 202 Accepted")


@row("1.1", "a body over 10 MiB is a 413", better=True)
def _(z):
    try:
        answer = z.post("/api/v2/spans", b"[" + b" " * (10 << 20) + b"]")
    except Mismatch as broken:
        # The answer may come before all is sent, and a client that does not look then sees its connection end.
        expect_in("end", str(broken), "Error")
        return
    expect("status", answer.status, 413)


@row("1.1", "an answer of 2048 bytes and more is compressed for who takes it")
def _(z):
    one = span(z, tags={"long": "x" * 3000})
    z.push([one])
    answer = z.get(f"/api/v2/trace/{one['traceId']}", headers={"Accept-Encoding": "gzip"})
    expect("encoding", answer.header("content-encoding"), "gzip")
    expect("content", json.loads(gzip.decompress(answer.body))[0]["tags"], one["tags"])
    expect_in("vary", (answer.header("vary") or "").lower(), "accept-encoding")


@row("1.1", "a short answer is not compressed")
def _(z):
    one = span(z)
    z.push([one])
    answer = z.get(f"/api/v2/trace/{one['traceId']}", headers={"Accept-Encoding": "gzip"})
    expect("encoding", answer.header("content-encoding"), None)


@row("1.1", "nothing is compressed for who does not ask")
def _(z):
    one = span(z, tags={"long": "x" * 3000})
    z.push([one])
    expect("encoding", z.get(f"/api/v2/trace/{one['traceId']}").header("content-encoding"), None)


@row("1.1", "JSON of the API is application/json, with its length")
def _(z):
    answer = z.get("/api/v2/services")
    expect("type", answer.header("content-type"), "application/json")
    expect("length", answer.header("content-length"), str(len(answer.body)))


@row("1.1", "JSON of health is application/json; charset=utf-8")
def _(z):
    expect("type", z.get("/health").header("content-type"), "application/json; charset=utf-8")


@row("1.1", "any origin may read")
def _(z):
    answer = z.get("/api/v2/services", headers={"Origin": "http://foo.example.com"})
    expect("origin", answer.header("access-control-allow-origin"), "*")
    expect("credentials", answer.header("access-control-allow-credentials"), None)
    expect("vary", "origin" in (answer.header("vary") or "").lower(), False)


@row("1.1", "an answer names the headers that scripts may see")
def _(z):
    answer = z.get("/api/v2/services", headers={"Origin": "http://foo.example.com"})
    expect_in("exposed", answer.header("access-control-expose-headers") or "", "grpc-status")
    expect_in("allowed", answer.header("access-control-allow-headers") or "", "content-type")


@row("1.1", "a preflight")
def _(z):
    answer = z.ask("OPTIONS", "/api/v2/spans", headers={
        "Origin": "http://foo.example.com", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})
    expect("status", answer.status, 200)
    expect("methods", answer.header("access-control-allow-methods"), "GET,POST")
    expect("headers", answer.header("access-control-allow-headers"), "content-type,x-grpc-web")
    expect("origin", answer.header("access-control-allow-origin"), "*")


@row("1.1", "OPTIONS that is no preflight is no 500", better=True)
def _(z):
    expect("below 500", z.ask("OPTIONS", "/api/v2/spans", headers={"Origin": "http://a.example"}).status < 500, True)


ORIGINS = {"ZIPKIN_QUERY_ALLOWED_ORIGINS": "http://foo.example.com,http://bar.example.com"}


@row("1.1", "of a list of origins, one that is on it", env=ORIGINS)
def _(z):
    answer = z.get("/api/v2/services", headers={"Origin": "http://bar.example.com"})
    expect("origin", answer.header("access-control-allow-origin"), "http://bar.example.com")
    expect_in("vary", (answer.header("vary") or "").lower(), "origin")


@row("1.1", "of a list of origins, another one: no header, but an answer", env=ORIGINS)
def _(z):
    answer = z.get("/api/v2/services", headers={"Origin": "http://attic.example.com"})
    expect("status", answer.status, 200)
    expect("origin", answer.header("access-control-allow-origin"), None)


@row("1.1", "bad percent-encoding is a 400")
def _(z):
    expect("status", z.get("/api/v2/spans?serviceName=%zz").status, 400)


@row("1.1", "a request line with a thousand ids is read", better=True)
def _(z):
    expect("found", z.ok("/api/v2/traceMany", traceIds=",".join(f"{n:032x}" for n in range(1, 1001))), [])


@row("1.1", "QUERY_ENABLED=false: no queries, but collectors and health", env={"QUERY_ENABLED": "false"})
def _(z):
    for path in ("services", "traces", "trace/1", "dependencies?endTs=1", "spans?serviceName=a"):
        expect(path, z.get(f"/api/v2/{path}").status, 404)
    expect("health", z.get("/health").status, 200)
    z.push([span(z)])


@row("1.1", "COLLECTOR_HTTP_ENABLED=false: no collectors, but queries", env={"COLLECTOR_HTTP_ENABLED": "false"})
def _(z):
    for path in ("/api/v1/spans", "/api/v2/spans"):
        expect(path, z.post(path, [span(z)]).status, 404)
    expect("names", z.get("/api/v2/spans", serviceName="a").status, 200)


# 1.2


def names(z, path):
    """What holds for span names and remote services alike."""
    service = z.service()
    z.push([
        {"traceId": z.id(), "id": "1", "name": name, "localEndpoint": {"serviceName": service},
         "remoteEndpoint": {"serviceName": name}}
        for name in ("zeta", "Alpha", "mid")
    ])
    expect("sorted", z.ok(path, serviceName=service), ["alpha", "mid", "zeta"])
    expect("asked in capitals", z.ok(path, serviceName=service.upper()), ["alpha", "mid", "zeta"])


for _path in ("/api/v2/spans", "/api/v2/remoteServices"):
    row("1.2", f"GET {_path}: sorted names of a local service, asked in any case")(lambda z, p=_path: names(z, p))
    row("1.2", f"GET {_path}: no serviceName is a 400")(lambda z, p=_path: expect("status", z.get(p).status, 400))
    row("1.2", f"GET {_path}: an empty serviceName is an empty list")(
        lambda z, p=_path: expect("names", z.ok(p, serviceName=""), []))
    row("1.2", f"GET {_path}: an unknown service is an empty list")(
        lambda z, p=_path: expect("names", z.ok(p, serviceName="nobody"), []))


@row("1.2", "GET /api/v2/services: local names, sorted")
def _(z):
    one, other, remote = z.service(), z.service(), z.service()
    z.push([
        {"traceId": z.id(), "id": "1", "localEndpoint": {"serviceName": one}, "remoteEndpoint": {"serviceName": remote}},
        {"traceId": z.id(), "id": "1", "localEndpoint": {"serviceName": other.upper()}},
    ])
    services = z.ok("/api/v2/services")
    expect("sorted", services, sorted(services))
    expect("present", (one in services, other in services, remote in services), (True, True, False))


@row("1.2", "names may be any UTF-8")
def _(z):
    service = z.service() + " größe 大"
    z.push([{"traceId": z.id(), "id": "1", "name": "größe 大", "localEndpoint": {"serviceName": service}}])
    expect("names", z.ok("/api/v2/spans", serviceName=service), ["größe 大"])
    expect("listed", service in z.ok("/api/v2/services"), True)


@row("1.2", "GET /api/v2/traces without parameters")
def _(z):
    expect("a list", isinstance(z.ok("/api/v2/traces"), list), True)


@row("1.2", "GET /api/v2/trace/{id}: the spans")
def _(z):
    one = span(z)
    z.push([one])
    expect("id", z.one(one["traceId"])["traceId"], one["traceId"])


@row("1.2", "GET /api/v2/trace/{id}: a bad id is a 400")
def _(z):
    z.refused(400, "xyz should be lower-hex encoded with no prefix", "/api/v2/trace/xyz")


@row("1.2", "GET /api/v2/trace/{id}: none is a 404 with the normal id")
def _(z):
    z.refused(404, "00000000deadbeef not found", "/api/v2/trace/deadbeef")


@row("1.2", "traceMany: the found ones")
def _(z):
    spans = [span(z), span(z)]
    z.push(spans)
    ids = [one["traceId"] for one in spans]
    found = z.ok("/api/v2/traceMany", traceIds=",".join([*ids, "00000000000000ff"]))
    expect("ids", sorted(trace[0]["traceId"] for trace in found), sorted(ids))


for _text, _ids, _said in (
    ("an empty parameter", "", "traceIds parameter is empty"),
    ("an id twice", "a,000000000000000a", "redundant traceId: 000000000000000a"),
    ("a single id", "a", "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace"),
):
    row("1.2", f"traceMany: {_text} is a 400")(
        lambda z, ids=_ids, said=_said: z.refused(400, said, "/api/v2/traceMany", traceIds=ids))
for _text, _ids in (("a bad id", "a,xyz"), ("an empty id", "a,,b")):
    row("1.2", f"traceMany: {_text} is a 400")(
        lambda z, ids=_ids: z.refused(400, None, "/api/v2/traceMany", traceIds=ids))


@row("1.2", "traceMany: none found is an empty list")
def _(z):
    expect("found", z.ok("/api/v2/traceMany", traceIds="fa,fb"), [])


for _name, _value in (("endTs", 0), ("endTs", -1)):
    row("1.2", f"dependencies: {_name}={_value} is a 400")(
        lambda z, v=_value: z.refused(400, "endTs <= 0", "/api/v2/dependencies", endTs=v))
for _value in (0, -1):
    row("1.2", f"dependencies: lookback={_value} is a 400")(
        lambda z, v=_value: z.refused(400, "lookback <= 0", "/api/v2/dependencies", endTs=1, lookback=v))


@row("1.2", "dependencies: none is an empty list")
def _(z):
    expect("links", z.ok("/api/v2/dependencies", endTs=3_000_000, lookback=1000), [])


KEYS = {"AUTOCOMPLETE_KEYS": "http.method,environment"}


@row("1.2", "autocompleteKeys: those configured, sorted, whatever is stored", env=KEYS)
def _(z):
    z.push([span(z, tags={"other": "x"})])
    expect("keys", z.ok("/api/v2/autocompleteKeys"), ["environment", "http.method"])


@row("1.2", "autocompleteValues: sorted, of any service", env=KEYS)
def _(z):
    z.push([span(z, tags={"environment": value}) for value in ("prod", "dev", "prod")])
    expect("values", z.ok("/api/v2/autocompleteValues", key="environment"), ["dev", "prod"])


@row("1.2", "autocompleteValues: of a key that is not configured, none", env=KEYS)
def _(z):
    z.push([span(z, tags={"other": "x"})])
    expect("values", z.ok("/api/v2/autocompleteValues", key="other"), [])


@row("1.2", "autocompleteValues: a key that nobody has")
def _(z):
    expect("values", z.ok("/api/v2/autocompleteValues", key="nobody-has-this"), [])


@row("1.2", "autocompleteValues: an empty key is a 400")
def _(z):
    z.refused(400, "key was empty", "/api/v2/autocompleteValues", key="")


@row("1.2", "autocompleteValues: no key is a 400")
def _(z):
    expect("status", z.get("/api/v2/autocompleteValues").status, 400)


for _path in ("/api/v2/spans", "/api/v1/spans"):
    row("1.2", f"POST {_path}: 202 and nothing")(lambda z, p=_path: z.push([{"traceId": z.id(), "id": "1"}], path=p))

for _path in ("/health", "/actuator/health"):
    row("1.2", f"GET {_path} is 200 and UP")(lambda z, p=_path: expect("status", z.ok(p)["status"], "UP"))

for _path in ("/info", "/actuator/info"):
    row("1.2", f"GET {_path} tells the version")(
        lambda z, p=_path: expect("keys", sorted(z.ok(p)["zipkin"]), ["commit", "version"]))

row("1.2", "GET /actuator/info has Spring's type")(lambda z: expect(
    "type", z.get("/actuator/info").header("content-type"),
    "application/vnd.spring-boot.actuator.v2+json; charset=utf-8"))

CACHED = "max-age=300, must-revalidate"
# Servers of their own, so that nobody else's services are counted.
FEW = {"_few": "services"}
MANY = {"_many": "services", "AUTOCOMPLETE_KEYS": "environment"}


@row("1.2", "names are not cached while there are few", env=FEW)
def _(z):
    z.push([{"traceId": z.id(), "id": "1", "localEndpoint": {"serviceName": f"s{n}"}} for n in range(3)])
    for path in ("services", "spans?serviceName=s0", "remoteServices?serviceName=s0"):
        expect(path, z.get(f"/api/v2/{path}").header("cache-control"), None)


@row("1.2", "names are cached for five minutes once there are more than three", env=MANY)
def _(z):
    z.push([{"traceId": z.id(), "id": "1", "localEndpoint": {"serviceName": f"s{n}"}} for n in range(4)])
    z.get("/api/v2/services")
    for path in ("services", "spans?serviceName=s0", "remoteServices?serviceName=s0"):
        expect(path, z.get(f"/api/v2/{path}").header("cache-control"), CACHED)


@row("1.2", "autocompleteKeys are always cached", env=MANY)
def _(z):
    expect("header", z.get("/api/v2/autocompleteKeys").header("cache-control"), CACHED)


@row("1.2", "autocompleteValues are cached when there are more than three", env=MANY)
def _(z):
    z.push([{"traceId": z.id(), "id": "1", "tags": {"environment": f"e{n}"}} for n in range(3)])
    expect("three", z.get("/api/v2/autocompleteValues", key="environment").header("cache-control"), None)
    z.push([{"traceId": z.id(), "id": "1", "tags": {"environment": "e3"}}])
    expect("four", z.get("/api/v2/autocompleteValues", key="environment").header("cache-control"), CACHED)


@row("1.2", "traces and dependencies are not cached", env=MANY)
def _(z):
    one = span(z)
    z.push([one])
    z.get("/api/v2/services")
    for path in ("traces", f"trace/{one['traceId']}", "dependencies?endTs=1000"):
        expect(path, z.get(f"/api/v2/{path}").header("cache-control"), None)


# 1.6


def counters(z):
    return z.get("/metrics", headers={"Accept": "application/json"}).json()


COUNTED = ("messages", "messages_dropped", "bytes", "spans", "spans_dropped")


@row("1.6", "/metrics as JSON: Zipkin's counters and gauges, for http and grpc")
def _(z):
    found = counters(z)
    for transport in ("http", "grpc"):
        for name in COUNTED:
            expect_in("keys", list(found), f"counter.zipkin_collector.{name}.{transport}")
        for name in ("message_spans", "message_bytes"):
            expect_in("keys", list(found), f"gauge.zipkin_collector.{name}.{transport}")


def counted(z, push):
    before = counters(z)
    push()
    after = counters(z)
    return {n: after[f"counter.zipkin_collector.{n}.http"] - before[f"counter.zipkin_collector.{n}.http"] for n in COUNTED}


@row("1.6", "a message is counted: bytes after gunzip, spans after decoding")
def _(z):
    body = json.dumps([span(z), span(z)])
    grown = counted(z, lambda: z.push(gzipped(body), headers={"Content-Encoding": "gzip"}))
    expect("counted", grown, {"messages": 1, "messages_dropped": 0, "bytes": len(body), "spans": 2, "spans_dropped": 0})
    expect("gauge of spans", counters(z)["gauge.zipkin_collector.message_spans.http"], 2)
    expect("gauge of bytes", counters(z)["gauge.zipkin_collector.message_bytes.http"], len(body))


@row("1.6", "an empty body and an empty list are messages of no bytes")
def _(z):
    for body in (b"", b"[]"):
        grown = counted(z, lambda body=body: z.push(body))
        expect("counted", (grown["messages"], grown["bytes"], grown["messages_dropped"]), (1, 0, 0))


@row("1.6", "what cannot be decoded is a dropped message")
def _(z):
    grown = counted(z, lambda: z.post("/api/v2/spans", b'[{"traceId":"1"}]'))
    expect("counted", (grown["messages"], grown["messages_dropped"] >= 1, grown["spans"]), (1, True, 0))


@row("1.6", "/prometheus has the names that dashboards read")
def _(z):
    z.push([span(z)])
    text = z.get("/prometheus").text
    for name in ("messages_total", "messages_dropped_total", "bytes_total", "spans_total", "spans_dropped_total",
                 "message_spans", "message_bytes"):
        expect_in("page", text.replace(",}", "}"), f'zipkin_collector_{name}{{transport="http"}}')


@row("1.6", "/prometheus counts requests by a templated uri")
def _(z):
    one = span(z)
    z.push([one])
    z.get(f"/api/v2/trace/{one['traceId']}")
    text = z.get("/prometheus").text
    expect_in("page", text, 'uri="/api/v2/trace/{traceId}"')
    expect("health is not counted", 'uri="/health"' in text, False)
