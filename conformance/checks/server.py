"""A running Sigyn as its Zipkin clients see it, and the few assertions the checks share.

Only Python's standard library. A check is a script that exits non-zero, with a reason, when something differs.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SCRATCH = os.environ["SIGYN_SCRATCH"]
URL = os.environ["SIGYN_URL"]
FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# No call waits longer than this, so that a hanging server fails its check instead of stopping the run.
TIMEOUT_SECONDS = 10

# A proxy named by the environment is not for a server on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(path, **params):
    """The JSON at `path`. Parameters are percent-encoded here."""
    query = "?" + urllib.parse.urlencode(params) if params else ""
    try:
        with _opener.open(URL + path + query, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        fail(f"GET {path}{query}: {error.code} {error.read().decode(errors='replace')}")


def get_or_none(path):
    """The JSON at `path`, or None if there is none (404)."""
    try:
        with _opener.open(URL + path, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        fail(f"GET {path}: {error.code} {error.read().decode(errors='replace')}")


def wait_for(ask, enough, seconds=5):
    """Asks until the answer is enough, or the time is over: a datagram is acknowledged by nobody."""
    deadline = time.monotonic() + seconds
    while not enough(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def post_spans(body):
    """Pushes bytes as Zipkin v2 JSON. Exactly 202 counts: some reporters take anything else for a loss."""
    request = urllib.request.Request(URL + "/api/v2/spans", body, {"Content-Type": "application/json"})
    try:
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            expect("status of POST /api/v2/spans", answer.status, 202)
    except urllib.error.HTTPError as error:
        fail(f"POST /api/v2/spans: {error.code} {error.read().decode(errors='replace')}")


def run_client(*command, environment=None, timeout=60):
    """Runs a client that pushes spans; returns what it says of them."""
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env.update(environment or {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, encoding="utf-8")
    if done.returncode != 0 or not done.stdout:
        fail(f"{command} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def fail(reason):
    sys.exit(f"FAILED: {reason}")


def skip(reason):
    """Ends a check that cannot check anything here. The runner counts it as skipped, and says so."""
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(77)


def expect(what, got, wanted):
    if got != wanted:
        pretty = lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1)  # noqa: E731
        fail(f"{what}\n got: {pretty(got)}\n wanted: {pretty(wanted)}")


def normal(span):
    """A span in Zipkin's normal form: names in lower case, ids padded, whatever says nothing left out."""

    def endpoint(value):
        value = {key: field for key, field in (value or {}).items() if field}
        if "serviceName" in value:
            value["serviceName"] = value["serviceName"].lower()
        return value

    span = dict(span)
    for key in ("localEndpoint", "remoteEndpoint"):
        span[key] = endpoint(span.get(key))
    if span.get("name"):
        span["name"] = span["name"].lower()
    span["traceId"] = span["traceId"].rjust(16 if len(span["traceId"]) <= 16 else 32, "0")
    for key in ("id", "parentId"):
        if span.get(key):
            span[key] = span[key].rjust(16, "0")
    annotations = {(a["timestamp"], a["value"]) for a in span.get("annotations") or []}
    span["annotations"] = [list(annotation) for annotation in sorted(annotations)]
    return {key: value for key, value in span.items() if value}


def normal_spans(spans):
    """Spans as a set, in an order of its own: neither order nor exact duplicates mean anything to Zipkin."""
    return sorted({json.dumps(normal(span), sort_keys=True) for span in spans})


def expect_spans(what, got, wanted):
    got, wanted = set(normal_spans(got)), set(normal_spans(wanted))
    if got != wanted:
        both = got & wanted
        lines = [f"  got:    {span}" for span in sorted(got - both)] + [f"  wanted: {span}" for span in sorted(wanted - both)]
        fail("\n".join([f"{what}: {len(both)} spans are equal, these are not", *lines]))


def links(end_ts_ms=None, lookback_ms=3_600_000):
    """The dependency links, sorted, as [parent, child, calls, errors]."""
    end_ts_ms = end_ts_ms or int(time.time() * 1000) + 60_000
    found = get("/api/v2/dependencies", endTs=end_ts_ms, lookback=lookback_ms)
    return sorted([link["parent"], link["child"], link["callCount"], link.get("errorCount", 0)] for link in found)


def the_trace(**query):
    """The one trace that a search finds."""
    found = get("/api/v2/traces", **query)
    expect(f"number of traces found by {query}", len(found), 1)
    return found[0]


def expect_one_trace(sent):
    """What holds for every client that pushed one trace to an empty server. Returns the trace's id."""
    (trace_id,) = {span["traceId"] for span in sent}
    expect_spans("the trace read by its id", get(f"/api/v2/trace/{trace_id}"), sent)
    expect_spans("the trace under the UI's path", get(f"/zipkin/api/v2/trace/{trace_id}"), sent)
    found = the_trace()
    expect_spans("the trace found without a filter", found, sent)
    services = sorted({span["localEndpoint"]["serviceName"].lower() for span in sent})
    expect("services", get("/api/v2/services"), services)
    for service in services:
        own = [normal(span) for span in sent if span["localEndpoint"]["serviceName"].lower() == service]
        found = the_trace(serviceName=service)
        expect_spans(f"the trace found by service {service}", found, sent)
        names = sorted({span["name"] for span in own if "name" in span})
        expect(f"span names of {service}", get("/api/v2/spans", serviceName=service), names)
        remotes = sorted({span["remoteEndpoint"]["serviceName"] for span in own if "serviceName" in span.get("remoteEndpoint", {})})
        expect(f"remote services of {service}", get("/api/v2/remoteServices", serviceName=service), remotes)
        for span in own:
            for key, value in span.get("tags", {}).items():
                # " and " joins terms, and both sides of "=" are trimmed: such values cannot be asked for.
                if value and value == value.strip() and " and " not in value:
                    found = the_trace(serviceName=service, annotationQuery=f"{key}={value}")
                    expect(f"spans found by tag {key}={value}", len(found), len(sent))
    expect("traces of an unknown service", get("/api/v2/traces", serviceName="nobody"), [])
    return trace_id


def the_span(sent, **wanted):
    """The one span that was sent with these fields."""
    found = [span for span in map(normal, sent) if all(span.get(key) == value for key, value in wanted.items())]
    expect(f"number of spans with {wanted}", len(found), 1)
    return found[0]
