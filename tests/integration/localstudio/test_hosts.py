"""A JupyterLab space and a notebook instance with real processes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.localstudio import ServerOptions, runtime, user
from tests.localstudio.processes import free_port
from tests.localstudio.testing import running_studio

from .test_processes import lives

READ_METADATA = "import os; print(open(os.environ['RESOURCE_METADATA_FILE']).read())"


def test_deleting_a_spaces_app_ends_its_server_and_kernels_and_it_can_be_made_again(
    tmp_path: Path,
) -> None:
    lab = ServerOptions(frontend="lab", args=("--ServerApp.shutdown_no_activity_timeout=9999",))
    with running_studio(tmp_path) as studio:
        scene = studio.jupyterlab_space(instance_type="ml.g4dn.xlarge", options=lab)
        app = scene.app
        assert scene.server.url.endswith("/jupyterlab/default/")
        assert "--ServerApp.shutdown_no_activity_timeout=9999" in scene.server.command
        kernel = studio.start_kernel(app, path="a.ipynb")
        metadata = json.loads(studio.execute(app, kernel, READ_METADATA).text)
        assert metadata["AppType"] == "JupyterLab"
        assert metadata["SpaceName"] == "team-a"
        assert "UserProfileName" not in metadata
        assert metadata["ResourceArn"].endswith(f"{app.domain_id}/team-a/JupyterLab/default")
        studio.execute(app, kernel, "open('kept.txt', 'w').write('x')")
        pids = [process.pid for process in studio.processes(app)]
        assert len(pids) >= 2

        # Like the product: the server deletes its own app, and gets the answer.
        delete = f"import boto3; boto3.client('sagemaker').delete_app(**{studio.parameters(app)})"
        told = studio.execute(app, kernel, f"{delete}['ResponseMetadata']['HTTPStatusCode']")
        assert told.text == "200"
        studio.wait_for(app, "Deleted")
        assert not any(lives(pid) for pid in pids)

        studio.client().create_app(**studio.parameters(app))
        studio.wait_for(app, "InService")
        again = studio.start_kernel(app)
        # The volume stays.
        assert studio.execute(app, again, "open('kept.txt').read()").text == "'x'"


def test_stopping_a_notebook_instance_ends_its_processes_and_it_can_be_started_again(
    tmp_path: Path,
) -> None:
    with running_studio(tmp_path) as studio:
        scene = studio.notebook_instance(name="Notebook-1")
        name = str(scene.target)
        kernel = studio.start_kernel(name)
        metadata = json.loads(studio.execute(name, kernel, READ_METADATA).text)
        assert metadata == {
            "ResourceArn": "arn:aws:sagemaker:us-east-2:123456789012:notebook-instance/notebook-1",
            "ResourceName": "Notebook-1",
        }
        pids = [process.pid for process in studio.processes(name)]
        client = studio.client()
        client.stop_notebook_instance(NotebookInstanceName=name)
        told = client.describe_notebook_instance(NotebookInstanceName=name)
        assert told["NotebookInstanceStatus"] == "Stopping"
        studio.wait_for(name, "Stopped")
        assert not any(lives(pid) for pid in pids)
        [listed] = client.list_notebook_instances(StatusEquals="Stopped")["NotebookInstances"]
        assert listed["NotebookInstanceName"] == name
        client.start_notebook_instance(NotebookInstanceName=name)
        studio.wait_for(name, "InService")
        assert studio.request(name, "GET", "api/kernels") == []


def test_a_server_that_can_not_start_has_failed_and_shows_its_last_words(tmp_path: Path) -> None:
    with running_studio(tmp_path) as studio:
        broken = ServerOptions(frontend="server", args=("--ServerApp.port=nonsense",))
        studio.run(lambda s: s.create_notebook_instance("broken", options=broken, wait=False))
        client = studio.client()
        studio.wait_for("broken", "Failed")
        told = client.describe_notebook_instance(NotebookInstanceName="broken")
        assert "nonsense" in told["FailureReason"]


def test_a_port_that_another_process_took_meanwhile_does_not_fail_an_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, running_studio(tmp_path) as studio:
        ports = [other.getsockname()[1], free_port()]
        monkeypatch.setattr(runtime, "free_port", lambda: ports.pop(0))
        studio.create_domain()
        app = studio.create_kernel_app(studio.create_owner(user("ada")))
        assert ports == []
        assert studio.status(app) == "InService"
