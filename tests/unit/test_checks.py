"""Pages may ask for checks at any rate; the server checks every few seconds at most."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sagemaker_autoshutdown.api import checks


class Loop:
    """A loop with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.later: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any) -> Any:
        when = self.now + delay
        self.later.append((when, call))
        return SimpleNamespace(when=lambda: when)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [call for when, call in self.later if when <= self.now]
        self.later = [each for each in self.later if each[0] > self.now]
        for call in due:
            call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def test_ten_pages_that_ask_at_once_cost_two_checks(loop: Loop) -> None:
    woken: list[float] = []
    requested = checks.RequestedChecks(lambda: woken.append(loop.now))
    assert requested.ask() == 0
    assert [requested.ask() for _ in range(9)] == [checks.MIN_INTERVAL] * 9
    assert woken == [1000]
    loop.pass_time(checks.MIN_INTERVAL)
    assert woken == [1000, 1000 + checks.MIN_INTERVAL]
    loop.pass_time(60)
    assert len(woken) == 2


def test_who_asks_late_does_not_wait(loop: Loop) -> None:
    woken: list[float] = []
    requested = checks.RequestedChecks(lambda: woken.append(loop.now))
    requested.ask()
    loop.pass_time(checks.MIN_INTERVAL + 1)
    assert requested.ask() == 0
    assert len(woken) == 2
