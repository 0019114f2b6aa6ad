"""The cost of a space's EBS volume. Pure.

AWS bills a volume by gigabytes and months, whether the space's app is up or not. Part of a month
counts by its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ..microseconds import from_us, to_us


class Volume(NamedTuple):
    """The size of a space's volume, from a time on."""

    domain_id: str
    owner: str
    since: int
    gigabytes: int
    usd_per_gb_month: Decimal
    estimated: bool


def volume_cost(volumes: Iterable[Volume], start: int, end: int) -> Fraction:
    """The exact cost of the volumes between two times. They must be in order of time."""
    usd = Fraction(0)
    for volume, since, until in _spans(volumes, end):
        for month_start, month_end in _months(max(since, start), until):
            part = min(month_end, until) - max(month_start, since, start)
            if part > 0:
                monthly = Fraction(volume.usd_per_gb_month) * volume.gigabytes
                usd += monthly * part / (month_end - month_start)
    return usd


def usd_per_month(volumes: Iterable[Volume]) -> Decimal:
    """The monthly cost of the volumes as they are now. They must be in order of time."""
    current = {(volume.domain_id, volume.owner): volume for volume in volumes}
    return sum(
        (volume.usd_per_gb_month * volume.gigabytes for volume in current.values()), Decimal(0)
    )


def _spans(volumes: Iterable[Volume], end: int) -> Iterator[tuple[Volume, int, int]]:
    """Each size with the time for which it held."""
    current: dict[tuple[str, str], Volume] = {}
    for volume in volumes:
        key = (volume.domain_id, volume.owner)
        if key in current:
            yield current[key], current[key].since, min(volume.since, end)
        current[key] = volume
    for volume in current.values():
        yield volume, volume.since, end


def _months(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The whole months (UTC) that an interval touches."""
    at = from_us(start).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while to_us(at) < end:
        after = _next_month(at)
        yield to_us(at), to_us(after)
        at = after


def _next_month(month: datetime) -> datetime:
    year, number = (month.year, month.month + 1) if month.month < 12 else (month.year + 1, 1)
    return datetime(year, number, 1, tzinfo=timezone.utc)
