"""Checks Zipkin's contract row by row, over HTTP, and prints how many rows hold.

Usage: contract [--server URL] [--zipkin JAR] [--binary PATH] [PART OF A ROW'S TEXT]

Without flags it finds the server in SIGYN_URL, and the program for servers with variables of their own in SIGYN_BIN.
`--zipkin` starts a real Zipkin instead, to learn what it does: rows marked (better) differ there on purpose.
"""

import argparse
import os
import sys

import harness

# Each adds its rows.
import api  # noqa: F401, I001
import search  # noqa: F401
import collect  # noqa: F401
import json_v2  # noqa: F401
import binary  # noqa: F401
import v1  # noqa: F401
import reads  # noqa: F401
import edges  # noqa: F401


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--server")
    arguments.add_argument("--zipkin")
    arguments.add_argument("--binary")
    arguments.add_argument("part", nargs="?", default="")
    options = arguments.parse_args()
    if options.server or options.zipkin or options.binary:
        servers = harness.Servers(options.server, options.binary, options.zipkin)
    else:
        servers = harness.Servers(os.environ["SIGYN_URL"], os.environ.get("SIGYN_BIN"))
    try:
        failed = harness.run(servers, options.part)
    finally:
        servers.stop()
    sys.exit(1 if failed else 0)


main()
