"""Real kernels are asked over their server's own websocket, as a browser does it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from sagemaker_autoshutdown.activity import kernel_probe
from sagemaker_autoshutdown.activity.jupyter import InProcessSource, RestSource
from sagemaker_autoshutdown.activity.kernel_probe import Answer, Told
from sagemaker_autoshutdown.activity.kernel_requests import KernelRequests
from sagemaker_autoshutdown.activity.other_servers import OtherServer, OtherServers
from sagemaker_autoshutdown.activity.own_api import server_token

from .ready_kernel import ready_kernel


def answers(told: Mapping[str, Told]) -> dict[str, Answer]:
    return {kernel_id: each.answer for kernel_id, each in told.items()}


async def started(server: ServerApp) -> str:
    """A kernel that is up: on a busy machine that takes longer than an answer may."""
    kernel_id, client = await ready_kernel(server)
    client.stop_channels()
    return kernel_id


def idle_ones(*kernel_ids: str) -> dict[str, str]:
    """Kernels that are idle by their server's word."""
    return dict.fromkeys(kernel_ids, "idle")


async def test_one_that_waits_answers_and_one_in_a_cell_does_not(
    jp_serverapp: ServerApp, http_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = jp_serverapp.kernel_manager
    source = RestSource(jp_serverapp)
    idle, busy = [await started(jp_serverapp) for _ in range(2)]
    assert answers(await source.ask(idle_ones(idle, busy))) == {
        idle: Answer.IDLE,
        busy: Answer.IDLE,
    }
    client = manager.get_kernel(busy).client()
    client.start_channels()
    client.execute("import time; time.sleep(1000)")
    states: dict[str, str] = {}
    while states.get(busy) != "busy":
        await asyncio.sleep(0.05)
        states = {model["id"]: model["execution_state"] for model in await source.kernels()}
    monkeypatch.setattr(kernel_probe, "PATIENCE", 4.0)
    assert answers(await source.ask(idle_ones(idle, busy))) == {
        idle: Answer.IDLE,
        busy: Answer.SILENT,
    }
    for claimed in ("busy", "starting"):
        told = await source.ask(dict.fromkeys((idle, busy), claimed))
        assert answers(told) == {idle: Answer.IDLE, busy: Answer.SILENT}
    assert told[busy].is_alive, "it answers on its control channel"
    client.stop_channels()


async def test_one_that_a_signal_has_stopped_is_not_taken_for_busy(
    jp_serverapp: ServerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = InProcessSource(jp_serverapp)
    kernel_id = await started(jp_serverapp)
    while (await source.ask(idle_ones(kernel_id)))[kernel_id].answer is not Answer.IDLE:
        await asyncio.sleep(0.05)
    monkeypatch.setattr(kernel_probe, "PATIENCE", 1.0)
    kernel: Any = jp_serverapp.kernel_manager.get_kernel(kernel_id)
    await kernel.signal_kernel(signal.SIGSTOP)
    try:
        assert answers(await source.ask(idle_ones(kernel_id))) == {kernel_id: Answer.IDLE}
    finally:
        await kernel.signal_kernel(signal.SIGCONT)


async def test_a_cell_in_a_kernel_whose_first_messages_were_missed_is_told_from_a_hung_start(
    jp_serverapp: ServerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server subscribes while the kernel starts. A silent cell says nothing for hours."""
    monkeypatch.setattr(KernelRequests, "hear", lambda *_: None)
    source = InProcessSource(jp_serverapp)
    kernel_id, client = await ready_kernel(jp_serverapp)
    client.execute("import time; time.sleep(1000)")
    while (await client.get_iopub_msg(timeout=60))["msg_type"] != "execute_input":
        pass
    client.stop_channels()
    monkeypatch.setattr(kernel_probe, "PATIENCE", 4.0)
    told = (await source.ask(idle_ones(kernel_id)))[kernel_id]
    assert (told.answer, told.is_alive) == (Answer.SILENT, True)


async def test_a_kernel_that_hangs_before_it_listens_is_silent_on_all_channels(
    jp_serverapp: ServerApp, jp_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = jp_data_dir / "kernels" / "hangs"
    folder.mkdir(parents=True)
    spec = {"argv": ["sleep", "1000"], "display_name": "hangs", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    source = InProcessSource(jp_serverapp)
    kernel_id = await jp_serverapp.kernel_manager.start_kernel(kernel_name="hangs")
    monkeypatch.setattr(kernel_probe, "PATIENCE", 1.0)
    told = (await source.ask(idle_ones(kernel_id)))[kernel_id]
    assert (told.answer, told.is_alive) == (Answer.SILENT, False)


async def test_connections_are_closed_again(jp_serverapp: ServerApp, http_server: Any) -> None:
    source = RestSource(jp_serverapp)
    kernel_id = await started(jp_serverapp)
    await source.ask(idle_ones(kernel_id))
    for _ in range(1200):
        (model,) = await source.kernels()
        if not model["connections"]:
            return
        await asyncio.sleep(0.05)
    pytest.fail("a connection was left open, which can count as use")


async def test_a_kernel_that_two_apps_ask_at_once_answers_both(
    jp_serverapp: ServerApp, http_server: Any
) -> None:
    """A server closes the earlier of two connections of one session."""
    kernel_id = await started(jp_serverapp)
    port, base_url = jp_serverapp.port, jp_serverapp.base_url
    url, token = f"http://127.0.0.1:{port}{base_url}", server_token(jp_serverapp)
    others = OtherServers()
    others._servers = (OtherServer(1, port, url, token),)
    asking = (others.ask({f"{port}/{kernel_id}": "idle"}) for _ in range(2))
    told = [answers(each) for each in await asyncio.gather(*asking)]
    assert told == [{f"{port}/{kernel_id}": Answer.IDLE}] * 2


async def test_a_server_that_refuses_is_not_taken_for_a_cell(
    jp_serverapp: ServerApp, http_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagemaker_autoshutdown.activity.jupyter.server_token", lambda _: "wrong")
    kernel_id = await started(jp_serverapp)
    told = answers(await RestSource(jp_serverapp).ask(idle_ones(kernel_id)))
    assert told == {kernel_id: Answer.REFUSED}


async def test_a_kernel_that_waits_tells_what_its_threads_use(
    jp_serverapp: ServerApp, http_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_probe, "USAGE_PATIENCE", 60.0)
    manager = jp_serverapp.kernel_manager
    source = RestSource(jp_serverapp)
    rests, works = [await started(jp_serverapp) for _ in range(2)]
    client = manager.get_kernel(works).client()
    client.start_channels()
    code = "import threading\ndef work():\n    while True: sum(range(10**5))\n"
    client.execute(f"{code}threading.Thread(target=work, daemon=True).start()")
    told = await source.ask(idle_ones(rests, works))
    while (told[works].cpu or 0.0) < 0.1:  # on a machine that is busy with something else
        told = await source.ask(idle_ones(rests, works))
    assert told[works].answer is Answer.IDLE
    assert told[rests].cpu is not None, "one that rests tells it as well"
    client.stop_channels()
