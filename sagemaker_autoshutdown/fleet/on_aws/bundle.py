"""The code of the functions as one zip, for an architecture and a version of Python of Lambda.

It holds this package as installed, without the panel, and the few wheels that the functions need,
with the versions and checksums of ``requirements.txt``. boto3 is Lambda's own, which AWS keeps up
to date; it would be nine tenths of the zip. Time zones are in it, because Lambda's Amazon Linux
2023 has none. The same contents give the same bytes, so that the checksum can name the zip.
"""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from .template import HANDLERS

#: Lambda's names of architectures, with the names in wheels and of machines.
MACHINES = {"arm64": ("aarch64", "arm64"), "x86_64": ("x86_64", "AMD64")}
#: Lambda's limits: bytes of the zip in a bucket, and unpacked.
MOST_ZIPPED, MOST_UNPACKED = 50 * 2**20, 250 * 2**20
#: Not needed there: the panel, the files that start a Jupyter server, files that Python makes
#: again.
_LEFT_OUT = ("labextension", "jupyter_server_config.d", "__pycache__")
_WHEN = (1980, 1, 1, 0, 0, 0)


class NotBundled(Exception):
    """The zip can't be made. The message says why and what to do."""


@dataclass(frozen=True)
class Bundle:
    """A finished zip."""

    content: bytes
    architecture: str
    python: str

    @property
    def sha256(self) -> str:
        """Its checksum."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def name(self) -> str:
        """A name that differs for other contents."""
        return f"fleet-{self.architecture}-py{self.python.replace('.', '')}-{self.sha256[:16]}.zip"

    @property
    def runs_here(self) -> bool:
        """Whether it is for this machine and this Python."""
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            sys.platform == "linux"
            and platform.machine() in MACHINES[self.architecture]
            and here == self.python
        )


def build(architecture: str, python: str, wheels: Path | None = None) -> Bundle:
    """Makes it. ``wheels`` is a folder of wheels, for when no package index can be reached.
    Blocks; raises :class:`NotBundled`."""
    with tempfile.TemporaryDirectory(prefix="sagemaker-autoshutdown-") as folder:
        found = _download(Path(folder), architecture, python, wheels)
        members = dict(_own())
        for wheel in found:
            members.update(_members(wheel))
    content = zipped(members)
    unpacked = sum(map(len, members.values()))
    if len(content) > MOST_ZIPPED or unpacked > MOST_UNPACKED:
        raise NotBundled(
            f"The code is {len(content)} bytes and {unpacked} unpacked; Lambda takes "
            f"{MOST_ZIPPED} and {MOST_UNPACKED}."
        )
    return Bundle(content, architecture, python)


def zipped(members: dict[str, bytes]) -> bytes:
    """Files as a zip; the same files give the same bytes."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(members.items()):
            info = zipfile.ZipInfo(name, _WHEN)
            info.create_system = 3  # Unix, on any machine
            info.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return plain.getvalue()


def try_import(bundle: Bundle, python: str = sys.executable) -> None:
    """Imports the handlers from the zip, as Lambda does, in a Python of its own, which like
    Lambda's finds no time zones on its machine. Raises :class:`NotBundled` if that fails."""
    with tempfile.TemporaryDirectory(prefix="sagemaker-autoshutdown-") as folder:
        zipfile.ZipFile(io.BytesIO(bundle.content)).extractall(folder)
        # Isolated: neither this environment's packages nor the working directory.
        code = (
            f"import sys; sys.path[:0] = [{folder!r}]; import {HANDLERS} as handlers; "
            "from sagemaker_autoshutdown.metrics.remote_write import encode; "
            "encode.check_installed(); assert handlers.__file__.startswith(sys.path[0]); "
            "import zoneinfo; zoneinfo.reset_tzpath(to=()); zoneinfo.ZoneInfo('Europe/Berlin')"
        )
        done = subprocess.run(
            [python, "-I", "-S", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
    if done.returncode != 0:
        raise NotBundled(f"The code that was made can't be imported:\n{done.stderr.strip()}")


def _download(folder: Path, architecture: str, python: str, wheels: Path | None) -> list[Path]:
    requirements = folder / "requirements.txt"
    requirements.write_bytes(files(__package__).joinpath("requirements.txt").read_bytes())
    machine = MACHINES[architecture][0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(requirements)]
    for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_28"):
        command += ["--platform", f"{tag}_{machine}"]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    if wheels is not None:
        command += ["--no-index", "--find-links", str(wheels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise NotBundled(
            f"pip could not fetch the wheels for {architecture} and Python {python}: {said[-1]}\n"
            "Check that pip is installed here and reaches a package index, or give --wheels with a "
            "folder of the wheels."
        )
    return sorted(folder.glob("*.whl"))


def _own() -> Iterator[tuple[str, bytes]]:
    package = __package__.partition(".")[0]
    root = Path(str(files(package)))
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        if path.is_file() and not set(inner.parts) & set(_LEFT_OUT):
            yield f"{package}/{inner.as_posix()}", path.read_bytes()


def _members(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            parts = name.split("/")
            if not name.endswith("/") and "tests" not in parts and not parts[0].endswith(".data"):
                yield name, archive.read(name)
