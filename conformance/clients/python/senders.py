"""Pushes a trace with each sender that Python has: py_zipkin in its encodings, OpenTelemetry over gRPC and HTTP and
in Zipkin's format, and Jaeger's client over UDP. Prints {"senders": [..]}: of each its name and the spans that it
says it sent.

Usage: senders.py [PART OF A NAME]
"""

import json
import os
import sys

import zipkin_shop

URL = os.environ["SIGYN_URL"]
OTLP_GRPC = os.environ["SIGYN_OTLP_GRPC"]
OTLP_HTTP = f"http://{os.environ['SIGYN_OTLP_HTTP']}/v1/traces"


def otel(name, exporter):
    import otel_shop

    return otel_shop.push(name, exporter)


def otel_grpc(name, **options):
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return otel(name, OTLPSpanExporter(insecure=True, timeout=10, **options))


def otel_grpc_gzip(name):
    from grpc import Compression

    return otel_grpc(name, endpoint=OTLP_GRPC, compression=Compression.Gzip)


def otel_proto(name, endpoint, gzip=False):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if gzip else Compression.NoCompression
    return otel(name, OTLPSpanExporter(endpoint=endpoint, timeout=10, compression=compression))


def otel_json(name, endpoint):
    from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter

    return otel(name, OTLPSpanExporter(endpoint=endpoint, timeout=10))


def otel_zipkin(name):
    from opentelemetry.exporter.zipkin.json import ZipkinExporter

    return otel(name, ZipkinExporter(endpoint=f"{URL}/api/v2/spans"))


def jaeger(name):
    import jaeger_shop

    return jaeger_shop.push(name, os.environ["SIGYN_JAEGER_COMPACT"])


SENDERS = [
    ("py-zipkin-json-v2", "zipkin", lambda name: zipkin_shop.push(name, URL, "V2_JSON")),
    ("py-zipkin-proto3", "zipkin", lambda name: zipkin_shop.push(name, URL, "V2_PROTO3")),
    ("py-zipkin-json-v1", "zipkin-v1", lambda name: zipkin_shop.push(name, URL, "V1_JSON")),
    ("otel-python-grpc", "otlp", lambda name: otel_grpc(name, endpoint=OTLP_GRPC)),
    ("otel-python-grpc-gzip", "otlp", otel_grpc_gzip),
    ("otel-python-grpc-9411", "otlp", lambda name: otel_grpc(name, endpoint=URL)),
    ("otel-python-http-proto", "otlp", lambda name: otel_proto(name, OTLP_HTTP)),
    ("otel-python-http-proto-gzip", "otlp", lambda name: otel_proto(name, OTLP_HTTP, gzip=True)),
    ("otel-python-http-proto-9411", "otlp", lambda name: otel_proto(name, f"{URL}/v1/traces")),
    ("otel-python-http-json", "otlp", lambda name: otel_json(name, OTLP_HTTP)),
    ("otel-python-zipkin", "otlp-zipkin", otel_zipkin),
    ("jaeger-python-udp", "jaeger", jaeger),
]


def main():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    reports = []
    for name, form, send in SENDERS:
        if part not in name:
            continue
        try:
            reports.append({"name": name, "form": form, "spans": send(name)})
        except Exception as error:  # noqa: BLE001: whatever a library says goes into the report
            reports.append({"name": name, "form": form, "error": f"{type(error).__name__}: {error}"})
    json.dump({"senders": reports}, sys.stdout)


main()
