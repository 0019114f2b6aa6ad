"""A JupyterLab space: the app on whose own instance this server runs."""

from __future__ import annotations

from datetime import datetime

from ..aws import Aws, member
from ..model import App, AppType, Host
from .local import LocalAdapter, machine_started_at
from .runs import Listed, RunTracker, status_of


class SpaceAdapter(LocalAdapter):
    """The one JupyterLab app of the space."""

    def __init__(self, host: Host, aws: Aws) -> None:
        self.host = host
        self._aws = aws
        self._runs = RunTracker(not_before=machine_started_at())

    @property
    def _key(self) -> dict[str, str]:
        return {
            "DomainId": self.host.domain_id,
            "SpaceName": self.host.owner,
            "AppType": AppType.JUPYTER_LAB.value,
            "AppName": self.host.app_name,
        }

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """This server's own app."""
        answer = await self._aws.call("sagemaker", "DescribeApp", **self._key)
        status = status_of(member(answer, "Status", "sagemaker:DescribeApp"))
        name = self.host.app_name
        run = self._runs.look([Listed(name, status, answer.get("CreationTime"))], now)[name]
        spec = answer.get("ResourceSpec") or {}
        return (
            App(
                name=name,
                app_type=AppType.JUPYTER_LAB,
                status=status,
                instance_type=spec.get("InstanceType", ""),
                run_started_at=run.started_at,
                status_since=run.status_since,
                image_arn=spec.get("SageMakerImageArn", ""),
                failure=answer.get("FailureReason") or "",
            ),
        )

    async def shut_down(self, app: App) -> None:
        """DeleteApp of its own app: this server ends with it. The space's volume stays."""
        await self._aws.call("sagemaker", "DeleteApp", **self._key)
