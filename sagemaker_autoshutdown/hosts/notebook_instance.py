"""A notebook instance: the machine this server runs on."""

from __future__ import annotations

from datetime import datetime

from ..aws import Aws, member
from ..model import App, AppStatus, AppType, Host
from .local import LocalAdapter, machine_started_at
from .runs import Listed, RunTracker

# A notebook instance's own statuses, as those of an app.
_STATUS = {
    "Pending": AppStatus.PENDING,
    "Updating": AppStatus.PENDING,
    "InService": AppStatus.IN_SERVICE,
    "Stopping": AppStatus.DELETING,
    "Deleting": AppStatus.DELETING,
    "Stopped": AppStatus.DELETED,
    "Failed": AppStatus.FAILED,
}


class NotebookInstanceAdapter(LocalAdapter):
    """The notebook instance, as the one app of its own type."""

    def __init__(self, host: Host, aws: Aws) -> None:
        self.host = host
        self._aws = aws
        self._runs = RunTracker(not_before=machine_started_at())

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """This machine."""
        name = self.host.app_name
        answer = await self._aws.call(
            "sagemaker", "DescribeNotebookInstance", NotebookInstanceName=name
        )
        said = member(answer, "NotebookInstanceStatus", "sagemaker:DescribeNotebookInstance")
        status = _STATUS.get(said, AppStatus.PENDING)
        # LastModifiedTime moves with every start and stop, CreationTime never.
        modified = answer.get("LastModifiedTime") or answer.get("CreationTime")
        run = self._runs.look([Listed(name, status, modified)], now)[name]
        return (
            App(
                name=name,
                app_type=AppType.NOTEBOOK_INSTANCE,
                status=status,
                instance_type=answer.get("InstanceType", ""),
                run_started_at=run.started_at,
                status_since=run.status_since,
                failure=answer.get("FailureReason") or "",
            ),
        )

    async def shut_down(self, app: App) -> None:
        """StopNotebookInstance: billing ends, files under SageMaker/ stay."""
        await self._aws.call(
            "sagemaker", "StopNotebookInstance", NotebookInstanceName=self.host.app_name
        )
