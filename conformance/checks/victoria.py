"""VictoriaMetrics, which has a reading of its own of what Kubernetes and Consul say. Debian's release 1.79.5 is the judge."""

import os
import shutil
import subprocess

import debian
import server

PACKAGE = "victoria-metrics"
VERSION = "1.79.5"


def program():
    """The path of the server. Where it is not installed, Debian's package is unpacked into the scratch folder."""
    installed = shutil.which(PACKAGE)
    if installed and installed_version().startswith(VERSION):
        return installed
    folder, name = debian.unpacked(PACKAGE, f"{PACKAGE} {VERSION} is not installed")
    if not name.startswith(f"{PACKAGE}_{VERSION}"):
        server.skip(f"this system's package is {name} and not {VERSION}, which is what differences are explained for")
    return os.path.join(folder, "usr", "bin", PACKAGE)


def installed_version():
    """The program does not tell it, its package does."""
    try:
        said = subprocess.run(["dpkg-query", "--show", "--showformat=${Version}", PACKAGE], capture_output=True, text=True, timeout=30)
    except OSError:
        return ""
    return said.stdout
