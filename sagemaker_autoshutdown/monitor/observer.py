"""The world as the loop sees it: the apps that SageMaker lists, and the activity in them.

This module keeps the last observation, and its problems. It marks in the snapshot what could not be
seen; other modules decide what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from ..activity.reader import ActivityReader, ObservedActivity
from ..aws import AwsError
from ..hosts import HostAdapter
from ..model import App, AppStatus, Snapshot, Work, WorkKind
from .problems import Problems

#: Seconds for observing kernels and terminals, which must not hold up the loop for ever.
READ_TIMEOUT = 60
#: Checks for which one answer of SageMaker about the apps is used while nothing happens to them.
APPS_GOOD_FOR = 5


class Observer:
    """Sees the apps of one host and the evidence of use in them."""

    def __init__(
        self,
        adapter: HostAdapter,
        reader: ActivityReader,
        problems: Problems,
        now: Callable[[], datetime],
        interval: timedelta,
    ) -> None:
        """``interval`` is the time from one check to the next."""
        self._adapter = adapter
        self._reader = reader
        self._problems = problems
        self._now = now
        self._apps_good_for = interval * APPS_GOOD_FOR
        #: When SageMaker was asked for the apps, if its answer can be used again; and the kernels
        #: and terminals that were there.
        self._asked_at: datetime | None = None
        self._things: frozenset[tuple[WorkKind, str]] = frozenset()
        #: The last observation.
        self.snapshot = Snapshot((), ())
        #: Notes for readers on how the observation was made.
        self.notes: tuple[str, ...] = ()
        #: When everything was last seen.
        self.complete_at: datetime | None = None

    async def observe(self, *, afresh: bool = True) -> datetime:
        """Sees everything; returns the time of the observation. Unless ``afresh``, SageMaker's last
        answer will do for some checks: as long as all apps are in service, and no kernel and no
        terminal comes or goes."""
        apps, apps_error = self.snapshot.apps, ""
        # Kernels last: their state changes by the second.
        if not afresh and self._apps_are_good():
            activity = await self._read_activity(apps)
            if activity.error or _things(activity.work) == self._things:
                return self._take(apps, apps_error, activity)
        apps, apps_error = await self._list_apps()
        activity = ObservedActivity()
        if any(app.status is AppStatus.IN_SERVICE for app in apps):
            activity = await self._read_activity(apps)
        self._things = _things(activity.work)
        return self._take(apps, apps_error, activity)

    def forget_apps(self) -> None:
        """The next observation asks SageMaker for the apps, whatever it answered before."""
        self._asked_at = None

    async def observe_activity(self) -> datetime:
        """Sees again the activity in the known apps; returns the time of the observation."""
        seen = self.snapshot
        return self._take(seen.apps, seen.apps_error, await self._read_activity(seen.apps))

    async def ask(self, kernel_ids: list[str]) -> bool:
        """Asks kernels whether they are at work. Returns whether there is news: if so, see
        again."""
        return await self._reader.ask(kernel_ids, self._now())

    def lose_sight(self, why: str) -> None:
        """Discards the observation."""
        self.snapshot = replace(self.snapshot, apps_error=why)

    def page_closed(self) -> None:
        """A browser's page was closed: see whether another is open."""
        self._reader.presence.page_closed(self._now())

    def clock_jumped(self, jump: timedelta) -> None:
        """The clock was set: shift the times of earlier use with it."""
        self._reader.clock_jumped(jump)

    def _apps_are_good(self) -> bool:
        asked_at = self._asked_at
        return asked_at is not None and asked_at <= self._now() < asked_at + self._apps_good_for

    async def _list_apps(self) -> tuple[tuple[App, ...], str]:
        """The apps, and the error that kept them from being listed; then the apps are the last
        seen ones."""
        self.forget_apps()
        asked_at = self._now()
        try:
            apps = await self._adapter.list_apps(asked_at)
        except AwsError as error:
            self._problems.apps_unseen(error)
            return self.snapshot.apps, str(error)
        self._problems.apps_unseen(None)
        # Another status changes by itself, and the first app may come at any time.
        if apps and all(app.status is AppStatus.IN_SERVICE and not app.unseen for app in apps):
            self._asked_at = asked_at
        return apps, ""

    async def _read_activity(self, apps: tuple[App, ...]) -> ObservedActivity:
        try:
            return await asyncio.wait_for(self._reader.read(apps, self._now()), READ_TIMEOUT)
        except asyncio.TimeoutError:
            return ObservedActivity(error=f"no answer in {READ_TIMEOUT} s")

    def _take(self, apps: tuple[App, ...], apps_error: str, activity: ObservedActivity) -> datetime:
        self.notes = activity.notes
        self._problems.activity_unseen(activity.error)
        now = self._now()
        self.snapshot = Snapshot(
            apps=apps,
            work=activity.work,
            apps_error=apps_error,
            activity_error=activity.error,
            presence=activity.presence,
        )
        if not apps_error and not activity.error:
            self.complete_at = now
        return now


def _things(work: Iterable[Work]) -> frozenset[tuple[WorkKind, str]]:
    """The kernels and terminals: one that comes or goes may have come or gone with its app."""
    kinds = (WorkKind.KERNEL, WorkKind.TERMINAL)
    return frozenset((item.kind, item.id) for item in work if item.kind in kinds)
