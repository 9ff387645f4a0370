"""zipkin-js, OpenTelemetry for Node, and Jaeger's client."""

import os

import senders
import server

senders.check(
    "node",
    "node",
    os.path.join(server.SCRATCH, "node", "senders.js"),
    expected=[
        "zipkin-js-json-v2",
        "zipkin-js-json-v1",
        "zipkin-js-thrift",
        "otel-node-grpc",
        "otel-node-grpc-gzip",
        "otel-node-http-proto",
        "otel-node-http-json",
        "otel-node-http-json-gzip",
        "otel-node-http-json-9411",
        "otel-node-zipkin",
        "jaeger-node-udp",
        "jaeger-node-http",
    ],
)
