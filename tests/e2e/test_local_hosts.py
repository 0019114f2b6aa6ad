"""A JupyterLab space and a notebook instance, whose server shuts down the app in which it runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tornado.httpclient import HTTPRequest

from tests.localstudio import Fault, LocalStudio
from tests.localstudio.kernels import connected
from tests.localstudio.runtime import Target
from tests.localstudio.testing import BlockingStudio, running_studio

from .conftest import SILENT_CELL, Server, lives, options, until


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[BlockingStudio]:
    """Of the test's own: its one app ends with it."""
    with running_studio(tmp_path) as studio:
        yield studio


def pids_of(studio: BlockingStudio, target: Target) -> list[int]:
    return [process.pid for process in studio.processes(target)]


def type_into_terminal(server: Server, name: str, text: str) -> None:
    """As the browser does it: over the terminal's websocket."""

    async def send(studio: LocalStudio) -> None:
        launch = studio.server(server.target)
        url = f"{launch.url}terminals/websocket/{name}?token={launch.token}"
        async with connected(HTTPRequest(url.replace("http", "ws", 1))) as connection:
            await connection.read_message()
            await connection.write_message(json.dumps(["stdin", text]))
            # Typing is echoed, so it has arrived.
            while True:
                message = await connection.read_message()
                if message is None or "echoed" in str(message):
                    break

    server.studio.run(send)


def test_a_space_is_kept_while_something_runs_and_shut_down_when_nothing_does(
    studio: BlockingStudio,
) -> None:
    scene = studio.jupyterlab_space(options=options())
    server, name = Server(studio, scene.target), scene.app.name
    kernel = studio.start_kernel(scene.target, path="train.ipynb")
    studio.execute(scene.target, kernel, SILENT_CELL, wait=False)
    terminal = studio.request(scene.target, "POST", "api/terminals")["name"]
    # F18: Jupyter shows nothing of it.
    burn = "while :; do :; done"
    type_into_terminal(server, terminal, f"sh -c '{burn}' & echo 'ech''oed'\r")

    server.limit(2)
    server.wait_for_checks(4)
    kept = server.app(name)
    assert (kept["state"], kept["reason"], kept["subject"]) == (
        "busy",
        "kernel_busy",
        "train.ipynb",
    )
    studio.request(scene.target, "POST", f"api/kernels/{kernel}/interrupt")
    until(lambda: server.app(name)["reason"] == "background_job", "the job alone")
    server.wait_for_checks(4)
    assert server.app(name)["subject"] == f"terminal {terminal}"
    assert studio.calls("DeleteApp") == []

    pids = pids_of(studio, scene.target)
    assert len(pids) >= 4
    studio.fault(Fault("DeleteApp", code="AccessDeniedException"))
    type_into_terminal(server, terminal, "kill %1; echo 'ech''oed'\r")
    until(lambda: "warning" in server.kinds(name), "a warning")
    error = until(lambda: server.app(name)["error"], "the refusal")
    assert error["iam_action"] == "sagemaker:DeleteApp"
    studio.faults_off()
    server.ask("DELETE", f"apps/{name}")
    studio.wait_for(scene.target, "Deleted")
    assert [pid for pid in pids if lives(pid)] == []


def test_a_job_whose_terminal_was_closed_holds_its_space_for_as_long_as_it_works(
    studio: BlockingStudio,
) -> None:
    scene = studio.jupyterlab_space(options=options())
    server, name = Server(studio, scene.target), scene.app.name
    terminal = studio.request(scene.target, "POST", "api/terminals")["name"]
    burn = "nohup sh -c 'touch begun; while :; do :; done' > /dev/null 2>&1 &"
    begun = "until [ -e begun ]; do sleep 0.1; done"
    type_into_terminal(server, terminal, f"{burn} {begun}; echo 'ech''oed'\r")
    studio.request(scene.target, "DELETE", f"api/terminals/{terminal}")
    server.limit(2)
    until(lambda: server.app(name).get("reason") == "detached_job", "the job alone")
    server.wait_for_checks(4)
    # To close the terminal was use as well, and may be listed.
    (work,) = (each for each in server.app(name)["work"] if each["kind"] == "process")
    assert work["label"] == "sh"
    assert studio.calls("DeleteApp") == []
    os.kill(int(work["id"]), signal.SIGKILL)
    studio.wait_for(scene.target, "Deleted")


def test_a_space_that_is_started_again_begins_anew_with_what_its_user_set(
    studio: BlockingStudio,
) -> None:
    scene = studio.jupyterlab_space(options=options(warning_time=1))
    server = Server(studio, scene.target)
    server.limit(2)
    studio.wait_for(scene.target, "Deleted")
    created = studio.describe(scene.app).created_at
    studio.client().create_app(**studio.parameters(scene.app))
    # F27: SageMaker kept the creation time, Jupyter its settings and records. The app may be gone
    # again before the next observation.
    studio.wait_for(scene.target, "Deleted")
    again = studio.describe(scene.app)
    assert again.run == 2
    assert again.in_service_at is not None
    assert again.created_at == created
    assert [call.outcome for call in studio.calls("DeleteApp")] == ["ok", "ok"]


def test_a_notebook_instance_is_stopped_once_nothing_runs_on_it(studio: BlockingStudio) -> None:
    scene = studio.notebook_instance(options=options())
    target = str(scene.target)
    server = Server(studio, target)
    kernel = studio.start_kernel(target)
    studio.execute(target, kernel, SILENT_CELL, wait=False)
    server.limit(2)
    server.wait_for_checks(4)
    app = server.app(target)
    assert (app["app_type"], app["state"], app["reason"]) == (
        "NotebookInstance",
        "busy",
        "kernel_busy",
    )
    assert studio.calls("StopNotebookInstance") == []
    pids = pids_of(studio, target)
    log = studio.do(lambda running: running.log_file(target))
    studio.request(target, "POST", f"api/kernels/{kernel}/interrupt")
    studio.wait_for(target, "Stopped")
    # Its server has ended with it; only its log is left to ask.
    assert f"{target} on ml.t3.medium will be shut down at" in log.read_text()
    assert [pid for pid in pids if lives(pid)] == []
    assert len(studio.calls("StopNotebookInstance")) == 1


def test_the_last_record_of_a_server_that_ends_with_its_app_is_kept(
    studio: BlockingStudio,
) -> None:
    """A server that deletes its own app has no time left to write."""
    scene = studio.jupyterlab_space(options=options())
    server = Server(studio, scene.target)
    server.limit(1)
    studio.wait_for(scene.target, "Deleted")
    # The user's limit is still short, but this server must live until it has been asked.
    owner, kept = scene.app.owner, options(min_idle_timeout=3600)
    studio.do(lambda s: s.set_options(owner, kept))
    studio.client().create_app(**studio.parameters(scene.app))
    studio.wait_for(scene.target, "InService")
    kinds: Callable[[], list[str]] = lambda: server.kinds(scene.app.name)  # noqa: E731
    until(lambda: "shutdown" in kinds(), "the shutdown in the audit trail")
