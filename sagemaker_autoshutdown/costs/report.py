"""``GET costs``: what the instances cost between two times, by group. Pure but for the reading."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from ..clock import to_iso
from ..model import Money
from . import days, reads
from .avoided import Avoided, avoided
from .billing import Tally, by_day, cost_of, moneys
from .moments import DAY, from_us, to_us
from .volumes import volume_cost

#: The row of a space's EBS volume, which belongs to no instance type, app or state.
VOLUME_KEY = "volume"


class GroupBy(str, Enum):
    """By what costs are added up."""

    DAY = "day"
    INSTANCE_TYPE = "instance_type"
    INSTANCE = "instance"
    APP = "app"
    STATE = "state"


@dataclass(frozen=True)
class Report:
    """What was spent from ``start`` to ``end``. The rows' amounts add up to ``total`` exactly."""

    start: datetime
    end: datetime
    group_by: GroupBy
    rows: tuple[tuple[str, Money], ...]
    total: Money

    @classmethod
    def empty(cls, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """That of a time of which nothing is recorded."""
        return cls(start, end, group_by, (), Money())

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's fields."""
        return ("key", *MONEY_FIELDS)

    def to_csv(self) -> str:
        """The rows as CSV with a heading; without the total, which is their sum."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(self.columns)
        for key, money in self.rows:
            writer.writerow([safe_cell(key), *(_cell(getattr(money, f)) for f in MONEY_FIELDS)])
        return text.getvalue()

    def to_json(self, money_to_json: Callable[[Money], Any]) -> dict[str, Any]:
        """The report as the REST API answers it; ``money_to_json`` writes the amounts."""
        return {
            "from": to_iso(self.start),
            "to": to_iso(self.end),
            "group_by": self.group_by.value,
            "rows": [{"key": key, **money_to_json(money)} for key, money in self.rows],
            "total": money_to_json(self.total),
        }


MONEY_FIELDS = (
    "usd",
    "in_use_usd",
    "idle_usd",
    "avoided_usd",
    "volume_usd",
    "estimated",
    "unpriced_seconds",
)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if not isinstance(value, float) else f"{value:g}"


def safe_cell(text: str) -> str:
    """A name that a spreadsheet would take for a formula is kept from being one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def report(
    db: sqlite3.Connection,
    start: datetime,
    end: datetime,
    group_by: GroupBy,
    *,
    now: datetime,
    avoided_cap: int,
) -> Report:
    """What was spent from ``start`` to ``end``, and avoided up to ``now``."""
    first, last = to_us(start), to_us(end)
    tallies: dict[str, Tally] = {}

    def tally(key: str) -> Tally:
        if key not in tallies:
            tallies[key] = Tally()
        return tallies[key]

    for charge in days.between(db, first, last):
        keys = charge.apps if group_by is GroupBy.APP else (_KEYS[group_by](charge),)
        for key in keys:  # an instance's cost is divided evenly among the apps that are up
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


FOR_EVER = 1 << 62


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
