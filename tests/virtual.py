"""A server's whole life in no time: the real loop on a clock that jumps to the next event.

`VirtualLoop` is an event loop whose time passes only when nothing is left to do; it then jumps to
the next timer. `Server` runs the real monitor, reader, adapter and settings on it, between a
SageMaker and a Jupyter that are plain values. Days take milliseconds, and every sleep is exact.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sagemaker_autoshutdown import aws, threads
from sagemaker_autoshutdown.activity.jupyter import Models
from sagemaker_autoshutdown.activity.kernel_probe import Answer, Told
from sagemaker_autoshutdown.activity.kernel_requests import KernelUse
from sagemaker_autoshutdown.activity.own_api import Unreadable
from sagemaker_autoshutdown.activity.reader import ActivityReader
from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.clock import to_iso
from sagemaker_autoshutdown.hosts import adapter_for
from sagemaker_autoshutdown.hosts.marks import Marks
from sagemaker_autoshutdown.listeners import Check, Listener
from sagemaker_autoshutdown.model import (
    AppType,
    Event,
    EventKind,
    Host,
    HostKind,
    OwnerKind,
    Price,
    PriceSource,
    Problem,
    Totals,
)
from sagemaker_autoshutdown.monitor import Monitor
from sagemaker_autoshutdown.monitor.commands import Commands
from sagemaker_autoshutdown.parts import MARKS_EVERY
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from sagemaker_autoshutdown.settings.source import SettingsSource
from sagemaker_autoshutdown.settings.user import Settings
from sagemaker_autoshutdown.status import AppView, Status

from .worlds import START

T = TypeVar("T")

REGION, DOMAIN = "us-west-2", "d-f0lwireyzpjp"
CLASSIC = Host(HostKind.CLASSIC, REGION, DOMAIN, "alice", app_name="default")
SPACE = Host(HostKind.SPACE, REGION, DOMAIN, "team-a", OwnerKind.SPACE, "default")
NOTEBOOK_INSTANCE = Host(HostKind.NOTEBOOK_INSTANCE, REGION, app_name="notebook-1")
IMAGE = "arn:aws:sagemaker:us-west-2:236514542706:image/datascience-1.0"


_threads: list[object] = []


class _CountedThread(threading.Thread):
    """Like the real one, but it counts the threads at work."""

    def start(self) -> None:
        _threads.append(self)
        super().start()

    def run(self) -> None:
        try:
            super().run()
        finally:
            _threads.remove(self)


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for real time only while a thread works; else lets virtual time pass."""

    time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A thread that ends after this line has been heard of by the last look.
        is_waiting = bool(_threads)
        found = super().select(0)
        while not found and is_waiting:
            is_waiting = bool(_threads)
            found = super().select(0.01)
        if found or (timeout is not None and timeout <= 0):
            return found
        if timeout is None:
            raise AssertionError("nothing will ever happen again")
        self.time += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for timers."""

    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.selector.time


class Jupyter:
    """Jupyter's models, as from a source. An exception instead of a list is raised."""

    def __init__(self) -> None:
        self.kernel_models: Any = []
        #: The lists of the next observations, before ``kernel_models``.
        self.next_kernel_models: list[Any] = []
        self.terminal_models: Any = []
        self.session_models: Any = []
        self.other_kernel_models: Models = []
        #: How often the kernels of others were searched for.
        self.searches = 0
        self.observations = 0
        self.hangs = False
        #: Kernels' answers, by id, if they are asked at all; seconds until the answer, by id for
        #: slower ones.
        self.answers: dict[str, Answer] | None = None
        self.answering = 0.1
        #: The CPUs that kernels say their processes use.
        self.cpu: dict[str, float] = {}
        self.slow: dict[str, float] = {}
        #: Kernels that, though silent, say something else.
        self.alive: set[str] = set()
        self.asked: list[set[str]] = []
        #: The kernels' states, as the last question had them.
        self.claimed: Mapping[str, str] = {}
        #: Observed requests of kernels, by id.
        self.uses: dict[str, KernelUse] = {}
        #: Process ids of kernels and terminals; None if they are on other machines.
        self.on_this_machine: Mapping[tuple[str, str], int] | None = None

    async def other_kernels(self, *, search: bool) -> Models:
        self.searches += search
        return self.other_kernel_models

    async def kernels(self) -> Models:
        self.observations += 1
        if self.hangs:
            await asyncio.Event().wait()
        models = self.next_kernel_models.pop(0) if self.next_kernel_models else self.kernel_models
        return self._given("kernels", models)

    async def terminals(self) -> Models:
        return self._given("terminals", self.terminal_models)

    async def sessions(self, *, names_needed: bool) -> Models | None:
        return None if isinstance(self.session_models, Exception) else self.session_models

    async def ask(self, kernels: Mapping[str, str]) -> Mapping[str, Told]:
        if self.answers is None:
            return {}
        self.asked.append(set(kernels))
        self.claimed = kernels
        await asyncio.sleep(max(self.slow.get(each, self.answering) for each in kernels))
        took = timedelta(seconds=self.answering)
        return {
            each: Told(
                self.answers.get(each, Answer.IDLE),
                took,
                cpu=self.cpu.get(each),
                is_alive=each in self.alive,
            )
            for each in kernels
        }

    def use_of(self, kernel_id: str) -> KernelUse | None:
        return self.uses.get(kernel_id)

    def clock_jumped(self) -> None:
        """Tests set its times."""

    @property
    def apps_are_here(self) -> bool:
        return self.on_this_machine is not None

    def processes(self) -> Mapping[tuple[str, str], int]:
        return self.on_this_machine or {}

    @staticmethod
    def _given(what: str, models: Any) -> Models:
        if isinstance(models, Exception):
            raise models
        if not isinstance(models, list):
            raise Unreadable(f"no list of {what}")
        return models


@dataclass
class Asked:
    """A call of SageMaker's API, with its time."""

    at: datetime
    operation: str
    app_name: str


@dataclass
class SageMakerApp:
    """An app, or the notebook instance, as SageMaker knows it."""

    name: str
    app_type: str = "KernelGateway"
    instance_type: str = "ml.t3.medium"
    status: str = "InService"
    created_at: datetime = START
    gone_at: datetime | None = None


class SageMaker(Aws):
    """SageMaker's API over apps that are values.

    ``errors`` holds faults: by operation, or by operation and app name, an exception, or the
    seconds that its answer takes.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(REGION)
        self._server = server
        self.apps: list[SageMakerApp] = []
        self.asked: list[Asked] = []
        self.errors: dict[str | tuple[str, str], Exception | float] = {}
        #: Deletions are accepted and then forgotten.
        self.forgetful = False
        #: The time from Deleting to Deleted.
        self.deleting = timedelta(seconds=90)
        #: The tags of apps, by name; None if nobody may read them.
        self.tags: dict[str, dict[str, str]] | None = None

    def of(self, operation: str) -> list[Asked]:
        """The calls of one operation."""
        return [asked for asked in self.asked if asked.operation == operation]

    @property
    def deletions(self) -> list[tuple[str, datetime]]:
        """Every DeleteApp or StopNotebookInstance: the app's name and the time of the call."""
        return [
            (asked.app_name, asked.at)
            for asked in self.asked
            if asked.operation in ("DeleteApp", "StopNotebookInstance")
        ]

    async def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        name = parameters.get("AppName") or parameters.get("NotebookInstanceName") or ""
        name = name or parameters.get("ResourceArn", "").rpartition("/")[2]
        self.asked.append(Asked(self._server.now(), operation, name))
        error = self.errors.get((operation, name), self.errors.get(operation))
        if isinstance(error, float):
            try:
                await asyncio.wait_for(asyncio.sleep(error), aws.CALL_TIMEOUT)
            except asyncio.TimeoutError:
                qualified = f"{service}:{operation}"
                raise AwsError(ErrorKind.TIMEOUT, qualified, "Timeout", "no answer") from None
        elif error is not None:
            raise error
        return self._answer(operation, name)

    def _answer(self, operation: str, name: str) -> dict[str, Any]:
        now = self._server.now()
        for app in self.apps:
            if app.gone_at is not None and app.gone_at <= now:
                app.status = "Deleted"
        if operation == "ListApps":
            return {"Apps": [self._item(app) for app in self.apps]}
        app = next((app for app in self.apps if app.name == name), SageMakerApp(name))
        if operation == "DescribeApp":
            return {**self._item(app), "AppArn": f"arn:app/{name}"}
        if operation == "ListTags":
            tags = (self.tags or {}).get(name, {})
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        if operation == "DescribeNotebookInstance":
            instance = {"Deleting": "Stopping", "Deleted": "Stopped"}.get(app.status, app.status)
            return {
                "NotebookInstanceStatus": instance,
                "NotebookInstanceArn": f"arn:notebook-instance/{name}",
                "InstanceType": app.instance_type,
                "LastModifiedTime": app.created_at,
            }
        assert operation in ("DeleteApp", "StopNotebookInstance")
        if not self.forgetful:
            app.status, app.gone_at = "Deleting", now + self.deleting
        return {}

    @staticmethod
    def _item(app: SageMakerApp) -> dict[str, Any]:
        return {
            "AppName": app.name,
            "AppType": app.app_type,
            "Status": app.status,
            "CreationTime": app.created_at,
            "ResourceSpec": {"InstanceType": app.instance_type, "SageMakerImageArn": IMAGE},
        }


def failing(kind: ErrorKind, code: str, operation: str = "DeleteApp") -> AwsError:
    """An error like those of ``Aws.call``."""
    return AwsError(kind, f"sagemaker:{operation}", code, "it did not work")


DENIED = failing(ErrorKind.ACCESS_DENIED, "AccessDeniedException")
BROKEN = failing(ErrorKind.OTHER, "ValidationException")


@dataclass
class Notebook(Listener):
    """Records what it is told, like the real tracker, and costs nothing."""

    recording_error: str = ""
    problems: tuple[Problem, ...] = ()
    checks: list[Check] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    changes: int = 0

    def on_check(self, check: Check) -> None:
        self.checks.append(check)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def on_status_changed(self) -> None:
        self.changes += 1

    def price(self, instance_type: str, app_type: AppType) -> Price:
        return Price(instance_type, None, PriceSource.UNPRICED)

    def instance_cost(self, billing_key: str) -> Totals | None:
        return None

    def totals(self) -> Totals | None:
        return None


class Server:
    """A Jupyter server with the extension, from `start` on, in virtual time.

    Times are given as time passed since the beginning: ``server.run(hours=2)``.
    """

    def __init__(self, data_dir: Path, host: Host = CLASSIC, **traits: Any) -> None:
        self.loop = VirtualLoop()
        #: How far the wall clock is off.
        self.clock_error = timedelta(0)
        self.host = host
        self.traits = traits
        self.data_dir = data_dir
        self.sagemaker = SageMaker(self)
        self.jupyter = Jupyter()
        #: The content of the setting ``settings_source``'s object.
        self.admin_document = "{}"

    # -- time

    def now(self) -> datetime:
        """The time of the wall clock."""
        return START + timedelta(seconds=self.loop.time()) + self.clock_error

    def run(self, **passed: float) -> None:
        """Lets it run until this much time has passed since the beginning."""
        self.do(asyncio.sleep(timedelta(**passed).total_seconds() - self.loop.time()))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something on its event loop."""
        return self.loop.run_until_complete(work)

    # -- the server

    def start(self) -> Server:
        """Starts it: the first time, or again after `kill`."""
        self.notebook = Notebook()
        config = SageMakerAutoShutdown(data_dir=str(self.data_dir), **self.traits)
        adapter = adapter_for(self.host, self.sagemaker)
        settings = Settings.of(config, self.now)
        if config.settings_source:
            settings.follow(SettingsSource(config, lambda: self.admin_document, self.now))
        log = logging.getLogger("sagemaker_autoshutdown.tests")
        every = timedelta(seconds=config.poll_interval * MARKS_EVERY)
        self.monitor = Monitor(
            adapter=adapter,
            reader=ActivityReader(self.jupyter, adapter),
            settings=settings,
            config=config,
            costs=self.notebook,
            listeners=[self.notebook],
            marks=Marks(self.host, self.sagemaker, every, log) if self.sagemaker.tags else None,
            now=self.now,
            log=log,
        )
        self.commands = Commands(self.monitor)
        self.monitor._shutdowns.jitter = lambda: 0.5
        self.do(self._start())
        return self

    async def _start(self) -> None:
        self.monitor.start()

    def kill(self) -> None:
        """The process is gone, without a chance to report anything."""
        # Before Python 3.12, wait_for can swallow a cancellation.
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.do(asyncio.wait(tasks, timeout=1))

    def close(self) -> None:
        """Ends it."""
        self.kill()
        self.loop.close()

    # -- what users see

    def app(self, name: str = "a") -> AppView:
        """One app of the status."""
        return self.monitor.app(name)

    @property
    def status(self) -> Status:
        """The status."""
        return self.monitor.status()

    def overdue(self) -> bool:
        """Whether the status says that checks have stopped."""
        return self.status.check_overdue

    def told(self, *kinds: EventKind) -> list[Event]:
        """The events of these kinds, or all if none is named."""
        return [event for event in self.notebook.events if not kinds or event.kind in kinds]

    def problems(self) -> dict[str, Problem]:
        """The problems in the status, by code."""
        return {problem.code: problem for problem in self.status.problems}


@contextmanager
def server(data_dir: Path, host: Host = CLASSIC, **traits: Any) -> Iterator[Server]:
    """A server that is not started yet, and empty."""
    made = Server(data_dir, host, **traits)
    # A thread that is kept for the next call would count as being at work for ever.
    most_idle = threads.MOST_IDLE
    threads.__dict__.update(Thread=_CountedThread, MOST_IDLE=0)
    threads._idle.clear()
    try:
        yield made
    finally:
        made.close()
        threads.__dict__.update(Thread=threading.Thread, MOST_IDLE=most_idle)


def kernel_model(
    app_name: str = "a", state: str = "idle", *, last: datetime = START, **changes: Any
) -> dict[str, Any]:
    """A kernel as a Classic JupyterServer reports it."""
    return {
        "id": f"kernel-of-{app_name}",
        "name": f"python3__SAGEMAKER_INTERNAL__{IMAGE}",
        "last_activity": to_iso(last),
        "execution_state": state,
        "connections": 0,
        "instance_type": "ml.t3.medium",
        "app_name": app_name,
        **changes,
    }
