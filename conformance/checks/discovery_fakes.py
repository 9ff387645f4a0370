"""What knows of targets, as far as discovery asks it: a server over HTTP, Eureka, Docker, and name servers.

Everything answers on 127.0.0.0/8 alone, and so do all addresses that are handed out.
"""

import http.server
import json
import re
import socket
import struct
import threading
import urllib.parse


class Http:
    """One server for all that is asked over HTTP. `pages` are functions by a pattern of the path, and may be changed any time."""

    def __init__(self, pages):
        self.pages = pages
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = urllib.parse.urlsplit(self.path).path
                page = next((page for pattern, page in fake.pages.items() if re.fullmatch(pattern, path)), None)
                status, kind, body = (404, "text/plain", b"") if page is None else (200, *page())
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Api-Version", "1.41")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def json_page(value):
    return lambda: ("application/json", json.dumps(value).encode())


def xml_page(text):
    return lambda: ("application/xml", text.encode())


A, MX, AAAA, SRV = 1, 15, 28, 33


class Dns:
    """A name server over UDP. `names` are lists of records by (name, type); what is not there does not exist."""

    def __init__(self, address, names):
        self.names = names
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            try:
                self.socket.sendto(self.answer(question), peer)
            except (OSError, struct.error, IndexError):
                continue

    def answer(self, question):
        (number,) = struct.unpack("!H", question[:2])
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        (kind,) = struct.unpack("!H", question[at + 1 : at + 3])
        asked = question[12 : at + 5]
        name = ".".join(labels).lower()
        records = self.names.get((name, kind), [])
        exists = any(known == name for known, _ in self.names)
        answers = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(data)) + data for data in map(record, records))
        header = struct.pack("!HHHHHH", number, 0x8580 | (0 if exists else 3), 1, len(records), 0, 0)
        return header + asked + answers

    def stop(self):
        self.socket.close()


def record(value):
    """A record's data: an address, (preference, name) or (priority, weight, port, name)."""
    if isinstance(value, str):
        return socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)
    *numbers, name = value
    return struct.pack("!" + "H" * len(numbers), *numbers) + b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
