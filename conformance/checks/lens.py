"""Zipkin's own web UI, served by Sigyn from a folder: search, trace, dependencies and upload in a real browser.

The UI comes from Maven Central, the browser is the system's ($CHROMIUM, or /usr/bin/chromium). The server is one of
this check's own, since it needs a flag; the runner's stays idle.
"""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
import zipfile

import server

VERSION = "3.4.3"
FOLDER = os.path.join(server.SCRATCH, "lens")
READY_SECONDS = 20
DRIVE_SECONDS = 180

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def unpacked():
    """The UI's files."""
    jar = os.path.join(FOLDER, f"zipkin-lens-{VERSION}.jar")
    if not os.path.exists(jar):
        artifact = f"-Dartifact=io.zipkin:zipkin-lens:{VERSION}"
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        subprocess.run(["mvn", "-q", "-B", plugin, artifact, f"-DoutputDirectory={FOLDER}"], check=True, timeout=300)
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(os.path.join(FOLDER, "jar"))
    return os.path.join(FOLDER, "jar", "zipkin-lens")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


browser = os.environ.get("CHROMIUM", "/usr/bin/chromium")
if not os.path.exists(browser) or shutil.which("mvn") is None:
    server.skip(f"this check needs a browser at {browser} (or in $CHROMIUM), and mvn")

# A kept scratch folder may hold what an earlier run stored.
data = os.path.join(FOLDER, "data")
shutil.rmtree(data, ignore_errors=True)
url = f"http://127.0.0.1:{free_port()}"
command = [
    os.environ["SIGYN_BIN"],
    "serve",
    f"--web.listen-address={url.removeprefix('http://')}",
    "--otlp.grpc.listen-address=",
    "--otlp.http.listen-address=",
    f"--storage.path={data}",
    f"--web.ui-dir={unpacked()}",
]
with open(os.path.join(FOLDER, "log"), "w", encoding="utf-8") as log:
    child = subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
try:
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            _opener.open(url + "/health", timeout=2).close()
            break
        except OSError:
            if time.monotonic() > end or child.poll() is not None:
                server.fail(f"the server of this check did not start: see {log.name}")
            time.sleep(0.1)
    driving = subprocess.run(["node", "drive.mjs", url, os.path.join(FOLDER, "pictures")], cwd=FOLDER, timeout=DRIVE_SECONDS)
    server.expect("the end of the browser's walk", driving.returncode, 0)
finally:
    child.terminate()
    child.wait(timeout=10)
