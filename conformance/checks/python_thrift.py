"""The last py_zipkin that writes thrift."""

import os

import senders
import server

folder = os.path.join(server.SCRATCH, "python_thrift")
senders.check(
    "python-thrift",
    os.path.join(folder, "venv", "bin", "python"),
    os.path.join(folder, "senders.py"),
    environment={"PYTHONPATH": os.path.join(server.FOLDER, "clients", "python")},
    expected=["py-zipkin-thrift"],
)
