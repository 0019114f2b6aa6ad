"""Values as people type them on the command line. Pure."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta

from ..clock import from_iso

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([smhd]))")


def duration(text: str) -> float:
    """Seconds from ``90s``, ``30m``, ``2h``, ``1h30m``, ``1d`` or plain ``7200``."""
    stripped = text.strip().lower()
    try:
        if re.fullmatch(r"\d+(\.\d+)?", stripped):
            return float(stripped)
        if re.fullmatch(f"(?:{_DURATION.pattern})+", stripped):
            return sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(stripped))
    except OverflowError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a duration; write it as 90s, 30m, 2h, 1h30m, 1d, or in seconds"
    )


def until(text: str, now: datetime) -> datetime:
    """A time from ``18:00`` (the next one here) or ISO 8601; ``now`` is aware.

    A time without an offset is in this machine's zone.
    """
    try:
        clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip())
        if clock:
            here = now.astimezone()
            moment = here.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return moment if moment > here else moment + timedelta(days=1)
        if re.search(r"(Z|[+-]\d\d:?\d\d)$", text.strip(), re.IGNORECASE):
            return from_iso(text)
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write it as 18:00 or 2026-09-01T18:00"
        ) from None
