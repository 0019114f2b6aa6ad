"""The interface of a fleet's record, whatever stores it: SQLite (``store.py``) or a table on AWS.

A step is stored only if the scope is still at the sweep from which the step was made, and then as a
whole. So only one of two sweepers stores the step, and a duplicate sweep adds nothing.
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
    """Keeps the state between sweeps. Its methods block, and raise :class:`StoreError`."""

    def load(self, scope: Scope) -> State:
        """The memory of a scope; empty for a new one."""

    def apply(self, step: Step, before: str) -> bool:
        """Stores a step that was made from the state after the sweep ``before``. Returns False,
        without a change, if the scope is at another sweep by now."""

    def totals(self) -> Iterable[Total]:
        """The costs since records began. They never fall."""

    def costs(self, start: str, end: str) -> Iterator[Cost]:
        """The costs of the days (UTC, as ``2026-09-01``) from the first to before the last."""


def record_sweep(
    record: Record, sweep: Sweep, rates: Rates, policy: Policy, known: State | None = None
) -> tuple[State, bool]:
    """Stores the step of a sweep, from the ``known`` state or the recorded one.

    Returns the state after it, and whether this call stored it. Raises :class:`StoreError`.
    """
    state = known
    for _ in range(_TRIES):
        state = state or record.load(sweep.scope)
        step = advance(state, sweep, rates, policy)
        if step is None:
            return state, False
        if record.apply(step, state.sweep_id):
            return step.state, True
        state = None  # another sweeper was first: start from its state
    return record.load(sweep.scope), False
