"""The real Prometheus and its promtool, which know what a configuration means.

Debian's release 2.42 is the judge: what is newer, or was different then, is explained where it is compared.
"""

import glob
import os
import shutil
import subprocess

import server

PACKAGE = "prometheus"
VERSION = "2.42."
FOLDER = os.path.join(server.SCRATCH, "debian-prometheus")
DOWNLOAD_SECONDS = 180


def program(name):
    """The path of `promtool` or `prometheus`. Where it is not installed, Debian's package is unpacked into the scratch folder."""
    unpacked = os.path.join(FOLDER, "usr", "bin", name)
    installed = shutil.which(name)
    if installed and is_right(installed):
        return installed
    if not os.path.exists(unpacked):
        unpack(name, installed)
    if not is_right(unpacked):
        server.skip(f"{name} of this system's packages is not {VERSION}x, which is what differences are explained for")
    return unpacked


def is_right(path):
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except OSError:
        return False
    return f"version {VERSION}" in said.stdout + said.stderr


def unpack(name, installed):
    why = f"{name} {VERSION}x is not installed" + (f" ({installed} is another)" if installed else "")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        server.skip(f"{why}, and there is no apt-get to fetch Debian's package with")
    os.makedirs(FOLDER, exist_ok=True)
    for command in (["apt-get", "download", PACKAGE], ["apt-get", "-qq", "update"], ["apt-get", "download", PACKAGE]):
        run(command)
        packages = glob.glob(os.path.join(FOLDER, f"{PACKAGE}_*.deb"))
        if packages:
            break
    else:
        server.skip(f"{why}, and apt-get cannot fetch the package {PACKAGE}")
    if not run(["dpkg-deb", "-x", packages[0], FOLDER]):
        server.skip(f"{why}, and {os.path.basename(packages[0])} cannot be unpacked")


def run(command):
    try:
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
