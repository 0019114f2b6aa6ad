"""AWS's engines on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ministack import REGION, Ministack, environment, running_ministack


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """One for all tests of a worker: each takes names of its own."""
    with running_ministack(tmp_path_factory.mktemp("engines") / "ministack") as running:
        yield running


@pytest.fixture
def engines(ministack: Ministack, monkeypatch: pytest.MonkeyPatch) -> Ministack:
    """The same, for boto3 in this process too."""
    for name, value in environment(ministack.url).items():
        monkeypatch.setenv(name, value)
    return ministack


__all__ = ["REGION", "engines", "ministack"]
