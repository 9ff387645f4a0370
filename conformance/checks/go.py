"""zipkin-go and OpenTelemetry for Go."""

import os

import senders
import server

senders.check(
    "go",
    os.path.join(server.SCRATCH, "go", "senders"),
    expected=[
        "zipkin-go-json",
        "zipkin-go-proto3",
        "otel-go-grpc",
        "otel-go-grpc-gzip",
        "otel-go-grpc-9411",
        "otel-go-http",
        "otel-go-http-gzip",
        "otel-go-http-9411",
    ],
)
