"""Times as whole microseconds since 1970 in UTC: exact, quick to add up, and what SQLite stores."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

#: Earlier, and later, than any record.
LONG_AGO = 0
FOR_EVER = 1 << 62

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The aware time in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds)


def span_us(duration: timedelta) -> int:
    """A duration in microseconds, exactly."""
    return duration // _MICROSECOND
