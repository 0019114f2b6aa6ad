"""The only place that reads a clock, and how times are written and read as text."""

from __future__ import annotations

from datetime import datetime, timezone


def utcnow() -> datetime:
    """The time, aware and in UTC, whatever the machine's zone is."""
    return datetime.now(timezone.utc)


def to_iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a ``Z``, to the microsecond."""
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """An aware time out of ISO 8601 text.

    Takes what Jupyter writes: a ``Z`` (which ``datetime.fromisoformat`` refuses before Python
    3.11), and times with or without a fraction. Text without an offset counts as UTC. Raises
    ``ValueError`` for anything else.
    """
    text = text.strip()
    if text.endswith(("Z", "z")):
        text = text[:-1] + "+00:00"
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        # Before 3.11, fromisoformat takes three or six digits only.
        text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError as error:  # the first or last day of the calendar
        raise ValueError(f"{text} is out of range") from error
