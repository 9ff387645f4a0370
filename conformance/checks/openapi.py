"""A generator makes requests from docs/openapi.yaml, sensible and senseless ones: no answer may be a 500 or undocumented.

Two things that the generator could also ask for contradict Zipkin, and are not asked: that a method which a path does
not have is answered with 405 (Zipkin says 404), and that unknown or ill-typed parameters are refused (Zipkin ignores them).
"""

import json
import os
import subprocess

import server

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]

DOCUMENT = os.path.join(os.path.dirname(server.FOLDER), "docs", "openapi.yaml")

# Something to find, so that answers are more than empty lists.
traces = os.path.join(server.FOLDER, "zipkin-traces")
for name in sorted(os.listdir(traces)):
    if name.endswith(".json"):
        with open(os.path.join(traces, name), "rb") as file:
            server.post_spans(file.read())

command = [
    os.path.join(server.SCRATCH, "schemathesis", "venv", "bin", "schemathesis"),
    "run",
    DOCUMENT,
    f"--url={server.URL}",
    "--checks=" + ",".join(CHECKS),
    "--phases=examples,coverage,fuzzing",
    "--max-examples=" + os.environ.get("SIGYN_EXAMPLES", "60"),
    "--mode=all",
    "--seed=1",
    # Two threads that parse Python at once are more than CPython 3.11 counts right (`AST constructor recursion depth mismatch`).
    "--workers=1",
    "--continue-on-failure",
    # Answers 501 on purpose, as Jaeger does without a store of metrics; the generator takes any 5xx for a failure.
    "--exclude-path=/api/metrics/{name}",
    "--generation-database=none",
    "--request-timeout=15",
    "--suppress-health-check=all",
    "--warnings=off",
    "--no-color",
]
environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
environment["SCHEMATHESIS_HOOKS"] = "openapi_hooks"
environment["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, encoding="utf-8", cwd=server.SCRATCH)
if done.returncode != 0:
    server.fail(f"schemathesis ended with {done.returncode}:\n{done.stdout[-20000:]}{done.stderr[-2000:]}")
print("\n".join(line for line in done.stdout.splitlines() if "generated" in line or "passed" in line.lower()))

# It is still there, and still right.
server.expect("health", server.get("/health")["status"], "UP")
