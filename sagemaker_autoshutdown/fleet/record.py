"""What a record of a fleet is, whatever it is kept in: SQLite (``store.py``) or a table on AWS.

A step is stored only if the scope is still at the sweep that the step was made from, and all of it
or nothing. So of two sweepers one stores the step, and a sweep that comes twice adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from .advance import Charge, ChargeKey, Step, advance
from .bill import Rates
from .model import Policy, Scope, State, Sweep

#: How often a step is made again because another sweeper stored one meanwhile.
_TRIES = 3


class StoreError(Exception):
    """The record can't be used. The message says why and what to do."""


class Total(NamedTuple):
    """A cost since records began."""

    scope: Scope
    domain: str
    owner: str
    app_type: str
    instance_type: str
    nano: int


class Cost(NamedTuple):
    """A cost of one day."""

    scope: Scope
    key: ChargeKey
    charge: Charge


class Record(Protocol):
    """What is kept between sweeps. Its methods block, and raise :class:`StoreError`."""

    def load(self, scope: Scope) -> State:
        """What is remembered of a scope; empty for a new one."""

    def apply(self, step: Step, before: str) -> bool:
        """Stores a step that was made from the state after the sweep ``before``; False where the
        scope is at another by now, which leaves everything as it is."""

    def totals(self) -> Iterable[Total]:
        """The costs since records began. They never fall."""

    def costs(self, start: str, end: str) -> Iterator[Cost]:
        """The costs of the days (UTC, as ``2026-09-01``) from the first to before the last."""


def record_sweep(
    record: Record, sweep: Sweep, rates: Rates, policy: Policy, known: State | None = None
) -> tuple[State, bool]:
    """Stores the step that a sweep makes, from the state that is ``known`` or what the record has.

    Gives the state after it, and whether it was this call that stored it. Raises
    :class:`StoreError`.
    """
    state = known
    for _ in range(_TRIES):
        state = state or record.load(sweep.scope)
        step = advance(state, sweep, rates, policy)
        if step is None:
            return state, False
        if record.apply(step, state.sweep_id):
            return step.state, True
        state = None  # another sweeper was first: from what that has stored
    return record.load(sweep.scope), False
