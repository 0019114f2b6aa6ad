"""The common part of a JupyterLab space and a notebook instance: one app, in which this server
runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..aws import Aws
from ..model import App, AppStatus, AppType, Host
from .runs import Listed, RunTracker, not_known

#: How long SageMaker's word is good that the app is in service: its server runs in it, so it is.
GOOD_FOR = timedelta(minutes=5)


class SingleAppAdapter:
    """A host with one app, to which everything that runs here belongs."""

    def __init__(self, host: Host, aws: Aws, not_before: datetime | None = None) -> None:
        """``not_before`` is when this machine came up: no run of its app can be older."""
        self.host = host
        self._aws = aws
        self._runs = RunTracker(not_before)
        self._described: tuple[App] | None = None
        self._described_at: datetime | None = None

    async def list_apps(self, now: datetime, *, afresh: bool = True) -> tuple[App, ...]:
        """The one app. An answer is used again for ``GOOD_FOR``, unless ``afresh``, as long as the
        app is in service."""
        app, at = self._described, self._described_at
        if not afresh and app is not None and at is not None and at <= now < at + GOOD_FOR:
            return app
        self._described = None
        app = await self._describe(now)
        if app[0].status is AppStatus.IN_SERVICE and not app[0].unseen:
            self._described, self._described_at = app, now
        return app

    async def _describe(self, now: datetime) -> tuple[App]:
        """The app as SageMaker describes it now. Raises
        :class:`~sagemaker_autoshutdown.aws.AwsError`."""
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
