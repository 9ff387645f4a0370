"""Zipkin's ten example traces are pushed, read back equal, and linked as Zipkin's own linker links them."""

import json
import os

import server

folder = os.path.join(server.FOLDER, "zipkin-traces")
with open(os.path.join(server.FOLDER, "expected", "dependency-links.json"), encoding="utf-8") as file:
    expected = json.load(file)
server.expect("the files", sorted(name for name in os.listdir(folder) if name.endswith(".json")), sorted(expected))



def plain_addresses(spans):
    """One of the files writes 52.0.0.04, which is stored as the address it means."""
    for span in spans:
        for endpoint in (span.get("localEndpoint", {}), span.get("remoteEndpoint", {})):
            if "ipv4" in endpoint:
                endpoint["ipv4"] = ".".join(str(int(octet)) for octet in endpoint["ipv4"].split("."))
    return spans


traces = {}
for name in expected:
    with open(os.path.join(folder, name), "rb") as file:
        body = file.read()
    traces[name] = plain_addresses(json.loads(body))
    server.post_spans(body)

for name, wanted in expected.items():
    spans = traces[name]
    server.expect(f"{name}: spans in the file", len(spans), wanted["spans"])
    (trace_id,) = {span["traceId"] for span in spans}
    server.expect_spans(f"{name}: read back", server.get(f"/api/v2/trace/{trace_id}"), spans)

    # No two of the traces overlap in time, so a window around one asks for that one alone.
    times_us = [span["timestamp"] for span in spans if span.get("timestamp")]
    end_ts_ms = max(times_us) // 1000 + 1
    lookback_ms = end_ts_ms - min(times_us) // 1000 + 1
    found = server.get("/api/v2/traces", endTs=end_ts_ms, lookback=lookback_ms)
    server.expect(f"{name}: traces in its window", [trace[0]["traceId"] for trace in found], [trace_id])

    links = server.links(end_ts_ms, lookback_ms)
    totals = {"links": len(links), "calls": sum(link[2] for link in links), "errors": sum(link[3] for link in links)}
    server.expect(f"{name}: dependency totals", totals, {key: wanted[key] for key in totals})
    for parent, child, calls in wanted["named"]:
        server.expect(f"{name}: {parent} -> {child}", [link[2] for link in links if link[:2] == [parent, child]], [calls])

services = {span.get("localEndpoint", {}).get("serviceName", "").lower() for spans in traces.values() for span in spans}
server.expect("services", server.get("/api/v2/services"), sorted(services - {""}))
