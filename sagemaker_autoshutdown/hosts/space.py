"""A JupyterLab space: the app on whose own instance this server runs."""

from __future__ import annotations

from datetime import datetime

from ..aws import member
from ..model import App, AppType
from .runs import status_of
from .single_app import SingleAppAdapter


class SpaceAdapter(SingleAppAdapter):
    """The one JupyterLab app of the space."""

    @property
    def _key(self) -> dict[str, str]:
        return {
            "DomainId": self.host.domain_id,
            "SpaceName": self.host.owner,
            "AppType": AppType.JUPYTER_LAB.value,
            "AppName": self.host.app_name,
        }

    async def list_apps(self, now: datetime) -> tuple[App]:
        """This server's own app."""
        answer = await self._aws.call("sagemaker", "DescribeApp", **self._key)
        said = member(answer, "Status", "sagemaker:DescribeApp")
        spec = answer.get("ResourceSpec") or {}
        return self._app(
            AppType.JUPYTER_LAB,
            said,
            status_of(said),
            answer.get("CreationTime"),
            answer,
            now,
            instance_type=spec.get("InstanceType", ""),
            image_arn=spec.get("SageMakerImageArn", ""),
        )

    async def shut_down(self, app: App) -> None:
        """Calls DeleteApp for its own app: this server ends with it. The space's volume stays."""
        await self._aws.call("sagemaker", "DeleteApp", **self._key)
