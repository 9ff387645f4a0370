"""py_zipkin, OpenTelemetry for Python, and Jaeger's client."""

import os

import senders
import server

folder = os.path.join(server.SCRATCH, "python")
senders.check(
    "python",
    os.path.join(folder, "venv", "bin", "python"),
    os.path.join(folder, "senders.py"),
    expected=[
        "py-zipkin-json-v2",
        "py-zipkin-proto3",
        "py-zipkin-json-v1",
        "otel-python-grpc",
        "otel-python-grpc-gzip",
        "otel-python-grpc-9411",
        "otel-python-http-proto",
        "otel-python-http-proto-gzip",
        "otel-python-http-proto-9411",
        "otel-python-http-json",
        "otel-python-zipkin",
        "jaeger-python-udp",
    ],
)
