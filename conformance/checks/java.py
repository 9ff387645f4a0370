"""Brave with Zipkin's reporters, and OpenTelemetry for Java."""

import os

import senders
import server

folder = os.path.join(server.SCRATCH, "java")
senders.check(
    "java",
    "java",
    "-cp",
    os.path.join(folder, "lib", "*"),
    os.path.join(folder, "Senders.java"),
    expected=[
        "brave-okhttp-json-v2",
        "brave-okhttp-proto3",
        "brave-okhttp-plain-proto3",
        "brave-urlconnection-json-v2",
        "brave-okhttp-json-v1",
        "brave-okhttp-thrift",
        "otel-java-grpc",
        "otel-java-grpc-gzip",
        "otel-java-http",
        "otel-java-http-gzip",
        "otel-java-http-9411",
        "otel-java-grpc-9411",
    ],
)
