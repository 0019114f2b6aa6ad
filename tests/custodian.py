"""Cloud Custodian as an independent client of the local Studio.

It lives in an environment of its own, since it pins other versions of boto3 than the development
tools; the environment is made once and kept under ``.venvs``.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.paths import ROOT

REQUIREMENTS = Path(__file__).with_name("custodian-requirements.txt")
FOLDER = ROOT / ".venvs" / "custodian"


def custodian() -> str:
    """The program, installed if it is not there. CalledProcessError where it can't be had."""
    FOLDER.parent.mkdir(exist_ok=True)
    made = FOLDER / "installed.txt"
    with (FOLDER.parent / "custodian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != REQUIREMENTS.read_text():
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run(
                [*uv, "venv", "--clear", "--python", sys.executable, str(FOLDER)], check=True
            )
            python = str(FOLDER / "bin" / "python")
            command = [*uv, "pip", "install", "--python", python, "-r", str(REQUIREMENTS)]
            subprocess.run(command, check=True)
            made.write_text(REQUIREMENTS.read_text())
    return str(FOLDER / "bin" / "custodian")


def resources(
    resource: str, folder: Path, environment: Mapping[str, str], timeout: float = 170
) -> list[dict[str, Any]]:
    """Everything of a kind (``aws.sagemaker-app``) that Cloud Custodian finds."""
    folder.mkdir(parents=True)
    policy = folder / "policy.yml"
    policy.write_text(json.dumps({"policies": [{"name": "all", "resource": resource}]}))
    command = [custodian(), "run", "--cache-period", "0", "-s", str(folder / "out"), str(policy)]
    done = subprocess.run(
        command,
        env={**environment, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(
        (folder / "out" / "all" / "resources.json").read_text()
    )
    return found
