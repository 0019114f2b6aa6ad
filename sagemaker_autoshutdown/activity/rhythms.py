"""Tells what a program does at a fixed interval from what a person does. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: So many bursts in a row at the same interval, and something is done by a program.
PERIODIC = 3
#: By how much intervals may differ that are the same: by a quarter of one, within these bounds.
JITTER = timedelta(seconds=1)
LEAST_JITTER = timedelta(seconds=0.2)
#: What comes sooner after the last of its kind belongs to the same burst.
PAUSE = timedelta(seconds=2)
#: So many intervals that are the same, and then for so long, and a program keeps that pace.
STEADY = 8
STEADY_FOR = timedelta(seconds=10)
#: Things that are remembered.
MOST_KEYS = 500


@dataclass
class _Rhythm:
    """When the same thing came last, and when its last bursts began; since when its pace has been
    steady, None if it is not."""

    times: deque[datetime] = field(default_factory=lambda: deque(maxlen=STEADY + 1))
    bursts: deque[datetime] = field(default_factory=lambda: deque(maxlen=PERIODIC + 1))
    steady_since: datetime | None = None

    def note(self, now: datetime) -> None:
        """It came once more."""
        if not self.times or now - self.times[-1] >= PAUSE:
            self.bursts.append(now)
        self.times.append(now)
        # One that comes late makes one interval longer and the next one shorter.
        if len(self.times) <= STEADY or not _are_equal(_intervals(self.times)[1:-1]):
            self.steady_since = None
        elif self.steady_since is None:
            self.steady_since = now

    def recurs(self, now: datetime) -> bool:
        """Whether it comes at a fixed interval."""
        if self.steady_since is not None and now - self.steady_since >= STEADY_FOR:
            return True
        is_burst_short = now - self.bursts[-1] < PAUSE
        is_known = len(self.bursts) > PERIODIC
        return is_burst_short and is_known and _are_equal(_intervals(self.bursts))


def _intervals(times: Iterable[datetime]) -> list[timedelta]:
    """The lengths of the intervals, the shortest first."""
    ordered = list(times)
    return sorted(after - before for before, after in zip(ordered, ordered[1:]))


def _are_equal(intervals: list[timedelta]) -> bool:
    usual = intervals[len(intervals) // 2]
    return intervals[-1] - intervals[0] <= min(JITTER, max(LEAST_JITTER, usual / 4))


@dataclass
class Periodic:
    """Tells what recurs at a fixed interval, as a page that reloads itself, from what people do.

    A page may ask for several things at once, so what comes within a ``PAUSE`` of the one before is
    one burst, and the bursts recur. A page that never pauses keeps a steady pace for longer than
    anybody clicks.
    """

    _rhythms: dict[object, _Rhythm] = field(default_factory=dict)

    def recurs(self, key: object, now: datetime) -> bool:
        """Take note of one more of the same; whether it comes at a fixed interval."""
        rhythm = self._rhythms.pop(key, None) or _Rhythm()
        self._rhythms[key] = rhythm  # the latest is last
        while len(self._rhythms) > MOST_KEYS:
            del self._rhythms[next(iter(self._rhythms))]
        rhythm.note(now)
        return rhythm.recurs(now)
