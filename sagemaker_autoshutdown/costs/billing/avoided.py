"""Estimates the cost that shutdowns avoided. It is never mixed with actual cost.

An instance that this product shut down would have gone on costing money until it was started again,
but at most for the time that the admin sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from ...model import Reason

#: Shutdowns that this product decided on. An app that its user shut down would have ended anyway.
OURS = frozenset({Reason.IDLE_TIMEOUT.value, Reason.BUSY_TOO_LONG.value})


class Run(NamedTuple):
    """One app that was up, or still is (``end`` is None). ``ended_by`` is the reason of its
    shutdown, or empty if it ended otherwise."""

    instance: str
    start: int
    end: int | None
    app: str
    instance_type: str
    ended_by: str
    usd_per_hour: Decimal | None


class Avoided(NamedTuple):
    """A time during which an instance was down because of a shutdown."""

    instance: str
    start: int
    end: int
    app: str
    instance_type: str
    usd_per_hour: Decimal | None


def avoided(runs: Iterable[Run], cap: int) -> list[Avoided]:
    """The times that shutdowns avoided. Each lasts until its instance was next up, or for ``cap``
    microseconds. An end may lie in the future: clip it at the present."""
    found: list[Avoided] = []
    ordered = sorted(runs, key=attrgetter("instance", "start"))
    for _, group in groupby(ordered, key=attrgetter("instance")):
        on_instance = list(group)
        last = on_instance[0]
        for run in on_instance[1:]:
            if last.end is not None and run.start > last.end:
                _add(found, last, min(run.start, last.end + cap))
            # The run that ends last decides how its instance ended.
            if last.end is not None and (run.end is None or run.end >= last.end):
                last = run
        if last.end is not None:
            _add(found, last, last.end + cap)
    return found


def _add(found: list[Avoided], run: Run, until: int) -> None:
    if run.ended_by in OURS and run.end is not None and until > run.end:
        found.append(
            Avoided(run.instance, run.end, until, run.app, run.instance_type, run.usd_per_hour)
        )
