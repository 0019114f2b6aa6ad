"""Pages of the history. Pure but for the reading, which is the ledger's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from ..model import Event

#: ``read(limit, before, app_name)``: events before that time, newest first.
Read = Callable[[int, "datetime | None", "str | None"], Awaitable["list[Event]"]]

_TICK = timedelta(microseconds=1)
#: More than ever happened at one moment.
_MOST_AT_ONCE = 1000


async def page(
    read: Read, *, limit: int, before: datetime | None, app_name: str | None
) -> tuple[list[Event], datetime | None]:
    """A page of events, and the ``before`` of the next one (None if there is none).

    Several events of one check carry the same time. They are not torn apart, as the next page
    starts before that time: a page can be a little longer than ``limit``.
    """
    events = await read(limit, before, app_name)
    if len(events) < limit:
        return events, None
    last = events[-1].at
    of_last = await read(_MOST_AT_ONCE, last + _TICK, app_name)
    events = [event for event in events if event.at > last]
    return events + [event for event in of_last if event.at == last], last
