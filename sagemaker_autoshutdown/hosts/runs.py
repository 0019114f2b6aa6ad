"""When the present run of each app began, as observed so far. Pure but for its memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from ..model import AppStatus


@dataclass(frozen=True)
class Listed:
    """An app as SageMaker lists it: its name, status (None if unknown here) and
    ``CreationTime``."""

    name: str
    status: AppStatus | None
    created_at: datetime | None


@dataclass(frozen=True)
class Run:
    """Since when an app has been up (or starting), and since when it has had its present status.

    If ``is_known`` is false, the status is the last one that was understood.
    """

    status: AppStatus
    created_at: datetime | None
    started_at: datetime
    status_since: datetime
    is_known: bool = True


class RunTracker:
    """Follows apps from observation to observation.

    SageMaker's ``CreationTime`` may predate a run: an app started again within 24 hours keeps its
    metadata. So an observed change of status counts for more, and an app that was away starts anew.
    Any error makes the run seem to start late, which keeps an app up longer, never shorter.
    """

    def __init__(self, not_before: datetime | None = None) -> None:
        """``not_before`` is the earliest possible start of a run, if known."""
        self._not_before = not_before
        self._runs: dict[str, Run] | None = None

    def observe(self, listed: Iterable[Listed], now: datetime) -> dict[str, Run]:
        """The present runs, by app name."""
        before = self._runs
        self._runs = {app.name: self._run(app, before, now) for app in listed}
        return self._runs

    def _run(self, app: Listed, before: dict[str, Run] | None, now: datetime) -> Run:
        previous = before.get(app.name) if before is not None else None
        is_known = app.status is not None
        status = app.status or AppStatus.PENDING
        if previous is not None and previous.created_at == app.created_at:
            if not is_known or previous.status is status:
                return replace(_not_after(previous, now), is_known=is_known)
            came_up = status is AppStatus.IN_SERVICE
            started_at = now if came_up else previous.started_at
            return Run(status, app.created_at, started_at, status_since=now)
        # The first observation knows nothing of the past. Later, an app that is new in the list
        # came up since the last observation.
        started_at = app.created_at if app.created_at is not None and before is None else now
        if app.created_at is not None:
            started_at = max(started_at, app.created_at)
        if self._not_before is not None:
            started_at = max(started_at, self._not_before)
        return Run(status, app.created_at, min(started_at, now), now, is_known)


def _not_after(run: Run, now: datetime) -> Run:
    """``run``, after this machine's clock was set back: times in the future become now."""
    if run.started_at <= now and run.status_since <= now:
        return run
    return replace(
        run, started_at=min(run.started_at, now), status_since=min(run.status_since, now)
    )


def status_of(text: str) -> AppStatus | None:
    """SageMaker's status of an app; None for one that is unknown here."""
    try:
        return AppStatus(text)
    except ValueError:
        return None


def not_known(text: str) -> str:
    """Why nothing is done with an app in such a status, in words for the user."""
    return f"its status, {text}, is not known to this version"
