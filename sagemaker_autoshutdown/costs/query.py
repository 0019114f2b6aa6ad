"""Finds the cost of the instances between two times, by group. Blocks while it reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache

from .billing.arithmetic import Tally, by_day, cost_of, moneys
from .billing.avoided import Avoided, avoided
from .billing.report import GroupBy, Report
from .billing.volumes import volume_cost
from .microseconds import DAY, FOR_EVER, from_us, to_us
from .store import days, reads

#: The row of a space's EBS volume, which has no instance type, app or state.
VOLUME_KEY = "volume"


def report(
    db: sqlite3.Connection,
    start: datetime,
    end: datetime,
    group_by: GroupBy,
    *,
    now: datetime,
    avoided_cap: int,
) -> Report:
    """The cost from ``start`` to ``end``, and the cost avoided up to ``now``."""
    first, last = to_us(start), to_us(end)
    tallies: dict[str, Tally] = {}

    def tally(key: str) -> Tally:
        if key not in tallies:
            tallies[key] = Tally()
        return tallies[key]

    for charge in days.between(db, first, last):
        keys = charge.apps if group_by is GroupBy.APP else (_KEYS[group_by](charge),)
        for key in keys:  # an instance's cost is divided evenly among its running apps
            tally(key).add(
                charge.duration,
                charge.idle,
                charge.usd_per_hour,
                charge.estimated,
                share=len(keys),
            )
    until = min(last, to_us(now))
    spans = avoided(reads.runs(db, first - avoided_cap, FOR_EVER), avoided_cap)
    for key, span_start, span_end, span in _avoided_parts(spans, first, until, group_by):
        if span.usd_per_hour is not None:
            tally(key).avoided += cost_of(span_end - span_start, span.usd_per_hour)
    volumes = reads.volumes(db)
    if volumes:
        if group_by is GroupBy.DAY:
            for day, _ in by_day(max(first, volumes[0].since), until):
                usd = volume_cost(volumes, max(first, day * DAY), min(until, (day + 1) * DAY))
                if usd:
                    tally(_day(day)).volume += usd
        else:
            usd = volume_cost(volumes, first, until)
            if usd:
                tally(VOLUME_KEY).volume += usd
    each, total = moneys(tallies)
    return Report(start, end, group_by, tuple(sorted(each.items())), total)


@lru_cache(maxsize=1024)
def _day(day: int) -> str:
    return f"{from_us(day * DAY):%Y-%m-%d}"


_KEYS: dict[GroupBy, Callable[[days.DayCharge], str]] = {
    GroupBy.DAY: lambda charge: _day(charge.day),
    GroupBy.INSTANCE_TYPE: lambda charge: charge.instance_type,
    GroupBy.INSTANCE: lambda charge: charge.instance,
    GroupBy.STATE: lambda charge: "idle" if charge.idle else "in_use",
}


def _avoided_parts(
    spans: Iterable[Avoided], start: int, end: int, group_by: GroupBy
) -> Iterator[tuple[str, int, int, Avoided]]:
    for span in spans:
        first, last = max(span.start, start), min(span.end, end)
        if first >= last:
            continue
        if group_by is GroupBy.DAY:
            for day, _ in by_day(first, last):
                yield _day(day), max(first, day * DAY), min(last, (day + 1) * DAY), span
        else:
            key = {
                GroupBy.INSTANCE_TYPE: span.instance_type,
                GroupBy.INSTANCE: span.instance,
                GroupBy.APP: span.app,
            }.get(group_by, "idle")
            yield key, first, last, span
