"""A Jupyter server with the extension, for a user of Studio Classic with two apps in service.

The server, the monitor and the SageMaker API (the local Studio's) are real; the apps have no
processes.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from traitlets.config import Config

from sagemaker_autoshutdown.app import SETTINGS_KEY, Running
from sagemaker_autoshutdown.monitor import Monitor
from tests.localstudio import user
from tests.localstudio.servers import app_metadata
from tests.localstudio.state import AppKey
from tests.localstudio.testing import QUICK, BlockingStudio, enter_app, running_studio
from tests.spec import PREFIX

CPU_APP = "datascience-1-0-ml-t3-medium-1"
GPU_APP = "pytorch-ml-g4dn-xlarge-1"


@dataclass(frozen=True)
class Reply:
    """The answer."""

    status: int
    body: Any
    headers: Any


Call = Callable[..., Awaitable[Reply]]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[BlockingStudio]:
    """Ada's apps: one on a CPU, one on a GPU."""
    timing = replace(QUICK, pending=0, deleting=30)
    with running_studio(tmp_path / "studio", timing=timing) as studio:
        studio.create_domain()
        studio.create_owner(user("ada"))
        enter_app(studio, CPU_APP, instance_type="ml.t3.medium")
        enter_app(studio, GPU_APP, instance_type="ml.g4dn.xlarge")
        yield studio


@pytest.fixture
def traits() -> dict[str, Any]:
    """The admin's settings; tests change them before the server starts."""
    return {"poll_interval": 3600.0}


@pytest.fixture
def on_sagemaker(studio: BlockingStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is Ada's JupyterServer app."""
    for name, value in studio.aws_environment().items():
        monkeypatch.setenv(name, value)
    key = enter_app(studio, "default", instance_type="system")
    server = replace(
        studio.describe(key),
        key=AppKey(key.domain_id, key.owner_kind, "ada", "JupyterServer", "default"),
    )
    path = tmp_path / "resource-metadata.json"
    path.write_text(json.dumps(app_metadata(server)))
    monkeypatch.setenv("RESOURCE_METADATA_FILE", str(path))


@pytest.fixture
def jp_server_config(traits: dict[str, Any], tmp_path: Path) -> Config:
    """The server's configuration."""
    return Config(
        {
            "ServerApp": {"jpserver_extensions": {"sagemaker_autoshutdown": True}},
            "SageMakerAutoShutdown": {"data_dir": str(tmp_path / "records"), **traits},
        }
    )


@pytest.fixture
def monitor(on_sagemaker: None, jp_serverapp: Any, jp_asyncio_loop: Any) -> Iterator[Monitor]:
    """The server's."""
    running: Running = jp_serverapp.web_app.settings[SETTINGS_KEY]
    found = jp_asyncio_loop.run_until_complete(running.served.get()).monitor
    yield found
    jp_asyncio_loop.run_until_complete(found.stop())
    found._costs.close()


@pytest.fixture
def call(jp_fetch: Callable[..., Awaitable[Any]]) -> Call:
    """Calls the API with the server's token: ``await call("PUT", "settings", {...})``."""

    async def call(method: str, path: str, body: Any = None, **more: Any) -> Reply:
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        more.setdefault("allow_nonstandard_methods", True)
        parts = [part for part in (PREFIX + path).split("/") if part]
        try:
            response = await jp_fetch(*parts, method=method, body=body, **more)
        except HTTPClientError as error:
            if error.response is None:
                raise
            response = error.response
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return Reply(
            response.code,
            json.loads(response.body) if is_json and response.body else response.body,
            response.headers,
        )

    return call
