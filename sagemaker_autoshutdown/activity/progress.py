"""How long programs have made no progress. Pure.

A program that waits for another machine or for a disk may wait for ever: the other side is gone,
and nobody tells. So something that only waits counts for a limited time.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass

from .process_groups import WorkRule

#: Parts of what counts as work that are still progress. A progress bar writes less.
CPU_PART, BYTES_PART = 1 / 5, 1 / 100


@dataclass(frozen=True)
class _Last:
    at: float
    cpu: float
    bytes: int
    progressed_at: float


class Progress:
    """Remembers how much programs have used and moved so far."""

    def __init__(self, rule: WorkRule, patience: float) -> None:
        """After ``patience`` seconds without progress, a program has hung; 0: it never has."""
        self._rule = rule
        self._patience = patience
        self._last: dict[Hashable, _Last] = {}

    def has_hung(self, key: Hashable, at: float, cpu: float, bytes_: int) -> bool:
        """Whether it has used hardly any CPU, and moved hardly any bytes, for so long. ``cpu`` and
        ``bytes_`` are the sums so far, at a moment in seconds."""
        last = self._last.get(key)
        if last is None:
            last = self._last[key] = _Last(at, cpu, bytes_, at)
        passed = at - last.at
        if passed >= self._rule.interval:
            # The sums also change when a child ends or begins.
            progressed = (
                abs(cpu - last.cpu) >= passed * self._rule.cpu * CPU_PART
                or abs(bytes_ - last.bytes) >= passed * self._rule.bytes_per_second * BYTES_PART
            )
            last = _Last(at, cpu, bytes_, at if progressed else last.progressed_at)
            self._last[key] = last
        return bool(self._patience) and at - last.progressed_at >= self._patience

    def forget_all_but(self, keys: Collection[Hashable]) -> None:
        """Forgets programs that are gone."""
        for key in self._last.keys() - set(keys):
            del self._last[key]
