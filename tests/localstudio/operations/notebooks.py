"""Notebook instances."""

from __future__ import annotations

from typing import Any

from tests.localstudio import names
from tests.localstudio.errors import invalid
from tests.localstudio.state import NotebookInstance

from ._table import SAGEMAKER, Answer, Backend, Parameters, page

#: Parameters of CreateNotebookInstance → members of DescribeNotebookInstance.
KEPT = {
    "RoleArn": "RoleArn",
    "SubnetId": "SubnetId",
    "SecurityGroupIds": "SecurityGroups",
    "KmsKeyId": "KmsKeyId",
    "LifecycleConfigName": "NotebookInstanceLifecycleConfigName",
    "DirectInternetAccess": "DirectInternetAccess",
    "VolumeSizeInGB": "VolumeSizeInGB",
    "DefaultCodeRepository": "DefaultCodeRepository",
    "AdditionalCodeRepositories": "AdditionalCodeRepositories",
    "RootAccess": "RootAccess",
    "PlatformIdentifier": "PlatformIdentifier",
}
DEFAULTS = {"VolumeSizeInGB": 5, "DirectInternetAccess": "Enabled", "RootAccess": "Enabled"}


@SAGEMAKER.operation("CreateNotebookInstance")
async def create_notebook_instance(backend: Backend, p: Parameters) -> Answer:
    now = backend.now()
    settings = {**DEFAULTS, **{KEPT[name]: p[name] for name in KEPT if name in p}}
    config = settings.get("NotebookInstanceLifecycleConfigName")
    if config is not None and config not in backend.account.notebook_configs:
        raise invalid("RecordNotFound")
    notebook = NotebookInstance(
        p["NotebookInstanceName"], p["InstanceType"], "Pending", now, now, settings=settings
    )
    backend.account.create_notebook(notebook, now)
    backend.apps.start(notebook)
    return {"NotebookInstanceArn": notebook.arn}


@SAGEMAKER.operation("StartNotebookInstance")
async def start_notebook_instance(backend: Backend, p: Parameters) -> None:
    backend.apps.start(backend.account.start_notebook(p["NotebookInstanceName"], backend.now()))


@SAGEMAKER.operation("StopNotebookInstance")
async def stop_notebook_instance(backend: Backend, p: Parameters) -> None:
    backend.apps.stop(backend.account.stop_notebook(p["NotebookInstanceName"], backend.now()))


@SAGEMAKER.operation("DeleteNotebookInstance")
async def delete_notebook_instance(backend: Backend, p: Parameters) -> None:
    backend.account.delete_notebook(p["NotebookInstanceName"], backend.now())


@SAGEMAKER.operation("DescribeNotebookInstance")
async def describe_notebook_instance(backend: Backend, p: Parameters) -> Answer:
    notebook = backend.account.notebook(p["NotebookInstanceName"], backend.now())
    return {**notebook.settings, **_summary(notebook), "FailureReason": notebook.failure_reason}


@SAGEMAKER.operation("ListNotebookInstances")
async def list_notebook_instances(backend: Backend, p: Parameters) -> Answer:
    notebooks = [
        notebook for notebook in backend.account.notebooks(backend.now()) if _wanted(notebook, p)
    ]
    found, token = page(notebooks, p, lambda notebook: _position(notebook, p.get("SortBy")))
    return {
        "NotebookInstances": [_listed(notebook) for notebook in found],
        "NextToken": token,
    }


def _wanted(notebook: NotebookInstance, p: Parameters) -> bool:
    created, modified = notebook.created_at, notebook.since
    config = str(notebook.settings.get("NotebookInstanceLifecycleConfigName", ""))
    return (
        p.get("NameContains", "").lower() in notebook.name.lower()
        and p.get("StatusEquals", notebook.status) == notebook.status
        and p.get("NotebookInstanceLifecycleConfigNameContains", "") in config
        and p.get("CreationTimeAfter", created) <= created <= p.get("CreationTimeBefore", created)
        and p.get("LastModifiedTimeAfter", modified)
        <= modified
        <= p.get("LastModifiedTimeBefore", modified)
    )


def _position(notebook: NotebookInstance, by: str | None) -> tuple[Any, ...]:
    if by == "CreationTime":
        return (notebook.created_at.timestamp(), notebook.name)
    if by == "Status":
        return (notebook.status, notebook.name)
    return (notebook.name,)


def _listed(notebook: NotebookInstance) -> dict[str, Any]:
    config = notebook.settings.get("NotebookInstanceLifecycleConfigName")
    return {**_summary(notebook), "NotebookInstanceLifecycleConfigName": config}


def _summary(notebook: NotebookInstance) -> dict[str, Any]:
    return {
        "NotebookInstanceName": notebook.name,
        "NotebookInstanceArn": notebook.arn,
        "NotebookInstanceStatus": notebook.status,
        "Url": f"{notebook.name.lower()}.notebook.{names.REGION}.sagemaker.aws",
        "InstanceType": notebook.instance_type,
        "CreationTime": notebook.created_at,
        "LastModifiedTime": notebook.since,
    }
