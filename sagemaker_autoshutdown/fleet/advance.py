"""The step from one sweep to the next: the new state, and the costs since the last sweep.

Pure: ``advance(state, sweep, rates, policy)`` returns a :class:`Step`. A step holds only changes,
so that a store writes little. A sweep that is not newer than the state changes nothing, so a
duplicate or a late one adds nothing to any cost.

An app that was up at two sweeps in a row is charged for the time between them, at the later rate.
An app that started in between is charged from its CreationTime if that is known to belong to this
run, else from when it was first seen. An app that ended is charged until it was last seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from ..costs.microseconds import DAY, HOUR, from_us, to_us
from .bill import Rates, instance_of
from .model import (
    APPS,
    DOMAINS,
    NOTEBOOK_INSTANCE,
    NOTEBOOKS,
    SPACE,
    SPACES,
    Key,
    Policy,
    ReportKey,
    Resource,
    Run,
    Space,
    State,
    Sweep,
    part_of,
)

#: A reporting server is noted once an hour, not at each sweep.
_NOTED = timedelta(hours=1)
#: How long a server that no longer reports is remembered.
REMEMBERED = timedelta(days=30)


#: Stands for the CreationTime of an app that is on its way out. What is up later under its name is
#: another run, although SageMaker may give it the same CreationTime.
LEAVING = from_us(0)


class ChargeKey(NamedTuple):
    """The keys by which costs are added up. ``day`` is in UTC, such as ``2026-09-01``.

    ``owner`` is the user profile (for a space, the profile that it belongs to), or the space if it
    belongs to none, or the name of a notebook instance.
    """

    day: str
    domain: str
    owner: str
    app_type: str
    instance_type: str


class Charge(NamedTuple):
    """A cost in billionths of a dollar. ``estimated_nano`` is the part that was not observed,
    because the sweeps were too far apart. ``unpriced_us`` is the time without a known price."""

    nano: int = 0
    estimated_nano: int = 0
    billed_us: int = 0
    unpriced_us: int = 0

    def plus(self, other: Charge) -> Charge:
        """Both together."""
        return Charge(*(mine + others for mine, others in zip(self, other)))


@dataclass(frozen=True)
class Step:
    """The changes of a sweep. ``state`` is the whole next state; the rest are the changes in it."""

    state: State
    began: Mapping[Key, Run] = field(default_factory=dict)
    ended: tuple[Key, ...] = ()
    heard: Mapping[ReportKey, datetime] = field(default_factory=dict)
    forgotten: tuple[ReportKey, ...] = ()
    charges: Mapping[ChargeKey, Charge] = field(default_factory=dict)


def payer(key: Key, spaces: Mapping[tuple[str, str], Space]) -> str:
    """The owner who pays for a resource: a person, if known."""
    if key.owner_kind == SPACE:
        space = spaces.get((key.domain, key.owner))
        return (space.profile if space else "") or key.owner
    return key.owner or key.name


def is_applied(state: State, sweep: Sweep) -> bool:
    """Whether the state already includes this sweep, or a later one."""
    return bool(state.sweep_id) and sweep.sweep_id <= state.sweep_id


def advance(state: State, sweep: Sweep, rates: Rates, policy: Policy) -> Step | None:
    """The step of this sweep, or None if the sweep is not newer than the state."""
    if is_applied(state, sweep):
        return None
    began: dict[Key, Run] = {}
    runs: dict[Key, Run] = {}
    bills: dict[Key, _Bill] = {}
    for resource in sweep.resources:
        if not resource.is_billed:
            continue
        key = resource.key
        since = state.seen.get(part_of(key))
        known = state.runs.get(key)
        run = _run(known, resource, since, sweep.at)
        runs[key] = run
        if run is not known:
            began[key] = run
        if since is not None:
            instance = instance_of(resource)
            start = max(run.up_since, since)
            bill = bills.get(instance)
            if bill is None or start < bill.start:
                bills[instance] = _Bill(start, since, resource)
    seen = dict(state.seen)
    for part in (APPS, NOTEBOOKS, SPACES, DOMAINS):
        if part not in sweep.unseen:
            seen[part] = sweep.at
    # Runs that this sweep could not see are assumed to go on.
    for key, run in state.runs.items():
        if part_of(key) in sweep.unseen:
            runs[key] = run
    ended = tuple(key for key in state.runs if key not in runs)
    heard, forgotten = _heard(state, sweep)
    kept = {name: at for name, at in state.heard.items() if name not in forgotten}
    following = replace(
        state,
        scope=sweep.scope,
        sweep_id=sweep.sweep_id,
        seen=seen,
        runs=runs,
        heard={**kept, **heard},
    )
    charges: dict[ChargeKey, Charge] = {}
    for bill in bills.values():
        _charge(charges, bill, sweep, rates, policy)
    return Step(following, began, ended, heard, forgotten, charges)


class _Bill(NamedTuple):
    """Something billed once, from ``start`` until now. ``since`` is when it was last seen."""

    start: datetime
    since: datetime
    resource: Resource


def _run(known: Run | None, resource: Resource, since: datetime | None, now: datetime) -> Run:
    """The present run of a resource: the known run, unless a new one has begun."""
    is_stopping = resource.status == "Stopping"
    if resource.status == "Deleting" and part_of(resource.key) == APPS:
        resource = resource._replace(changed_at=LEAVING)
        if known is not None and known.instance_type == resource.instance_type:
            return known._replace(changed_at=LEAVING) if known.changed_at != LEAVING else known
    # LastModifiedTime of a notebook instance also changes when it stops.
    began_anew = since is not None and resource.changed_at > since and not is_stopping
    # Another CreationTime means another run, whatever the clock of the earlier sweep said.
    is_other_app = resource.key.app_type != NOTEBOOK_INSTANCE or began_anew
    if (
        known is not None
        and known.instance_type == resource.instance_type
        and not (is_other_app and resource.changed_at != known.changed_at)
    ):
        if known.size_gb == resource.size_gb:
            return known
        return known._replace(size_gb=resource.size_gb)
    up_since = min(resource.changed_at, now) if began_anew else now
    return Run(up_since, resource.changed_at, resource.instance_type, resource.size_gb)


def _heard(state: State, sweep: Sweep) -> tuple[dict[ReportKey, datetime], tuple[ReportKey, ...]]:
    noted = {}
    for name, at in (sweep.reports or {}).items():
        known = state.heard.get(name)
        if known is None or at - known >= _NOTED:
            noted[name] = at
    forgotten = tuple(
        name for name, at in state.heard.items() if sweep.at - at > REMEMBERED and name not in noted
    )
    return noted, forgotten


def _charge(
    charges: dict[ChargeKey, Charge],
    bill: _Bill,
    sweep: Sweep,
    rates: Rates,
    policy: Policy,
) -> None:
    resource = bill.resource
    rate = rates.of(resource)
    if rate.nano_usd_per_hour == 0:
        return
    owner = payer(resource.key, sweep.spaces)
    is_estimate = sweep.at - bill.since > policy.gap
    for day, span_us in _days(bill.start, sweep.at):
        key = ChargeKey(
            day, resource.key.domain, owner, resource.key.app_type, resource.instance_type
        )
        if rate.nano_usd_per_hour is None:
            charge = Charge(billed_us=span_us, unpriced_us=span_us)
        else:
            nano = rate.nano_usd_per_hour * span_us // HOUR
            charge = Charge(nano, nano if is_estimate else 0, span_us)
        earlier = charges.get(key)
        charges[key] = charge if earlier is None else earlier.plus(charge)


def _days(start: datetime, end: datetime) -> Iterator[tuple[str, int]]:
    """Each day (UTC) of a time, and how many microseconds of it."""
    at, until = to_us(start), to_us(end)
    while at < until:
        midnight = (at // DAY + 1) * DAY
        part = min(midnight, until) - at
        yield from_us(at).strftime("%Y-%m-%d"), part
        at += part
