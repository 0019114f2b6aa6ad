"""Users' requests: change settings, keep an app up, shut an app down.

Each command checks that it is possible, does it, tells the listeners and returns the app as it then
is. The monitor decides everything that follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..clock import to_iso
from ..errors import Conflict, InvalidRequest
from ..model import Action, AppStatus, EventKind, Reason, State
from ..status import AppView
from .loop import Monitor


class Commands:
    """The commands of one server's users."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._settings = monitor.settings
        self._announcements = monitor.announcements
        self._settings.on_admin_change.append(self._admin_changed)

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Changes the user's settings; None stands for "the admin's". Raises ``InvalidRequest``."""
        before = self._settings.policy
        await self._settings.change(changes)
        if self._settings.policy != before:
            names = ", ".join(sorted(changes))
            text = f"the user's settings were changed: {names}"
            self._announcements.tell(EventKind.SETTINGS, text, self._monitor.now())
            self._monitor.decide_again()

    def _admin_changed(self, names: Sequence[str]) -> None:
        if names:
            text = f"the administrator's settings were changed: {', '.join(names)}"
            self._announcements.tell(EventKind.SETTINGS, text, self._monitor.now())
            self._monitor.decide_again()

    async def keep_alive(self, app_name: str, until: datetime) -> AppView:
        """Keeps an app up until a time. Raises ``UnknownApp``, ``Conflict``, ``InvalidRequest``."""
        view = self._monitor.app(app_name)
        _refuse_if_going(view, "kept alive")
        now = self._monitor.now()
        longest = self._settings.max_keep_alive
        if not longest:
            raise Conflict("The administrator does not allow keep-alives.")
        # A second's grace for "24 h from now" from a clock that is slightly ahead.
        if not now < until <= now + longest + timedelta(seconds=1):
            seconds = f"{longest.total_seconds():g} seconds"
            message = (
                f"must lie in the future, at most {seconds} from now ({to_iso(now + longest)})"
            )
            raise InvalidRequest(f"The end of a keep-alive {message}.", {"until": message})
        await self._settings.keep_alive(app_name, view.run_started_at, until)
        self._monitor.withdraw_request(app_name)
        self._tell_of_keep_alive(
            EventKind.KEEP_ALIVE, app_name, f"{app_name} is kept alive until {to_iso(until)}", until
        )
        return self._monitor.app(app_name)

    async def end_keep_alive(self, app_name: str) -> AppView:
        """Takes a keep-alive back; does nothing if there is none. Raises ``UnknownApp``."""
        view = self._monitor.app(app_name)
        if view.kept_until is not None:
            await self._settings.end_keep_alive(app_name)
            self._tell_of_keep_alive(
                EventKind.KEEP_ALIVE_ENDED, app_name, f"{app_name} is no longer kept alive"
            )
        return self._monitor.app(app_name)

    def _tell_of_keep_alive(
        self, kind: EventKind, app_name: str, text: str, until: datetime | None = None
    ) -> None:
        app = self._monitor.listed_app(app_name)
        now = self._monitor.now()
        self._announcements.tell(kind, text, now, app, Reason.KEEP_ALIVE, until)
        self._monitor.decide_again()

    async def shut_down(self, app_name: str) -> AppView:
        """Shuts an app down at the user's request, whatever runs in it.

        Returns when the shutdown is under way, not when the app is gone. Raises ``UnknownApp`` and
        ``Conflict``.
        """
        view = self._monitor.app(app_name)
        _refuse_if_going(view, "shut down")
        verdict = self._monitor.verdict_on_request(app_name)
        if verdict.reason is Reason.DRY_RUN:
            raise Conflict("Dry run is on: nothing is shut down.")
        if verdict.action is not Action.SHUT_DOWN:
            raise Conflict("SageMaker could not be asked about this app. Try again later.")
        await self._settings.end_keep_alive(app_name)
        self._monitor.shut_down_on_request(app_name, view.run_started_at)
        return self._monitor.app(app_name)


def _refuse_if_going(view: AppView, what: str) -> None:
    if view.state is State.SHUTTING_DOWN:
        raise Conflict(f"{view.app_name} is being shut down already.")
    if view.status is not AppStatus.IN_SERVICE:
        raise Conflict(f"{view.app_name} can't be {what}: its status is {view.status.value}.")
