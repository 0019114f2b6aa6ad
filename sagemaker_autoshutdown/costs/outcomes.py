"""Finds the outcome of each recorded shutdown: how long the app had been idle and what it saved.

The event itself does not record this; both follow from the runs. Blocks while it reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from ..model import Event, EventKind
from .billing.arithmetic import apportion, cost_of
from .billing.avoided import avoided
from .billing.report import Outcome
from .microseconds import FOR_EVER, to_us
from .store import reads


def outcomes(
    db: sqlite3.Connection, events: Iterable[Event], *, now: datetime, avoided_cap: int
) -> dict[datetime, Outcome]:
    """Keyed by the time of the event, which is unique."""
    shutdowns = [event for event in events if event.kind is EventKind.SHUTDOWN]
    if not shutdowns:
        return {}
    first = to_us(min(event.at for event in shutdowns))
    saved = {
        (span.app, span.start): _usd(min(span.end, to_us(now)) - span.start, span.usd_per_hour)
        for span in avoided(reads.runs(db, first, FOR_EVER), avoided_cap)
        if span.usd_per_hour is not None
    }
    found = {}
    for event in shutdowns:
        at = to_us(event.at)
        run = reads.run_at(db, event.app_type, event.app_name, at)
        if run is not None:
            idle_since = reads.idle_since(db, run.id, at)
            found[event.at] = Outcome(
                None if idle_since is None else timedelta(microseconds=at - idle_since),
                None if run.ended_at is None else saved.get((event.app_name, run.ended_at)),
            )
    return found


def _usd(duration: int, usd_per_hour: Decimal) -> Decimal:
    [amount], _ = apportion([cost_of(duration, usd_per_hour)])
    return amount
