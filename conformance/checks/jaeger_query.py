"""A client of Jaeger's query API that others wrote reads a trace, finds it, and sees who calls whom."""

import json
import os
import subprocess
import time

import server

TRACE = "463ac35c9f6413ad48485a3953bb6124"
now = int(time.time() * 1_000_000) - 5_000_000
frontend, backend = {"serviceName": "frontend"}, {"serviceName": "backend"}
spans = [
    {"traceId": TRACE, "id": "a1", "kind": "SERVER", "name": "get /cart", "timestamp": now, "duration": 90_000, "localEndpoint": frontend},
    {"traceId": TRACE, "id": "a2", "parentId": "a1", "kind": "CLIENT", "name": "get /items", "timestamp": now + 10_000, "duration": 60_000,
     "localEndpoint": frontend, "remoteEndpoint": backend},
    {"traceId": TRACE, "id": "a2", "parentId": "a1", "kind": "SERVER", "name": "get /items", "timestamp": now + 20_000, "duration": 40_000,
     "shared": True, "localEndpoint": backend, "tags": {"error": "no such item"}},
]
server.post_spans(json.dumps(spans).encode())

folder = os.path.join(server.SCRATCH, "jaeger_query")
command = [os.path.join(folder, "venv", "bin", "python"), os.path.join(folder, "ask.py"), server.URL, TRACE, "frontend"]
environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
if done.returncode != 0:
    server.fail(f"the client ended with {done.returncode}:\n{done.stderr}{done.stdout}")
answers = json.loads(done.stdout)

server.expect("services", answers["services"], ["backend", "frontend"])
server.expect("traces found", answers["found"], [[TRACE, "frontend", "get /cart", 3, 1]])
server.expect(
    "spans",
    answers["spans"],
    [["frontend", "get /cart", 90_000, False], ["frontend", "get /items", 60_000, False], ["backend", "get /items", 40_000, True]],
)
server.expect("spans with a parent", answers["parents"], [False, True, True])
server.expect("kinds", answers["kinds"], ["server", "client", "server"])
server.expect("links", answers["dependencies"], [["frontend", "backend", 1]])
server.expect("statistics", answers["statistics"], [["get /cart", 1, 0], ["get /items", 2, 1]])
