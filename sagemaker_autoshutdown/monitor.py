"""The loop: when to look, look, decide, act, record, show.

Owns the present picture and the only task that changes it. Rules live in ``decide``, deletions in
``shutdowns``, money in ``costs``; handlers, metrics and the command line read ``status()``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from . import status as status_module
from .activity.reader import ActivityReader, Reading
from .aws import AwsError
from .clock import to_iso, utcnow
from .decide import AppMemory, Decision, decide
from .errors import Conflict, InvalidRequest, UnknownApp
from .hosts import HostAdapter
from .model import (
    REASON_TEXT,
    Action,
    App,
    AppStatus,
    AppType,
    Event,
    EventKind,
    Holds,
    Host,
    HostKind,
    Price,
    Problem,
    Reason,
    Snapshot,
    State,
    Totals,
    Verdict,
)
from .questions import Questions
from .settings.admin import SageMakerAutoShutdown
from .settings.user import Settings
from .shutdowns import Failure, Shutdowns
from .status import AppView, Status
from .text import without_ids

#: The shortest sleep. A deadline that is due already must not spin the loop.
MIN_SLEEP = 0.001
#: Seconds for one look at kernels and terminals, which must not hold up the loop for ever.
READ_TIMEOUT = 60
#: From this difference to the monotonic clock on, the wall clock was set, or the machine slept.
CLOCK_JUMP = timedelta(seconds=5)


class Recorder(Protocol):
    """What keeps history and money; it never blocks the loop and never raises."""

    def observe(self, verdicts: tuple[Verdict, ...], now: datetime) -> None:
        """Take note of one look."""
        ...

    def add_event(self, event: Event) -> None:
        """Take note of an event."""
        ...

    def price(self, instance_type: str, app_type: AppType) -> Price:
        """What an instance costs an hour, from what is known now."""
        ...

    def instance_cost(self, billing_key: str) -> Totals | None:
        """What an instance (``Host.billing_key``) cost so far; None while that is not known."""
        ...

    def totals(self) -> Totals | None:
        """What all instances cost so far; None while that is not known."""
        ...

    @property
    def recording_error(self) -> str:
        """Why nothing is recorded, or what was lost; empty if all is well."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What else is wrong, say with the admin's prices."""
        ...


class Monitor:
    """Watches the apps of one host and shuts down those that are due."""

    def __init__(
        self,
        *,
        adapter: HostAdapter,
        reader: ActivityReader,
        settings: Settings,
        config: SageMakerAutoShutdown,
        recorder: Recorder,
        emit: Callable[[Event], None],
        emit_changed: Callable[[], None],
        problems: tuple[Problem, ...] = (),
        now: Callable[[], datetime] = utcnow,
        log: logging.Logger | None = None,
    ) -> None:
        """``emit`` is told of every event, ``emit_changed`` of every change of the status.
        ``problems`` are those that were found before the loop started."""
        self.host: Host = adapter.host
        self.settings = settings
        self.recorder = recorder
        self._adapter = adapter
        self._reader = reader
        self._config = config
        self._emit = emit
        self._emit_changed = emit_changed
        self._now = now
        self._log = log or logging.getLogger(__name__)
        self._poll = timedelta(seconds=config.poll_interval)
        self._shutdowns = Shutdowns(
            adapter, self._poll, now, on_accepted=self._accepted, on_failed=self._failed
        )
        self._questions = Questions(
            lambda app_name, kernels: self._guarded(self._ask_and_act(app_name, kernels))
        )
        self._unasked: frozenset[str] = frozenset()
        self._memory: Mapping[str, AppMemory] = {}
        self._snapshot = Snapshot((), ())
        self._verdicts: tuple[Verdict, ...] = ()
        self._requested: dict[str, datetime] = {}
        self._warned: dict[str, datetime] = {}
        self._gone_soon: dict[str, App] = {}
        self._fixed_problems = problems
        self._problems: dict[str, Problem] = {}
        self._notes: tuple[str, ...] = ()
        self._started_at = now()
        self._checked_at: datetime | None = None
        self._looked_at: datetime | None = None
        self._looked_at_monotonic = 0.0
        self._next_check_at: datetime | None = None
        self._shown: object = None
        # Made when first needed: before Python 3.10 they belong to the loop they are made under.
        self._wake_event: asyncio.Event | None = None
        self._check_lock: asyncio.Lock | None = None
        self._task: asyncio.Task[None] | None = None
        #: Told how many seconds each check took; the metrics' histogram hooks in here.
        self.on_checked: list[Callable[[float], None]] = []
        #: Told of each try to shut an app down: why, and whether SageMaker accepted.
        self.on_shutdown: list[Callable[[Reason, bool], None]] = []

    # ---- the loop -------------------------------------------------------------------------

    def start(self) -> None:
        """Start the loop on the running event loop; at most one."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop the loop. Deletions that AWS was asked for go on."""
        if self._task is not None:
            # Before Python 3.12, wait_for can swallow a cancellation: say it until it is heard.
            while not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=1)
            self._task = None
        await self._questions.stop()
        await self._shutdowns.stop()

    async def _run(self) -> None:
        await self._guarded(self.settings.read())
        if self.host.kind is HostKind.NONE:
            return
        while True:
            if not await self._guarded(self._check_and_sleep()):
                await asyncio.sleep(self._poll.total_seconds())

    async def _check_and_sleep(self) -> None:
        await self.check()
        self.settings.save_again()
        await self._sleep()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether it went well. The loop outlives whatever did not, and says so: an exception, and
        a cancellation that was not meant for the loop itself."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        error = asyncio.CancelledError("cancelled") if task.cancelled() else task.exception()
        if error is not None:
            self._check_failed(error)
        return error is None

    async def _sleep(self) -> None:
        """Until the next check is due or somebody calls ``wake``; at most an interval by the
        monotonic clock, whatever happens to the other one."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + self._poll.total_seconds()
        while True:
            self._next_check_at = self._next_check()
            delay = (self._next_check_at - self._now()).total_seconds()
            delay = max(MIN_SLEEP, min(delay, latest - loop.time()))
            try:
                await asyncio.wait_for(self._wake.wait(), delay)
                self._wake.clear()
                return
            except asyncio.TimeoutError:
                # A timer may fire a little early; a deadline must not be met early.
                if self._now() >= self._next_check_at or loop.time() >= latest:
                    return

    def _next_check(self) -> datetime:
        looked_at = self._looked_at or self._started_at
        times = [looked_at + self._poll]
        times += [
            verdict.next_at
            for verdict in self._verdicts
            if verdict.next_at is not None and verdict.next_at > looked_at
        ]
        retry_at = self._shutdowns.next_retry_at()
        if retry_at is not None and retry_at > looked_at:
            times.append(retry_at)
        return min(times)

    def wake(self) -> None:
        """Check now."""
        self._wake.set()

    @property
    def _wake(self) -> asyncio.Event:
        if self._wake_event is None:
            self._wake_event = asyncio.Event()
        return self._wake_event

    @property
    def _checking(self) -> asyncio.Lock:
        if self._check_lock is None:
            self._check_lock = asyncio.Lock()
        return self._check_lock

    async def check(self) -> None:
        """One pass: look at everything, decide, act on what is due.

        Acting takes the look of this very pass: what is shut down was seen to be idle just before.
        """
        async with self._checking:
            started = asyncio.get_running_loop().time()
            self._note_clock(self._now(), started)
            apps, apps_error = await self._list_apps()
            # Kernels last: theirs is the state that changes by the second.
            reading = Reading()
            if any(app.status is AppStatus.IN_SERVICE for app in apps):
                reading = await self._read(apps)
            now = self._take(apps, apps_error, reading)
            self._clear_problem("check_failed")
            self._act(now)
            if not apps_error:  # what was not seen is no look
                self.recorder.observe(self._verdicts, now)
            self._show(now)
            took = asyncio.get_running_loop().time() - started
        for told in self.on_checked:
            told(took)

    def _take(self, apps: tuple[App, ...], apps_error: str, reading: Reading) -> datetime:
        """Decide on what was seen; gives when."""
        self._note_reading(reading)
        now = self._now()
        self._snapshot = Snapshot(
            apps=apps,
            work=reading.work,
            apps_error=apps_error,
            activity_error=reading.error,
        )
        if not apps_error and not reading.error:
            self._checked_at = now
        self._decide(now)
        return now

    def _act(self, now: datetime) -> None:
        """Begin what is due: questions to kernels before a warning and before a shutdown, and the
        shutdowns that need none. Nothing here waits for an answer."""
        work = self._snapshot.work
        self._questions.begin([v for v in self._verdicts if v.app.name in self._unasked], work)
        due = self._shutdowns.due(self._verdicts, now)
        self._shutdowns.start(self._questions.begin(due, work), now)

    async def _ask_and_act(self, app_name: str, kernel_ids: list[str]) -> None:
        """Ask an app's kernels, look again, and spare the app if they turn out to be at work."""
        asked = await self._reader.ask(kernel_ids, self._now())
        async with self._checking:
            self._questions.confirm(app_name)
            now = self._now()
            if asked:
                apps, apps_error = self._snapshot.apps, self._snapshot.apps_error
                now = self._take(apps, apps_error, await self._read(apps))
            else:
                self._decide(now)
            self._shutdowns.start([v for v in self._verdicts if v.app.name == app_name], now)
            if not self._snapshot.apps_error:
                self.recorder.observe(self._verdicts, now)
            self._show(now)
        self.wake()  # deadlines may have changed

    def _check_failed(self, error: BaseException) -> None:
        message = f"A check failed: {type(error).__name__}: {error}"
        before = self._problems.get("check_failed")
        if before is None or before.message != message:
            # Once, not once a minute.
            self._log.error("sagemaker_autoshutdown: the traceback of it:", exc_info=error)
        remedy = "It is tried again. If it lasts, please report it with the server's log."
        self._set_problem("check_failed", message, remedy)
        self._next_check_at = self._now() + self._poll
        # What was not seen is unknown, and a deadline that passes meanwhile is void.
        self._snapshot = replace(self._snapshot, apps_error=message)
        with contextlib.suppress(Exception):
            now = self._now()
            self._decide(now)
            self._show(now)

    def _note_clock(self, now: datetime, monotonic: float) -> None:
        """Void what was announced when the clock was set or the machine slept: users are to have a
        full warning by their own watch. What is remembered moves with the clock."""
        if self._looked_at is not None:
            passed = timedelta(seconds=monotonic - self._looked_at_monotonic)
            jump = now - self._looked_at - passed
            if abs(jump) > CLOCK_JUMP:
                self._log.warning(
                    "sagemaker_autoshutdown: the clock jumped by %.0f s (set, or the machine "
                    "slept): what is due is warned of anew",
                    jump.total_seconds(),
                )
                # What was used half an hour ago was so by the new clock as well.
                self._reader.clock_jumped(jump)
                self._memory = {
                    name: replace(memory, last_active=memory.last_active + jump, announced=None)
                    for name, memory in self._memory.items()
                }
        self._looked_at, self._looked_at_monotonic = now, monotonic

    async def _read(self, apps: tuple[App, ...]) -> Reading:
        try:
            return await asyncio.wait_for(self._reader.read(apps, self._now()), READ_TIMEOUT)
        except asyncio.TimeoutError:
            return Reading(error=f"no answer in {READ_TIMEOUT} s")

    async def _list_apps(self) -> tuple[tuple[App, ...], str]:
        """The apps, and what kept them from being listed; then those that were last seen."""
        try:
            apps = await self._adapter.list_apps(self._now())
        except AwsError as error:
            self._set_problem(
                error.kind.value,
                f"SageMaker did not list the apps ({error}), so nothing is shut down.",
                error.remedy,
                error.iam_action,
                key="apps_unseen",
            )
            return self._snapshot.apps, str(error)
        self._clear_problem("apps_unseen")
        return apps, ""

    def _note_reading(self, reading: Reading) -> None:
        self._notes = reading.notes
        if reading.error:
            self._set_problem(
                "activity_unseen",
                f"Kernels and terminals could not be seen ({reading.error}), so nothing is shut "
                "down.",
                "It is tried again. If it lasts, restart the Jupyter server.",
            )
        else:
            self._clear_problem("activity_unseen")

    # ---- decide, and tell what changed ------------------------------------------------------

    def _decide(self, now: datetime) -> None:
        """Turn the last look into verdicts. Acts on nothing."""
        runs = {app.name: app.run_started_at for app in self._snapshot.apps}
        # A request is for the run that the user saw.
        self._requested = {
            name: run for name, run in self._requested.items() if runs.get(name) == run
        }
        self._unasked = frozenset()
        decision = self._decision(self._requested, now)
        self._unasked = self._questions.before_warning(decision.verdicts, self._snapshot.work)
        if self._unasked:
            decision = self._decision(self._requested, now)
        self._memory = decision.memory
        self._verdicts = decision.verdicts
        self._shutdowns.follow(decision.verdicts, now)
        self._tell_warnings(now)
        self._tell_gone(now)

    def _decision(self, requested: Collection[str], now: datetime) -> Decision:
        """What is decided if users asked for these apps to be shut down."""
        runs = {app.name: app.run_started_at for app in self._snapshot.apps}
        holds = Holds(self.settings.kept_until(runs), frozenset(requested))
        snapshot = replace(self._snapshot, unasked=self._unasked)
        return decide(snapshot, self.settings.policy, self.host.owner, holds, self._memory, now)

    def _tell_warnings(self, now: datetime) -> None:
        """Each deadline is warned of once, and taken back once if it passes away."""
        before, self._warned = self._warned, {}
        progress = self._shutdowns.progress()
        for verdict in self._verdicts:
            name = verdict.app.name
            if verdict.state is State.UNKNOWN and name in before:
                self._warned[name] = before[name]
                continue
            if verdict.state is not State.WARNED or verdict.reason is Reason.USER_REQUEST:
                if name in before and verdict.state is not State.SHUTTING_DOWN:
                    text = f"{name} is no longer about to be shut down"
                    self._event(EventKind.WARNING_OVER, verdict.app, verdict.reason, text, now)
                continue
            deadline = verdict.shutdown_at or now
            self._warned[name] = deadline
            if before.get(name) == deadline or name in progress:
                continue
            if verdict.reason is Reason.DRY_RUN:
                text = f"{name} would be shut down now, but dry run is on"
            else:
                text = (
                    f"{name} on {verdict.app.instance_type} will be shut down at "
                    f"{to_iso(deadline)}: {REASON_TEXT[verdict.reason]}"
                )
            self._event(EventKind.WARNING, verdict.app, verdict.reason, text, now, deadline)

    def _tell_gone(self, now: datetime) -> None:
        if self._snapshot.apps_error:
            return
        there = {
            verdict.app.name: verdict.app.run_started_at
            for verdict in self._verdicts
            if verdict.app.status is not AppStatus.DELETED
        }
        for name, app in list(self._gone_soon.items()):
            if there.get(name) != app.run_started_at:
                del self._gone_soon[name]
                text = f"{name} on {app.instance_type} is gone"
                self._event(EventKind.GONE, app, Reason.APP_DELETING, text, now)
        for verdict in self._verdicts:
            if verdict.app.status is AppStatus.DELETING:
                self._gone_soon[verdict.app.name] = verdict.app

    def _accepted(self, app: App, reason: Reason) -> None:
        for told in self.on_shutdown:
            told(reason, True)
        self._requested.pop(app.name, None)
        now = self._now()
        text = f"{app.name} on {app.instance_type} is being shut down: {REASON_TEXT[reason]}"
        self._event(EventKind.SHUTDOWN, app, reason, text, now)
        self._gone_soon[app.name] = app
        self._show(now)
        self.wake()

    def _failed(self, app: App, reason: Reason, failure: Failure) -> None:
        for told in self.on_shutdown:
            told(reason, False)
        now = self._now()
        # A request was for its moment: what the user does from now on may be work.
        if self._requested.pop(app.name, None) is not None:
            self._decide(now)
        next_try = (
            f"it is tried again at {to_iso(failure.retry_at)}"
            if failure.retry_at is not None
            else "ask again if you still want it"
        )
        text = (
            f"shutting down {app.name} failed ({failure.code}: {failure.message}); {next_try}. "
            f"{failure.remedy}"
        )
        self._event(EventKind.FAILURE, app, Reason.SHUTDOWN_FAILED, text, now)
        self._show(now)
        self.wake()

    def _event(
        self,
        kind: EventKind,
        app: App | None,
        reason: Reason | None,
        message: str,
        now: datetime,
        shutdown_at: datetime | None = None,
    ) -> None:
        event = Event(
            at=now,
            kind=kind,
            message=message,
            app_name=app.name if app else "",
            app_type=app.app_type.value if app else "",
            instance_type=app.instance_type if app else "",
            reason=reason,
            shutdown_at=shutdown_at,
        )
        level = logging.WARNING if kind is EventKind.FAILURE else logging.INFO
        self._log.log(level, "sagemaker_autoshutdown: %s", message)
        self.recorder.add_event(event)
        self._emit(event)

    def _show(self, now: datetime) -> None:
        """Tell listeners when what users see has changed; times that just pass are no change."""
        status = self.status()
        shown = (status.apps, status.problems, status.check_overdue)
        if shown != self._shown:
            self._shown = shown
            self._emit_changed()

    # ---- what handlers, metrics and the command line call ------------------------------------

    def status(self) -> Status:
        """The present picture, out of memory."""
        now = self._now()
        policy = self.settings.policy

        last_good = self._checked_at or self._started_at
        return replace(
            status_module.empty(self.host, now),
            checked_at=self._checked_at,
            next_check_at=self._next_check_at,
            check_overdue=self.host.kind is not HostKind.NONE
            and now - last_good > self._config.longest_gap,
            dry_run=policy.dry_run,
            problems=(
                *self._fixed_problems,
                *self._problems.values(),
                *self.settings.problems,
                *self.recorder.problems,
            ),
            notes=self._notes,
            apps=status_module.app_views(
                self._verdicts, self._snapshot.work, self._shutdowns.progress()
            ),
            instances=status_module.instance_views(
                self.host,
                self._verdicts,
                self.recorder.price,
                self.recorder.instance_cost,
            ),
            totals=self.recorder.totals(),
            recording_error=self.recorder.recording_error,
        )

    def app(self, app_name: str) -> AppView:
        """One app of the status. Raises ``UnknownApp``."""
        for view in self.status().apps:
            if view.app_name == app_name:
                return view
        raise UnknownApp(f"There is no app named {app_name!r}.")

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Change the user's settings; None for "the admin's". Raises ``InvalidRequest``."""
        before = self.settings.policy
        await self.settings.change(changes)
        if self.settings.policy != before:
            now = self._now()
            names = ", ".join(sorted(changes))
            text = f"the user's settings were changed: {names}"
            self._event(EventKind.SETTINGS, None, None, text, now)
            self._decide_again(now)

    async def keep_alive(self, app_name: str, until: datetime) -> AppView:
        """Keep an app up until a time. Raises ``UnknownApp``, ``Conflict``, ``InvalidRequest``."""
        view = self.app(app_name)
        self._refuse_if_going(view, "kept alive")
        now = self._now()
        longest = timedelta(seconds=self._config.max_keep_alive)
        if not longest:
            raise Conflict("The administrator does not allow to keep apps alive.")
        # A second's grace for "24 h from now" said by a clock that is slightly ahead.
        if not now < until <= now + longest + timedelta(seconds=1):
            hours = f"{longest.total_seconds():g} seconds"
            message = f"must lie in the future, at most {hours} from now ({to_iso(now + longest)})"
            raise InvalidRequest(f"The end of a keep-alive {message}.", {"until": message})
        await self.settings.keep_alive(app_name, view.run_started_at, until)
        self._requested.pop(app_name, None)
        now = self._now()
        text = f"{app_name} is kept alive until {to_iso(until)}"
        self._event(EventKind.KEEP_ALIVE, self._find(app_name), Reason.KEEP_ALIVE, text, now, until)
        self._decide_again(now)
        return self.app(app_name)

    async def end_keep_alive(self, app_name: str) -> AppView:
        """Take a keep-alive back; nothing happens where there is none. Raises ``UnknownApp``."""
        view = self.app(app_name)
        if view.kept_until is not None:
            await self.settings.end_keep_alive(app_name)
            now = self._now()
            text = f"{app_name} is no longer kept alive"
            self._event(
                EventKind.KEEP_ALIVE_ENDED, self._find(app_name), Reason.KEEP_ALIVE, text, now
            )
            self._decide_again(now)
        return self.app(app_name)

    async def shut_down(self, app_name: str) -> AppView:
        """Shut an app down at the user's request, whatever runs in it.

        Returns when that is under way, not when the app is gone. Raises ``UnknownApp`` and
        ``Conflict``.
        """
        view = self.app(app_name)
        self._refuse_if_going(view, "shut down")
        decision = self._decision([app_name], self._now())
        (verdict,) = (each for each in decision.verdicts if each.app.name == app_name)
        if verdict.reason is Reason.DRY_RUN:
            raise Conflict("Dry run is on: nothing is shut down.")
        if verdict.action is not Action.SHUT_DOWN:
            raise Conflict("SageMaker could not be asked about this app. Try again later.")
        await self.settings.end_keep_alive(app_name)
        self._requested[app_name] = view.run_started_at
        now = self._now()
        self._decide(now)
        # This app only: of the others, what is due takes a look of its own.
        asked_for = [verdict for verdict in self._verdicts if verdict.app.name == app_name]
        self._shutdowns.start(asked_for, now)
        self._show(now)
        return self.app(app_name)

    def _refuse_if_going(self, view: AppView, what: str) -> None:
        if view.state is State.SHUTTING_DOWN:
            raise Conflict(f"{view.app_name} is being shut down already.")
        if view.status is not AppStatus.IN_SERVICE:
            raise Conflict(f"{view.app_name} can't be {what}: its status is {view.status.value}.")

    def _find(self, app_name: str) -> App | None:
        return next((app for app in self._snapshot.apps if app.name == app_name), None)

    def _decide_again(self, now: datetime) -> None:
        """Show at once what a change of settings means; acting on it takes a new look."""
        self._decide(now)
        self._show(now)
        self.wake()

    # ---- problems -------------------------------------------------------------------------------

    def _set_problem(
        self,
        code: str,
        message: str,
        remedy: str,
        iam_action: str | None = None,
        key: str | None = None,
    ) -> None:
        key = key or code
        before = self._problems.get(key)
        since = before.since if before is not None else self._now()
        if before is not None and without_ids(before.message) == without_ids(message):
            message = before.message  # as it was told
        else:
            self._log.warning("sagemaker_autoshutdown: %s %s", message, remedy)
        self._problems[key] = Problem(code, message, remedy, since, iam_action)

    def _clear_problem(self, key: str) -> None:
        if self._problems.pop(key, None) is not None:
            self._log.info("sagemaker_autoshutdown: over: %s", key)
