"""py_zipkin pushes a trace over three services; everything is read back as it was sent."""

import os
import urllib.parse

import server

address = urllib.parse.urlsplit(server.URL)
python = os.path.join(server.SCRATCH, "py_zipkin", "venv", "bin", "python")
push = os.path.join(server.SCRATCH, "py_zipkin", "push.py")
sent = server.run_client(python, push, address.hostname, str(address.port))["spans"]

# The client did what its script says, so that equality below is not equality of two empty things.
server.expect("spans sent", len(sent), 6)
root = server.the_span(sent, kind="SERVER", name="get /checkout")
server.expect("digits of the trace id", len(root["traceId"]), 32)
server.expect("the root's annotation", [value for _, value in root["annotations"]], ["cart loaded: 価格"])
server.expect("the root's tag", root["tags"]["kunde"], 'Zoë 🌞 "q" \\ \t \u2028')
failed = server.the_span(sent, name="discount")
server.expect("the failed span's tag", "no such coupon" in failed["tags"]["error"], True)
call = server.the_span(sent, kind="CLIENT", name="post /charge")
served = server.the_span(sent, kind="SERVER", name="post /charge")
server.expect("one span id for both sides", (served["id"], served["shared"]), (call["id"], True))
insert = server.the_span(sent, name="insert")
server.expect("the database", insert["remoteEndpoint"], {"serviceName": "ledger-db", "ipv6": "2001:db8::c001", "port": 5432})

server.expect_one_trace(sent)
server.expect("links", server.links(), [["frontend", "payments", 1, 0], ["payments", "ledger-db", 1, 0]])
