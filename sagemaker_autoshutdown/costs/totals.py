"""Totals for ``status`` and the metrics, updated with each observation.

An observation usually adds to the record and seldom changes it. So earlier sums are kept, and the
days before today are added up only once. The result is a frozen :class:`Summary`: the recording
thread makes it, and any thread may read it.

``Spent`` holds the values of the counters. A counter must never fall, not even after a restart or a
crash: Prometheus takes a counter that falls for a new one and counts its value twice. So counters
follow from the ledger alone, and hold only time that no later observation can change. They leave
out time that may yet turn out to have been idle. An instance that is not up avoids cost until the
last observation, and no longer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import TypeVar

from ..model import Host, Money, Totals
from .billing.arithmetic import Charge, Stretch, Tally, apportion, bill, clip, cost_of, moneys
from .billing.avoided import Avoided, avoided
from .billing.volumes import usd_per_month, volume_cost
from .microseconds import DAY, FOR_EVER, from_us
from .store import days, reads

#: The number of days, today included, whose totals are shown.
LAST_DAYS = 30

K = TypeVar("K")

#: By instance.
Tallies = dict[str, Tally]
#: Instance type and app type.
Kind = tuple[str, str]


@dataclass(frozen=True)
class Spent:
    """The cost of instances of one type with apps of one type since records began, in USD. The
    amounts only grow as long as the ledger exists."""

    instance_type: str
    app_type: str
    in_use_usd: float
    idle_usd: float
    avoided_usd: float


@dataclass(frozen=True)
class Summary:
    """All totals at one moment. ``instances`` is keyed by the billed instance."""

    totals: Totals = field(default_factory=Totals)
    instances: Mapping[str, Totals] = field(default_factory=dict)
    spent: tuple[Spent, ...] = ()
    volume_usd_per_month: Decimal = Decimal(0)


@dataclass
class _Sums:
    """The cost of each span by instance, and of all by kind."""

    spans: dict[str, Tallies]
    in_all: dict[Kind, Tally]

    def copy(self) -> _Sums:
        spans = {name: _copy(tallies) for name, tallies in self.spans.items()}
        return _Sums(spans, _copy(self.in_all))


class RunningTotals:
    """Keeps the totals of one owner, ``host``'s, in one ledger. Others may have used the same home
    folder. ``cap`` (microseconds) bounds avoided cost."""

    def __init__(self, host: Host, cap: int) -> None:
        self._host = host
        self._cap = cap
        self._today = -1
        self._until = 0  # the end of what is added up
        self._before = _Sums({}, {})
        self._sums = _Sums({}, {})
        self._runs_version: tuple[object, ...] = ()
        self._app_types: dict[str, str] = {}
        self._avoided: list[Avoided] = []
        self._avoided_before: dict[Kind, Fraction] = {}

    def update(self, db: sqlite3.Connection, changed_since: int, now: int) -> Summary:
        """The totals as of ``now``. Nothing before ``changed_since`` has changed since the last
        update that did not raise. Raises ``sqlite3.Error``."""
        today = now // DAY
        spans = _first_days(now)
        anew = changed_since < today * DAY or today != self._today
        self._follow_runs(db, spans["last_30_days"] * DAY, anew)
        if anew:
            before = _Sums({name: {} for name in spans}, {})
            self._add(before, self._charges(db, 0, today * DAY), spans)
            self._before = before
        goes_on = not anew and changed_since >= self._until
        since = self._until if goes_on else today * DAY
        charges = self._charges(db, since, FOR_EVER)
        last_observed_at = reads.last_observed_at(db, self._host) or 0
        # Nothing is read from here to the end of the additions: after a failed read everything is
        # read again, and would be added twice.
        if not goes_on:
            self._sums = self._before.copy()
        self._add(self._sums, charges, spans)
        self._until, self._today = max(since, last_observed_at), today
        volumes = [
            volume
            for volume in reads.volumes(db)
            if (volume.domain_id, volume.owner) == (self._host.domain_id, self._host.volume_owner)
        ]
        overall = {}
        by_instance: dict[str, dict[str, Money]] = {}
        for name, first_day in spans.items():
            start = first_day * DAY
            tallies = self._sums.spans[name]
            for tally in tallies.values():
                tally.avoided = Fraction(0)
            saved = _avoided_usd(self._avoided, start, now, attrgetter("instance"))
            for instance, usd in saved.items():
                tallies.setdefault(instance, Tally()).avoided = usd
            each, total = moneys(tallies)
            volume = apportion([volume_cost(volumes, start, now)])[1] if volumes else Decimal(0)
            overall[name] = replace(total, volume_usd=volume)
            for instance, money in each.items():
                by_instance.setdefault(instance, {})[name] = money
        return Summary(
            Totals(**overall),
            {instance: Totals(**spent) for instance, spent in by_instance.items()},
            self._spent(db, last_observed_at),
            usd_per_month(volumes),
        )

    def _charges(self, db: sqlite3.Connection, start: int, end: int) -> list[days.DayCharge]:
        # Read everything before adding any: reading may fail.
        return [
            charge for charge in days.between(db, start, end) if charge.instance in self._app_types
        ]

    def _kind(self, billed: days.DayCharge | Charge | Avoided) -> Kind:
        # Not only by instance: a space can go on with another type, and its earlier cost stays with
        # the earlier type.
        return billed.instance_type, self._app_types[billed.instance]

    def _add(
        self, sums: _Sums, charges: Iterable[days.DayCharge], spans: Mapping[str, int]
    ) -> None:
        for charge in charges:
            _count(sums.in_all, self._kind(charge), charge)
            for name, first_day in spans.items():
                if charge.day >= first_day:
                    _count(sums.spans[name], charge.instance, charge)

    def _follow_runs(self, db: sqlite3.Connection, start: int, anew: bool) -> None:
        """Keeps the cost avoided since ``start``; earlier amounts no longer change."""
        version = reads.runs_version(db)
        if version == self._runs_version and not anew:
            return
        self._runs_version = ()
        self._app_types = reads.app_types(db, self._host)
        if anew:
            self._avoided_before = _avoided_usd(self._avoided_since(db, 0), 0, start, self._kind)
        # Runs that ended longer ago than the cap avoid nothing after ``start``.
        self._avoided = self._avoided_since(db, start - self._cap)
        self._runs_version = version

    def _avoided_since(self, db: sqlite3.Connection, start: int) -> list[Avoided]:
        return [
            span
            for span in avoided(reads.runs(db, start, FOR_EVER), self._cap)
            if span.instance in self._app_types
        ]

    # ---- counters ----------------------------------------------------------------------------

    def _spent(self, db: sqlite3.Connection, last_observed_at: int) -> tuple[Spent, ...]:
        """The settled part of all cost."""
        in_use = {kind: tally.usd(idle=False) for kind, tally in self._sums.in_all.items()}
        idle = {kind: tally.usd(idle=True) for kind, tally in self._sums.in_all.items()}
        for charge, sign in _in_doubt(db, self._host):
            if charge.usd_per_hour is not None and not charge.idle:
                usd = cost_of(charge.end - charge.start, charge.usd_per_hour)
                _add(in_use, self._kind(charge), sign * usd)
        saved = dict(self._avoided_before)
        start = (self._today - (LAST_DAYS - 1)) * DAY
        for kind, usd in _avoided_usd(self._avoided, start, last_observed_at, self._kind).items():
            _add(saved, kind, usd)
        return tuple(
            Spent(*kind, *(float(amounts.get(kind, 0)) for amounts in (in_use, idle, saved)))
            for kind in sorted({*in_use, *saved})
        )


def _in_doubt(db: sqlite3.Connection, host: Host) -> Iterator[tuple[Charge, int]]:
    """The time that counts as in use but may turn out to have been idle: the billed time since
    then, to be taken off (-1), and the same time as it would be billed if it were idle (+1)."""
    unsettled = reads.unsettled(db, host)
    if not unsettled:
        return
    since = min(unsettled.values())
    instances = {instance for instance, _ in unsettled}
    tail = [
        stretch
        for stretch in clip(reads.stretches(db, since, FOR_EVER), since, FOR_EVER)
        if stretch.instance in instances
    ]
    for charge in bill(tail):
        yield charge, -1
    for charge in bill(_if_idle(tail, unsettled)):
        yield charge, 1


def _if_idle(
    stretches: Iterable[Stretch], unsettled: Mapping[tuple[str, str], int]
) -> Iterator[Stretch]:
    """The stretches as they would be if all unsettled time turned out to have been idle."""
    for stretch in stretches:
        since = unsettled.get((stretch.instance, stretch.app))
        if since is None or stretch.idle or stretch.end <= since:
            yield stretch
            continue
        if stretch.start < since:
            yield stretch._replace(end=since)
        yield stretch._replace(start=max(stretch.start, since), idle=True)


def _first_days(now: int) -> dict[str, int]:
    """The first day of each span that is shown. Days are whole days in UTC."""
    today = now // DAY
    return {
        "today": today,
        "month": today - (from_us(now).day - 1),
        "last_30_days": today - (LAST_DAYS - 1),
    }


def _count(tallies: dict[K, Tally], key: K, charge: days.DayCharge) -> None:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = Tally()
    tally.add(charge.duration, charge.idle, charge.usd_per_hour, charge.estimated)


def _copy(tallies: Mapping[K, Tally]) -> dict[K, Tally]:
    found: dict[K, Tally] = {}
    for key, tally in tallies.items():
        found[key] = Tally()
        found[key].merge(tally)
    return found


def _add(amounts: dict[Kind, Fraction], kind: Kind, usd: Fraction) -> None:
    amounts[kind] = amounts.get(kind, Fraction(0)) + usd


def _avoided_usd(
    spans: Iterable[Avoided], start: int, end: int, key: Callable[[Avoided], K]
) -> dict[K, Fraction]:
    """The cost avoided between two times, by ``key``, as far as prices are known."""
    # Whole time by price first, because adding fractions one by one is slow.
    time: dict[tuple[K, Decimal], int] = {}
    for span in spans:
        duration = min(span.end, end) - max(span.start, start)
        if duration > 0 and span.usd_per_hour is not None:
            alike = (key(span), span.usd_per_hour)
            time[alike] = time.get(alike, 0) + duration
    usd: dict[K, Fraction] = {}
    for (of, usd_per_hour), duration in time.items():
        usd[of] = usd.get(of, Fraction(0)) + cost_of(duration, usd_per_hour)
    return usd
