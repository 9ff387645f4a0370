"""Section 3: links between services, names, and the variables that change what is found."""

from harness import expect, row, table

# Links. A span is "id<parent KIND local>remote @offset !error *shared", written as a tuple below.


def linked(z, spans, wanted):
    """`spans` are (id, parent, kind, local, remote, flags); `wanted` are [parent, child, calls, errors]."""
    at, trace = z.time(), z.id()
    body = []
    for number, parent, kind, local, remote, flags in spans:
        span = {"traceId": trace, "id": number, "timestamp": at}
        if parent:
            span["parentId"] = parent
        if kind:
            span["kind"] = kind
        if local:
            span["localEndpoint"] = {"serviceName": local}
        if remote:
            span["remoteEndpoint"] = {"serviceName": remote}
        if "error" in flags:
            span["tags"] = {"error": ""}
        if "noted" in flags:
            span["annotations"] = [{"timestamp": at, "value": "error"}]
        if "shared" in flags:
            span["shared"] = True
        body.append(span)
    z.push(body)
    expect("links", z.links(at), wanted)


CLIENT, SERVER, PRODUCER, CONSUMER = "CLIENT", "SERVER", "PRODUCER", "CONSUMER"
table("3", linked, [
    ("a client with both names", [("1", "", CLIENT, "a", "b", "")], [["a", "b", 1, 0]]),
    ("a client without a remote name", [("1", "", CLIENT, "a", "", "")], []),
    ("a client without a local name", [("1", "", CLIENT, "", "b", "")], []),
    ("a server with both names", [("1", "", SERVER, "b", "a", "")], [["a", "b", 1, 0]]),
    ("a root server without a remote name", [("1", "", SERVER, "b", "", "")], []),
    ("no kind, both names: a client", [("1", "", "", "a", "b", "")], [["a", "b", 1, 0]]),
    ("no kind, one name", [("1", "", "", "a", "", "")], []),
    ("client and server of one id", [("1", "", CLIENT, "a", "", ""), ("1", "", SERVER, "b", "", "shared")], [["a", "b", 1, 0]]),
    ("client and server of two ids", [("1", "", CLIENT, "a", "", ""), ("2", "1", SERVER, "b", "", "")], [["a", "b", 1, 0]]),
    ("the server's word goes before the client's", [("1", "", CLIENT, "a", "x", ""), ("2", "1", SERVER, "b", "", "")], [["a", "b", 1, 0]]),
    ("the client's local name goes before the server's remote name", [("1", "", CLIENT, "a", "", ""), ("2", "1", SERVER, "b", "x", "")], [["a", "b", 1, 0]]),
    ("three services in a row", [("1", "", SERVER, "a", "", ""), ("2", "1", CLIENT, "a", "b", ""), ("2", "1", SERVER, "b", "", "shared"), ("3", "2", CLIENT, "b", "c", "")],
     [["a", "b", 1, 0], ["b", "c", 1, 0]]),
    ("calls are counted", [("1", "", SERVER, "a", "", ""), ("2", "1", CLIENT, "a", "b", ""), ("3", "1", CLIENT, "a", "b", "")], [["a", "b", 2, 0]]),
    ("a call to oneself is a link", [("1", "", CLIENT, "a", "a", "")], [["a", "a", 1, 0]]),
    ("a local span in between is passed over", [("1", "", SERVER, "a", "", ""), ("2", "1", "", "a", "", ""), ("3", "2", CLIENT, "a", "b", "")], [["a", "b", 1, 0]]),
    ("a server below another service's server", [("1", "", SERVER, "a", "", ""), ("2", "1", SERVER, "b", "", "")], [["a", "b", 1, 0]]),
    ("a client below another service adds a link", [("1", "", SERVER, "a", "", ""), ("2", "1", CLIENT, "b", "c", "")], [["a", "b", 1, 0], ["b", "c", 1, 0]]),
    ("an error is a tag", [("1", "", CLIENT, "a", "b", "error")], [["a", "b", 1, 1]]),
    ("an annotation named error is none", [("1", "", CLIENT, "a", "b", "noted")], [["a", "b", 1, 0]]),
    ("an error of the server", [("1", "", CLIENT, "a", "", ""), ("2", "1", SERVER, "b", "", "error")], [["a", "b", 1, 1]]),
    ("an error of the client alone is the call's", [("1", "", CLIENT, "a", "", "error"), ("2", "1", SERVER, "b", "", "")], [["a", "b", 1, 1]]),
    ("a producer and its broker", [("1", "", PRODUCER, "a", "kafka", "")], [["a", "kafka", 1, 0]]),
    ("a consumer and its broker", [("1", "", CONSUMER, "b", "kafka", "")], [["kafka", "b", 1, 0]]),
    ("a producer without a broker", [("1", "", PRODUCER, "a", "", ""), ("2", "1", CONSUMER, "b", "", "")], []),
    ("producer and consumer over a broker", [("1", "", PRODUCER, "a", "kafka", ""), ("2", "1", CONSUMER, "b", "kafka", "")], [["a", "kafka", 1, 0], ["kafka", "b", 1, 0]]),
    ("a missing parent hangs off the root", [("1", "", SERVER, "a", "", ""), ("3", "2", SERVER, "b", "", "")], [["a", "b", 1, 0]]),
    ("no root at all", [("2", "1", CLIENT, "a", "b", ""), ("3", "1", CLIENT, "a", "c", "")], [["a", "b", 1, 0], ["a", "c", 1, 0]]),
    ("names are in lower case", [("1", "", CLIENT, "A", "B", "")], [["a", "b", 1, 0]]),
    ("a second root client hangs off the first", [("1", "", CLIENT, "a", "b", ""), ("2", "", CLIENT, "c", "d", "")], [["a", "c", 1, 0], ["c", "d", 1, 0]]),
    ("a cycle of parents has no links", [("1", "2", CLIENT, "a", "b", ""), ("2", "1", CLIENT, "b", "c", "")], []),
])


@row("3", "links over several traces add up")
def _(z):
    at = z.time()
    for _ in range(3):
        z.push([{"traceId": z.id(), "id": "1", "timestamp": at, "kind": "CLIENT", "localEndpoint": {"serviceName": "a"}, "remoteEndpoint": {"serviceName": "b"}}])
    expect("links", z.links(at), [["a", "b", 3, 0]])


@row("3", "a trace counts with any span in the window, and then whole")
def _(z):
    at, trace = z.time(), z.id()
    z.push([
        {"traceId": trace, "id": "1", "timestamp": at, "kind": "CLIENT", "localEndpoint": {"serviceName": "a"}, "remoteEndpoint": {"serviceName": "b"}},
        {"traceId": trace, "id": "2", "parentId": "1", "timestamp": at + 600_000_000, "kind": "CLIENT", "localEndpoint": {"serviceName": "b"}, "remoteEndpoint": {"serviceName": "c"}},
    ])
    late = z.ok("/api/v2/dependencies", endTs=at // 1000 + 660_000, lookback=120_000)
    expect("links", sorted((link["parent"], link["child"]) for link in late), [("a", "b"), ("b", "c")])


@row("3", "another window has none of them")
def _(z):
    at = z.time()
    z.push([{"traceId": z.id(), "id": "1", "timestamp": at, "kind": "CLIENT", "localEndpoint": {"serviceName": "a"}, "remoteEndpoint": {"serviceName": "b"}}])
    expect("links", z.ok("/api/v2/dependencies", endTs=at // 1000 - 1000, lookback=60_000), [])


@row("3", "an exact duplicate is kept once, also from another message")
def _(z):
    trace = z.id()
    span = {"traceId": trace, "id": "1", "timestamp": 5, "name": "n", "tags": {"a": "b"}}
    z.push([span, span])
    z.push([span])
    expect("spans", len(z.trace(trace)), 1)


@row("3", "parts of a span that differ are both kept, unmerged")
def _(z):
    trace = z.id()
    z.push([{"traceId": trace, "id": "1", "timestamp": 5}])
    z.push([{"traceId": trace, "id": "1", "duration": 7}])
    expect("spans", [sorted(set(span) - {"traceId", "id"}) for span in z.trace(trace)], [["duration"], ["timestamp"]])


@row("3", "spans without a timestamp feed names")
def _(z):
    service = z.service()
    z.push([{"traceId": z.id(), "id": "1", "name": "n", "localEndpoint": {"serviceName": service}}])
    expect("names", z.ok("/api/v2/spans", serviceName=service), ["n"])
    expect("services", service in z.ok("/api/v2/services"), True)


@row("3", "names belong to their local service")
def _(z):
    one, other = z.service(), z.service()
    z.push([{"traceId": z.id(), "id": "1", "name": "n", "localEndpoint": {"serviceName": one}, "remoteEndpoint": {"serviceName": other}}])
    expect("remote's span names", z.ok("/api/v2/spans", serviceName=other), [])
    expect("remotes", z.ok("/api/v2/remoteServices", serviceName=one), [other])


# Strict (the default): the two lengths of an id are two traces.


def two_lengths(z, at=None):
    low, at = z.id(), at or z.time()
    wide = "0000000000000001" + low
    z.push([
        {"traceId": low, "id": "1", "timestamp": at, "kind": "CLIENT", "localEndpoint": {"serviceName": "a"}, "remoteEndpoint": {"serviceName": "b"}},
        {"traceId": wide, "id": "1", "timestamp": at, "kind": "SERVER", "shared": True, "localEndpoint": {"serviceName": "b"}},
    ])
    return low, wide, at


@row("3", "strict: ids of two lengths are two traces")
def _(z):
    low, wide, _ = two_lengths(z)
    expect("by 16", [span["traceId"] for span in z.trace(low)], [low])
    expect("by 32", [span["traceId"] for span in z.trace(wide)], [wide])


@row("3", "strict: two traces are found, though they share a half")
def _(z):
    low, wide, at = two_lengths(z)
    found = z.ok("/api/v2/traces", endTs=at // 1000 + 1000, lookback=2000)
    expect("ids", sorted(trace[0]["traceId"] for trace in found), sorted([low, wide]))


@row("3", "strict: links are by the right half all the same")
def _(z):
    _, _, at = two_lengths(z)
    expect("links", z.links(at), [["a", "b", 1, 0]])


LAX = {"STRICT_TRACE_ID": "false"}


@row("3", "not strict: either length finds the mixed trace, spans keep their own ids", env=LAX)
def _(z):
    low, wide, _ = two_lengths(z)
    for one in (low, wide):
        expect(one, sorted(span["traceId"] for span in z.trace(one)), sorted([low, wide]))


@row("3", "not strict: any other high half finds it too", env=LAX)
def _(z):
    low, wide, _ = two_lengths(z)
    expect("spans", len(z.trace("00000000000000ff" + low)), 2)


@row("3", "not strict: a search finds one trace", env=LAX)
def _(z):
    _, _, at = two_lengths(z)
    found = z.ok("/api/v2/traces", endTs=at // 1000 + 1000, lookback=2000)
    expect("spans of each", [len(trace) for trace in found], [2])


@row("3", "not strict: two forms of an id in traceMany give the trace once", env=LAX)
def _(z):
    low, wide, _ = two_lengths(z)
    other, _, _ = two_lengths(z)
    found = z.ok("/api/v2/traceMany", traceIds=f"{low},{wide},{other}")
    expect("traces", len(found), 2)


@row("3", "not strict: a 404 keeps the 32 digits", env=LAX)
def _(z):
    z.refused(404, "00000000000000aa00000000000000bb not found", "/api/v2/trace/aa00000000000000bb")


SEARCHLESS = {"SEARCH_ENABLED": "false", "AUTOCOMPLETE_KEYS": "environment"}


@row("3", "no search: names, traces and values are empty lists", env=SEARCHLESS)
def _(z):
    z.push([{"traceId": z.id(), "id": "1", "name": "n", "timestamp": z.time(), "localEndpoint": {"serviceName": "a"}, "remoteEndpoint": {"serviceName": "b"}, "tags": {"environment": "x"}}])
    for path in ("services", "spans?serviceName=a", "remoteServices?serviceName=a", "traces", "autocompleteValues?key=environment"):
        expect(path, z.ok(f"/api/v2/{path}"), [])


@row("3", "no search: autocompleteKeys are still listed", env=SEARCHLESS)
def _(z):
    expect("keys", z.ok("/api/v2/autocompleteKeys"), ["environment"])


@row("3", "no search: traces by their ids, links and collectors work", env=SEARCHLESS)
def _(z):
    low, wide, at = two_lengths(z)
    expect("by id", len(z.trace(low)), 1)
    expect("many", len(z.ok("/api/v2/traceMany", traceIds=f"{low},{wide}")), 2)
    expect("links", z.links(at), [["a", "b", 1, 0]])
