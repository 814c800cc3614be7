"""Virtual environments of users, and programs that run in them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import uv
from distributions import ENVIRON, run
from processes import bare_environ

Installed = Callable[..., "Environment"]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")  # with which the wheel is to work


class Environment:
    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self._folder = folder
        run([uv.find_uv_bin(), "venv", "--quiet", "--python", python, str(folder)])
        self.python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        self.site_packages = Path(self.run("import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def install(self, *packages: str) -> None:
        run([uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(self.python), *packages])

    def installed(self) -> set[str]:
        listed = run([uv.find_uv_bin(), "pip", "freeze", "--quiet", "--python", str(self.python)])
        return {re.split(r"==| @ ", line)[0] for line in listed.splitlines()}

    def run(self, code: str) -> str:
        return self.command("-c", code)

    def command(self, *arguments: str, cwd: Path | None = None) -> str:
        """What Python prints, outside of the checkout and with none of its packages."""
        return run([str(self.python), *arguments], cwd=cwd or self._folder, environ=environ())

    def with_endpoints(self, *arguments: str) -> str:
        """The same, on a local AI Endpoints of its own."""
        return self.command("-m", "ovhcloud_ai_endpoints.testing", "--", str(self.python), *arguments)

    def error(self, code: str) -> str:
        """The last line of the traceback with which it fails."""
        done = subprocess.run(
            [str(self.python), "-c", code],
            cwd=self._folder,
            env=environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]


def environ() -> dict[str, str]:
    """With nothing of whoever runs the tests, the checkout on the path of Python least of all."""
    of_windows = {name: ENVIRON[name] for name in ("SYSTEMROOT",) if name in ENVIRON}  # without which it has no sockets
    return bare_environ(PYTHONPATH="", **of_windows)


def found_pythons() -> dict[str, str]:
    """By version, a Python of this machine; a name on the path may be a shim that runs none."""
    found = {}
    for version in VERSIONS:
        ours = [sys.executable] if version == RUNNING else []
        of_pyenv = sorted(map(str, (Path.home() / ".pyenv" / "versions").glob(f"{version}*/bin/python")))
        on_path = shutil.which(f"python{version}")
        for python in [*ours, *of_pyenv, *filter(None, [on_path])]:
            if subprocess.run([python, "-c", ""], env=ENVIRON, capture_output=True, check=False).returncode == 0:
                found[version] = python
                break
    return found
