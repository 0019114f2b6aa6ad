"""How values are written for people, and read from them. Pure."""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from ..clock import from_iso

CENT = Decimal("0.01")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([smhd]))")


def duration(text: str) -> float:
    """Seconds out of ``90s``, ``30m``, ``2h``, ``1h30m``, ``1d`` or plain ``7200``."""
    stripped = text.strip().lower()
    try:
        if re.fullmatch(r"\d+(\.\d+)?", stripped):
            return float(stripped)
        if re.fullmatch(f"(?:{_DURATION.pattern})+", stripped):
            return sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(stripped))
    except OverflowError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is no duration; write it as 90s, 30m, 2h, 1h30m, 1d, or in seconds"
    )


def span(seconds: float) -> str:
    """A duration in its two largest units: ``1 h 30 min``, ``45 s``."""
    left = round(abs(seconds))
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def usd(amount: Decimal) -> str:
    """To the cent; what is less is not shown as nothing."""
    if amount and abs(amount) < CENT:
        return "<0.01" if amount > 0 else ">-0.01"
    return f"{amount:.2f}"


def when(moment: str | None, now: str) -> str:
    """How far a time is from the server's ``now``: ``in 12 min``, ``3 s ago``, or ``-``."""
    if moment is None:
        return "-"
    seconds = (from_iso(moment) - from_iso(now)).total_seconds()
    return f"in {span(seconds)}" if seconds > 0 else f"{span(seconds)} ago"


def until(text: str, now: datetime) -> datetime:
    """A time out of ``18:00`` (the next time that it is so here) or ISO 8601; ``now`` is aware.

    A time without an offset is this machine's.
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
            f"{text!r} is no time; write it as 18:00 or 2026-09-01T18:00"
        ) from None


def clean(text: object) -> str:
    """Text for a terminal: a notebook's name must not be able to move the cursor."""
    return "".join(
        "?" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
        for character in str(text)
    )


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need to be."""
    lines = [list(heading), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )
