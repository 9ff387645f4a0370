"""Programs that discover targets and tell which they have found."""

import http.client
import json
import os
import subprocess

import server


class Program:
    def __init__(self, name, folder, port, command):
        self.name, self.port = name, port
        self.log = os.path.join(folder, f"{name}.log")
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=server.TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, ValueError):
            if self.child.poll() is not None:
                server.fail(f"{self.name} has ended:\n{self.said()}")
            return None
        finally:
            connection.close()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-3000:]

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
