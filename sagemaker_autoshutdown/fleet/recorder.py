"""The rounds of ``fleet run``: sweep, record, show, and act if rules say so. The edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from ..clock import from_iso, to_iso
from .acting.protocols import Unavailable
from .bill import Rates
from .metrics import FAILED, OK, FleetMetrics
from .model import Scope, State, Sweep
from .outages import Outages
from .record import Record, StoreError, record_sweep
from .reports import AppReports
from .service import Failure, Fleet, Target
from .stopper import Stopper
from .view import lines, summarise


@dataclass
class Recorder:
    """``fleet run``: rounds whose costs are recorded and shown."""

    fleet: Fleet
    store: Record
    metrics: FleetMetrics
    now: Callable[[], datetime]
    stopper: Stopper | None = None
    outages: Outages = field(init=False)
    _states: dict[Scope, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """There is no problem yet."""
        self.outages = Outages(self.fleet.log, self.now)

    def round(self) -> list[Failure]:
        """Makes one round; returns the scopes that could not be seen. Blocks."""
        sweep_id = planned(self.now(), self.fleet.config.interval)
        heard, problem = self.fleet.heard()
        problems = {"coverage": f"{problem}; coverage is not known."} if problem else {}
        reported, problem = self.fleet.reported()
        if problem:
            problems["the servers' own reports"] = (
                f"{problem}; the servers' own reports are not known."
            )
        failures = []
        for target, found, seconds in self.fleet.sweep_all(sweep_id, self.now, heard):
            if isinstance(found, Failure):
                failures.append(found)
                problems[found.name] = (
                    f"{found.name} can't be seen. {found.message}. {found.remedy}"
                )
                self.metrics.count_sweep(found.scope, FAILED)
                continue
            for part, why in found.unseen.items():
                name = f"the {part} of {target.name}"
                problems[name] = f"{name} can't be seen: {why}."
            try:
                self._record(target, found, seconds, reported, problems)
            except StoreError as error:
                # The cost meanwhile is charged once the record can be written again.
                problems["the record"] = str(error)
                self.metrics.count_sweep(found.scope, FAILED)
        try:
            self.metrics.show_totals(self.store.totals())
        except StoreError as error:
            problems["the record"] = str(error)
        self.outages.are(problems)
        return failures

    def _record(
        self,
        target: Target,
        sweep: Sweep,
        seconds: float,
        reported: AppReports | None,
        problems: dict[str, str],
    ) -> None:
        policy = self.fleet.config.policy
        rates = self.fleet.rates(target)
        known = self._states.get(sweep.scope)
        state, is_stored = record_sweep(self.store, sweep, rates, policy, known)
        self._states[sweep.scope] = state
        ahead = from_iso(state.sweep_id) - sweep.at if state.sweep_id else timedelta(0)
        if ahead > self.fleet.config.interval:
            problems["the clock"] = (
                f"The record's last sweep of {target.name} is of {state.sweep_id}, which is ahead "
                "of this machine's clock: until then nothing is recorded. Set the clock; if it is "
                "right, name another data_dir."
            )
        found = lines(state, sweep, rates, policy)
        self.metrics.show(
            sweep.scope,
            summarise(found, by_owner=self.metrics.by_owner),
            sweep.at,
            seconds=seconds,
            unseen=len(sweep.unseen),
            coverage_known=sweep.knows_who_reports,
        )
        self.metrics.count_sweep(sweep.scope, OK)
        if is_stored and self.stopper is not None:
            self._act(self.stopper, target, state, sweep, rates, reported, problems)

    def _act(
        self,
        stopper: Stopper,
        target: Target,
        state: State,
        sweep: Sweep,
        rates: Rates,
        reported: AppReports | None,
        problems: dict[str, str],
    ) -> None:
        """Applies the rules. Only the process that stored a sweep does that."""
        facts, problem = self.fleet.facts(target, sweep, reported)
        if problem:
            problems[f"what the rules need of {target.name}"] = f"{target.name}: {problem}."
        found = lines(state, sweep, rates, self.fleet.config.policy)
        try:
            proposal, events = stopper.after(target.once, state, sweep, found, facts)
        except Unavailable as error:
            problems[f"acting in {target.name}"] = f"{target.name}: {error}."
            return
        self.metrics.show_acting(sweep.scope, proposal, events)


def planned(now: datetime, interval: timedelta) -> str:
    """The id of the sweep that is due: the same for every sweeper."""
    start = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return to_iso(start + (now - start) // interval * interval)


def next_round(now: datetime, interval: timedelta) -> timedelta:
    """How long it is until the next sweep is due."""
    start = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return interval - (now - start) % interval
