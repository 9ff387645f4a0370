"""A sealed block, read row by row by pyarrow and by DuckDB: both must say what the server says.

What columns mean is in docs/formats/block.md, and this reads them by nothing else.
"""

import glob
import json
import os
import sys
import time
import urllib.request

import server

# The packages are those of the check's own environment.
python = os.path.join(server.SCRATCH, "blocks", "venv", "bin", "python")
if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(python))):
    os.execv(python, [python, *sys.argv])

import duckdb  # noqa: E402
import pyarrow.parquet  # noqa: E402

NOW = time.time_ns() // 1_000_000 * 1_000_000


def post(path, body=b"", content_type="application/json"):
    request = urllib.request.Request(server.URL + path, body, {"Content-Type": content_type}, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        server.expect(f"status of POST {path}", answer.status // 100, 2)


def attributes(**values):
    def any_value(value):
        if isinstance(value, bool):
            return {"boolValue": value}
        if isinstance(value, int):
            return {"intValue": str(value)}
        if isinstance(value, float):
            return {"doubleValue": value}
        if isinstance(value, list):
            return {"arrayValue": {"values": [any_value(element) for element in value]}}
        if isinstance(value, dict):
            return {"kvlistValue": {"values": attributes(**value)}}
        return {"stringValue": value}

    return [{"key": key.replace("__", "."), "value": any_value(value)} for key, value in values.items()]


def otlp(number):
    """A trace of OTLP's: typed attributes, events, links, a status, a resource and a scope."""
    trace = f"{number + 1:032x}"

    def span(at, **more):
        return {
            "traceId": trace,
            "spanId": f"{number * 100 + at + 1:016x}",
            "name": ["get /", "query", "größe \U0001f980"][at],
            "kind": at + 1,
            "startTimeUnixNano": str(NOW + number * 1_000 + at),
            "endTimeUnixNano": str(NOW + number * 1_000 + at + 123_456_789),
            **more,
        }

    root = span(0, attributes=attributes(http__method="GET", http__status=200 + number % 3, ok=True, share=1.5, id=f"unique {number}"))
    child = span(
        1,
        parentSpanId=root["spanId"],
        attributes=attributes(list=[1, "two"], map={"a": True}, http__method="POST", mixed=7 if number % 2 else "seven"),
        events=[{"timeUnixNano": str(NOW), "name": "retry", "attributes": attributes(count=2)}, {"timeUnixNano": str(NOW + 1), "name": "end"}],
        status={"code": 2, "message": "no\n\"way\""},
    )
    stranger = span(2, parentSpanId="00000000000000ff", links=[{"traceId": trace, "spanId": root["spanId"], "attributes": attributes(why="because")}])
    resource = {"attributes": attributes(service__name=f"shop-{number % 3}", pod=f"pod-{number % 7}", cpus=4)}
    scope = {"name": "lib", "version": "1.2"}
    return {"resource": resource, "scopeSpans": [{"scope": scope, "spans": [root, child, stranger]}]}


def text(value):
    """A value as Zipkin shows it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def uints(data):
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number, shift = 0, 0


def endpoint(row, side, ip=None, port=None):
    """Of address and port what has no column of its own is in one of a tag."""
    ip = row[f"{side}_ip"] or ip
    found = {
        "serviceName": row[f"{side}_service"],
        "ipv6" if ip and ":" in ip else "ipv4": ip,
        "port": row[f"{side}_port"] or port,
    }
    return {key: value for key, value in found.items() if value}


def zipkin(rows, at, tag_columns):
    """A row as a span of Zipkin's."""
    row = rows[at]
    parent = row["parent_id"]
    if row["parent_delta"] is not None:
        server.expect("a parent by its row and by its id", parent, None)
        parent = rows[at - row["parent_delta"]]["span_id"]
    rest = iter(json.loads(row["attrs_rest"] or "{}").items())
    tags, peer = {}, {}
    for number in uints(row["tag_shape"] or b""):
        if number > len(tag_columns):
            what, column = divmod(number - 1, len(tag_columns))
            peer[(None, "ip", "port")[what]] = row[tag_columns[column]]
            continue
        name = tag_columns[number - 1] if number else None
        key, value = (name[len("attr.") :].split("#")[0], row[name]) if number else next(rest)
        if value is None:
            server.fail(f"row {at} has no {key}")
        tags[key] = text(value)
    server.expect("tags without a place in the shape", list(rest), [])
    if row["status"]:
        tags.setdefault("otel.status_code", row["status"])
    if row["status"] == "ERROR":
        tags.setdefault("error", row["status_message"] or "true")
    scope, resource = json.loads(row["scope"] or "{}"), json.loads(row["resource"] or "{}")
    for key in ("name", "version"):
        if scope.get(key):
            tags.setdefault(f"otel.scope.{key}", scope[key])
    for key, value in resource.get("attributes", {}).items():
        if key != "service.name":
            tags.setdefault(key, text(value))

    def annotation(one):
        value = one["value"]
        if one["attributes"]:
            value = f"{json.dumps(value)}: {text(json.loads(one['attributes']))}"
        return {"timestamp": one["timestamp_ns"] // 1_000, "value": value}

    trace = row["trace_id"].hex()
    return {
        "traceId": trace[16:] if trace.startswith("0" * 16) else trace,
        "id": row["span_id"].hex(),
        "parentId": parent and parent.hex(),
        "kind": row["kind"],
        "name": row["name"],
        "timestamp": row["start_ns"] and row["start_ns"] // 1_000,
        "duration": row["duration_ns"] and max(row["duration_ns"] // 1_000, 1),
        "localEndpoint": endpoint(row, "local"),
        "remoteEndpoint": endpoint(row, "remote", **peer),
        "shared": row["shared"],
        "debug": row["debug"],
        "tags": tags,
        "annotations": [annotation(one) for one in row["annotations"]],
    }


def check(reader, rows, tag_columns):
    found = {}
    for at, row in enumerate(rows):
        found.setdefault(row["trace_id"].hex(), []).append(zipkin(rows, at, tag_columns))
    for trace_id, spans in found.items():
        server.expect_spans(f"{reader}: trace {trace_id}", spans, server.get(f"/api/v2/trace/{trace_id}"))
    return len(found)


folder = os.path.join(server.FOLDER, "zipkin-traces")
names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
sent = 0
for name in names:
    with open(os.path.join(folder, name), "rb") as file:
        body = file.read()
    sent += len({json.dumps(span, sort_keys=True) for span in json.loads(body)})
    server.post_spans(body)
TRACES = 700
post("/v1/traces", json.dumps({"resourceSpans": [otlp(number) for number in range(TRACES)]}).encode())
post("/api/v1/admin/store/seal")

(path,) = glob.glob(os.path.join(os.environ["SIGYN_DATA"], "blocks", "*.parquet"))
file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
tag_columns = [name for name in file.schema_arrow.names if name.startswith("attr.")]
for wanted in ("attr.http.method", "attr.http.status", "attr.ok", "attr.share", "attr.id", "attr.mixed"):
    if wanted not in tag_columns:
        server.fail(f"no column {wanted} in {tag_columns}")
if not {"attr.mixed#i64", "attr.mixed#str"} & set(tag_columns):
    server.fail(f"no second column of `mixed` in {tag_columns}")
rows = file.read().to_pylist()
server.expect("spans in the block", len(rows), sent + 3 * TRACES)
server.expect("traces in the block", check("pyarrow", rows, tag_columns), len(names) + TRACES)

quoted = path.replace("'", "''")
table = duckdb.sql(f"select * from read_parquet('{quoted}')")
columns = table.columns
by_duckdb = [dict(zip(columns, row)) for row in table.fetchall()]
server.expect("columns that DuckDB reads otherwise", [name for name in columns if [row[name] for row in rows] != [row[name] for row in by_duckdb]], [])
by_method = duckdb.sql(
    f"select count(*) from read_parquet('{quoted}') where \"attr.http.method\" = 'GET'"
    " and resource -> 'attributes' ->> 'pod' = 'pod-3' and \"attr.http.status\" >= 200"
).fetchall()
server.expect("spans that DuckDB counts", by_method, [(TRACES // 7,)])
