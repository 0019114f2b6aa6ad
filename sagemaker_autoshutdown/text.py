"""How values are written for people to read: durations, money, tables. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal

from .clock import from_iso

CENT = Decimal("0.01")


#: Parts that differ in each answer: request ids of all services, and addresses in memory.
_IDS = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-f]{6,}\b"
    r"|(?<=request id)(?:\s*[:=]\s*|\s+)[\w/+=.-]+|(?<=requestid)(?:\s*[:=]\s*|\s+)[\w/+=.-]+",
    re.IGNORECASE,
)


def without_ids(text: str) -> str:
    """An error without the parts that always differ, so that equal errors can be recognized."""
    return _IDS.sub("...", text)


def span(seconds: float) -> str:
    """A duration in its two largest units: ``1 h 30 min``, ``45 s``."""
    left = round(abs(seconds))
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def milliseconds(duration: timedelta) -> str:
    """A short duration: ``3 ms``, and from a second on in the form of ``span``."""
    count = round(duration.total_seconds() * 1000)
    return f"{count} ms" if count < 1000 else span(duration.total_seconds())


def usd(amount: Decimal) -> str:
    """To the cent; a smaller amount is not shown as zero."""
    if amount and abs(amount) < CENT:
        return "<0.01" if amount > 0 else ">-0.01"
    return f"{amount:.2f}"


def when(moment: str | None, now: str) -> str:
    """How far a time is from the server's ``now``: ``in 12 min``, ``3 s ago``, or ``-``."""
    if moment is None:
        return "-"
    seconds = (from_iso(moment) - from_iso(now)).total_seconds()
    return f"in {span(seconds)}" if seconds > 0 else f"{span(seconds)} ago"


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
