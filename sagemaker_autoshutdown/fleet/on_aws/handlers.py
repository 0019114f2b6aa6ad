"""The functions that Lambda calls: ``sweep`` for the queue of sweeps, ``act`` for that of tasks.

A failed message is reported by its id, so that only this message comes again. If a later message
does the same work (an account that can't be swept at present), the message is done: the next sweep
charges the time in between. It is logged as an error, which an alarm counts.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from typing import Any

from ...aws import AwsError, Role
from ...clock import utcnow
from ..acting import engine
from ..acting.engine import Parts
from ..acting.model import Happened, Kind, Task
from ..acting.notify import notifier
from ..acting.protocols import Unavailable
from ..acting.sagemaker import SageMaker
from ..advance import is_applied
from ..config import Config, InvalidConfig
from ..metrics import FleetMetrics
from ..model import Scope, State, Sweep
from ..record import StoreError, record_sweep
from ..reports import with_reports
from ..service import Fleet, Target
from ..stopper import Proposal, halted, propose
from ..view import Line, lines, summarise
from . import sender
from .messages import NoMessage, Round, SweepOf, in_tens, read, read_tasks, task_bodies
from .runtime import Context, Once, Runtime, Settings, log

#: Seconds that one task may take: an observation, a call, and writes.
LONGEST = 30.0

Answer = dict[str, Any]


@lru_cache(maxsize=1)
def _runtime() -> Runtime:
    return Runtime(Settings.read())


def sweep(event: Mapping[str, Any], context: Context) -> Answer:
    """Makes the sweeps that the messages name."""
    runtime = _runtime()
    runtime.deadline.begin(context)
    account_id = context.invoked_function_arn.split(":")[4]
    return _each(event, lambda record: _take(runtime, account_id, record))


def act(event: Mapping[str, Any], context: Context) -> Answer:
    """Carries out the tasks of the messages. None of them is trusted (``acting/engine.py``)."""
    runtime = _runtime()
    runtime.deadline.begin(context)
    account_id = context.invoked_function_arn.split(":")[4]
    by = f"lambda/{context.aws_request_id}"
    return _each(event, lambda record: _act(runtime, account_id, by, read_tasks(record)))


def _act(runtime: Runtime, account_id: str, by: str, tasks: list[Task]) -> None:
    """Tasks without enough time left come again with the next sweep."""
    config = runtime.fleet().config
    for scope in dict.fromkeys(task.run.scope for task in tasks):
        aws = Once(scope.region, _actor_role(runtime, config, scope, account_id), runtime.deadline)
        parts = Parts(
            runtime.holds,
            SageMaker(aws, utcnow, cloudtrail=config.cloudtrail),
            notifier(config.notify, lambda region: Once(region, None, runtime.deadline)),
            runtime.audit,
            utcnow,
            time.monotonic,
            by,
            config.rules.limits,
        )
        mine = [task for task in tasks if task.run.scope == scope]
        for event in engine.act(
            takewhile(lambda _: runtime.deadline.left() > LONGEST, mine), parts
        ):
            what = event.run.shown if event.run else "a sweep"
            level = logging.ERROR if event.what is Happened.FAILED else logging.INFO
            log.log(level, "%s %s: %s", event.what.value, what, event.why)


def _actor_role(runtime: Runtime, config: Config, scope: Scope, account_id: str) -> Role | None:
    """The role that acts in an account: it is beside the one that reads there."""
    for account in config.accounts:
        if account.role is not None and account.role.arn.split(":")[4] == scope.account_id:
            start = account.role.arn.partition(":role/")[0]
            return Role(f"{start}:role/{runtime.settings.actor_role}", account.role.external_id)
    if scope.account_id != account_id:
        raise NoMessage(f"the account {scope.account_id} is not in the configuration")
    return None


def _each(event: Mapping[str, Any], do: Callable[[Mapping[str, Any]], None]) -> Answer:
    """Processes each record; returns the failed ones, which come again."""
    failed = []
    for record in event.get("Records") or ():
        name = record.get("messageId", "")
        try:
            do(record)
        except NoMessage as error:
            log.error("The message %s is none of ours and is dropped: %s", name, error)
        except Exception:
            log.exception("The message %s could not be done; it comes again", name)
            failed.append({"itemIdentifier": name})
    return {"batchItemFailures": failed}


def _take(runtime: Runtime, account_id: str, record: Mapping[str, Any]) -> None:
    message = read(record, runtime.settings.interval)
    try:
        fleet = runtime.fleet()
    except InvalidConfig as error:
        log.error("The configuration can't be used: %s", error)
        return
    if isinstance(message, Round):
        targets = [_as_message(message, target) for target in fleet.targets]
        if len(targets) > 1:
            _send(runtime, runtime.settings.sweeps, [each.body() for each in targets])
            return
        message = targets[0]
    for target in fleet.targets:
        if message.is_about(target):
            Sweeping(runtime, fleet, target, account_id).do(message.sweep_id)
            return
    log.warning("%s in %s is not in the configuration any more", message.role, message.region)


def _as_message(message: Round, target: Target) -> SweepOf:
    role = target.account.role
    return SweepOf(message.sweep_id, role.arn if role else "", target.region)


def _send(runtime: Runtime, queue: str, bodies: list[str]) -> None:
    """Sends messages. Raises if one was refused: then the round comes again, and the accepted
    ones come twice, which does no harm."""
    for entries in in_tens(bodies):
        wanted = {"QueueUrl": queue, "Entries": entries}
        answer = runtime.aws.call_blocking("sqs", "SendMessageBatch", wanted)
        refused = answer.get("Failed")
        if refused:
            raise StoreError(f"SQS took {len(entries) - len(refused)} of {len(entries)} messages.")


class Sweeping:
    """One account in one region: observes, records, sends metrics."""

    def __init__(self, runtime: Runtime, fleet: Fleet, target: Target, account_id: str) -> None:
        self._runtime = runtime
        self._fleet = fleet
        self._target = target
        own = target.sweeper.scope(ask=False)
        region = own.region or os.environ.get("AWS_REGION", "")
        self._scope = Scope(own.account_id or account_id, region)

    def do(self, sweep_id: str) -> None:
        """Makes the sweep of a planned time, unless it or a later one is recorded already."""
        table, scope = self._runtime.table, self._scope
        last = table.last_sweep(scope)
        if last and sweep_id <= last:
            log.info("The sweep %s of %s is recorded already", sweep_id, self._target.name)
            return
        started = time.monotonic()
        try:
            found = self._target.sweeper.sweep(sweep_id, utcnow(), None)
        except AwsError as error:
            log.error("%s can't be swept: %s. %s", self._target.name, error, error.remedy)
            table.count_failed(scope)
            self._tell(None, None, 0.0, None)
            return
        for part, why in found.unseen.items():
            log.warning("%s: no %s: %s", self._target.name, part, why)
        found = self._with_reports(replace(found, scope=scope))
        state, is_stored = self._record(found)
        proposal = None
        try:
            proposal = self._propose(found, state) if is_stored else None
        except Unavailable as error:
            # The record is kept; the next sweep proposes again.
            log.error("%s: %s", self._target.name, error)
        self._tell(found, state, time.monotonic() - started, proposal)
        log.info(
            "Swept %s: %d apps, notebook instances and volumes",
            self._target.name,
            len(found.resources),
        )

    def _with_reports(self, found: Sweep) -> Sweep:
        heard, problem = self._fleet.heard()
        if problem:
            log.error("%s; coverage is not known", problem)
        return found if heard is None else with_reports(found, heard)

    def _record(self, found: Sweep) -> tuple[State, bool]:
        """Stores the step of the sweep. Returns the state after it, and whether it was this
        process that stored it. Raises ``StoreError``."""
        rates, policy = self._fleet.rates(self._target), self._fleet.config.policy
        state, is_stored = record_sweep(self._runtime.table, found, rates, policy)
        if not is_applied(state, found):
            raise StoreError(f"The record of {self._target.name} changes faster than it can be.")
        return state, is_stored

    def _propose(self, found: Sweep, state: State) -> Proposal:
        """Applies the rules: sends the tasks, or notes them if no function acts."""
        fleet, runtime = self._fleet, self._runtime
        reported, problem = fleet.reported()
        facts, other = fleet.facts(self._target, found, reported)
        for each in filter(None, (problem, other)):
            log.error("%s: %s", self._target.name, each)
        proposal = propose(
            self._lines(found, state),
            state,
            found,
            fleet.config.rules,
            facts,
            runtime.holds.of(found.scope),
        )
        if proposal.plan.halted:
            log.error("%s: %s", self._target.name, proposal.plan.halted)
            runtime.audit.write([halted(found, proposal.plan.halted, "sweeper")])
        if runtime.settings.tasks:
            _send(runtime, runtime.settings.tasks, list(task_bodies(proposal.plan.tasks)))
        else:
            self._note(proposal.plan.tasks)
        return proposal

    def _note(self, tasks: Sequence[Task]) -> None:
        """Records what would be done, which needs no function that acts."""
        runtime = self._runtime
        parts = Parts(
            runtime.holds,
            SageMaker(self._target.once, utcnow),
            None,
            runtime.audit,
            utcnow,
            time.monotonic,
            "sweeper",
            self._fleet.config.rules.limits,
        )
        engine.act((task for task in tasks if task.kind in (Kind.NOTE, Kind.FINISH)), parts)

    def _lines(self, found: Sweep, state: State) -> Iterator[Line]:
        rates = self._fleet.rates(self._target)
        return lines(state, found, rates, self._fleet.config.policy)

    def _tell(
        self,
        found: Sweep | None,
        state: State | None,
        seconds: float,
        proposal: Proposal | None,
    ) -> None:
        """Sends the metrics, if a receiver is configured."""
        server = self._fleet.config.prometheus
        if server is None or not server.remote_write_url:
            return
        config, table, scope = self._fleet.config, self._runtime.table, self._scope
        metrics = FleetMetrics(config.by_owner)
        metrics.show_sweeps(scope, *table.sweeps(scope))
        if found is not None and state is not None:
            metrics.show(
                scope,
                summarise(self._lines(found, state), by_owner=config.by_owner),
                found.at,
                seconds=seconds,
                unseen=len(found.unseen),
                coverage_known=found.knows_who_reports,
            )
            metrics.show_totals(table.totals_of(scope))
        if proposal is not None:
            metrics.show_acting(scope, proposal, [])
        try:
            sender.send(server, metrics, found.at if found else utcnow(), self._left)
        except (sender.NotSent, ValueError) as error:
            log.error("Metrics of %s: %s", self._target.name, error)

    def _left(self) -> float:
        return self._runtime.deadline.left()
