"""When CPU time counts as work: one rule for whatever uses it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)

#: From this share of one CPU on, a job counts as running. Language servers, debuggers and shells
#: that wait stay far below it.
BUSY_SHARE = 0.05


class Meter:
    """Compares CPU seconds from reading to reading."""

    def __init__(self) -> None:
        self._at = 0.0
        self._used: Mapping[Any, float] = {}

    def busy(self, used: Mapping[K, float], now: float) -> frozenset[K]:
        """Those that have used a fair share of a CPU since the last reading: ``used`` is in CPU
        seconds so far, ``now`` in a monotonic clock's. What is new tells nothing yet."""
        enough = BUSY_SHARE * (now - self._at)
        before, self._at, self._used = self._used, now, dict(used)
        return frozenset(
            key for key, cpu in used.items() if key in before and cpu - before[key] >= enough
        )
