"""Tells a program's actions at a fixed interval from a person's actions. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: After so many bursts in a row at the same interval, a program does it, not a person.
PERIODIC = 3
#: So many pages that act at the same interval, each at its own times, are still recognised. With
#: more, people would be taken for pages.
MOST_AT_ONCE = 2
#: How much equal intervals may differ: by a quarter of one, within these bounds.
JITTER = timedelta(seconds=1)
LEAST_JITTER = timedelta(seconds=0.2)
#: An action that comes sooner after the last of its kind belongs to the same burst.
PAUSE = timedelta(seconds=2)
#: After so many equal intervals, for so long, a program keeps that pace.
STEADY = 8
STEADY_FOR = timedelta(seconds=10)
#: The number of things that are remembered.
MOST_KEYS = 500


@dataclass
class _Rhythm:
    """When the same action came last, and when its last bursts began; since when its pace has
    been steady, None if it is not."""

    times: deque[datetime] = field(default_factory=lambda: deque(maxlen=STEADY + 1))
    bursts: deque[datetime] = field(default_factory=lambda: deque(maxlen=3 * MOST_AT_ONCE))
    steady_since: datetime | None = None

    def note(self, now: datetime) -> None:
        """The same action came once more."""
        if not self.times or now - self.times[-1] >= PAUSE:
            self.bursts.append(now)
        self.times.append(now)
        if len(self.times) <= STEADY or not _are_steady(_intervals(self.times)):
            self.steady_since = None
        elif self.steady_since is None:
            self.steady_since = now

    def recurs(self, now: datetime) -> bool:
        """Whether it comes at a fixed interval."""
        if self.steady_since is not None and now - self.steady_since >= STEADY_FOR:
            return True
        is_burst_short = now - self.bursts[-1] < PAUSE
        return is_burst_short and any(map(self._recurs_with, range(1, MOST_AT_ONCE + 1)))

    def _recurs_with(self, pages: int) -> bool:
        """Whether so many pages take turns: each burst then follows the last one of its own page
        at the same interval. A person's bursts do so by chance if that need not be exact."""
        bursts, compared = list(self.bursts), max(PERIODIC, 2 * pages)
        if len(bursts) < compared + pages:
            return False
        pairs = zip(bursts[-compared:], bursts[-compared - pages : -pages])
        intervals = sorted(after - before for after, before in pairs)
        is_exact = intervals[-1] - intervals[0] <= LEAST_JITTER
        return _are_equal(intervals) if pages == 1 else is_exact


def _intervals(times: Iterable[datetime]) -> list[timedelta]:
    """The lengths of the intervals, the shortest first."""
    ordered = list(times)
    return sorted(after - before for before, after in zip(ordered, ordered[1:]))


def _are_steady(intervals: list[timedelta]) -> bool:
    """A late action makes one interval longer and the next one shorter; a rest is longer still."""
    rest = max(2 * PAUSE, 4 * intervals[len(intervals) // 2])
    return _are_equal(intervals[1:-1]) and intervals[-1] < rest


def _are_equal(intervals: list[timedelta]) -> bool:
    usual = intervals[len(intervals) // 2]
    return intervals[-1] - intervals[0] <= min(JITTER, max(LEAST_JITTER, usual / 4))


@dataclass
class Periodic:
    """Tells actions that recur at a fixed interval, as from a page that reloads itself, from use.

    A page may ask for several things at once, so actions within a ``PAUSE`` of the one before are
    one burst, and the bursts recur. A page that never pauses keeps a steady pace for longer than
    anybody clicks.
    """

    _rhythms: dict[object, _Rhythm] = field(default_factory=dict)

    def recurs(self, key: object, now: datetime) -> bool:
        """Takes note of one more action of this kind; returns whether they come at a fixed
        interval."""
        rhythm = self._rhythms.pop(key, None) or _Rhythm()
        self._rhythms[key] = rhythm  # the latest is last
        while len(self._rhythms) > MOST_KEYS:
            del self._rhythms[next(iter(self._rhythms))]
        rhythm.note(now)
        return rhythm.recurs(now)
