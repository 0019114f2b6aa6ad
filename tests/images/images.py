"""Environments made from the images' constraint files, kept between runs.

This module knows the images, the Python that each needs, and how to create an environment. An
environment is created once, without the product, and kept under ``.venvs/images``; whoever installs
the product into it removes it again. An image that two need at the same time gets a second
environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sagemaker_autoshutdown.settings.admin import FIXED_SETTINGS_FILE
from tests.paths import ROOT

CONSTRAINTS = Path(__file__).with_name("constraints")
KEPT = ROOT / ".venvs"
DISTRIBUTION = "sagemaker-autoshutdown"

_HEADER = re.compile(r"^# (?P<title>.*?)(?: image)?\b.*?: Python (?P<python>3\.\d+)")


@dataclass(frozen=True)
class Image:
    """A SageMaker image, as its constraint file describes it."""

    file: Path
    #: Major and minor version, such as ``3.10``.
    python: str

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.file.stem

    @property
    def is_classic(self) -> bool:
        """Whether it stands in for Studio Classic; the others are SageMaker Distribution's."""
        return "classic" in self.name

    @property
    def pinned(self) -> dict[str, str]:
        """The image's versions, by distribution name as in the file."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def read_image(file: Path) -> Image:
    """The image that a constraint file describes; its first line names the Python."""
    found = _HEADER.match(file.read_text(encoding="utf-8").partition("\n")[0])
    if found is None:
        raise ValueError(f"{file} does not say which Python its image has")
    return Image(file, found["python"])


IMAGES = [read_image(file) for file in sorted(CONSTRAINTS.glob("*.txt"))]


@dataclass(frozen=True)
class Environment:
    """A virtual environment that stands in for an image."""

    image: Image
    folder: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    def freeze(self) -> list[str]:
        """``pip freeze`` of it, sorted."""
        return sorted(uv("pip", "freeze", "--python", self.python).splitlines())

    def install(self, wheel: Path) -> None:
        """Installs the product like a lifecycle config: nothing but itself."""
        uv("pip", "install", "--python", self.python, "--no-deps", "--reinstall", str(wheel))

    def uninstall(self) -> None:
        """Removes the product and its settings, even a partial installation."""
        for info in self.folder.glob("lib/*/site-packages/sagemaker_autoshutdown-*.dist-info"):
            if not (info / "RECORD").exists():
                shutil.rmtree(info)
        uv("pip", "uninstall", "--python", self.python, DISTRIBUTION)
        self.fixed_settings.unlink(missing_ok=True)

    @property
    def fixed_settings(self) -> Path:
        """Where an installer that is not root fixes settings."""
        return self.folder / FIXED_SETTINGS_FILE.lstrip("/")


def find_python(version: str) -> str | None:
    """An interpreter of that version on this machine, or None. Nothing is downloaded."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [
        *(str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"))),
        f"python{version}",
    ]
    for candidate in candidates:
        found = shutil.which(candidate)
        # A name on the PATH may be a shim that runs nothing.
        if found is not None and _answers(found, version):
            return found
    try:
        return uv("python", "find", "--no-python-downloads", "--no-project", version).strip()
    except subprocess.CalledProcessError:
        return None


def _answers(python: str, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip() == version


@contextmanager
def environment(image: Image, python: str) -> Iterator[Environment]:
    """The image's environment, without the product, for the one caller that holds it."""
    with _free_folder(image) as folder:
        complete = folder / "complete"
        found = Environment(image, folder)
        if not complete.exists():
            _make(found, python)
            complete.touch()
        found.uninstall()
        try:
            yield found
        finally:
            found.uninstall()


@contextmanager
def _free_folder(image: Image) -> Iterator[Path]:
    """The first of the image's folders that nobody else holds: nobody waits for another's tests."""
    digest = hashlib.sha256(image.file.read_bytes()).hexdigest()[:8]
    folders = KEPT / "images"
    folders.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        name = f"{image.name}-{digest}" + (f"-{number}" if number > 1 else "")
        with (folders / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folders / name
            return


def _make(target: Environment, python: str) -> None:
    shutil.rmtree(target.folder, ignore_errors=True)
    # With pip, like the images, because a lifecycle config installs with it.
    uv("venv", "--seed", "--python", python, str(target.folder))
    uv("pip", "install", "--python", target.python, "-r", str(target.image.file))
    if target.image.is_classic:
        uv("pip", "uninstall", "--python", target.python, "psutil")


def build_wheel() -> Path:
    """The product's wheel, rebuilt only if its sources have changed."""
    out = KEPT / "wheel"
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out / ".lock"):
        digest = _source_digest()
        stamp = out / "stamp"
        wheels = list(out.glob("*.whl"))
        if len(wheels) == 1 and stamp.exists() and stamp.read_text() == digest:
            return wheels[0]
        for wheel in wheels:
            wheel.unlink()
        uv("build", "--wheel", "--python", sys.executable, "--out-dir", str(out), cwd=ROOT)
        stamp.write_text(digest)
        [wheel] = out.glob("*.whl")
        return wheel


def _source_digest() -> str:
    """A digest of a wheel's sources."""
    names = [
        name
        for name in subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
        if name and not name.startswith(("tests/", "labextension/ui-tests/"))
    ]
    digest = hashlib.sha256()
    for name in sorted(names):
        path = ROOT / name
        if path.is_file():
            digest.update(f"{name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def uv(*arguments: str, cwd: Path | None = None) -> str:
    """Runs uv; returns its output. CalledProcessError, with its message, if it fails."""
    beside = Path(sys.executable).with_name("uv")
    command = str(beside) if beside.exists() else "uv"
    result = subprocess.run(
        [command, *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )
    if result.returncode != 0:
        error = subprocess.CalledProcessError(result.returncode, ["uv", *arguments])
        error.add_note(result.stdout + result.stderr)
        raise error
    return result.stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process uses the thing that the file stands for."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
