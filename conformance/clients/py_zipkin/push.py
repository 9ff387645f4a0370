"""Pushes one trace with py_zipkin, over py_zipkin's own HTTP transport, and prints what was sent.

A 128-bit trace over three services: `frontend` calls `payments`, which joins the client's span (B3, one span
id for both sides) and asks `Ledger-DB`, which is not traced. One local span fails. Nothing here sleeps or
knows the server's insides: this is what an instrumented Python program does.

Usage: push.py HOST PORT; prints {"spans": [..]}, the spans as they were on the wire.
"""

import json
import sys

from py_zipkin import Encoding, Kind, Tracer
from py_zipkin.request_helpers import create_http_headers, extract_zipkin_attrs_from_headers
from py_zipkin.transport import SimpleHTTPTransport


class RecordingTransport(SimpleHTTPTransport):
    """The library's transport, which asserts a 202, plus a memory of what it carried."""

    def __init__(self, host, port):
        super().__init__(host, port)
        self.spans = []

    def send(self, payload):
        super().send(payload)
        self.spans.extend(json.loads(payload))


def payments(headers, transport):
    """The called service, as another process would run it: its only context is the headers."""
    tracer = Tracer()
    with tracer.zipkin_span(
        service_name="payments",
        span_name="POST /charge",
        zipkin_attrs=extract_zipkin_attrs_from_headers(headers),
        transport_handler=transport,
        encoding=Encoding.V2_JSON,
        host="127.1.2.4",
        port=9000,
    ):
        with tracer.zipkin_span(service_name="payments", span_name="insert", kind=Kind.CLIENT) as span:
            span.add_sa_binary_annotation(port=5432, service_name="Ledger-DB", host="2001:db8::c001")
            span.update_binary_annotations({"sql.query": "insert into charge values (?, ?)"})


def frontend(transport):
    """The first service: the trace's root, two local spans, and the call."""
    tracer = Tracer()
    with tracer.zipkin_span(
        service_name="frontend",
        span_name="GET /checkout",
        transport_handler=transport,
        sample_rate=100,
        encoding=Encoding.V2_JSON,
        kind=Kind.SERVER,
        use_128bit_trace_id=True,
        host="127.1.2.3",
        port=8080,
        binary_annotations={"http.path": "/checkout", "kunde": "Zoë 🌞 \"q\" \\ \t \u2028", "empty": ""},
    ) as root:
        root.add_annotation("cart loaded: 価格")
        with tracer.zipkin_span(service_name="frontend", span_name="price"):
            try:
                with tracer.zipkin_span(service_name="frontend", span_name="discount"):
                    raise ValueError("no such coupon")
            except ValueError:
                pass  # the span took its `error` tag from the exception
        with tracer.zipkin_span(service_name="frontend", span_name="post /charge", kind=Kind.CLIENT) as call:
            call.add_sa_binary_annotation(port=9000, service_name="payments", host="127.1.2.4")
            payments(create_http_headers(tracer=tracer), transport)


def main():
    transport = RecordingTransport(sys.argv[1], int(sys.argv[2]))
    frontend(transport)
    json.dump({"spans": transport.spans}, sys.stdout)


main()
