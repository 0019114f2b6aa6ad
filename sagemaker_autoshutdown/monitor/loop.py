"""The loop: when to check, observe, decide, act, tell.

It owns the only task that changes the present picture, and decides when that task works.
``observer`` sees, ``decide`` has the rules, ``decisions`` keeps verdicts, ``shutdowns`` runs
deletions, ``announcements`` tells listeners, ``commands`` takes users' requests. Handlers, metrics
and the command line read ``status()``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from .. import status as status_module
from ..activity.questions import Questions
from ..activity.reader import ActivityReader
from ..clock import Alarm, JumpDetector, utcnow
from ..errors import UnknownApp
from ..hosts import HostAdapter
from ..hosts.marks import Marks
from ..listeners import Check, Listener
from ..model import App, Host, Problem, Reason, ShutdownFailure, Verdict
from ..settings.admin import SageMakerAutoShutdown
from ..settings.user import Settings
from ..shutdowns import Shutdowns
from ..status import AppView, Costs, Status
from .announcements import Announcements
from .decisions import Decisions
from .observer import Observer
from .problems import Problems

#: From this difference to the monotonic clock on, the wall clock was set, or the machine slept.
CLOCK_JUMP = timedelta(seconds=5)


class Monitor:
    """Watches the apps of one host and shuts down those that are due."""

    def __init__(
        self,
        *,
        adapter: HostAdapter,
        reader: ActivityReader,
        settings: Settings,
        config: SageMakerAutoShutdown,
        costs: Costs,
        listeners: Iterable[Listener] = (),
        problems: tuple[Problem, ...] = (),
        marks: Marks | None = None,
        now: Callable[[], datetime] = utcnow,
        log: logging.Logger | None = None,
    ) -> None:
        """``problems`` are problems found before the loop started. Without ``marks``, a fleet's
        marks are not read."""
        self.host: Host = adapter.host
        self.settings = settings
        self.now = now
        log = log or logging.getLogger(__name__)
        self.announcements = Announcements(listeners, log)
        self._config = config
        self._costs = costs
        self._log = log
        self._poll = timedelta(seconds=config.poll_interval)
        self._shutdowns = Shutdowns(
            adapter, self._poll, now, on_accepted=self._accepted, on_failed=self._failed
        )
        self._questions = Questions(
            lambda app_name, kernels: self._guarded(self._ask_and_act(app_name, kernels))
        )
        self._problems = Problems(problems, now, log)
        self._observer = Observer(adapter, reader, self._problems, now, self._poll)
        self._decisions = Decisions(settings, self.host.owner, self._questions)
        self._marks = marks
        self._jumps = JumpDetector()
        self._alarm = Alarm(now)
        self._announced_status: object = None
        # The times of checks.
        self._started_at: datetime | None = None
        self._check_began_at: datetime | None = None
        self._next_check_at: datetime | None = None
        # Created when first needed: before Python 3.10 it belongs to the event loop that creates
        # it.
        self._check_lock: asyncio.Lock | None = None
        self._task: asyncio.Task[None] | None = None

    # ---- the loop -------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the loop on the running event loop, once at most."""
        if self._task is None or self._task.done():
            self._started_at = self.now()
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stops the loop. AWS goes on with deletions that it accepted."""
        if self._task is not None:
            # Before Python 3.12, wait_for can swallow a cancellation, so cancel until the task
            # ends.
            while not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=1)
            self._task = None
        await self._questions.stop()
        await self._shutdowns.stop()
        if self._marks is not None:
            await self._marks.stop()

    async def _run(self) -> None:
        await self._guarded(self.settings.read())
        while True:
            if not await self._guarded(self._check_and_sleep()):
                await asyncio.sleep(self._poll.total_seconds())

    async def _check_and_sleep(self) -> None:
        await self.check()
        self.settings.save_again()
        self.settings.follow_again()
        # At most an interval by the monotonic clock, whatever happens to the other one.
        await self._alarm.wait(self._next_check, self._poll)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> bool:
        """Returns whether the check went well. The loop survives errors and reports them: an
        exception, and a cancellation that was not meant for the loop itself."""
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

    def _next_check(self) -> datetime:
        """When the next check is due; the status shows this time from now on."""
        began_at = self._check_began_at or self.now()
        times = [began_at + self._poll]
        times += [
            verdict.next_at
            for verdict in self._decisions.verdicts
            if verdict.next_at is not None and verdict.next_at > began_at
        ]
        retry_at = self._shutdowns.next_retry_at()
        if retry_at is not None and retry_at > began_at:
            times.append(retry_at)
        self._next_check_at = min(times)
        return self._next_check_at

    def page_closed(self) -> None:
        """A browser's page was closed: see whether another is open."""
        self._observer.page_closed()
        self.wake()

    def wake(self) -> None:
        """Check now."""
        self._alarm.ring()

    def check_afresh(self) -> None:
        """Somebody looks at the apps: check now, and ask SageMaker for them."""
        self._observer.forget_apps()
        self.wake()

    @property
    def _checking(self) -> asyncio.Lock:
        if self._check_lock is None:
            self._check_lock = asyncio.Lock()
        return self._check_lock

    # ---- a check ------------------------------------------------------------------------------

    async def check(self) -> None:
        """One pass: observes everything, decides, acts on what is due.

        Acting uses the observations of this very pass: an app is seen to be idle just before it is
        shut down.
        """
        async with self._checking:
            began_at = asyncio.get_running_loop().time()
            self._note_clock(self.now(), began_at)
            now = await self._observer.observe(afresh=self._decisions.is_due(self.now()))
            self._decide(now, is_new=True)
            self._problems.check_went_well()
            self._act(now)
            await asyncio.sleep(0)  # with many kernels, either half takes a millisecond
            self._announce_check(now, asyncio.get_running_loop().time() - began_at)

    def _act(self, now: datetime) -> None:
        """Begins everything that is due: questions to kernels before a warning and before a
        shutdown, and shutdowns that need no question. Nothing here waits for an answer."""
        work, verdicts = self._observer.snapshot.work, self._decisions.verdicts
        unasked = self._decisions.unasked
        self._questions.begin([v for v in verdicts if v.app.name in unasked], work)
        self._questions.doubt(verdicts, work, now)
        due = self._shutdowns.due(verdicts, now)
        self._shutdowns.start(self._questions.begin(due, work), now)

    async def _ask_and_act(self, app_name: str, kernel_ids: list[str]) -> None:
        """Asks an app's kernels, observes them again, and spares the app if they turn out to be
        at work."""
        asked = await self._observer.ask(kernel_ids)
        async with self._checking:
            self._questions.confirm(app_name)
            now = await self._observer.observe_activity() if asked else self.now()
            self._decide(now, is_new=True)
            self._shutdowns.start(self._decisions.of(app_name), now)
            self._announce_check(now, None)
        self.wake()  # deadlines may have changed

    def _check_failed(self, error: BaseException) -> None:
        message = self._problems.check_failed(error)
        self._next_check_at = self.now() + self._poll
        # An app that was not seen is unknown, and a deadline that passes meanwhile is void.
        self._observer.lose_sight(message)
        with contextlib.suppress(Exception):
            self._decide(self.now())
            self._announce_status()

    def _note_clock(self, now: datetime, monotonic: float) -> None:
        """Voids announcements when the clock was set or the machine slept: users must have a
        full warning by their own watch. Remembered times move with the clock."""
        self._check_began_at = now
        jump = self._jumps.since_last(now, monotonic)
        if abs(jump) > CLOCK_JUMP:
            self._log.warning(
                "sagemaker_autoshutdown: the clock jumped by %.0f s (set, or the machine slept): "
                "users are warned again before a shutdown",
                jump.total_seconds(),
            )
            self._observer.clock_jumped(jump)
            self._decisions.clock_jumped(jump)

    # ---- decide, and tell what changed ------------------------------------------------------

    def _decide(self, now: datetime, *, is_new: bool = False) -> None:
        """Turns the last observations into verdicts: ``is_new`` if they were made just now. Acts on
        nothing."""
        snapshot, decisions = self._observer.snapshot, self._decisions
        decisions.decide(snapshot, now, is_new=is_new)
        self._shutdowns.follow(decisions.verdicts, now)
        self.announcements.warn(decisions.verdicts, self._shutdowns.progress(), now)
        if not snapshot.apps_error:
            self.announcements.tell_gone(snapshot.apps, now)

    def _accepted(self, app: App, reason: Reason) -> None:
        self._decisions.withdraw(app.name)
        self.announcements.accepted(app, reason, self.now())
        self._announce_status()
        self.wake()

    def _failed(self, app: App, reason: Reason, failure: ShutdownFailure) -> None:
        now = self.now()
        # A request was for its moment: the user may be working since then.
        if self._decisions.withdraw(app.name):
            self._decide(now)
        self.announcements.failed(app, reason, failure, now)
        self._announce_status()
        self.wake()

    def _announce_check(self, now: datetime, seconds: float | None) -> None:
        duration = None if seconds is None else timedelta(seconds=seconds)
        snapshot, verdicts = self._observer.snapshot, self._decisions.verdicts
        check = Check(now, duration, verdicts, not snapshot.apps_error, snapshot.presence)
        self.announcements.checked(check)
        self._announce_status()

    def _announce_status(self) -> None:
        status = self.status()
        visible = (status.apps, status.problems, status.check_overdue)
        if visible != self._announced_status:
            self._announced_status = visible
            self.announcements.status_changed()

    # ---- what commands call --------------------------------------------------------------------

    def decide_again(self) -> None:
        """Shows at once the effect of changed settings; acting on them takes new observations."""
        self._decide(self.now())
        self._announce_status()
        self.wake()

    def verdict_on_request(self, app_name: str) -> Verdict:
        """The verdict if a user wanted this app to be shut down."""
        return self._decisions.if_requested(app_name, self._observer.snapshot, self.now())

    def shut_down_on_request(self, app_name: str, run_started_at: datetime) -> None:
        """Shuts down the run of an app that a user saw, if that is the verdict."""
        self._decisions.request(app_name, run_started_at)
        now = self.now()
        self._decide(now)
        # This app only: the others need observations of their own before they are shut down.
        self._shutdowns.start(self._decisions.of(app_name), now)
        self._announce_status()

    def withdraw_request(self, app_name: str) -> None:
        """The user no longer wants the app to be shut down."""
        self._decisions.withdraw(app_name)

    # ---- what handlers, metrics and the command line read --------------------------------------

    def status(self) -> Status:
        """The present picture, from memory."""
        now = self.now()
        policy = self.settings.policy
        seen, verdicts = self._observer.snapshot, self._decisions.verdicts
        checked_at = self._observer.complete_at
        last_good = checked_at or self._started_at
        return replace(
            status_module.empty(self.host, now),
            checked_at=checked_at,
            next_check_at=self._next_check_at,
            check_overdue=last_good is not None and now - last_good > self._config.longest_gap,
            dry_run=policy.dry_run,
            presence=seen.presence,
            problems=(
                *self._problems.present,
                *self.settings.problems,
                *self._costs.problems,
            ),
            notes=(*self._observer.notes, *self.settings.admin_notes),
            apps=status_module.app_views(
                verdicts,
                seen.work,
                self._shutdowns.progress(),
                self._marks.of(seen.apps, now) if self._marks is not None else {},
            ),
            instances=status_module.instance_views(
                self.host, verdicts, self._costs.price, self._costs.instance_cost
            ),
            totals=self._costs.totals(),
            recording_error=self._costs.recording_error,
        )

    async def refresh_marks(self) -> None:
        """Somebody looks at the status: reads a fleet's marks for it, if those are old."""
        if self._marks is not None:
            await self._marks.refresh(self._observer.snapshot.apps)

    def app(self, app_name: str) -> AppView:
        """One app of the status. Raises ``UnknownApp``."""
        for view in self.status().apps:
            if view.app_name == app_name:
                return view
        raise UnknownApp(f"There is no app named {app_name!r}.")

    def listed_app(self, app_name: str) -> App | None:
        """The app as SageMaker lists it."""
        return next((app for app in self._observer.snapshot.apps if app.name == app_name), None)
