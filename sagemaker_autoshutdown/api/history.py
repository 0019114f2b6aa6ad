"""The records of the cost tracker, as the API reads them: pages of history, and costs.

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
    """The parts of a cost tracker that the API uses. All raise ``Unavailable`` if its ledger
    can't be read at present."""

    async def read(self, limit: int, before: datetime | None, app_name: str | None) -> list[Event]:
        """Events before a time, newest first."""
        ...

    async def costs(self, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """The cost between two times."""
        ...

    async def outcomes(self, events: Sequence[Event]) -> dict[datetime, Outcome]:
        """The outcomes of the shutdowns among them, by their times."""
        ...


class NoTracker:
    """The records off SageMaker, where nothing is recorded."""

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

    Several events of one check carry the same time. They stay on one page, because the next page
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
    """Events as the REST API answers them: each with its outcome."""
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
