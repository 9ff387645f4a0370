"""How a span looks in words other than those it was sent in, said a second time and independently of Sigyn.

`docs/formats/zipkin-view.md` is what is said here.
"""

import json

import server

ADDRESSES = {
    "SERVER": ["client.address", "network.peer.address", "net.peer.name", "net.peer.ip", "net.sock.peer.addr"],
    "CLIENT": ["server.address", "network.peer.address", "net.peer.name", "net.peer.ip", "net.sock.peer.addr"],
}


def text_of(value):
    """A typed value as a tag's text."""
    (kind, content), = value.items()
    if kind == "array":
        return json.dumps([plain(item) for item in content], ensure_ascii=False, separators=(",", ":"))
    if kind == "bool":
        return "true" if content else "false"
    return str(content)


def plain(value):
    """A typed value as JSON has it."""
    (kind, content), = value.items()
    if kind == "array":
        return [plain(item) for item in content]
    return int(content) if kind == "int" else content


def zipkin_of_otlp(span):
    """A span of OpenTelemetry's in Zipkin's v2 JSON."""
    kind = None if span["kind"] == "INTERNAL" else span["kind"]
    start, end = int(span["start"]), int(span["end"])
    tags = {key: text_of(value) for key, value in span["attributes"].items()}
    status = span["status"]
    if status["code"] != "UNSET":
        tags.setdefault("otel.status_code", status["code"])
    if status["code"] == "ERROR":
        tags.setdefault("error", status["message"] or "true")
    tags.setdefault("otel.scope.name", span["scope"]["name"])
    tags.setdefault("otel.scope.version", span["scope"]["version"])
    for key, value in span["resource"].items():
        if key != "service.name":
            tags.setdefault(key, text_of(value))
    remote = {}
    if kind:
        attributes = span["attributes"]
        key = "server.address" if kind != "SERVER" else "client.address"
        if "peer.service" in attributes:
            remote["serviceName"] = attributes["peer.service"]["string"]
        if key in attributes:
            remote["ipv4"] = attributes[key]["string"]
            remote["port"] = int(attributes[key.replace("address", "port")]["int"])
    return {
        "traceId": span["traceId"],
        "parentId": span["parentSpanId"],
        "id": span["spanId"],
        "kind": kind,
        "name": span["name"],
        "timestamp": start // 1000,
        "duration": max((end - start) // 1000, 1),
        "localEndpoint": {"serviceName": span["resource"]["service.name"]["string"]},
        "remoteEndpoint": remote,
        "annotations": [annotation(event) for event in span["events"]],
        "tags": tags,
    }


def annotation(event):
    value = event["name"]
    if event["attributes"]:
        attributes = {key: plain(one) for key, one in event["attributes"].items()}
        value = f"{json.dumps(value, ensure_ascii=False)}: {json.dumps(attributes, ensure_ascii=False, separators=(',', ':'))}"
    return {"timestamp": int(event["time"]) // 1000, "value": value}


def through_v1(span, thrift):
    """What is left of a v2 span that was told in v1: of each service's part, what v1 has words for."""
    span = dict(span)
    if not any(span.get(key) for key in ("kind", "annotations", "tags", "remoteEndpoint")):
        # In v1 a service is named by what it says of a span, and these say nothing.
        del span["localEndpoint"]
    if thrift and span.get("kind") in ("PRODUCER", "CONSUMER"):
        # zipkin-js's thrift has no annotations for messages, and then no key for the broker's address.
        del span["kind"]
        span.pop("remoteEndpoint", None)
    if thrift and "tags" in span:
        # Its library writes the low byte of each UTF-16 unit, which is no UTF-8 beyond ASCII.
        cut = lambda text: text.encode("latin-1").decode("utf-8", "replace")  # noqa: E731
        span["tags"] = {key: cut(value) for key, value in span["tags"].items()}
    return span


def expect_jaeger_json(trace_id, sent):
    """What Zipkin has no words for is kept all the same: types, links, resource and scope, seen in Jaeger's JSON."""
    answer = server.get_or_none(f"/api/traces/{trace_id}")
    if answer is None:
        server.fail(f"Jaeger's API does not know the trace {trace_id}")
    (trace,) = answer["data"]
    server.expect("spans in Jaeger's JSON", len(trace["spans"]), len(sent))
    for span in sent:
        (got,) = [other for other in trace["spans"] if other["spanID"] == span["spanId"]]
        tags = {tag["key"]: tag for tag in got["tags"]}
        for key, value in span["attributes"].items():
            server.expect(f"Jaeger's tag {key}", jaeger_tag(tags.get(key)), jaeger_of(value))
        references = sorted((r["refType"], r["traceID"], r["spanID"]) for r in got["references"])
        wanted = [("FOLLOWS_FROM", link["traceId"], link["spanId"]) for link in span["links"]]
        if span["parentSpanId"]:
            wanted.append(("CHILD_OF", span["traceId"], span["parentSpanId"]))
        server.expect("Jaeger's references", references, sorted(wanted))
        process = {tag["key"]: jaeger_tag(tag) for tag in trace["processes"][got["processID"]]["tags"]}
        for key, value in span["resource"].items():
            if key != "service.name":
                server.expect(f"Jaeger's tag {key} of the process", process.get(key), jaeger_of(value))
        for event in span["events"]:
            fields = [{f["key"]: jaeger_tag(f) for f in log["fields"]} for log in got["logs"]]
            wanted = {key: jaeger_of(value) for key, value in event["attributes"].items()}
            wanted["event"] = ("string", event["name"])
            server.expect(f"Jaeger's log of {event['name']}", wanted in fields or fields, True)


def jaeger_tag(tag):
    """A tag's type and value, numbers as they are meant."""
    if tag is None:
        return None
    value = tag["value"]
    return tag["type"], int(value) if tag["type"] == "int64" else value


def jaeger_of(value):
    (kind, content), = value.items()
    return {
        "string": lambda: ("string", content),
        "int": lambda: ("int64", int(content)),
        "double": lambda: ("float64", content),
        "bool": lambda: ("bool", content),
        "array": lambda: ("string", text_of(value)),
    }[kind]()
