"""A world to try the protocol of shutting down in: SageMaker, a table, and sweepers that can
stop at each step, die there, or continue much later. The test moves time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sagemaker_autoshutdown.aws import AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.acting.engine import Parts, act
from sagemaker_autoshutdown.fleet.acting.model import (
    Answer,
    Event,
    Grade,
    Hold,
    Limits,
    Notice,
    Present,
    RunId,
    Task,
    Verdict,
)
from sagemaker_autoshutdown.fleet.acting.model import Phase as HoldPhase
from sagemaker_autoshutdown.fleet.acting.plan import plan
from sagemaker_autoshutdown.fleet.acting.protocols import Unavailable
from sagemaker_autoshutdown.fleet.acting.steps import LEASE
from sagemaker_autoshutdown.fleet.advance import Step, advance
from sagemaker_autoshutdown.fleet.model import Key, Resource, Scope, State

from .scenes import NOON, POLICY, SCOPE, app, rates, sweep

WARNING = timedelta(minutes=15)
#: How long an app takes to go.
GOING = timedelta(minutes=4)
ONE, TWO = (app("CodeEditor", name="one").key, app("CodeEditor", name="two").key)


class Crash(BaseException):
    """The process ends here: it does nothing more."""


@dataclass
class Incarnation:
    """One app, from its start to its end."""

    key: Key
    number: int
    started: datetime
    created_at: datetime
    deleting_since: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)
    marks: list[tuple[str, datetime]] = field(default_factory=list)
    accepted: int = 0
    is_gone: bool = False


@dataclass(frozen=True)
class Deletion:
    """A DeleteApp that SageMaker accepted, and the caller's last answer before it."""

    run: RunId
    hit: Incarnation
    at: datetime
    told: Incarnation | None
    told_at: datetime
    sent_at: datetime


@dataclass
class World:
    """The real state."""

    now: datetime = NOON
    apps: dict[Key, Incarnation] = field(default_factory=dict)
    deletions: list[Deletion] = field(default_factory=list)
    calls: int = 0
    #: Calls of a process that did not hold the run, although its lease had not ended.
    intruders: list[tuple[RunId, str, str]] = field(default_factory=list)
    holds: dict[RunId, Hold] = field(default_factory=dict)
    state: State = field(default_factory=lambda: State(SCOPE))
    audit: dict[str, Event] = field(default_factory=dict)
    #: The runs that are due by the rules, and the verdicts that can't be known.
    due: set[Key] = field(default_factory=lambda: {ONE, TWO})
    unknown: set[Key] = field(default_factory=set)
    store_is_up: bool = True
    fault: str = ""
    #: Tags of the user profiles that own spaces.
    profile_tags: dict[str, dict[str, str]] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(share=1.0))
    warning: timedelta = WARNING
    started: int = 0

    # -- what happens by itself

    def later(self, by: timedelta) -> None:
        """Time passes."""
        self.now += by
        for each in self.apps.values():
            if each.deleting_since and self.now - each.deleting_since >= GOING:
                each.is_gone = True
        self.apps = {key: each for key, each in self.apps.items() if not each.is_gone}

    def start(self, key: Key, *, keeps_creation_time: bool = False) -> None:
        """An owner starts an app, if there is none. Its CreationTime may be that of an earlier
        run."""
        if key in self.apps:
            return
        earlier = [each.hit for each in self.deletions if each.hit.key == key]
        created = self.now
        if keeps_creation_time and (earlier or key in self._created):
            created = self._created.get(key, self.now)
        self._created[key] = created
        self.started += 1
        self.apps[key] = Incarnation(key, self.started, self.now, created)

    def owner_deletes(self, key: Key, *, at_once: bool = True) -> None:
        """An owner ends an app."""
        if key in self.apps:
            if at_once:
                self.apps.pop(key).is_gone = True
            else:
                self.apps[key].deleting_since = self.apps[key].deleting_since or self.now

    _created: dict[Key, datetime] = field(default_factory=dict)

    # -- a sweep

    def sweep_and_plan(self, clock: datetime) -> list[Task]:
        """A sweep by a sweeper with such a clock: the stored state, and the tasks that follow."""
        listed = [_listed(each) for each in self.apps.values()]
        found = replace(sweep(0, *listed), at=clock, sweep_id=clock.isoformat())
        if not self.store_is_up:
            raise Unavailable("the table is not there")
        before = self.state
        step = advance(before, found, rates(), POLICY)
        if step is None or not self._apply(step, before.sweep_id):
            return []
        state = self.state
        said = [
            self.verdict(RunId(SCOPE, key, run.up_since), run.changed_at, clock)
            for key, run in state.runs.items()
            if key in self.due | self.unknown
        ]
        made = plan(said, self.holds.values(), state.runs, len(listed), self.limits, clock)
        return list(made.tasks)

    def verdict(self, run: RunId, created_at: datetime, at: datetime) -> Verdict:
        """The rules' verdict on a run that is due, or unknown."""
        answer = Answer.UNKNOWN if run.key in self.unknown else Answer.DUE
        return Verdict(
            run,
            answer,
            at,
            created_at,
            "rule",
            Grade.SEEN,
            "up for long",
            warning=self.warning,
            acts=True,
            owner="ada",
            profile="ada",
        )

    def _apply(self, step: Step, before: str) -> bool:
        if self.state.sweep_id != before:
            return False
        self.state = step.state
        return True


def _listed(each: Incarnation) -> Resource:
    status = "Deleting" if each.deleting_since else "InService"
    return Resource(each.key, status, "ml.t3.medium", each.created_at)


class Process:
    """A sweeper's process. ``point`` is called before and after every step that touches the
    world."""

    def __init__(self, world: World, name: str, skew: timedelta = timedelta(0)) -> None:
        self.world, self.name, self.skew = world, name, skew
        self.point: Callable[[], None] = lambda: None
        self.told: tuple[Incarnation | None, datetime] = (None, world.now)
        self.events: list[Event] = []
        self.claimed_at = world.now

    @property
    def clock(self) -> datetime:
        """The time, as this process has it."""
        return self.world.now + self.skew

    def parts(self) -> Parts:
        """The engine's dependencies in this process."""
        return Parts(
            self,
            self,
            self,
            self,
            lambda: self.clock,
            lambda: self._elapsed(NOON),
            self.name,
            self.world.limits,
        )

    def _elapsed(self, start: datetime) -> float:
        self.point()
        return (self.world.now - start).total_seconds()

    def run(self, tasks: Sequence[Task]) -> None:
        """Carries out tasks, like a process that logs missing resources and ends."""
        with contextlib.suppress(Unavailable):
            self.events += act(tasks, self.parts())

    # -- the table

    def _reach(self) -> None:
        self.point()
        if not self.world.store_is_up:
            raise Unavailable("the table is not there")

    def create(self, hold: Hold) -> bool:
        """Conditional."""
        self._reach()
        if hold.run in self.world.holds:
            return False
        assert hold.version == 1
        self.world.holds[hold.run] = hold
        self.point()
        return True

    def replace(self, hold: Hold) -> bool:
        """Conditional."""
        self._reach()
        stored = self.world.holds.get(hold.run)
        if stored is None or stored.version != hold.version - 1:
            return False
        self.world.holds[hold.run] = hold
        if hold.phase is HoldPhase.ACTING:
            self.claimed_at = self.world.now
        self.point()
        return True

    def read(self, run: RunId) -> Hold | None:
        """As it is now."""
        self._reach()
        return self.world.holds.get(run)

    def of(self, scope: Scope) -> Iterator[Hold]:
        """All of them."""
        return iter(list(self.world.holds.values()))

    # -- SageMaker

    def _call(self, operation: str) -> None:
        self.point()
        if self.world.fault == "throttled":
            raise AwsError(ErrorKind.THROTTLED, operation, "ThrottlingException", "slow down")
        if self.world.fault == "denied":
            raise AwsError(ErrorKind.ACCESS_DENIED, operation, "AccessDeniedException", "no")

    def _answer(self, operation: str) -> None:
        """The way back, on which an answer can be lost."""
        if self.world.fault == "lost":
            raise AwsError(ErrorKind.TIMEOUT, operation, "Timeout", "no answer")

    def describe(self, run: RunId, arn: str = "", profile: str = "") -> Present | None:
        """DescribeApp."""
        asked = (self.world.now - NOON).total_seconds()
        self._call("sagemaker:DescribeApp")
        each = self.world.apps.get(run.key)
        self.told = (each, self.world.now)
        self._answer("sagemaker:DescribeApp")
        if each is None:
            return None
        status = "Deleting" if each.deleting_since else "InService"
        mark = each.tags.get("mark", "")
        tags = {name: value for name, value in each.tags.items() if name != "mark"}
        tags = {**self.world.profile_tags.get(profile, {}), **tags}
        found = Present(status, each.created_at, self.world.now, "arn", tags, mark, asked)
        self.point()
        return found

    def mark(self, run: RunId, arn: str, text: str) -> None:
        """AddTags, by an ARN, which names no run."""
        self._call("sagemaker:AddTags")
        each = self.world.apps.get(run.key)
        if each is not None:
            each.tags["mark"] = text
            each.marks.append((text, self.world.now))
        self._answer("sagemaker:AddTags")
        self.point()

    def unmark(self, run: RunId, arn: str) -> None:
        """DeleteTags."""
        self._call("sagemaker:DeleteTags")
        each = self.world.apps.get(run.key)
        if each is not None:
            each.tags.pop("mark", None)
        self._answer("sagemaker:DeleteTags")
        self.point()

    def stop(self, run: RunId) -> None:
        """DeleteApp, by name."""
        sent_at = self.world.now
        self._call("sagemaker:DeleteApp")
        world = self.world
        world.calls += 1
        holder = world.holds[run].holder
        if holder != self.name and world.now - self.claimed_at < LEASE:
            world.intruders.append((run, self.name, holder))
        each = world.apps.get(run.key)
        if each is None:
            raise AwsError(ErrorKind.NOT_FOUND, "sagemaker:DeleteApp", "ResourceNotFound", "gone")
        if each.deleting_since:
            raise AwsError(ErrorKind.IN_USE, "sagemaker:DeleteApp", "ResourceInUse", "deleting")
        each.deleting_since = world.now
        each.accepted += 1
        world.deletions.append(Deletion(run, each, world.now, *self.told, sent_at))
        self._answer("sagemaker:DeleteApp")
        self.point()

    # -- people, and the audit

    def tell(self, notices: Sequence[Notice]) -> None:
        """A message."""
        self.point()

    def write(self, events: Sequence[Event]) -> None:
        """The audit."""
        self.point()
        for event in events:
            self.world.audit.setdefault(event.event_id, event)


class Paused:
    """A process in a thread of its own that makes one step when it is told to."""

    def __init__(self, process: Process, tasks: Sequence[Task]) -> None:
        self._go, self._rests = threading.Semaphore(0), threading.Semaphore(0)
        self._dies = False
        self.is_done = False
        self.error: BaseException | None = None
        process.point = self._point

        def body() -> None:
            self._go.acquire()
            try:
                if not self._dies:
                    process.run(tasks)
            except Crash:
                pass
            except BaseException as error:  # told by whoever steps it
                self.error = error
            self.is_done = True
            self._rests.release()

        self._thread = threading.Thread(target=body, daemon=True)
        self._thread.start()

    def _point(self) -> None:
        if self._dies:
            raise Crash
        self._rests.release()
        self._go.acquire()
        if self._dies:
            raise Crash

    def step(self) -> None:
        """Until the next point."""
        if not self.is_done:
            self._go.release()
            self._rests.acquire()
            if self.error is not None:
                raise self.error

    def die(self) -> None:
        """It ends where it is."""
        self._dies = True
        if not self.is_done:
            self._go.release()
            self._rests.acquire()
        self._thread.join()
