"""Jaeger's own client for Python, long retired and still in use: over UDP, as thrift in its compact form."""

import time

from jaeger_client import Config, ConstSampler
from jaeger_client.local_agent_net import LocalAgentSender
from jaeger_client.reporter import Reporter
from opentracing import Format


def push(service, address):
    """Sends the trace of the service with this name; returns its spans."""
    host, port = address.split(":")
    sender = LocalAgentSender(host=host, sampling_port=0, reporting_port=int(port))
    reporter = Reporter(channel=sender, queue_capacity=100, batch_size=10, flush_interval=0.2)
    tracer = Config({}, service_name=service).create_tracer(reporter, ConstSampler(True))
    root = tracer.start_span(
        "GET /checkout",
        tags={"span.kind": "server", "http.status_code": 200, "ratio": 0.25, "retried": False, "kunde": 'Zoë 🌞 "q"'},
    )
    root.log_kv({"event": "cart loaded: 価格", "items": 3})
    carrier = {}
    tracer.inject(root.context, Format.TEXT_MAP, carrier)
    call = tracer.start_span(
        "POST /charge",
        child_of=tracer.extract(Format.TEXT_MAP, carrier),
        tags={"span.kind": "client", "peer.service": "Bank", "peer.port": 9000, "error": True},
    )
    call.finish()
    root.finish()
    spans = [say(span) for span in (root, call)]
    closed, deadline = tracer.close(), time.monotonic() + 10
    while not closed.done():  # the library's future has no way to wait for it from another thread
        if time.monotonic() > deadline:
            raise TimeoutError("the client does not end")
        time.sleep(0.01)
    return spans


def micros(seconds):
    return int(seconds * 1_000_000)


def say(span):
    return {
        "traceId": f"{span.context.trace_id:016x}",
        "spanId": f"{span.context.span_id:016x}",
        "parentSpanId": f"{span.context.parent_id or 0:016x}",
        "name": span.operation_name,
        "start": micros(span.start_time),
        "duration": micros(span.end_time - span.start_time),
        "tags": {tag.key: value_of(tag) for tag in span.tags},
        "logs": [
            {"time": log.timestamp, "fields": {field.key: value_of(field) for field in log.fields}} for log in span.logs
        ],
    }


def value_of(tag):
    """What one of Jaeger's tags holds: one of its fields is set."""
    for field in ("vStr", "vDouble", "vBool", "vLong", "vBinary"):
        value = getattr(tag, field)
        if value is not None:
            return value
    return None
