"""Targets to pull from: the services of a `sigyn demo`, each a recorder behind a server of its own."""

import http.client
import json
import os
import subprocess
import urllib.parse

import own_server
import server


class Demo:
    """A shop with visitors, for as long as it is used in a `with`."""

    def __enter__(self):
        port = own_server.free_port()
        self.address = ("127.0.0.1", port)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGYN_")}
        self.child = subprocess.Popen(
            [own_server.BINARY, "demo", f"--port={port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
        )
        self.target = server.wait_for(self._a_target, bool, 60)
        if not self.target:
            self.__exit__()
            server.fail("the demo has no target that is up")
        return self

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(timeout=own_server.END_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def _a_target(self):
        try:
            _, _, body = ask(f"http://127.0.0.1:{self.address[1]}/api/v1/targets", {})
        except OSError:
            return None
        active = json.loads(body)["data"]["activeTargets"] if body else []
        up = [target["scrapeUrl"] for target in active if target["health"] == "up" and target["sigyn"]["received"] > 0]
        return up[0] if up else None


def ask(url, headers):
    """Status, headers and body as they came: nothing is unpacked."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=server.TIMEOUT_SECONDS)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept-Encoding": "identity"} | headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
