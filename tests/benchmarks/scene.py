"""The measured scene: a Jupyter server in its own process, between the local Studio's API and a
stand-in gateway whose kernels are models (a thousand real ones fit no developer's machine)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.localstudio import AppKey, space, user
from tests.localstudio.processes import free_port
from tests.localstudio.servers import NOT_INHERITED
from tests.localstudio.testing import BlockingStudio, enter_app
from tests.paths import ROOT

from .worker import MARK, SMALL_KERNEL

#: Seconds for one server and all that it measures.
LONGEST = 240
INSTANCE_TYPES = ("ml.t3.medium", "ml.m5.large", "ml.g4dn.xlarge")


@dataclass
class Scene:
    """Apps in service for the API; in Classic, kernels that are models."""

    studio: BlockingStudio
    folder: Path
    apps: list[AppKey]
    kernels: list[dict[str, Any]]
    #: In which the measured server runs.
    server_app: dict[str, str]

    def environment(self) -> dict[str, str]:
        """The measured server's."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(NOT_INHERITED)
        }
        metadata = self.folder / "resource-metadata.json"
        document = {"DomainId": self.apps[0].domain_id, "ResourceName": "default"}
        metadata.write_text(json.dumps({**document, **self.server_app}))
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **inherited,
            **self.studio.aws_environment(),
            "HOME": str(home),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "RESOURCE_METADATA_FILE": str(metadata),
            "PYTHONPATH": str(ROOT),
        }


def scene(
    studio: BlockingStudio, folder: Path, kernels: int, apps: int = 10, **more: Sequence[float]
) -> Scene:
    """``kernels`` kernels in ``apps`` apps; ``busy_until`` says how long each is busy, ``silent``
    which ones (their numbers) answer no question."""
    if "ada" not in {owner.name for _, owner in studio.do(lambda s: list(s.account.profiles))}:
        studio.create_domain()
        studio.create_owner(user("ada"))
        for number in range(apps):
            # As many types as necessary: four apps fit on an instance.
            kind = INSTANCE_TYPES[number] if number < 3 else f"ml.m5.{number // 4}xlarge"
            enter_app(studio, f"app-{number}", instance_type=kind)
    found = studio.do(lambda s: list(s.account.apps(s.now())))
    keys = [app.key for app in found if app.key.app_type == "KernelGateway"]
    types = {app.key: app.resource.instance_type for app in found}
    busy_until = more.get("busy_until", [0.0] * kernels)
    models = [
        {
            "id": f"{number:08d}-0000-4000-8000-000000000000",
            "app_name": keys[number % len(keys)].name,
            "instance_type": types[keys[number % len(keys)]],
            "busy_until": busy_until[number],
            "is_silent": number in more.get("silent", ()),
        }
        for number in range(kernels)
    ]
    server_app = {"AppType": "JupyterServer", "UserProfileName": "ada"}
    return Scene(studio, folder, keys, models, server_app)


def space_scene(studio: BlockingStudio, folder: Path) -> Scene:
    """A JupyterLab space. The measured server starts its kernels itself."""
    studio.create_domain()
    owner = studio.create_owner(space("team-a"))
    key = enter_app(studio, "default", owner, app_type="JupyterLab")
    kernels = folder / "home" / "data" / "kernels" / SMALL_KERNEL
    kernels.mkdir(parents=True)
    module = [sys.executable, "-m", "tests.benchmarks.small_kernel", "{connection_file}"]
    spec = {"argv": module, "display_name": "small", "language": "none"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    return Scene(studio, folder, [key], [], {"AppType": "JupyterLab", "SpaceName": "team-a"})


@contextlib.contextmanager
def gateway(kernels: list[dict[str, Any]]) -> Iterator[str]:
    """The stand-in gateway; returns its address."""
    command = [sys.executable, "-m", "tests.benchmarks.gateway", json.dumps({"kernels": kernels})]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextlib.contextmanager
def server(
    scene: Scene,
    gateway_url: str | None,
    plan: Mapping[str, Any],
    *,
    extension: bool = True,
    traits: Mapping[str, Any] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A Jupyter server that follows ``plan`` and ends."""
    extensions = {"tests.benchmarks.worker": True, "sagemaker_autoshutdown": extension}
    command = [
        sys.executable,
        "-m",
        "jupyter_server",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={free_port()}",
        f"--ServerApp.jpserver_extensions={extensions}",
        f"--ServerApp.root_dir={scene.folder / 'home'}",
        *([] if gateway_url is None else [f"--gateway-url={gateway_url}"]),
        "--SageMakerAutoShutdown.price_list_api=False",
        *(f"--SageMakerAutoShutdown.{name}={value}" for name, value in (traits or {}).items()),
    ]
    with (
        (scene.folder / "server.log").open("w") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**scene.environment(), "BENCHMARK": json.dumps(plan)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def run(scene: Scene, plan: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """The server's own measurements. Raises ``RuntimeError`` if they take longer than
    ``LONGEST``."""
    plan = {"kernels": len(scene.kernels), **plan}
    behind = gateway(scene.kernels) if scene.kernels else contextlib.nullcontext()
    with behind as url, server(scene, url, plan, **options) as process:
        assert process.stdout is not None
        late = threading.Timer(LONGEST, process.kill)
        late.start()
        try:
            for line in process.stdout:
                if line.startswith(MARK):
                    result: dict[str, Any] = json.loads(line[len(MARK) :])
                    break
            else:
                result = {"error": f"nothing was measured in {LONGEST} s"}
        finally:
            late.cancel()
    if "error" in result:
        log = (scene.folder / "server.log").read_text()
        raise RuntimeError(f"{result['error']}. The server's log ends:\n{log[-3000:]}")
    return result


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """For one run, and gone after it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        yield Path(name)
