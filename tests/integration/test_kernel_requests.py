"""Messages of real kernels at work, heard by a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
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
from .ready_kernel import ready_kernel

#: A cell that is silent until its file appears.
SILENT_CELL = "import time, pathlib\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)"
APPS = (app("default"),)

pytestmark = pytest.mark.usefixtures("app_of_its_own")


async def until(holds: Callable[[], Awaitable[Any]], what: str) -> Any:
    """The result of ``holds`` once it is true."""
    for _ in range(1200):
        found = await holds()
        if found:
            return found
        await asyncio.sleep(0.05)
    pytest.fail(f"waited in vain for {what}")


class Scene:
    """A server with one kernel, a client of it, and the product's view."""

    def __init__(self, server: ServerApp) -> None:
        self.manager: Any = server.kernel_manager
        self.source = InProcessSource(server)
        self.reader = ActivityReader(self.source, adapter_for(SPACE, Aws("us-west-2")))
        self.kernel_id = ""
        self.client: Any = None

    async def kernel(self) -> Work:
        reading = await self.reader.read(APPS, utcnow())
        assert reading.error == ""
        return next(work for work in reading.work if work.id == self.kernel_id)

    async def server_says(self) -> str:
        return str(self.manager.get_kernel(self.kernel_id).execution_state)

    async def until_state(self, state: str) -> Work:
        async def found() -> Work | None:
            work = await self.kernel()
            return work if work.state == state else None

        kernel: Work = await until(found, f"the kernel to be {state}")
        return kernel

    async def until_server_says(self, state: str) -> None:
        async def said() -> bool:
            return await self.server_says() == state

        await until(said, f"the server to call it {state}")

    def control(self, kind: str) -> None:
        """Asks on the control channel."""
        self.client.control_channel.send(self.client.session.msg(kind))


@asynccontextmanager
async def one_kernel(server: ServerApp) -> AsyncIterator[Scene]:
    scene = Scene(server)
    scene.kernel_id, scene.client = await ready_kernel(server)
    try:
        await scene.until_state("idle")
        yield scene
    finally:
        scene.client.stop_channels()


async def test_a_subshell_that_is_asked_for_does_not_end_a_silent_cell(
    jp_serverapp: ServerApp, tmp_path: Any
) -> None:
    async with one_kernel(jp_serverapp) as scene:
        goes_on = tmp_path / "done"
        scene.client.execute(SILENT_CELL.format(str(goes_on)))
        await scene.until_server_says("busy")
        # JupyterLab 4.6 does so for widgets; the server takes it for the end of the cell.
        scene.control("create_subshell_request")
        await scene.until_server_says("idle")
        kernel = await scene.kernel()
        assert kernel.state == "busy"
        assert kernel.evidence[0].text.startswith("cell running in python3 for")
        goes_on.touch()
        ended: Work = await scene.until_state("idle")
        assert ended.last_activity is not None
        assert (utcnow() - ended.last_activity).total_seconds() < 60


async def test_queued_cells_and_a_widgets_handler_hold(
    jp_serverapp: ServerApp, tmp_path: Any
) -> None:
    async with one_kernel(jp_serverapp) as scene:
        first, second, third = (tmp_path / name for name in ("1", "2", "3"))
        scene.client.execute(SILENT_CELL.format(str(first)))
        scene.client.execute(
            "def opened(comm, message):\n"
            "    import time, pathlib\n"
            f"    while not pathlib.Path({str(third)!r}).exists(): time.sleep(0.01)\n"
            "get_ipython().kernel.comm_manager.register_target('slow', opened)\n"
            + SILENT_CELL.format(str(second))
        )
        comm = {"comm_id": "c", "target_name": "slow", "data": {}}
        scene.client.shell_channel.send(scene.client.session.msg("comm_open", comm))
        began: set[datetime] = set()
        for file in (first, second):
            work = await scene.until_state("busy")
            await until(lambda: _new(scene, began), "the next request to begin")
            file.touch()

        async def handler_runs() -> bool:
            work = await scene.kernel()
            return any(e.text.startswith("widget handler running") for e in work.evidence)

        await until(handler_runs, "the widget's handler")
        third.touch()
        work = await scene.until_state("idle")
        assert work.evidence[0].text == "last request ended"


async def _new(scene: Scene, began: set[datetime]) -> bool:
    """Whether a request has begun that is not in ``began``, to which it is then added."""
    use = scene.source.use_of(scene.kernel_id)
    if use is None or use.running_since is None or use.running_since in began:
        return False
    began.add(use.running_since)
    return True


async def test_a_cell_that_waits_for_input_holds(jp_serverapp: ServerApp) -> None:
    async with one_kernel(jp_serverapp) as scene:
        scene.client.execute("answer = input()", allow_stdin=True)
        await scene.client.get_stdin_msg(timeout=180)
        # The server hears of it over another socket, which may be later.
        await scene.until_state("busy")
        scene.client.input("42")
        await scene.until_state("idle")


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_cell_ends_with_its_kernels_process(jp_serverapp: ServerApp, how: str) -> None:
    async with one_kernel(jp_serverapp) as scene:
        scene.client.execute("import time; time.sleep(1000)")
        await scene.until_state("busy")
        if how == "restart":
            await scene.manager.restart_kernel(scene.kernel_id)
        else:
            await scene.manager.get_kernel(scene.kernel_id).provisioner.kill()

        async def is_over() -> bool:
            return not scene.source.use_of(scene.kernel_id).running  # type: ignore[union-attr]

        await until(is_over, "the cell to be over")

        async def is_back() -> bool:
            kernel = scene.manager.get_kernel(scene.kernel_id)
            return bool(kernel.ready.done() and await kernel.is_alive())

        await until(is_back, "the kernel to be back")


async def test_a_client_that_connects_moves_no_activity_and_is_answered(
    jp_serverapp: ServerApp,
) -> None:
    async with one_kernel(jp_serverapp) as scene:
        began = utcnow()
        scene.client.execute("1 + 1")

        async def cell_ended() -> Any:
            last = (await scene.kernel()).last_activity
            return last if last is not None and last > began else None

        before = await until(cell_ended, "the cell to end")
        again: Any = scene.manager.get_kernel(scene.kernel_id).client()
        again.start_channels()
        await again.wait_for_ready(timeout=180)
        await again.history(reply=True, timeout=180)
        await again.comm_info(reply=True, timeout=180)
        again.stop_channels()
        assert await scene.reader.ask([scene.kernel_id], utcnow())
        kernel = await scene.kernel()
        assert kernel.last_activity == before
        assert kernel.evidence[-1].text.startswith("asked at ")
        assert "answered in" in kernel.evidence[-1].text


async def test_a_kernel_at_work_outside_of_any_request_does_not_answer_and_counts(
    jp_serverapp: ServerApp, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_probe, "PATIENCE", 1.0)
    async with one_kernel(jp_serverapp) as scene:
        goes_on, begun = tmp_path / "done", tmp_path / "begun"
        scene.client.execute(
            "import asyncio, time, pathlib\n"
            "def work():\n"
            f"    pathlib.Path({str(begun)!r}).touch()\n"
            f"    while not pathlib.Path({str(goes_on)!r}).exists(): time.sleep(0.01)\n"
            "asyncio.get_event_loop().call_later(0.5, work)"
        )

        async def has_begun() -> bool:
            return bool(begun.exists())

        await until(has_begun, "the kernel to begin")
        assert (await scene.until_state("idle")).silent_since is None
        await scene.reader.ask([scene.kernel_id], utcnow())
        kernel = await scene.kernel()
        assert (kernel.state, kernel.silent_since is not None) == ("busy", True)
        assert "no answer in" in kernel.evidence[-1].text
        # The answer comes in the end, and is heard.
        goes_on.touch()
        released = utcnow()
        ended = await scene.until_state("idle")
        assert ended.last_activity is not None
        assert ended.last_activity >= released
