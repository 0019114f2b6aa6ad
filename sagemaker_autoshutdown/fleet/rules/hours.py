"""Outside hours: ``off=(M-F,19);on=(M-F,7);tz=Europe/Berlin``. Pure.

The format is Cloud Custodian's: days are M T W H F S U, a part is ``(days,hour)``, and several
parts are in brackets, as in ``off=[(M-H,19),(F,17:30)]``. A run is due in the hour that begins at
an *off* time, and only if it was up before that time: an app that is started again later is left
alone. An *on* time ends that hour.

Times are in the zone's own time. A time that a change of the clocks skips counts as later by the
same amount; of a time that comes twice, the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo

HOUR = timedelta(hours=1)
_DAYS = "MTWHFSU"


@dataclass(frozen=True)
class Time:
    """A time of day on some days of the week, Monday being 0."""

    days: frozenset[int]
    hour: int
    minute: int = 0


@dataclass(frozen=True)
class OffHours:
    """When apps go off and on, in a zone."""

    text: str
    off: tuple[Time, ...]
    on: tuple[Time, ...]
    zone: tzinfo

    def began(self, at: datetime) -> datetime | None:
        """The *off* time whose hour includes a time; None for any other hour."""
        return max(self._between(self.off, at - HOUR, at), default=None)

    def is_on_since(self, since: datetime, now: datetime) -> bool:
        """Whether an *on* time came after one time, until another."""
        return any(True for _ in self._between(self.on, since, now))

    def _between(
        self, times: tuple[Time, ...], after: datetime, until: datetime
    ) -> Iterator[datetime]:
        """The moments after one time, until another, which is included."""
        day = after.astimezone(self.zone).date() - timedelta(days=1)
        last = until.astimezone(self.zone).date() + timedelta(days=1)
        while day <= last:
            for time in times:
                if day.weekday() in time.days:
                    moment = self._moment(day, time)
                    if after < moment <= until:
                        yield moment
            day += timedelta(days=1)

    def _moment(self, day: date, time: Time) -> datetime:
        local = datetime(day.year, day.month, day.day, time.hour, time.minute, tzinfo=self.zone)
        return local.astimezone(timezone.utc)


def parse(text: str) -> OffHours:
    """The hours in a text. Raises ``ValueError`` that says which part is wrong."""
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or name not in ("off", "on", "tz"):
            raise ValueError(f"{part!r} is not off=..., on=... or tz=...")
        if name in found:
            raise ValueError(
                f"{name}= is given twice; put several times in brackets: [(M-H,19),(F,17)]"
            )
        found[name] = value.strip()
    if not found.get("off"):
        raise ValueError("there is no off=, such as off=(M-F,19)")
    zone = _zone(found.get("tz", "UTC"))
    on = _times(found["on"]) if found.get("on") else ()
    return OffHours(text, _times(found["off"]), on, zone)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    if name.upper() in ("UTC", "Z"):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"this machine does not know the time zone tz={name}; write it as Europe/Berlin. A "
            "machine without time zones needs the package tzdata"
        ) from None


def _times(text: str) -> tuple[Time, ...]:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    parts = re.findall(r"\(([^()]*)\)", inner)
    rest = re.sub(r"\([^()]*\)", "", inner).replace(",", "").strip()
    if not parts or rest:
        raise ValueError(f"{text!r} is not a time such as (M-F,19) or [(M-H,19),(F,17:30)]")
    return tuple(_time(part) for part in parts)


def _time(text: str) -> Time:
    days, comma, clock = text.rpartition(",")
    found = re.fullmatch(r"\s*(\d{1,2})(?::(\d\d))?\s*", clock)
    if not comma or not found:
        raise ValueError(f"({text}) is not a time such as (M-F,19)")
    hour, minute = int(found[1]), int(found[2] or 0)
    if hour > 23 or minute > 59:
        raise ValueError(f"({text}): the hour is 0 to 23, the minute 0 to 59")
    numbers: set[int] = set()
    for part in days.split(","):
        numbers |= _weekdays(part.strip().upper(), text)
    return Time(frozenset(numbers), hour, minute)


def _weekdays(part: str, text: str) -> set[int]:
    first, _, last = part.partition("-")
    last = last or first
    if first not in _DAYS or last not in _DAYS or len(first) != 1 or len(last) != 1:
        raise ValueError(f"({text}): the days are M T W H F S U, for Monday to Sunday, or M-F")
    start, end = _DAYS.index(first), _DAYS.index(last)
    return {(start + step) % 7 for step in range((end - start) % 7 + 1)}
