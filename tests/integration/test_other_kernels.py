"""Kernels that no server started (papermill, a remote IDE) are found, named and asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from sagemaker_autoshutdown.activity import kernel_probe
from sagemaker_autoshutdown.activity.jupyter import InProcessSource
from sagemaker_autoshutdown.activity.reader import ActivityReader
from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.clock import utcnow
from sagemaker_autoshutdown.hosts import adapter_for
from sagemaker_autoshutdown.model import Work

from ..virtual import SPACE
from ..worlds import app

pytestmark = pytest.mark.usefixtures("app_of_its_own")

APPS = (app("default"),)
#: As nbclient and papermill do: a kernel of its own, and cells one after the other, each when its
#: file appears; then it waits for another file.
RUNNER = """
import pathlib, sys, time
from jupyter_client.manager import start_new_kernel
folder = pathlib.Path(sys.argv[2])
def wait(name):
    while not (folder / name).exists(): time.sleep(0.02)
manager, client = start_new_kernel()
(folder / "started").touch()
wait("run")
cell = "import pathlib, time\\n"
cell += f"pathlib.Path({str(folder / 'running')!r}).touch()\\n"
cell += f"while not pathlib.Path({str(folder / 'goes_on')!r}).exists(): time.sleep(0.01)"
client.execute_interactive(cell)
(folder / "ran").touch()
wait("end")
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


class Scene:
    """A server, another program with a kernel of its own, and the product's view."""

    def __init__(self, server: ServerApp, folder: Path) -> None:
        self.source = InProcessSource(server)
        self.reader = ActivityReader(self.source, adapter_for(SPACE, Aws("us-west-2")))
        self.folder = folder

    async def kernels(self) -> list[Work]:
        reading = await self.reader.read(APPS, utcnow())
        assert reading.error == ""
        return [work for work in reading.work if work.kind.value == "kernel"]

    async def one(self, state: str) -> Work:
        """The one kernel, once it is in this state."""

        async def found() -> Work | None:
            kernels = await self.kernels()
            return kernels[0] if [kernel.state for kernel in kernels] == [state] else None

        kernel: Work = await until(found, f"a kernel that is {state}")
        return kernel

    async def until_file(self, name: str) -> None:
        async def there() -> bool:
            return (self.folder / name).exists()

        await until(there, name)

    def let(self, name: str) -> None:
        (self.folder / name).touch()


async def until(holds: Callable[[], Awaitable[Any]], what: str) -> Any:
    """The result of ``holds`` once it is true."""
    for _ in range(1200):
        found = await holds()
        if found:
            return found
        await asyncio.sleep(0.05)
    pytest.fail(f"waited in vain for {what}")


def started(arguments: list[str]) -> subprocess.Popen[bytes]:
    """A Python program that runs beside the server."""
    return subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE)


@asynccontextmanager
async def another_program(server: ServerApp, folder: Path) -> AsyncIterator[Scene]:
    script = folder / "run_notebook.py"
    script.write_text(RUNNER)
    scene = Scene(server, folder)
    runner = started([str(script), "train.ipynb", str(folder)])
    try:
        await scene.until_file("started")
        yield scene
    finally:
        for name in ("run", "goes_on", "end"):
            scene.let(name)
        runner.communicate(timeout=180)
        scene.source.close()


async def test_one_that_is_seen_from_its_start_is_busy_while_it_runs_a_cell_and_then_idle(
    jp_serverapp: ServerApp, tmp_path: Path
) -> None:
    async with another_program(jp_serverapp, tmp_path) as scene:
        kernel = await scene.one("idle")
        assert kernel.label == "run_notebook.py train.ipynb"
        assert ("kernel", kernel.id) in (scene.source.processes() or {})
        scene.let("run")
        busy = await scene.one("busy")
        assert busy.evidence[0].text.startswith("cell running in run_notebook.py train.ipynb")
        scene.let("goes_on")
        idle = await scene.one("idle")
        assert idle.last_activity is not None
        assert (utcnow() - idle.last_activity).total_seconds() < 60
        assert await scene.reader.ask([idle.id], utcnow())
        (asked,) = await scene.kernels()
        assert (asked.state, asked.last_activity) == ("idle", idle.last_activity)
        scene.let("end")

        async def gone() -> bool:
            return await scene.kernels() == []

        await until(gone, "the kernel to be gone")


async def test_a_silent_cell_that_ran_before_anybody_listened_counts_until_it_ends(
    jp_serverapp: ServerApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_probe, "PATIENCE", 1.0)
    async with another_program(jp_serverapp, tmp_path) as scene:
        scene.let("run")
        await scene.until_file("running")
        kernel = await scene.one("busy")
        assert kernel.silent_since is not None
        # When it is asked again, it is still silent.
        await scene.reader.ask([kernel.id], utcnow())
        (asked,) = await scene.kernels()
        assert asked.state == "busy"
        assert asked.silent_since is not None
        assert asked.silent_since > kernel.silent_since
        ended = utcnow()
        scene.let("goes_on")
        idle = await scene.one("idle")
        assert idle.last_activity is not None
        assert idle.last_activity >= ended


async def test_a_file_without_its_process_and_a_client_with_the_file_are_no_kernels(
    jp_serverapp: ServerApp, tmp_path: Path
) -> None:
    left_behind = tmp_path / "kernel-left-behind.json"
    ports = {f"{name}_port": 59991 for name in ("shell", "iopub", "stdin", "control", "hb")}
    left_behind.write_text(json.dumps({**ports, "key": "k", "ip": "127.0.0.1"}))
    client = started(["-c", "input()", "--existing", str(left_behind)])
    try:
        assert await Scene(jp_serverapp, tmp_path).kernels() == []
    finally:
        client.communicate(b"\n", timeout=180)


async def test_a_servers_own_kernels_are_not_found_twice(
    jp_serverapp: ServerApp, tmp_path: Path
) -> None:
    async with another_program(jp_serverapp, tmp_path) as scene:
        own = str(await jp_serverapp.kernel_manager.start_kernel(kernel_name="python3"))
        (other,) = [each.id for each in await scene.kernels() if each.id != own]
        assert {model["id"] for model in await scene.source.kernels()} == {own}
        assert [model["id"] for model in await scene.source.other_kernels(search=True)] == [other]
        await jp_serverapp.kernel_manager.shutdown_kernel(own)


async def test_kernels_of_another_app_on_the_same_machine_are_not_this_apps(
    jp_serverapp: ServerApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another_program(jp_serverapp, tmp_path) as scene:
        await scene.one("idle")
        monkeypatch.setenv("RESOURCE_METADATA_FILE", str(tmp_path / "another.json"))
        other = Scene(jp_serverapp, tmp_path)
        assert await other.kernels() == []
