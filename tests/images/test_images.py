"""The product runs with each image's packages, changes none of them, and does its job there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest

from tests.localstudio import AppKey, LocalStudio, ServerOptions, space
from tests.localstudio.kernels import JupyterClient, connected, execute_request
from tests.localstudio.processes import free_port
from tests.localstudio.runtime import Target
from tests.localstudio.servers import NOT_INHERITED
from tests.localstudio.testing import BlockingStudio, running_studio

from .images import DISTRIBUTION, Environment

API = "sagemaker-autoshutdown/api"
#: Seconds.
LIMIT = 3
QUICK_POLICY = (
    "--SageMakerAutoShutdown.warning_time=1",
    "--SageMakerAutoShutdown.active_time=1",
    "--SageMakerAutoShutdown.poll_interval=1",
)


def test_an_install_changes_no_package_that_was_there(bare_image: Environment, wheel: Path) -> None:
    bare_image.uninstall()
    before = bare_image.freeze()
    for name, version in bare_image.image.pinned.items():
        assert f"{name.replace('_', '-')}=={version}" in before
    bare_image.install(wheel)
    added = set(bare_image.freeze()) - set(before)
    assert [line.partition(" @ ")[0].partition("==")[0] for line in added] == [DISTRIBUTION]
    bare_image.uninstall()
    assert bare_image.freeze() == before


def test_off_sagemaker_it_loads_inert_and_says_so_in_one_line(
    image: Environment, tmp_path: Path
) -> None:
    with server_off_sagemaker(image, tmp_path) as log:
        said = wait_until(lambda: _own_lines(log.read_text()), "the extension to say where it is")
    assert len(said) == 1, said
    assert "not on SageMaker" in said[0]
    assert said[0].startswith("[I ")
    assert "Traceback" not in log.read_text()
    bad = [line for line in log.read_text().splitlines() if line.startswith(("[W ", "[E ", "[C "))]
    assert [line for line in bad if "autoshutdown" in line.lower()] == []


def test_an_idle_app_is_shut_down_and_a_busy_one_kept(image: Environment, tmp_path: Path) -> None:
    options = ServerOptions(python=image.python, frontend="lab", args=QUICK_POLICY)
    with running_studio(tmp_path, server=options) as studio:
        make = _classic_apps if image.image.is_classic else _spaces
        busy, server, make_idle = make(studio)
        kernel = studio.start_kernel(busy, path="train.ipynb")
        studio.execute(busy, kernel, "import time; time.sleep(1000)", wait=False)
        if not image.image.is_classic:
            ask_debugger(studio, lambda running: running.jupyter(server), kernel)
        limit = {"idle_timeout": LIMIT}
        settings = studio.request(server, "PUT", f"{API}/settings", limit)
        assert settings["idle_timeout"]["value"] == LIMIT

        idle, idle_server = make_idle()
        studio.request(idle_server, "PUT", f"{API}/settings", limit)
        studio.wait_for(idle, "Deleted")

        status = studio.request(server, "GET", f"{API}/status")
        assert status["host"] == ("classic" if image.image.is_classic else "space")
        # Its server may hear nothing of the kernel until the kernel is asked.
        wait_until(lambda: _reason(studio, server, busy) == "kernel_busy", "the busy app")
        deleted = [call.parameters for call in studio.calls("DeleteApp")]
        assert deleted == [studio.parameters(idle)]
        assert "Traceback" not in studio.log(server)


def _reason(studio: BlockingStudio, server: AppKey | str, app: AppKey) -> str:
    """Why an app is in its state."""
    status = studio.request(server, "GET", f"{API}/status")
    return next(str(each["reason"]) for each in status["apps"] if each["app_name"] == app.name)


def ask_debugger(
    studio: BlockingStudio, client_of: Callable[[LocalStudio], JupyterClient], kernel: str
) -> None:
    """JupyterLab's request on the control channel when a notebook's tab is shown, which is
    answered while a cell runs."""

    async def ask(running: LocalStudio) -> None:
        client = client_of(running)
        session = uuid.uuid4().hex
        url = f"{client.url}api/kernels/{kernel}/channels?session_id={session}"
        request = HTTPRequest(url.replace("http", "ws", 1), headers=client.headers)
        message = execute_request("", session)
        message["channel"] = "control"
        message["header"]["msg_type"] = "debug_request"
        message["content"] = {"type": "request", "seq": 1, "command": "debugInfo"}
        async with connected(request) as connection:
            await connection.write_message(json.dumps(message))
            while True:
                raw = await connection.read_message()
                assert raw is not None
                answer = json.loads(raw)
                asked = answer["parent_header"].get("msg_type")
                if (asked, answer["content"].get("execution_state")) == ("debug_request", "idle"):
                    break

    studio.run(ask)


#: The busy app, the server that watches it, and the command that makes the idle app and names its
#: server.
Apps = tuple[AppKey, Target, Callable[[], tuple[AppKey, Target]]]


def _classic_apps(studio: BlockingStudio) -> Apps:
    scene = studio.classic()
    owner = scene.owner
    assert owner is not None
    busy = studio.create_kernel_app(owner, instance_type="ml.g4dn.xlarge")
    return busy, scene.target, lambda: (studio.create_kernel_app(owner), scene.target)


def _spaces(studio: BlockingStudio) -> Apps:
    busy = studio.jupyterlab_space(name="busy").app

    def make_idle() -> tuple[AppKey, Target]:
        idle = studio.create_app(studio.create_owner(space("idle")), "JupyterLab")
        return idle, idle

    return busy, busy, make_idle


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 300.0) -> Any:
    """Waits for a condition, and returns its result."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def server_off_sagemaker(image: Environment, home: Path) -> Iterator[Path]:
    """JupyterLab of the image as on any machine; returns its log, once it answers."""
    log = home / "log.txt"
    env = {k: v for k, v in os.environ.items() if not k.upper().startswith(NOT_INHERITED)}
    env |= {"HOME": str(home), "RESOURCE_METADATA_FILE": str(home / "none.json")}
    port = free_port()
    command = [image.python, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=home, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        wait_until(
            lambda: process.poll() is not None or "is running at" in log.read_text(),
            "the server to start",
        )
        assert process.poll() is None, log.read_text()
        yield log
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _own_lines(log: str) -> list[str]:
    """The extension's own messages."""
    return [line for line in log.splitlines() if "] sagemaker_autoshutdown: " in line]
