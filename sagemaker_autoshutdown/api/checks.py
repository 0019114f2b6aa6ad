"""Checks that open pages ask for: at most one every few seconds, however many pages ask.

This module owns when the next one may be. The monitor owns the check itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: Seconds between two checks that pages ask for. A page that asks sooner waits until then.
MIN_INTERVAL = 3.0


class RequestedChecks:
    """Wakes the monitor for pages that ask."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._woke_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> float:
        """Makes sure that a check begins after this call; returns in how many seconds."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            return max(0.0, self._timer.when() - loop.time())
        wait = 0.0 if self._woke_at is None else self._woke_at + MIN_INTERVAL - loop.time()
        if wait > 0:
            self._timer = loop.call_later(wait, self._wake_now)
            return wait
        self._wake_now()
        return 0.0

    def _wake_now(self) -> None:
        self._timer = None
        self._woke_at = asyncio.get_running_loop().time()
        self._wake()
