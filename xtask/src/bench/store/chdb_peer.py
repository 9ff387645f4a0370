"""Rows of spans into ClickHouse's engine, inside this process: what inserting and merging them once takes.

argv: a file of rows as lines of JSON, and a folder to keep tables in. Prints `name=value` figures.
"""

import os
import resource
import sys

from chdb.session import Session

ROWS, FOLDER = sys.argv[1:]
NATIVE = os.path.join(FOLDER, "rows.native")
TEXTS = "Map(LowCardinality(String), String)"
COLUMNS = {
    "Timestamp": "DateTime64(9) CODEC(Delta, ZSTD(1))",
    "TraceId": "String CODEC(ZSTD(1))",
    "SpanId": "String CODEC(ZSTD(1))",
    "ParentSpanId": "String CODEC(ZSTD(1))",
    "TraceState": "String CODEC(ZSTD(1))",
    "SpanName": "LowCardinality(String) CODEC(ZSTD(1))",
    "SpanKind": "LowCardinality(String) CODEC(ZSTD(1))",
    "ServiceName": "LowCardinality(String) CODEC(ZSTD(1))",
    "ResourceAttributes": f"{TEXTS} CODEC(ZSTD(1))",
    "ScopeName": "String CODEC(ZSTD(1))",
    "ScopeVersion": "String CODEC(ZSTD(1))",
    "SpanAttributes": f"{TEXTS} CODEC(ZSTD(1))",
    "Duration": "UInt64 CODEC(ZSTD(1))",
    "StatusCode": "LowCardinality(String) CODEC(ZSTD(1))",
    "StatusMessage": "String CODEC(ZSTD(1))",
    "`Events.Timestamp`": "Array(DateTime64(9)) CODEC(ZSTD(1))",
    "`Events.Name`": "Array(LowCardinality(String)) CODEC(ZSTD(1))",
    "`Events.Attributes`": f"Array({TEXTS}) CODEC(ZSTD(1))",
}
# What OpenTelemetry's exporter has: a filter for ids, and one for keys and values each.
INDEXES = ["INDEX by_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1", "INDEX by_duration Duration TYPE minmax GRANULARITY 1"]
INDEXES += [
    f"INDEX by_{of}_{part} {function}({column}) TYPE bloom_filter(0.01) GRANULARITY 1"
    for of, column in (("resource", "ResourceAttributes"), ("span", "SpanAttributes"))
    for part, function in (("key", "mapKeys"), ("value", "mapValues"))
]


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


session = Session(os.path.join(FOLDER, "chdb"))


def run(query):
    before = cpu()
    answer = session.query(query)
    return cpu() - before, str(answer).strip()


types = ", ".join(f"{name} {kind.split(' CODEC')[0]}" for name, kind in COLUMNS.items())
columns = ", ".join([f"{name} {kind}" for name, kind in COLUMNS.items()] + INDEXES)
# Reading text is not what is compared.
run(f"INSERT INTO FUNCTION file('{NATIVE}', Native) SELECT * FROM file('{ROWS}', JSONEachRow, '{types.replace(chr(96), chr(34))}')")
run("CREATE DATABASE bench ENGINE = Atomic")
run(
    f"CREATE TABLE bench.spans ({columns}) ENGINE = MergeTree PARTITION BY toDate(Timestamp)"
    " ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))"
)
read, _ = run(f"SELECT * FROM file('{NATIVE}', Native) FORMAT Null")
inserted, _ = run(f"INSERT INTO bench.spans SELECT * FROM file('{NATIVE}', Native)")
merged, _ = run("OPTIMIZE TABLE bench.spans FINAL")
_, rows = run("SELECT count() FROM bench.spans FORMAT TSV")
_, size = run("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'bench' FORMAT TSV")
print(f"rows={rows} read_s={read:.3f} insert_s={inserted - read:.3f} merge_s={merged:.3f} bytes={size}")
session.close()
