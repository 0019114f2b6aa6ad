"""The common part of a JupyterLab space and a notebook instance: one app, in which this server
runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..aws import Aws
from ..model import App, AppStatus, AppType, Host
from .runs import Listed, RunTracker, not_known


class SingleAppAdapter:
    """A host with one app, to which everything that runs here belongs."""

    def __init__(self, host: Host, aws: Aws, not_before: datetime | None = None) -> None:
        """``not_before`` is when this machine came up: no run of its app can be older."""
        self.host = host
        self._aws = aws
        self._runs = RunTracker(not_before)

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """The one app."""
        raise NotImplementedError

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
        """The one app: SageMaker's status text, its meaning, and the app's description."""
        name = self.host.app_name
        run = self._runs.observe([Listed(name, status, created_at)], now)[name]
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
