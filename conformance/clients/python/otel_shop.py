"""OpenTelemetry for Python: one trace with all that a span can say, through any exporter."""

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState


def push(service, exporter):
    """Sends the trace of the service with this name; returns its spans."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": service, "service.version": "1.2.3", "host.cpus": 2}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    shop(provider.get_tracer("conformance", "0.9", attributes={"made.for": "tests"}))
    spans = kept.get_finished_spans()
    result = exporter.export(spans)
    exporter.shutdown()
    if result is not SpanExportResult.SUCCESS:
        raise RuntimeError("not exported")
    return [say(span) for span in spans]


def shop(tracer):
    elsewhere = SpanContext(
        0x463AC35C9F6413AD48485A3953BB6124,
        0xA2FB4A1D1A96D312,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("vendor", "a1")]),
    )
    root = tracer.start_span(
        "GET /checkout",
        kind=SpanKind.SERVER,
        attributes={
            "http.request.method": "GET",
            "kunde": 'Zoë 🌞 "q" \\ \t \u2028',
            "empty": "",
            "http.response.status_code": 200,
            "big": 9007199254740993,
            "ratio": 0.25,
            "retried": False,
            "list": ["a", "b"],
            "numbers": [1, -2],
        },
    )
    root.add_event("cart loaded: 価格", {"items": 3, "currency": "SEK"})
    inside = trace.set_span_in_context(root)
    tracer.start_span("price", inside).end()
    call = tracer.start_span(
        "POST /charge",
        inside,
        kind=SpanKind.CLIENT,
        links=[Link(elsewhere, {"why": "retry"})],
        attributes={"server.address": "127.1.8.2", "server.port": 9000, "peer.service": "Bank"},
    )
    call.record_exception(ValueError("card refused"))
    call.set_status(Status(StatusCode.ERROR, "card refused"))
    call.end()
    sent = tracer.start_span("announce", inside, kind=SpanKind.PRODUCER)
    sent.end()
    tracer.start_span("read", inside, kind=SpanKind.CONSUMER, links=[Link(sent.get_span_context())]).end()
    root.set_status(Status(StatusCode.OK))
    root.end()


def typed(value):
    """A value with its type: {"int": "in decimal"} and so on."""
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"double": value}
    if isinstance(value, (list, tuple)):
        return {"array": [typed(one) for one in value]}
    return {"string": value}


def typed_all(attributes):
    return {key: typed(value) for key, value in (attributes or {}).items()}


def say(span):
    return {
        "traceId": f"{span.context.trace_id:032x}",
        "spanId": f"{span.context.span_id:016x}",
        "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.name,
        "start": str(span.start_time),
        "end": str(span.end_time),
        "attributes": typed_all(span.attributes),
        "events": [
            {"name": event.name, "time": str(event.timestamp), "attributes": typed_all(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "traceId": f"{link.context.trace_id:032x}",
                "spanId": f"{link.context.span_id:016x}",
                "attributes": typed_all(link.attributes),
            }
            for link in span.links
        ],
        "status": {"code": span.status.status_code.name, "message": span.status.description or ""},
        "resource": typed_all(span.resource.attributes),
        "scope": {"name": span.instrumentation_scope.name, "version": span.instrumentation_scope.version},
    }
