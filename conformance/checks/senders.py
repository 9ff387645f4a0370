"""The programs in `clients/` that push with many senders: each one's spans are found, and are what was sent.

A program prints {"senders": [{"name", "form", "spans" | "error"}]}. Every sender's root service has the sender's
name, so all of them share one server. `form` says in whose words the spans are told:

zipkin        v2 JSON, and so they come back
zipkin-v1     v2 JSON, but sent in v1, which has no words for some of it
otlp          OpenTelemetry's, which come back as docs/formats/zipkin-view.md says, and whole from Jaeger's API
otlp-zipkin   OpenTelemetry's, translated to Zipkin by OpenTelemetry, not by Sigyn
jaeger        Jaeger's
"""

import json
import sys

import server
import views


def check(program, *command, environment=None, expected):
    """Runs a program and compares what each of its senders sent. Exits non-zero if one of them is not found right."""
    reports = server.run_client(*command, environment=environment, timeout=180)["senders"]
    server.expect("senders", [report["name"] for report in reports], expected)
    failed = 0
    for report in reports:
        name = report["name"]
        try:
            if "error" in report:
                server.fail(report["error"])
            spans = report["spans"]
            FORMS[report["form"]](name, spans)
            print(f"  {name}: ok, {len(spans)} spans")
        except SystemExit as reason:
            failed += 1
            print(f"  {name}: {reason}")
    print(f"{program}: {len(reports)} senders, {len(reports) - failed} passed, {failed} failed")
    if failed:
        sys.exit(1)


def found(name, trace_id, count):
    """The trace, by its id; and the same one by its service."""
    trace = server.wait_for(lambda: server.get_or_none(f"/api/v2/trace/{trace_id}"), lambda spans: len(spans or []) >= count)
    if trace is None:
        server.fail(f"the trace {trace_id} is not there")
    searched = server.get("/api/v2/traces", serviceName=name)
    server.expect("traces found by the service", [spans[0]["traceId"] for spans in searched], [trace[0]["traceId"]])
    server.expect_spans("the trace found by the service", searched[0], trace)
    return trace


def zipkin(name, sent):
    (trace_id,) = {span["traceId"] for span in sent}
    server.expect("a root, a child, two services", len(sent) > 4, True)
    server.expect_spans("the trace", found(name, trace_id, len(sent)), sent)


def zipkin_v1(name, sent, thrift=False):
    (trace_id,) = {span["traceId"] for span in sent}
    wanted = [views.through_v1(span, thrift) for span in sent]
    server.expect_spans("the trace", found(name, trace_id, len(sent)), wanted)


def otlp(name, sent):
    (trace_id,) = {span["traceId"] for span in sent}
    server.expect("spans, events and links sent", summary(sent), (5, 2, 2))
    server.expect_spans("the trace", found(name, trace_id, len(sent)), [views.zipkin_of_otlp(span) for span in sent])
    views.expect_jaeger_json(trace_id, sent)


def summary(sent):
    return len(sent), sum(len(span["events"]) for span in sent), sum(len(span["links"]) for span in sent)


def otlp_zipkin(name, sent):
    (trace_id,) = {span["traceId"] for span in sent}
    trace = found(name, trace_id, len(sent))

    def facts(span):
        return {key: span.get(key) for key in ("traceId", "parentId", "id", "kind", "name")}

    def ours(span):
        return {
            "traceId": span["traceId"],
            "parentId": span["parentSpanId"] or None,
            "id": span["spanId"],
            "kind": None if span["kind"] == "INTERNAL" else span["kind"],
            "name": span["name"].lower(),
        }

    by_id = lambda facts: facts["id"]  # noqa: E731
    server.expect("the spans", sorted(map(facts, trace), key=by_id), sorted(map(ours, sent), key=by_id))
    for span in sent:
        (got,) = [other for other in trace if other["id"] == span["spanId"]]
        # Some of its exporters round to microseconds, some cut.
        server.expect("its timestamp", 0 <= got["timestamp"] - int(span["start"]) // 1000 <= 1, True)
        server.expect("its service", got["localEndpoint"]["serviceName"], name)
        server.expect("its annotations", len(got.get("annotations", [])), len(span["events"]))
        for key, value in span["attributes"].items():
            if "string" in value:
                server.expect(f"its tag {key}", got["tags"].get(key), value["string"])


def jaeger(name, sent):
    (trace_id,) = {span["traceId"] for span in sent}
    trace = found(name, trace_id, len(sent))
    server.expect("the spans", sorted(span["id"] for span in trace), sorted(span["spanId"] for span in sent))
    for span in sent:
        (got,) = [other for other in trace if other["id"] == span["spanId"]]
        server.expect("its name", got["name"], span["name"].lower())
        server.expect("its start", got["timestamp"], span["start"])
        server.expect("its duration", got["duration"], max(span["duration"], 1))
        server.expect("its kind", got.get("kind", "").lower(), span["tags"].get("span.kind", ""))
        server.expect("its service", got["localEndpoint"]["serviceName"], name)
        server.expect("its annotations", len(got.get("annotations", [])), len(span["logs"]))
        for key, value in span["tags"].items():
            if key not in ("span.kind", "error", "peer.service", "peer.port", "peer.ipv4"):
                text = value if isinstance(value, str) else json.dumps(value)
                server.expect(f"its tag {key}", got["tags"].get(key), text)
    (call,) = [span for span in trace if span.get("kind") == "CLIENT"]
    server.expect("the one that failed", "error" in call["tags"], True)


FORMS = {
    "zipkin": zipkin,
    "zipkin-v1": zipkin_v1,
    "zipkin-v1-thrift": lambda name, sent: zipkin_v1(name, sent, thrift=True),
    "otlp": otlp,
    "otlp-zipkin": otlp_zipkin,
    "jaeger": jaeger,
}
