"""The programs of the system that the tests run."""

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "tinyproxy": "tinyproxy", "ip": "iproute2"}
SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
ENVIRONMENT = os.environ | {"PATH": SEARCHED}


def missing() -> str | None:
    """What to do so that the tests can run; None if they can."""
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program, path=SEARCHED)]
    if packages:
        return f"The tests of proxies need programs: apt-get install {' '.join(packages)}"
    if os.getuid() != 0 or not Path("/dev/net/tun").exists():
        return "The tests of proxies need root and /dev/net/tun, for links that lose packets"
    return None


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, env=ENVIRONMENT)
