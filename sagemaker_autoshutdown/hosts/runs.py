"""When the present run of each app began, out of what was seen of it. Pure but for its memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from ..model import AppStatus


@dataclass(frozen=True)
class Listed:
    """An app as SageMaker lists it: its name, status and ``CreationTime``."""

    name: str
    status: AppStatus
    created_at: datetime | None


@dataclass(frozen=True)
class Run:
    """Since when an app is up (or coming up), and since when it has its present status."""

    status: AppStatus
    created_at: datetime | None
    started_at: datetime
    status_since: datetime


class RunTracker:
    """Follows apps from look to look.

    SageMaker's ``CreationTime`` may predate a run: an app started again within 24 hours keeps its
    metadata. So a change of status that was seen counts for more, and an app that was away starts
    anew. That errs on the late side, which keeps an app running for longer, never shorter.
    """

    def __init__(self, not_before: datetime | None = None) -> None:
        """``not_before``: no run can have started earlier, where that is known."""
        self._not_before = not_before
        self._runs: dict[str, Run] | None = None

    def look(self, listed: Iterable[Listed], now: datetime) -> dict[str, Run]:
        """The present runs, by app name."""
        before = self._runs
        self._runs = {app.name: self._run(app, before, now) for app in listed}
        return self._runs

    def _run(self, app: Listed, before: dict[str, Run] | None, now: datetime) -> Run:
        known = before.get(app.name) if before is not None else None
        if known is not None and known.created_at == app.created_at:
            if known.status is app.status:
                return _not_after(known, now)
            came_up = app.status is AppStatus.IN_SERVICE
            started_at = now if came_up else known.started_at
            return Run(app.status, app.created_at, started_at, status_since=now)
        # At this server's first look nothing was seen of the past. Later, an app that is new in
        # the list came up since the last look.
        started_at = app.created_at if app.created_at is not None and before is None else now
        if app.created_at is not None:
            started_at = max(started_at, app.created_at)
        if self._not_before is not None:
            started_at = max(started_at, self._not_before)
        return Run(app.status, app.created_at, min(started_at, now), status_since=now)


def _not_after(run: Run, now: datetime) -> Run:
    """``run``, after this machine's clock was set back: what lies ahead counts from now."""
    if run.started_at <= now and run.status_since <= now:
        return run
    return replace(
        run, started_at=min(run.started_at, now), status_since=min(run.status_since, now)
    )


def status_of(text: str) -> AppStatus:
    """SageMaker's status of an app. One that is not known is on its way to one that is: the app is
    neither shut down nor taken to be gone."""
    try:
        return AppStatus(text)
    except ValueError:
        return AppStatus.PENDING
