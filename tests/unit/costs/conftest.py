"""Fixtures of the tests of costs."""

from __future__ import annotations

import pytest

from sagemaker_autoshutdown.costs.store import database


@pytest.fixture(autouse=True)
def quick_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test survives no power cut, so it need not wait for the disk at each observation."""
    if "real_disk" not in request.fixturenames:
        monkeypatch.setattr(database, "SYNCHRONOUS", "OFF")


@pytest.fixture
def real_disk() -> None:
    """Leaves everything unchanged outside tests."""
