"""Asks a tracer what somebody's client of Jaeger's query API can ask, and prints the answers as JSON.

Usage: ask.py URL TRACE_ID SERVICE
"""

import json
import sys

from jaeger_mcp.facade import JaegerClient

url, trace_id, service = sys.argv[1:]
client = JaegerClient.from_env(url=url)
found = client.search_traces(service=service)
trace = client.get_trace(trace_id)
answers = {
    "services": client.list_services(),
    "found": [[t.trace_id, t.root_service, t.root_operation, t.span_count, t.errors_count] for t in found],
    "spans": [[s.service_name, s.operation, s.duration_us, s.error] for s in trace.spans],
    "parents": [s.parent_span_id is not None for s in trace.spans],
    "kinds": [s.tags.get("span.kind") for s in trace.spans],
    "dependencies": [[d.parent, d.child, d.call_count] for d in client.get_dependencies()],
    "statistics": sorted([s.operation, s.count, s.error_count] for s in client.span_statistics(service=service).stats),
}
json.dump(answers, sys.stdout)
