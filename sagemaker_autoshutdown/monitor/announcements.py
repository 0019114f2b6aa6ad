"""Tells listeners about checks, warnings, shutdowns and their failures, and users' changes.

This module knows the listeners and what they have been told, so that each event is told once.
``loop`` and ``commands`` decide when to tell something.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime

from ..clock import to_iso
from ..listeners import Check, Listener
from ..model import (
    REASON_TEXT,
    App,
    AppStatus,
    Event,
    EventKind,
    Reason,
    ShutdownFailure,
    State,
    Verdict,
)


class Announcements:
    """Tells listeners and the log about events on one host."""

    def __init__(self, listeners: Iterable[Listener], log: logging.Logger) -> None:
        self._listeners = list(listeners)
        self._log = log
        #: The deadlines that users were warned of, by app name.
        self._warned: dict[str, datetime] = {}
        #: The apps whose end has not been told yet, by name.
        self._leaving: dict[str, App] = {}

    def add(self, listener: Listener) -> None:
        """Tells this listener, too, from now on."""
        self._listeners.append(listener)

    # ---- checks and the status -----------------------------------------------------------------

    def checked(self, check: Check) -> None:
        """A check has ended."""
        for listener in self._listeners:
            listener.on_check(check)

    def status_changed(self) -> None:
        """The status changed."""
        for listener in self._listeners:
            listener.on_status_changed()

    # ---- verdicts --------------------------------------------------------------------------------

    def warn(
        self, verdicts: Iterable[Verdict], being_shut_down: Collection[str], now: datetime
    ) -> None:
        """Warns of each deadline once, and takes the warning back once if the deadline is void.
        Apps that are being shut down get no warning."""
        before, self._warned = self._warned, {}
        for verdict in verdicts:
            name = verdict.app.name
            if verdict.state is State.UNKNOWN and name in before:
                self._warned[name] = before[name]
                continue
            if verdict.state is not State.WARNED or verdict.reason is Reason.USER_REQUEST:
                if name in before and verdict.state is not State.SHUTTING_DOWN:
                    text = f"{name} is no longer about to be shut down"
                    self.tell(EventKind.WARNING_OVER, text, now, verdict.app, verdict.reason)
                continue
            deadline = verdict.shutdown_at or now
            self._warned[name] = deadline
            if before.get(name) == deadline or name in being_shut_down:
                continue
            if verdict.reason is Reason.DRY_RUN:
                text = f"{name} would be shut down now, but dry run is on"
            else:
                text = (
                    f"{name} on {verdict.app.instance_type} will be shut down at "
                    f"{to_iso(deadline.replace(microsecond=0))}: {REASON_TEXT[verdict.reason]}"
                )
            self.tell(EventKind.WARNING, text, now, verdict.app, verdict.reason, deadline)

    def tell_gone(self, apps: Collection[App], now: datetime) -> None:
        """Tells which of the apps that were being deleted are no longer among ``apps``, the apps
        that SageMaker lists now."""
        present = {
            app.name: app.run_started_at for app in apps if app.status is not AppStatus.DELETED
        }
        for name, app in list(self._leaving.items()):
            if present.get(name) != app.run_started_at:
                del self._leaving[name]
                text = f"{name} on {app.instance_type} is gone"
                self.tell(EventKind.GONE, text, now, app, Reason.APP_DELETING)
        self._leaving.update({app.name: app for app in apps if app.status is AppStatus.DELETING})

    # ---- shutdowns -------------------------------------------------------------------------------

    def accepted(self, app: App, reason: Reason, now: datetime) -> None:
        """SageMaker agreed to shut an app down."""
        for listener in self._listeners:
            listener.on_shutdown(reason, True)
        text = f"{app.name} on {app.instance_type} is being shut down: {REASON_TEXT[reason]}"
        self.tell(EventKind.SHUTDOWN, text, now, app, reason)
        self._leaving[app.name] = app

    def failed(self, app: App, reason: Reason, failure: ShutdownFailure, now: datetime) -> None:
        """Shutting an app down failed."""
        for listener in self._listeners:
            listener.on_shutdown(reason, False)
        next_try = (
            f"it is tried again at {to_iso(failure.retry_at)}"
            if failure.retry_at is not None
            else "ask again if you still want it"
        )
        text = (
            f"shutting down {app.name} failed ({failure.code}: {failure.message}); {next_try}. "
            f"{failure.remedy}"
        )
        self.tell(EventKind.FAILURE, text, now, app, Reason.SHUTDOWN_FAILED)

    # ---- anything --------------------------------------------------------------------------------

    def tell(
        self,
        kind: EventKind,
        message: str,
        now: datetime,
        app: App | None = None,
        reason: Reason | None = None,
        shutdown_at: datetime | None = None,
    ) -> None:
        """Tells one event."""
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
        for listener in self._listeners:
            listener.on_event(event)
