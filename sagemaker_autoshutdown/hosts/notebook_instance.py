"""A notebook instance: the machine this server runs on."""

from __future__ import annotations

from datetime import datetime

from ..aws import member
from ..model import App, AppStatus, AppType
from .single_app import SingleAppAdapter

# A notebook instance's own statuses, mapped onto those of an app.
_STATUS = {
    "Pending": AppStatus.PENDING,
    "Updating": AppStatus.PENDING,
    "InService": AppStatus.IN_SERVICE,
    "Stopping": AppStatus.DELETING,
    "Deleting": AppStatus.DELETING,
    "Stopped": AppStatus.DELETED,
    "Failed": AppStatus.FAILED,
}


class NotebookInstanceAdapter(SingleAppAdapter):
    """The notebook instance, as the one app of its own type."""

    async def list_apps(self, now: datetime) -> tuple[App]:
        """This machine."""
        answer = await self._aws.call(
            "sagemaker", "DescribeNotebookInstance", NotebookInstanceName=self.host.app_name
        )
        said = member(answer, "NotebookInstanceStatus", "sagemaker:DescribeNotebookInstance")
        return self._app(
            AppType.NOTEBOOK_INSTANCE,
            said,
            _STATUS.get(said),
            # LastModifiedTime changes with every start and stop, CreationTime never does.
            answer.get("LastModifiedTime") or answer.get("CreationTime"),
            answer,
            now,
            instance_type=answer.get("InstanceType", ""),
        )

    async def shut_down(self, app: App) -> None:
        """Calls StopNotebookInstance: billing ends, files under SageMaker/ stay."""
        await self._aws.call(
            "sagemaker", "StopNotebookInstance", NotebookInstanceName=self.host.app_name
        )
