"""Fixtures shared by all tests."""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow to make inputs: that is no failure.
settings.register_profile(
    "patient",
    parent=settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

# No test asks the real Price List: nothing listens there.
os.environ.setdefault("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9")

_LOADER: Any = botocore.loaders.JSONFileLoader
_load_file = _LOADER.load_file


@functools.cache
def _load_once(path: str) -> Any:
    """Reads a file of botocore's once for all tests: SageMaker's takes longer than most of them."""
    return _load_file(_LOADER(), path)


_LOADER.load_file = lambda _, path: _load_once(path)

pytest_plugins = ["pytest_jupyter.jupyter_server"]

#: Allowed reasons for skipping a test; CONTRIBUTING.md names them too. Any other skip is a failure
#: in CI.
MAY_BE_MISSING = ("is not on this machine", "terraform")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With ``-n auto`` two workers a core: tests of servers wait more than they work."""
    is_auto = config.option.numprocesses == "auto"
    return 2 * (os.cpu_count() or 1) if is_auto else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal out the layers: each worker gets a part of the order, and so a share of each layer.

    It begins with its share of the end-to-end tests, which take the longest.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    layers = [list(same) for _, same in itertools.groupby(items, _layer)]
    items[:] = [
        item
        for worker in range(workers)
        for layer in layers
        for item in layer[len(layer) * worker // workers : len(layer) * (worker + 1) // workers]
    ]


def _layer(item: pytest.Item) -> str:
    """The folder below ``tests``: e2e, images, integration, unit."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.fixture
def app_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test's processes are in an app apart from all others of this machine."""
    monkeypatch.setenv("RESOURCE_METADATA_FILE", str(tmp_path / "resource-metadata.json"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """An unexplained skip hides a test that does not run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reason = str(report.longrepr)
        if not any(known in reason for known in MAY_BE_MISSING):
            reporter.write_line(f"a skip that CONTRIBUTING.md does not explain: {reason}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
