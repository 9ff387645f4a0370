"""A disk that is full: spans are refused with a reason, everything stored is still found, and when there is room again the
server takes spans and makes blocks by itself.

The disk is a small one in memory, in a mount namespace of the check's own: it takes root, or the right to make one.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time

import server

INSIDE = "SIGYN_DISK_FULL_INSIDE"
if os.environ.get(INSIDE) != "1":
    namespace = ["unshare", "--mount", "--propagation", "private"]
    try:
        subprocess.run([*namespace, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        server.skip(f"no mount namespace can be had here: {error}")
    os.environ[INSIDE] = "1"
    os.execvp(namespace[0], [*namespace, sys.executable, *sys.argv])

from own_server import OwnServer  # noqa: E402

FOLDER = os.path.join(server.SCRATCH, "disk-full")
DISK = os.path.join(FOLDER, "disk")
DATA = os.path.join(DISK, "data")
FILLER = os.path.join(DISK, "filler")
DISK_MIB = 96
# Nothing is sealed unless it is asked for.
STORAGE = ["seal_after: 24h"]
SPANS, SPAN_BYTES = 20, 2_000
PUSHES_MAX = 4 * DISK_MIB * 1024 * 1024 // (SPANS * SPAN_BYTES)
# The store tries again every ten seconds.
BY_ITSELF_SECONDS = 30

dice = random.Random(1)
stored = []


def push(one):
    """One trace of spans that no compression makes small. Status and text; what is accepted is noted."""
    trace_id = f"{dice.getrandbits(63) | 1:016x}"
    now_us = int(time.time() * 1e6)
    spans = [
        {"traceId": trace_id, "id": f"{n + 1:016x}", "name": "fill", "timestamp": now_us + n, "duration": 1,
         "localEndpoint": {"serviceName": "full"}, "tags": {"noise": dice.randbytes(SPAN_BYTES // 2).hex()}}
        for n in range(SPANS)
    ]
    status, text = one.ask("POST", "/api/v2/spans", json.dumps(spans).encode())
    if status == 202:
        stored.append(spans)
    return status, text


def fill(leave=0):
    """Takes all room but so much."""
    with open(FILLER, "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 20))
        except OSError:
            pass
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
        filler.truncate(max(0, filler.tell() - leave))


def push_until_refused(one):
    for _ in range(PUSHES_MAX):
        status, text = push(one)
        if status != 202:
            return status, text
    server.fail("a full disk refuses nothing")


def check_all(one, when):
    """Everything that was accepted is there, by id and by search, and nothing else."""
    for spans in stored[:: max(1, len(stored) // 50)] + stored[-3:]:
        server.expect_spans(f"{when}: a trace", one.trace(spans[0]["traceId"]), spans)
    found = one.get("/api/v2/traces", serviceName="full", limit=100_000, lookback=86_400_000)
    ids = sorted(trace[0]["traceId"] for trace in found)
    server.expect(f"{when}: traces", len(ids), len(stored))
    server.expect(f"{when}: their ids", ids == sorted(spans[0]["traceId"] for spans in stored), True)
    server.expect(f"{when}: spans", one.status()["spans"], SPANS * len(stored))


def until(ask, what):
    began = time.monotonic()
    if not server.wait_for(ask, bool, BY_ITSELF_SECONDS):
        server.fail(f"{what}: not within {BY_ITSELF_SECONDS} s")
    return time.monotonic() - began


def takes_spans(one):
    return one.ask("GET", "/health")[0] == 200


def check_refused(one, when):
    status, text = push_until_refused(one)
    server.expect(f"{when}: status of a push", status, 503)
    if "space" not in text:
        server.fail(f"{when}: the refusal does not say that space is missing: {text}")
    server.expect(f"{when}: whether spans are taken, as /health says", takes_spans(one), False)
    status, told = one.ask("GET", "/-/ready")
    server.expect(f"{when}: readiness, for questions are answered", status, 200)
    if "no spans can be stored" not in told or "space" not in told:
        server.fail(f"{when}: /-/ready does not say that space is missing: {told}")
    figures = one.ask("GET", "/prometheus")[1].splitlines()
    if not any(line.startswith("sigyn_store_refusing{} 1") for line in figures):
        server.fail(f"{when}: figures do not say that no spans can be stored")
    check_all(one, when)
    return text.strip()


def check_log(one):
    for _ in range(20):
        server.expect("status of a push", push(one)[0], 202)
    fill()
    said = check_refused(one, "no room for the log")
    print(f"no room for the log: 503 {said}", flush=True)
    os.remove(FILLER)
    took = until(lambda: takes_spans(one), "spans are taken again though nobody pushes")
    print(f"spans are taken again after {took:.1f} s, with no push in between", flush=True)
    server.expect("status of a push after that", push(one)[0], 202)
    check_all(one, "with room again")


def check_block(one):
    for _ in range(100):
        server.expect("status of a push", push(one)[0], 202)
    # Room for some of the log, and for less than a block.
    fill(leave=1 << 20)
    blocks = one.status()["blocks"]
    status, text = one.ask("POST", "/api/v1/admin/store/seal")
    if status == 200 or "space" not in text:
        server.fail(f"a block for which there is no room: {status} {text}")
    print(f"no room for a block: {status} {text.strip()}", flush=True)
    server.expect("blocks", one.status()["blocks"], blocks)
    server.expect("status of a push where there is room for the log alone", push(one)[0], 202)
    check_all(one, "no room for a block")
    check_refused(one, "no room for the log beside a head without a block")


def check_restart(one):
    one.stop()
    one = OwnServer(FOLDER, DATA, STORAGE)
    check_all(one, "opened on a full disk")
    one.kill()
    one = OwnServer(FOLDER, DATA, STORAGE)
    check_all(one, "opened on a full disk, after a crash")
    status, text = one.ask("POST", "/api/v1/admin/store/seal")
    server.expect("a block for which there is no room", status == 200, False)
    os.remove(FILLER)
    took = until(lambda: one.status()["blocks"] > 0 and one.status()["headSpans"] == 0, "a block by itself")
    print(f"a block by itself after {took:.1f} s", flush=True)
    took = until(lambda: takes_spans(one), "spans are taken again though nobody pushes")
    server.expect("status of a push after that", push(one)[0], 202)
    check_all(one, "with room again")
    return one


shutil.rmtree(FOLDER, ignore_errors=True)
os.makedirs(DISK)
try:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", DISK], check=True, capture_output=True)
except (OSError, subprocess.SubprocessError) as error:
    server.skip(f"no small disk can be mounted here: {error}")
one = OwnServer(FOLDER, DATA, STORAGE)
try:
    check_log(one)
    check_block(one)
    one = check_restart(one)
    one.stop()
    one = OwnServer(FOLDER, DATA, STORAGE)
    check_all(one, "at the end")
    server.expect("what is damaged", one.status()["damaged"], [])
finally:
    one.kill()
    subprocess.run(["umount", "--lazy", DISK], check=False)
print(f"{len(stored)} traces accepted, each of them there", flush=True)
