"""The steps after a sweep: verdicts, a plan, and, if rules act, the tasks. The edge, thin.

``propose`` is pure and serves ``fleet plan``, ``fleet run`` and Lambda alike; ``Stopper`` carries
its proposal out, in ``fleet run``.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..aws import Aws
from .acting.engine import Parts, act
from .acting.model import Answer, Event, Happened, Hold, Verdict
from .acting.plan import Plan, plan
from .acting.protocols import Audit, Holds, Notifier
from .acting.sagemaker import SageMaker
from .model import VOLUME, State, Sweep
from .rules.judge import verdicts
from .rules.model import Facts, Rules
from .view import Line


@dataclass(frozen=True)
class Proposal:
    """The rules' verdicts on a scope, and the tasks that follow now."""

    verdicts: tuple[Verdict, ...] = ()
    plan: Plan = field(default_factory=Plan)

    @property
    def due(self) -> Sequence[Verdict]:
        """The verdicts that are due."""
        return [verdict for verdict in self.verdicts if verdict.answer is Answer.DUE]


def propose(
    found: Iterable[Line],
    state: State,
    sweep: Sweep,
    rules: Rules,
    facts: Facts,
    holds: Iterable[Hold],
) -> Proposal:
    """The rules' verdicts after a sweep, and the tasks that follow. Pure.

    ``state`` is the one after the sweep. Only the process that stored that sweep should carry the
    proposal out.
    """
    stored = {hold.run: hold for hold in holds}
    listed = list(found) if rules.rules else []
    said = tuple(verdicts(listed, state, sweep, rules, facts, stored))
    up = sum(line.resource.is_up and line.resource.key.app_type != VOLUME for line in listed)
    made = plan(said, stored.values(), state.runs, up, rules.limits, sweep.at)
    return Proposal(said, made)


@dataclass
class Stopper:
    """Carries the proposal out, with ``fleet run``'s record."""

    rules: Rules
    holds: Holds
    audit: Audit
    notifier: Notifier | None
    now: Callable[[], datetime]
    cloudtrail: bool = False
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))
    by: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}")

    def after(
        self, aws: Aws, state: State, sweep: Sweep, found: Iterable[Line], facts: Facts
    ) -> tuple[Proposal, list[Event]]:
        """Returns the proposal and the events. Raises :class:`Unavailable` if the record can't be
        used.

        ``aws`` must not repeat calls that shut something down.
        """
        proposal = propose(found, state, sweep, self.rules, facts, self.holds.of(sweep.scope))
        parts = Parts(
            self.holds,
            SageMaker(aws, self.now, cloudtrail=self.cloudtrail),
            self.notifier,
            self.audit,
            self.now,
            time.monotonic,
            self.by,
            self.rules.limits,
        )
        events = act(proposal.plan.tasks, parts)
        if proposal.plan.halted:
            events.append(halted(sweep, proposal.plan.halted, self.by))
            self.audit.write(events[-1:])
        for event in events:
            what = event.run.shown if event.run else "this sweep"
            level = logging.WARNING if event.what in _BAD else logging.INFO
            self.log.log(
                level, "sagemaker_autoshutdown fleet: %s %s: %s", event.what.value, what, event.why
            )
        return proposal, events


def halted(sweep: Sweep, why: str, by: str) -> Event:
    """The event of a sweep that called for too much. Once an hour at most: the id is the same in
    between."""
    event_id = f"{'/'.join(sweep.scope)}#halted#{sweep.at:%Y-%m-%dT%H}"
    return Event(event_id, sweep.at, sweep.scope, Happened.HALTED, why=why, by=by)


_BAD = frozenset({Happened.FAILED, Happened.HALTED})
