"""Bodies of many gzip members or zstd frames, as a target sends them, read by the decoders of each language: which of them read
them whole is what docs/formats/pull-protocol.md says (section 7), and no other ones.
"""

import hashlib
import http.server
import os
import threading

import pull
import server

LANGUAGE = os.environ["SIGYN_CHECK"].removeprefix("decoders-")
FOLDER = os.path.join(server.SCRATCH, f"pull_{LANGUAGE}")
OTLP = 'application/x-protobuf; messageType="opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"'
SEGMENTS_MIN = 3

COMMANDS = {
    "go": [os.path.join(FOLDER, "senders"), "decoders"],
    "python": [os.path.join(FOLDER, "venv", "bin", "python"), os.path.join(FOLDER, "decoders.py")],
    "node": ["node", os.path.join(FOLDER, "decoders.js")],
    "java": ["java", "-cp", os.path.join(FOLDER, "lib", "*"), os.path.join(FOLDER, "Decoders.java")],
}

# Those that stop after the first member or frame, or fail.
NOT_WHOLE = {
    "go": {"compress/gzip, Multistream(false)"},
    "python": {"zlib.decompressobj", "compression.zstd, ZstdDecompressor", "zstandard, decompress"},
    "node": set(),
    "java": {"OkHttp, gzip", "zstd-jni, Zstd.decompress of getFrameContentSize"},
}


def bodies(url, accept):
    """The same segments as they are, in gzip and in zstd."""

    def attempt():
        answers = {}
        for coding in ("identity", "gzip", "zstd"):
            status, headers, body = pull.ask(url, {"Accept": accept, "Accept-Encoding": coding})
            server.expect("status", status, 200)
            server.expect("Content-Encoding", headers.get("Content-Encoding"), None if coding == "identity" else coding)
            answers[coding] = (headers["Sigyn-Range"].split("/")[0], body)
        ranges = {segments for segments, _ in answers.values()}
        first, last = ranges.pop().split(":")[1].split("-") if len(ranges) == 1 else (0, 0)
        return answers if int(last) - int(first) + 1 >= SEGMENTS_MIN else None

    answers = server.wait_for(attempt, bool, 30)
    if not answers:
        server.fail(f"never {SEGMENTS_MIN} segments that stayed the same for three requests")
    return {coding: body for coding, (_, body) in answers.items()}


class Replay(http.server.BaseHTTPRequestHandler):
    """What the target sent, byte for byte, for as many as ask."""

    protocol_version = "HTTP/1.1"
    bodies = {}

    def do_GET(self):
        coding = self.path.strip("/")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", coding)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # In small pieces, as a network brings them: a decoder must not take the end of one for the end.
        body = self.bodies[coding]
        for at in range(0, len(body), 97):
            piece = body[at : at + 97]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def main():
    found = {}
    with pull.Demo() as demo:
        captured = {accept: bodies(demo.target, accept) for accept in ("application/json", OTLP)}
    for accept, sent in captured.items():
        Replay.bodies = sent
        plain = hashlib.sha256(sent["identity"]).hexdigest()
        replay = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay)
        threading.Thread(target=replay.serve_forever, daemon=True).start()
        told = server.run_client(*COMMANDS[LANGUAGE], f"http://127.0.0.1:{replay.server_port}")
        replay.shutdown()
        for one in told:
            is_whole = one.get("sha256") == plain
            found.setdefault(one["name"], set()).add(is_whole)
            outcome = "whole" if is_whole else one.get("error", "not whole")
            print(f"  {LANGUAGE}, {accept.split(';')[0]}: {one['name']}: {outcome}")
    not_whole = sorted(name for name, outcomes in found.items() if outcomes != {True})
    server.expect("decoders that do not read every body whole", not_whole, sorted(NOT_WHOLE[LANGUAGE]))
    print(f"{LANGUAGE}: {len(found)} decoders, {len(found) - len(not_whole)} read every body whole")


main()
