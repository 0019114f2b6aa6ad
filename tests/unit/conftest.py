"""The rule for every unit test: it starts no process."""

from __future__ import annotations

import os
import subprocess
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses a process: such a test belongs under ``tests/integration``."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("unit tests start no process: move this one to tests/integration")

    monkeypatch.setattr(subprocess.Popen, "_execute_child", refuse)
    monkeypatch.setattr(os, "fork", refuse)
