"""What one look at the apps says about their cost. Pure.

Out of the verdicts of a look: which apps are billed, which of them are idle and since when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from ..model import App, AppStatus, AppType, Host, HostKind, Price, Reason, State, Verdict

#: Statuses in which an app's instance is billed. ``Deleting`` is not documented either way.
BILLED = frozenset({AppStatus.IN_SERVICE, AppStatus.DELETING})


class Use(str, Enum):
    """In what way an app is used at the moment of a look."""

    HELD = "held"
    """Something keeps it up: a busy kernel, a kept terminal."""
    RECENT = "recent"
    """Not held, but used a short while ago: in use, unless it turns out to have been idle since."""
    IDLE = "idle"
    """Not used since ``since``."""
    UNSEEN = "unseen"
    """Nobody knows; in doubt it is in use."""
    AS_BEFORE = "as_before"
    """This look says nothing new of it: it is being shut down."""


@dataclass(frozen=True)
class AppLook:
    """One billed app at one look. ``since`` is when its present use began, where that is known.

    Of an app that is ``unseen`` (SageMaker lists it, but could not say on what it runs) neither the
    instance nor the price means anything.
    """

    app: App
    instance: str
    use: Use
    since: datetime | None
    price: Price


@dataclass(frozen=True)
class Look:
    """All billed apps at one look. ``ahead`` is by how much the clock is ahead of one that nobody
    sets: it changes when the clock is set, and with the server."""

    at: datetime
    host: Host
    apps: tuple[AppLook, ...]
    ahead: timedelta | None = None


def instance_key(host: Host, app_type: AppType, instance_type: str, app_name: str) -> str:
    """What is billed: in Classic one instance of a type per domain and owner, else the app."""
    if host.kind is HostKind.CLASSIC:
        return f"{host.domain_id}/{host.owner}/{instance_type}"
    if host.kind is HostKind.NOTEBOOK_INSTANCE:
        return app_name
    return f"{host.domain_id}/{host.owner}/{app_type.value}/{app_name}"


def look_at(
    host: Host,
    verdicts: Iterable[Verdict],
    now: datetime,
    active_time: timedelta,
    price: Callable[[str, AppType], Price],
) -> Look | None:
    """What the verdicts of a look say about cost; None where the apps could not be seen."""
    apps = []
    for verdict in verdicts:
        app = verdict.app
        if verdict.reason is Reason.APPS_UNSEEN and not app.unseen:
            return None
        if app.status not in BILLED:
            continue
        use, since = _use(verdict, now, active_time)
        apps.append(
            AppLook(
                app=app,
                instance=instance_key(host, app.app_type, app.instance_type, app.name),
                use=use,
                since=since,
                price=price(app.instance_type, app.app_type),
            )
        )
    return Look(now, host, tuple(apps))


def _use(verdict: Verdict, now: datetime, active_time: timedelta) -> tuple[Use, datetime | None]:
    if verdict.idle_since is not None:
        idle = now - verdict.idle_since >= active_time
        return (Use.IDLE if idle else Use.RECENT), verdict.idle_since
    if verdict.state is State.BUSY:
        return Use.HELD, verdict.since
    if verdict.state is State.UNKNOWN:
        return Use.UNSEEN, None
    return Use.AS_BEFORE, None
