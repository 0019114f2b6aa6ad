"""Turns the verdicts of one observation into a record for billing. Pure.

The record says which apps are billed, which of them are idle, and since when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from ..model import App, AppType, Host, Presence, Price, Reason, State, Verdict


class Use(str, Enum):
    """How an app is used at the moment of an observation."""

    HELD = "held"
    """Something holds it: a busy kernel, a kept terminal."""
    RECENT = "recent"
    """Nothing holds it, but it was used a short while ago: it counts as in use, unless it later
    turns out to have been idle."""
    IDLE = "idle"
    """Not used since ``since``."""
    UNSEEN = "unseen"
    """Not known; in doubt it counts as in use."""
    AS_BEFORE = "as_before"
    """The app is being shut down, so this observation adds nothing about its use."""


@dataclass(frozen=True)
class AppObservation:
    """One billed app in one observation. ``since`` is the start of its present use, if known.

    If SageMaker lists an app but could not say which instance it runs on, the app is ``unseen``,
    and its instance and price mean nothing.
    """

    app: App
    instance: str
    use: Use
    since: datetime | None
    price: Price


@dataclass(frozen=True)
class Observation:
    """All billed apps in one observation. ``ahead`` is how far the clock is ahead of a clock that
    nobody sets; it changes when the clock is set, and with the server. ``closed_since`` is the time
    since which no browser has been connected; None while one is, or if that is not known."""

    at: datetime
    host: Host
    apps: tuple[AppObservation, ...]
    ahead: timedelta | None = None
    closed_since: datetime | None = None


def observation_of(
    host: Host,
    verdicts: Iterable[Verdict],
    now: datetime,
    price: Callable[[str, AppType], Price],
    presence: Presence | None = None,
) -> Observation | None:
    """The observation for billing; None if the apps could not be seen."""
    apps = []
    for verdict in verdicts:
        app = verdict.app
        if verdict.reason is Reason.APPS_UNSEEN and not app.unseen:
            return None
        if not app.status.is_billed:
            continue
        use, since = _use(verdict)
        apps.append(
            AppObservation(
                app=app,
                instance=host.billing_key(app),
                use=use,
                since=since,
                price=price(app.instance_type, app.app_type),
            )
        )
    closed_since = None if presence is None else presence.closed_since
    return Observation(now, host, tuple(apps), closed_since=closed_since)


def _use(verdict: Verdict) -> tuple[Use, datetime | None]:
    if verdict.idle_since is not None:
        return (Use.IDLE if verdict.is_idle else Use.RECENT), verdict.idle_since
    if verdict.state is State.BUSY:
        return Use.HELD, verdict.since
    if verdict.state is State.UNKNOWN:
        return Use.UNSEEN, None
    return Use.AS_BEFORE, None
