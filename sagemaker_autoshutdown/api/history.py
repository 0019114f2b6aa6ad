"""What the cost tracker has recorded, as the API reads it: pages of history, and costs.

Nothing here is computed anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..costs.billing.report import GroupBy, Outcome, Report
from ..model import Event
from ..status import to_json

_TICK = timedelta(microseconds=1)
#: More events than ever happened at one moment.
_MOST_AT_ONCE = 1000


class Tracker(Protocol):
    """What the API asks of a cost tracker. All raise ``Unavailable`` when its ledger can't be read
    just now."""

    async def read(self, limit: int, before: datetime | None, app_name: str | None) -> list[Event]:
        """Events before a time, newest first."""
        ...

    async def costs(self, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """What was spent between two times."""
        ...

    async def outcomes(self, events: Sequence[Event]) -> dict[datetime, Outcome]:
        """What came of the shutdowns among them, by their times."""
        ...


class NoTracker:
    """Off SageMaker, where nothing is recorded."""

    async def read(self, limit: int, before: datetime | None, app_name: str | None) -> list[Event]:
        """Nothing."""
        return []

    async def costs(self, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """Nothing."""
        return Report.empty(start, end, group_by)

    async def outcomes(self, events: Sequence[Event]) -> dict[datetime, Outcome]:
        """Nothing."""
        return {}


async def page(
    tracker: Tracker, *, limit: int, before: datetime | None, app_name: str | None
) -> tuple[list[Event], datetime | None]:
    """A page of events, and the ``before`` of the next one (None if there is none).

    Several events of one check carry the same time. They are not torn apart, as the next page
    starts before that time: a page can be a little longer than ``limit``.
    """
    events = await tracker.read(limit, before, app_name)
    if len(events) < limit:
        return events, None
    last = events[-1].at
    of_last = await tracker.read(_MOST_AT_ONCE, last + _TICK, app_name)
    events = [event for event in events if event.at > last]
    return events + [event for event in of_last if event.at == last], last


async def history_to_json(tracker: Tracker, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as the REST API answers them: each with what came of it."""
    known = await tracker.outcomes(events)
    nothing = Outcome(None, None)
    return [
        {
            **to_json(event),
            "idle_seconds": to_json(known.get(event.at, nothing).idle),
            "avoided_usd": to_json(known.get(event.at, nothing).avoided_usd),
        }
        for event in events
    ]
