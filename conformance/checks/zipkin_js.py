"""zipkin-js pushes a debug trace with messaging over four services; everything is read back as it was sent."""

import os

import server

sent = server.run_client("node", os.path.join(server.SCRATCH, "zipkin_js", "push.js"), server.URL)["spans"]

# The client did what its script says, so that equality below is not equality of two empty things.
server.expect("spans sent", len(sent), 6)
server.expect("all are debug", {span.get("debug") for span in sent}, {True})
call = server.the_span(sent, kind="CLIENT")
served = server.the_span(sent, kind="SERVER")
server.expect("one span id for both sides", (served["id"], served["shared"]), (call["id"], True))
server.expect("digits of the trace id", len(call["traceId"]), 32)
queued = server.the_span(sent, kind="PRODUCER")
server.expect("the producer's annotation", [value for _, value in queued["annotations"]], ["queued"])
server.expect("the broker", queued["remoteEndpoint"], {"serviceName": "rabbitmq", "ipv4": "127.1.3.9", "port": 5672})
server.expect("the failed render", server.the_span(sent, name="render")["tags"]["error"], 'template "Grüße" is missing')
server.expect("the default tag", call["tags"]["deployment.zone"], "süd-1")

server.expect_one_trace(sent)
server.expect(
    "links",
    server.links(),
    [["orders", "rabbitmq", 1, 0], ["rabbitmq", "mailer", 1, 1], ["web", "orders", 1, 1]],
)
