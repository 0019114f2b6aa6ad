"""Totals that ``status`` and the metrics show, kept up to date look by look.

A look changes the present day, seldom an earlier one: the days before are added up once. What is
shown is a frozen :class:`Summary`, made on the recording thread and read by any other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from ..model import Money, Totals
from . import days, reads
from .avoided import Avoided, avoided
from .billing import Tally, apportion, bill, clip, cost_of, moneys
from .moments import DAY, from_us
from .volumes import volume_cost

#: Later than any record: the end of what has no end yet.
FOR_EVER = 1 << 62
#: Days, the present one included, whose totals are shown.
LAST_DAYS = 30

#: By instance.
Tallies = dict[str, Tally]
#: Instance type and app type.
Kind = tuple[str, str]


@dataclass(frozen=True)
class Spent:
    """What instances of one type with apps of one type cost since records began, in USD."""

    instance_type: str
    app_type: str
    in_use_usd: float
    idle_usd: float
    avoided_usd: float


@dataclass(frozen=True)
class Summary:
    """All totals at one moment. ``instances`` is by what is billed."""

    totals: Totals = field(default_factory=Totals)
    instances: Mapping[str, Totals] = field(default_factory=dict)
    spent: tuple[Spent, ...] = ()


class RunningTotals:
    """Keeps the totals of one ledger. ``cap`` (microseconds) bounds avoided cost."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._today = -1
        self._before: dict[str, Tallies] = {}
        self._runs_version: tuple[object, ...] = ()
        self._kinds: dict[str, Kind] = {}
        self._avoided: list[Avoided] = []
        self._avoided_before: dict[str, Fraction] = {}
        self._highest: dict[tuple[str, str, int], float] = {}

    def update(self, db: sqlite3.Connection, dirty: int | None, now: int, settled: int) -> Summary:
        """The totals as of ``now``. Nothing before ``dirty`` has changed since the last update
        (None: anything may have). What is after ``settled`` may still turn out to be idle."""
        today = now // DAY
        spans = _first_days(now)
        if dirty is None or dirty < today * DAY or today != self._today:
            self._before = _before(db, spans, today)
            self._forget_runs(db, spans["last_30_days"] * DAY)
            # Last: what could not be read is read anew the next time.
            self._today = today
        self._follow_runs(db, spans["last_30_days"] * DAY)
        of_today: Tallies = {}
        for charge in days.between(db, today * DAY, FOR_EVER):
            _count(of_today, charge)
        volumes = reads.volumes(db)
        overall = {}
        by_instance: dict[str, dict[str, Money]] = {}
        for name, first_day in spans.items():
            start = first_day * DAY
            tallies = _sum(self._before[name], of_today)
            for instance, usd in self._avoided_between(start, now).items():
                tallies.setdefault(instance, Tally()).avoided += usd
            each, total = moneys(tallies)
            volume = apportion([volume_cost(volumes, start, now)])[1]
            overall[name] = replace(total, volume_usd=volume)
            for instance, money in each.items():
                by_instance.setdefault(instance, {})[name] = money
        return Summary(
            Totals(**overall),
            {instance: Totals(**spent) for instance, spent in by_instance.items()},
            self._spent(db, of_today, settled, now),
        )

    # ---- avoided cost ------------------------------------------------------------------------

    def _forget_runs(self, db: sqlite3.Connection, start: int) -> None:
        """Adds up what was avoided before ``start``: that no longer changes."""
        self._runs_version = ()
        self._avoided_before = _avoided_usd(
            avoided(reads.runs(db, 0, FOR_EVER), self._cap), 0, start
        )

    def _follow_runs(self, db: sqlite3.Connection, start: int) -> None:
        version = reads.runs_version(db)
        if version != self._runs_version:
            # Runs that ended longer ago than the cap avoid nothing after ``start``.
            self._avoided = avoided(reads.runs(db, start - self._cap, FOR_EVER), self._cap)
            self._kinds = reads.kinds(db)
            self._runs_version = version

    def _avoided_between(self, start: int, end: int) -> dict[str, Fraction]:
        return _avoided_usd(self._avoided, start, end)

    # ---- counters ----------------------------------------------------------------------------

    def _spent(
        self, db: sqlite3.Connection, of_today: Tallies, settled: int, now: int
    ) -> tuple[Spent, ...]:
        """What was spent in all, without what may still turn out to be idle."""
        amounts: dict[Kind, list[Fraction]] = {}

        def add(instance: str, which: int, usd: Fraction) -> None:
            sums = amounts.setdefault(self._kinds.get(instance, ("", "")), [Fraction(0)] * 3)
            sums[which] += usd

        for instance, tally in _sum(self._before["all"], of_today).items():
            add(instance, 0, tally.usd(idle=False))
            add(instance, 1, tally.usd(idle=True))
        if settled < now:
            for charge in bill(clip(reads.stretches(db, settled, FOR_EVER), settled, FOR_EVER)):
                if charge.usd_per_hour is not None:
                    usd = cost_of(charge.end - charge.start, charge.usd_per_hour)
                    add(charge.instance, int(charge.idle), -usd)
        start = _first_days(now)["last_30_days"] * DAY
        for before in (self._avoided_before, self._avoided_between(start, now)):
            for instance, usd in before.items():
                add(instance, 2, usd)
        return tuple(
            Spent(*kind, *(self._rising(kind, which, sums[which]) for which in range(3)))
            for kind, sums in sorted(amounts.items())
        )

    def _rising(self, kind: Kind, which: int, amount: Fraction) -> float:
        """A counter never falls: a correction of the record shows once it is made up for."""
        key = (*kind, which)
        self._highest[key] = max(float(amount), self._highest.get(key, 0.0))
        return self._highest[key]


def _first_days(now: int) -> dict[str, int]:
    """The first day of each span that is shown; all are whole days in UTC."""
    today = now // DAY
    return {
        "today": today,
        "month": today - (from_us(now).day - 1),
        "last_30_days": today - (LAST_DAYS - 1),
    }


def _before(db: sqlite3.Connection, spans: Mapping[str, int], today: int) -> dict[str, Tallies]:
    """What was spent in each span, and in all, before today."""
    found: dict[str, Tallies] = {name: {} for name in (*spans, "all")}
    for charge in days.between(db, 0, today * DAY):
        _count(found["all"], charge)
        for name, first_day in spans.items():
            if charge.day >= first_day:
                _count(found[name], charge)
    return found


def _count(tallies: Tallies, charge: days.DayCharge) -> None:
    tally = tallies.get(charge.instance)
    if tally is None:
        tally = tallies[charge.instance] = Tally()
    tally.add(charge.duration, charge.idle, charge.usd_per_hour, charge.estimated)


def _sum(one: Tallies, other: Tallies) -> Tallies:
    found: Tallies = {}
    for tallies in (one, other):
        for instance, tally in tallies.items():
            found.setdefault(instance, Tally()).merge(tally)
    return found


def _avoided_usd(spans: Iterable[Avoided], start: int, end: int) -> dict[str, Fraction]:
    """What was avoided between two times, by instance."""
    time: dict[tuple[str, Decimal], int] = {}
    for span in spans:
        duration = min(span.end, end) - max(span.start, start)
        if duration > 0 and span.usd_per_hour is not None:
            key = (span.instance, span.usd_per_hour)
            time[key] = time.get(key, 0) + duration
    usd: dict[str, Fraction] = {}
    for (instance, usd_per_hour), duration in time.items():
        usd[instance] = usd.get(instance, Fraction(0)) + cost_of(duration, usd_per_hour)
    return usd
