"""The files that users install: built, read, and compared."""

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
THIN = REPOSITORY / "packages" / "langchain-ovhcloud"
ENVIRON = dict(os.environ)  # with what pip needs to reach an index, which the tests' own environment has not


@dataclass(frozen=True)
class Distribution:
    wheel: Path
    sdist: Path

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> "Distribution":
        """The one of this name in a folder, which has no other version of it."""
        (wheel,), (sdist,) = folder.glob(f"{name}-*.whl"), folder.glob(f"{name}-*.tar.gz")
        return cls(wheel, sdist)

    @property
    def version(self) -> str:
        return self.wheel.name.split("-")[1]

    @property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return message_from_string(archive.read(name).decode())

    @property
    def page(self) -> str:
        """The text of its page on PyPI."""
        return str(self.metadata.get_payload())


def build(source: Path, folder: Path, *kinds: str) -> None:
    """Builds each kind from the source itself, and not a wheel from an sdist."""
    for kind in kinds:
        run([sys.executable, "-m", "build", f"--{kind}", "--installer", "uv", "--outdir", str(folder), str(source)])


def unpacked(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def wheel_files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sdist_files(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def run(command: list[str], *, cwd: Path | None = None, environ: dict[str, str] | None = None) -> str:
    """What a program prints, which must end well."""
    done = subprocess.run(
        command, cwd=cwd, env=environ or ENVIRON, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
