"""What a JupyterLab space and a notebook instance share: one app, and this server runs in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..aws import Aws
from ..model import App, AppStatus, AppType, Host
from ..process_table import this_machine
from .runs import Listed, RunTracker, not_known

log = logging.getLogger(__name__)


class LocalAdapter:
    """Everything that runs here belongs to the one app that there is."""

    def __init__(self, host: Host, aws: Aws) -> None:
        self.host = host
        self._aws = aws
        self._runs = RunTracker(not_before=machine_started_at())

    def _app(
        self,
        app_type: AppType,
        said: str,
        status: AppStatus | None,
        created_at: datetime | None,
        answer: Mapping[str, Any],
        now: datetime,
        **more: Any,
    ) -> tuple[App]:
        """The one app: SageMaker's word for its status, what that means, and its description."""
        name = self.host.app_name
        run = self._runs.look([Listed(name, status, created_at)], now)[name]
        return (
            App(
                name=name,
                app_type=app_type,
                status=run.status,
                run_started_at=run.started_at,
                status_since=run.status_since,
                failure=(answer.get("FailureReason") or "") if run.is_known else not_known(said),
                unseen=not run.is_known,
                **more,
            ),
        )

    def kernel_apps(self, model: dict[str, Any], apps: tuple[App, ...]) -> frozenset[str]:
        """The one app."""
        return frozenset(app.name for app in apps)

    def terminal_apps(self, name: str, apps: tuple[App, ...]) -> frozenset[str]:
        """The one app."""
        return frozenset(app.name for app in apps)


def machine_started_at() -> datetime | None:
    """When this container or machine came up: its first process's start; None if not known.

    No run of an app that this server is in can be older.
    """
    table = this_machine()
    try:
        return table.started_at(table.read()[1])
    except Exception as error:  # psutil missing, or /proc hidden
        log.debug("the machine's start is not known: %s", error)
        return None
