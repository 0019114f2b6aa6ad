"""The only module that reads a clock; it also converts times from and to text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone


def utcnow() -> datetime:
    """The present time, aware and in UTC, whatever the machine's zone is."""
    return datetime.now(timezone.utc)


def to_iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a ``Z``, to the microsecond."""
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """An aware time from ISO 8601 text.

    Accepts the forms that Jupyter writes: a ``Z`` (which ``datetime.fromisoformat`` refuses before
    Python 3.11), and times with or without a fraction. Text without an offset counts as UTC. Raises
    ``ValueError`` for anything else.
    """
    text = text.strip()
    if text.endswith(("Z", "z")):
        text = text[:-1] + "+00:00"
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        # Before 3.11, fromisoformat accepts three or six digits only.
        text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError as error:  # the first or last day of the calendar
        raise ValueError(f"{text} is out of range") from error


class JumpDetector:
    """Tells when the wall clock was set, or the machine slept."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None

    def since_last(self, now: datetime, monotonic: float) -> timedelta:
        """How much further the wall clock went than a monotonic one (in seconds) since the last
        call."""
        last, self._last = self._last, (now, monotonic)
        if last is None:
            return timedelta(0)
        return now - last[0] - timedelta(seconds=monotonic - last[1])


#: The shortest sleep, in seconds. A time that is already past must not spin a loop.
_MIN_SLEEP = 0.001


class Alarm:
    """Lets a task sleep until a time of the wall clock, or until somebody rings."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        # Created when first needed: before Python 3.10 it belongs to the event loop that creates
        # it.
        self._made: asyncio.Event | None = None

    @property
    def _rung(self) -> asyncio.Event:
        if self._made is None:
            self._made = asyncio.Event()
        return self._made

    def ring(self) -> None:
        """Wakes the waiting task, or the next one that waits."""
        self._rung.set()

    async def wait(self, due: Callable[[], datetime], longest: timedelta) -> None:
        """Sleeps until the time of ``due``, which may change meanwhile, and at most for
        ``longest`` by the monotonic clock."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + longest.total_seconds()
        while True:
            due_at = due()
            delay = min((due_at - self._now()).total_seconds(), latest - loop.time())
            try:
                await asyncio.wait_for(self._rung.wait(), max(_MIN_SLEEP, delay))
                self._rung.clear()
                return
            except asyncio.TimeoutError:
                # A timer may fire a little early, but a deadline must not be met early.
                if self._now() >= due_at or loop.time() >= latest:
                    return
