"""Programs that judge Sigyn and come in Debian's packages: unpacked into the scratch folder where they are not installed."""

import glob
import os
import shutil
import subprocess

import server

DOWNLOAD_SECONDS = 180


def unpacked(package, why):
    """The folder that holds what is in a package, and the package. `why` begins what is said if it cannot be had."""
    folder = os.path.join(server.SCRATCH, f"debian-{package}")
    packages = glob.glob(os.path.join(folder, f"{package}_*.deb"))
    if packages and os.path.isdir(os.path.join(folder, "usr")):
        return folder, os.path.basename(packages[0])
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        server.skip(f"{why}, and there is no apt-get to fetch Debian's package with")
    os.makedirs(folder, exist_ok=True)
    for command in (["apt-get", "download", package], ["apt-get", "-qq", "update"], ["apt-get", "download", package]):
        run(command, folder)
        packages = glob.glob(os.path.join(folder, f"{package}_*.deb"))
        if packages:
            break
    else:
        server.skip(f"{why}, and apt-get cannot fetch the package {package}")
    if not run(["dpkg-deb", "-x", packages[0], folder], folder):
        server.skip(f"{why}, and {os.path.basename(packages[0])} cannot be unpacked")
    return folder, os.path.basename(packages[0])


def run(command, folder):
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
