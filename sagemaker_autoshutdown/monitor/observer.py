"""The world as the loop sees it: the apps that SageMaker lists, and the activity in them.

This module keeps the last observation, and its problems. It marks in the snapshot what could not be
seen; other modules decide what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from ..activity.reader import ActivityReader, ObservedActivity
from ..aws import AwsError
from ..hosts import HostAdapter
from ..model import App, AppStatus, Snapshot
from .problems import Problems

#: Seconds for observing kernels and terminals, which must not hold up the loop for ever.
READ_TIMEOUT = 60


class Observer:
    """Sees the apps of one host and the evidence of use in them."""

    def __init__(
        self,
        adapter: HostAdapter,
        reader: ActivityReader,
        problems: Problems,
        now: Callable[[], datetime],
    ) -> None:
        self._adapter = adapter
        self._reader = reader
        self._problems = problems
        self._now = now
        #: The last observation.
        self.snapshot = Snapshot((), ())
        #: Notes for readers on how the observation was made.
        self.notes: tuple[str, ...] = ()
        #: When everything was last seen.
        self.complete_at: datetime | None = None

    async def observe(self, *, afresh: bool = True) -> datetime:
        """Sees everything; returns the time of the observation. Unless ``afresh``, a recent answer
        of SageMaker about the app that this server runs in will do."""
        apps, apps_error = await self._list_apps(afresh)
        # Kernels last: their state changes by the second.
        activity = ObservedActivity()
        if any(app.status is AppStatus.IN_SERVICE for app in apps):
            activity = await self._read_activity(apps)
        return self._take(apps, apps_error, activity)

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

    async def _list_apps(self, afresh: bool) -> tuple[tuple[App, ...], str]:
        """The apps, and the error that kept them from being listed; then the apps are the last
        seen ones."""
        try:
            apps = await self._adapter.list_apps(self._now(), afresh=afresh)
        except AwsError as error:
            self._problems.apps_unseen(error)
            return self.snapshot.apps, str(error)
        self._problems.apps_unseen(None)
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
