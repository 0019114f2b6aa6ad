"""A KernelGateway app's own server is as old as its image, whatever the JupyterServer's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.localstudio import AppKey, ServerOptions
from tests.localstudio.testing import BlockingStudio, running_studio

from .conftest import environment_named, environment_of
from .images import CONSTRAINTS, Environment, read_image
from .test_images import API, LIMIT, QUICK_POLICY, ask_debugger, wait_until


@pytest.fixture
def classic() -> Iterator[Environment]:
    """The stand-in of Classic's JupyterServer."""
    yield from environment_named("studio-classic-jupyterlab3")


@pytest.fixture
def old_gateway() -> Iterator[Environment]:
    """The stand-in of an app's image."""
    yield from environment_of(read_image(CONSTRAINTS / "apps" / "kernel-gateway-2.txt"))


def test_a_cell_that_its_gateway_forgot_is_not_killed_and_an_idle_kernel_is(
    classic: Environment, old_gateway: Environment, wheel: Path, tmp_path: Path
) -> None:
    classic.install(wheel)
    options = ServerOptions(python=classic.python, frontend="lab", args=QUICK_POLICY)
    with running_studio(tmp_path, server=options, app_python=old_gateway.python) as studio:
        scene = studio.classic()
        owner = scene.owner
        assert owner is not None
        busy = studio.create_kernel_app(owner, instance_type="ml.g4dn.xlarge")
        idle = studio.create_kernel_app(owner)
        kernel = studio.start_kernel(busy, path="train.ipynb")
        studio.start_kernel(idle)
        studio.execute(busy, kernel, "import time; time.sleep(1000)", wait=False)
        # As JupyterLab does whenever the notebook's tab is shown. The gateway may have forgotten
        # the cell before: it asks on the control channel itself when a kernel's first tab connects.
        ask_debugger(studio, lambda running: running.gateway_client(owner), kernel)
        wait_until(lambda: state_of(studio, busy) == "idle", "the gateway to forget the cell")

        studio.request(scene.target, "PUT", f"{API}/settings", {"idle_timeout": LIMIT})
        studio.wait_for(idle, "Deleted")
        apps = wait_until(
            lambda: [
                app
                for app in studio.request(scene.target, "GET", f"{API}/status")["apps"]
                if (app["app_name"], app["state"]) == (busy.name, "busy")
            ],
            "the cell to be found out",
        )
        assert (apps[0]["reason"], apps[0]["subject"]) == ("kernel_busy", "train.ipynb")
        assert len(studio.calls("DeleteApp")) == 1
        assert state_of(studio, busy) == "idle"

        # Asked or not, once the cell is over, its app's idle time begins.
        studio.request(scene.target, "POST", f"api/kernels/{kernel}/interrupt")
        studio.wait_for(busy, "Deleted")


def state_of(studio: BlockingStudio, app: AppKey) -> str:
    """The state of an app's one kernel, reported by its gateway."""
    (model,) = studio.kernels(app)
    return str(model["execution_state"])
