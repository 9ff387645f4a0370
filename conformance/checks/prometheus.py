"""The real Prometheus and its promtool, which know what a configuration means.

Debian's release 2.42 is the judge: what is newer, or was different then, is explained where it is compared.
"""

import os
import shutil
import subprocess

import debian
import server

PACKAGE = "prometheus"
VERSION = "2.42."


def program(name):
    """The path of `promtool` or `prometheus`. Where it is not installed, Debian's package is unpacked into the scratch folder."""
    installed = shutil.which(name)
    if installed and is_right(installed):
        return installed
    why = f"{name} {VERSION}x is not installed" + (f" ({installed} is another)" if installed else "")
    folder, _ = debian.unpacked(PACKAGE, why)
    path = os.path.join(folder, "usr", "bin", name)
    if not is_right(path):
        server.skip(f"{name} of this system's packages is not {VERSION}x, which is what differences are explained for")
    return path


def is_right(path):
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except OSError:
        return False
    return f"version {VERSION}" in said.stdout + said.stderr
