"""A local Studio with a fleet, and the command as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.localstudio import fleet
from tests.localstudio.testing import BlockingStudio, running_studio

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[BlockingStudio]:
    """An empty local Studio."""
    with running_studio(tmp_path / "studio") as studio:
        yield studio


@pytest.fixture
def environment(studio: BlockingStudio, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that talks to the local Studio only."""
    return {
        **os.environ,
        **studio.aws_environment(),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "HOME": str(tmp_path),
    }


@pytest.fixture
def run(environment: Mapping[str, str]) -> Run:
    """Runs ``fleet`` with arguments."""

    def run(*arguments: str, env: Mapping[str, str] = environment) -> Any:
        command = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet", *arguments]
        return subprocess.run(
            command, env=dict(env), capture_output=True, text=True, check=False, timeout=400
        )

    return run


def fill(studio: BlockingStudio, **numbers: int) -> fleet.Fleet:
    """A fleet in the local Studio."""
    return studio.do(lambda s: fleet.fill(s.account, s.now(), **numbers))


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The printed JSON."""
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
