"""py_zipkin: a 128-bit trace over three services, in one of the library's encodings.

A shop calls a bank, which joins the client's span (B3, one span id for both sides) and asks a database that is not
traced. One local span fails.
"""

import json
import math
import urllib.parse

import py_zipkin.logging_helper
from py_zipkin import Encoding, Kind, Tracer
from py_zipkin.encoding import get_encoder
from py_zipkin.transport import SimpleHTTPTransport


def exact(seconds):
    """To a 64th of a second, which a float says exactly: the library's encodings round others differently."""
    return math.ceil(seconds * 64) / 64


class Remembering:
    """The library's encoder, plus a memory of what went through it, in v2 JSON."""

    def __init__(self, encoding, sent):
        self.encoder, self.sent = get_encoder(encoding), sent

    def encode_span(self, span):
        span.timestamp, span.duration = exact(span.timestamp), exact(span.duration)
        span.annotations = {value: exact(at) for value, at in span.annotations.items()}
        self.sent.append(json.loads(get_encoder(Encoding.V2_JSON).encode_span(span)))
        return self.encoder.encode_span(span)

    def __getattr__(self, name):
        return getattr(self.encoder, name)


class Transport(SimpleHTTPTransport):
    """The library's transport, which asserts a 202. The library only logs what it raises."""

    def __init__(self, url):
        address = urllib.parse.urlsplit(url)
        super().__init__(address.hostname, address.port)
        self.problems = []

    def send(self, payload):
        try:
            super().send(payload)
        except Exception as error:
            self.problems.append(repr(error))
            raise


def push(name, url, encoding):
    """Sends the trace; returns its spans."""
    sent, transport = [], Transport(url)
    py_zipkin.logging_helper.get_encoder = lambda encoding: Remembering(encoding, sent)
    shop(name, transport, getattr(Encoding, encoding))
    if transport.problems:
        raise RuntimeError("; ".join(transport.problems))
    return sent


def bank(name, context, transport, encoding):
    """The called service, as another process would run it: all it knows is the context."""
    tracer = Tracer()
    with tracer.zipkin_span(
        service_name=name,
        span_name="POST /charge",
        zipkin_attrs=context,
        transport_handler=transport,
        encoding=encoding,
        host="127.1.2.4",
        port=9000,
    ):
        with tracer.zipkin_span(service_name=name, span_name="insert", kind=Kind.CLIENT) as span:
            span.add_sa_binary_annotation(port=5432, service_name="Ledger-DB", host="2001:db8::c001")
            span.update_binary_annotations({"sql.query": "insert into charge values (?, ?)"})


def shop(name, transport, encoding):
    tracer = Tracer()
    with tracer.zipkin_span(
        service_name=name,
        span_name="GET /checkout",
        transport_handler=transport,
        sample_rate=100,
        encoding=encoding,
        kind=Kind.SERVER,
        use_128bit_trace_id=True,
        host="127.1.2.3",
        port=8080,
        binary_annotations={"http.path": "/checkout", "kunde": "Zoë 🌞 \"q\" \\ \t \u2028", "empty": ""},
    ) as root:
        root.add_annotation("cart loaded: 価格")
        with tracer.zipkin_span(service_name=name, span_name="price"):
            try:
                with tracer.zipkin_span(service_name=name, span_name="discount"):
                    raise ValueError("no such coupon")
            except ValueError:
                pass  # the span took its `error` tag from the exception
        with tracer.zipkin_span(service_name=name, span_name="post /charge", kind=Kind.CLIENT) as call:
            call.add_sa_binary_annotation(port=9000, service_name=f"{name}-bank", host="127.1.2.4")
            bank(f"{name}-bank", tracer.get_zipkin_attrs(), transport, encoding)
