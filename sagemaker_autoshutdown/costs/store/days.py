"""Daily sums of the bill. Days that are over are added up once and kept in the ledger.

The sums follow from the stretches alone. They spare a server's start, or a question about a whole
year, from reading every stretch.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from ..billing.arithmetic import Charge, bill, by_day, clip
from ..microseconds import DAY
from . import reads

Connection = sqlite3.Connection


class DayCharge(NamedTuple):
    """How long an instance was billed on a day with these apps, in this state, at this price.

    ``day`` is counted from 1970 (UTC), ``duration`` in microseconds.
    """

    day: int
    instance: str
    instance_type: str
    apps: tuple[str, ...]
    idle: bool
    usd_per_hour: Decimal | None
    estimated: bool
    duration: int


def add_up(charges: Iterable[Charge]) -> Iterator[DayCharge]:
    """Charges, added up by day and by everything that tells them apart."""
    sums: dict[tuple[Any, ...], int] = {}
    for charge in charges:
        alike: tuple[Any, ...] = (
            charge.instance,
            charge.instance_type,
            charge.apps,
            charge.idle,
            charge.usd_per_hour,
            charge.estimated,
        )
        for day, duration in by_day(charge.start, charge.end):
            key = (day, *alike)
            sums[key] = sums.get(key, 0) + duration
    for key, duration in sums.items():
        yield DayCharge._make((*key, duration))


def between(db: Connection, start: int, end: int) -> Iterator[DayCharge]:
    """The charges between two times (microseconds), which need not be whole days."""
    first, last = -(-start // DAY), min(end // DAY, _days_until(db))
    if first >= last:
        yield from _from_stretches(db, start, end)
        return
    if start < first * DAY:
        yield from _from_stretches(db, start, first * DAY)
    yield from _kept(db, first, last)
    if last * DAY < end:
        yield from _from_stretches(db, last * DAY, end)


def _from_stretches(db: Connection, start: int, end: int) -> Iterator[DayCharge]:
    return add_up(bill(clip(reads.stretches(db, start, end), start, end)))


@lru_cache(maxsize=4096)
def _apps(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _kept(db: Connection, first: int, last: int) -> Iterator[DayCharge]:
    for day, instance, instance_type, apps, idle, usd, estimated, duration in db.execute(
        "SELECT day, instance, instance_type, apps, idle, usd_per_hour, estimated, duration "
        "FROM days WHERE day >= ? AND day < ?",
        (first, last),
    ):
        yield DayCharge(
            day,
            instance,
            instance_type,
            _apps(apps),
            idle == 1,
            reads.to_usd(usd),
            estimated == 1,
            duration,
        )


def _days_until(db: Connection) -> int:
    (day,) = db.execute("SELECT day FROM days_until").fetchone()
    return int(day)


def forget_since(db: Connection, moment: int) -> None:
    """Deletes the sums of days that a write since ``moment`` has changed."""
    day = moment // DAY
    if day < _days_until(db):
        db.execute("DELETE FROM days WHERE day >= ?", (day,))
        db.execute("UPDATE days_until SET day = ?", (day,))


def keep_until(db: Connection, today: int) -> None:
    """Adds up the days that are over and stores the sums. Needs a transaction."""
    until = _days_until(db)
    if until >= today:
        return
    db.executemany(
        "INSERT INTO days VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                sums.day,
                sums.instance,
                sums.instance_type,
                json.dumps(sums.apps),
                int(sums.idle),
                None if sums.usd_per_hour is None else str(sums.usd_per_hour),
                int(sums.estimated),
                sums.duration,
            )
            for sums in _from_stretches(db, until * DAY, today * DAY)
        ),
    )
    db.execute("UPDATE days_until SET day = ?", (today,))
