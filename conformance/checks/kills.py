"""A server that seals and merges all the time is killed in the midst of it, again and again: whatever it acknowledged is
there afterwards, as it was sent, nothing is there twice, and what was deleted is not there.

ROUNDS kills, each at most ROUND_SECONDS after the start. What is random comes from a seed, which is printed; when the
server is killed is a matter of the machine, too.
"""

import http.client
import json
import os
import random
import shutil
import threading
import time

import server
from own_server import OwnServer

ROUNDS = int(os.environ.get("SIGYN_KILLS", "8"))
ROUND_SECONDS = 2.5
SENDERS = 4
SPANS_MAX = 20
DELETED_PART = 0.02
SEED = int(os.environ.get("SIGYN_KILLS_SEED", "1"))

FOLDER = os.path.join(server.SCRATCH, "kills")
DATA = os.path.join(FOLDER, "data")
# What arrived within a second becomes one block, as soon as a second later.
STORAGE = ["seal_after: 300ms", "merge_window: 1s"]


def made_trace(dice):
    """A trace, some of its spans far apart in time, so that what is late is parted from the rest."""
    trace_id = f"{dice.getrandbits(63) | 1:016x}"
    now_us = int(time.time() * 1e6)
    ago_us = dice.choice([0, 0, 0, 3 * 3_600_000_000])
    return [
        {
            "traceId": trace_id,
            "id": f"{n + 1:016x}",
            "name": dice.choice(["get", "put", "post"]),
            "timestamp": now_us - ago_us + n,
            "duration": dice.randrange(1, 100_000),
            "localEndpoint": {"serviceName": dice.choice(["shop", "cart"])},
            "tags": {"n": str(n), "text": f"{dice.getrandbits(64):x}"},
        }
        for n in range(dice.randrange(1, SPANS_MAX + 1))
    ]


class Sender(threading.Thread):
    """Sends one trace after the other, in two parts each, and deletes some of them, until the server is gone."""

    def __init__(self, one, seed):
        super().__init__(daemon=True)
        self.one, self.dice = one, random.Random(seed)
        self.acknowledged, self.sent, self.deleted, self.refused = [], [], [], 0

    def run(self):
        connection = self.one.connection()
        try:
            while True:
                trace = made_trace(self.dice)
                cut = self.dice.randrange(1, len(trace) + 1)
                for part in filter(None, (trace[:cut], trace[cut:])):
                    self.sent.append(part)
                    body = json.dumps(part).encode()
                    connection.request("POST", "/api/v2/spans", body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 202:
                        self.acknowledged.append(part)
                    elif answer.status in (429, 503):
                        self.refused += 1
                    else:
                        server.fail(f"a push is answered with {answer.status}")
                if self.dice.random() < DELETED_PART:
                    self.delete(connection, trace[0]["traceId"])
        except (OSError, http.client.HTTPException):
            # It was killed.
            pass

    def delete(self, connection, trace_id):
        """Until the answer is there nobody knows whether it is deleted."""
        is_other = lambda part: part[0]["traceId"] != trace_id  # noqa: E731
        self.acknowledged = list(filter(is_other, self.acknowledged))
        connection.request("DELETE", f"/api/v1/traces/{trace_id}")
        answer = connection.getresponse()
        answer.read()
        if answer.status in (200, 204):
            self.deleted.append(trace_id)
            self.sent = list(filter(is_other, self.sent))


def check_parts(one, acknowledged, sent, what):
    """How many spans there are of what was sent. What was acknowledged is whole."""
    traces = {}
    for part in sent:
        traces.setdefault(part[0]["traceId"], {}).update({span["id"]: span for span in part})
    must = {(span["traceId"], span["id"]) for part in acknowledged for span in part}
    found_spans = 0
    for trace_id, spans in traces.items():
        found = one.trace(trace_id)
        ids = [span["id"] for span in found]
        if len(set(ids)) != len(ids):
            server.fail(f"{what}: trace {trace_id} has spans twice: {ids}")
        missing = [id for id in spans if (trace_id, id) in must and id not in ids]
        if missing:
            server.fail(f"{what}: trace {trace_id} lost {missing}, which were acknowledged\n{one.said()}")
        server.expect_spans(f"{what}: trace {trace_id}", found, [spans[id] for id in ids])
        found_spans += len(found)
    return found_spans


def check_deleted(one, deleted, what):
    for trace_id in deleted:
        server.expect(f"{what}: spans of trace {trace_id}, which was deleted", one.trace(trace_id), [])


print(f"{ROUNDS} kills, seed {SEED}", flush=True)
shutil.rmtree(FOLDER, ignore_errors=True)
dice = random.Random(SEED)
acknowledged, sent, deleted, merged, one = [], [], [], 0, OwnServer(FOLDER, DATA, STORAGE)
try:
    for round in range(ROUNDS):
        senders = [Sender(one, dice.getrandbits(64)) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        time.sleep(dice.uniform(0.2, ROUND_SECONDS))
        merged += one.metric("sigyn_store_merged_blocks_total")
        one.kill()
        for sender in senders:
            sender.join(timeout=server.TIMEOUT_SECONDS)
        began = time.monotonic()
        one = OwnServer(FOLDER, DATA, STORAGE)
        took = time.monotonic() - began
        newly = [part for sender in senders for part in sender.acknowledged]
        new = [part for sender in senders for part in sender.sent]
        deleted += [trace_id for sender in senders for trace_id in sender.deleted]
        found = check_parts(one, newly, new, f"round {round}")
        check_deleted(one, deleted, f"round {round}")
        print(f"round {round}: {len(newly)} of {len(new)} acknowledged, {found} spans there, ready after {took:.2f} s", flush=True)
        acknowledged += newly
        sent += new
    # Once more, all of them, while blocks are still merged; and then what the store itself counts.
    found = check_parts(one, acknowledged, sent, "at the end")
    check_deleted(one, deleted, "at the end")
    server.expect("blocks that are damaged", one.status()["damaged"], [])
    one.ask("POST", "/api/v1/admin/store/seal")
    stored = server.wait_for(lambda: one.status()["spans"], lambda spans: spans == found, 30)
    server.expect("spans in the store", stored, found)
    if not acknowledged or merged == 0:
        server.fail(f"nothing was checked: {len(acknowledged)} acknowledged, {merged} blocks merged")
    one.stop()
finally:
    one.kill()
print(f"{len(acknowledged)} of {len(sent)} parts acknowledged, {found} spans there, {len(deleted)} traces deleted, {merged:.0f} blocks merged", flush=True)
