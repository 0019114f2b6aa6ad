"""Programs for tests that pin other packages than the development tools.

Each has an environment of its own, created once and kept under ``.venvs``.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys

from tests.paths import ROOT

_KEPT = ROOT / ".venvs"


def installed(name: str) -> str:
    """The program of that name, installed from ``NAME-requirements.txt`` if it is missing.
    CalledProcessError if that fails."""
    requirements = (ROOT / "tests" / f"{name}-requirements.txt").resolve()
    folder = _KEPT / name
    made = folder / "installed.txt"
    _KEPT.mkdir(exist_ok=True)
    with (_KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != requirements.read_text():
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run(
                [*uv, "venv", "--clear", "--python", sys.executable, str(folder)], check=True
            )
            python = str(folder / "bin" / "python")
            command = [*uv, "pip", "install", "--python", python, "-r", str(requirements)]
            subprocess.run(command, check=True)
            made.write_text(requirements.read_text())
    return str(folder / "bin" / name)
