"""Nothing that an app started outlives it, or the local Studio."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.localstudio.errors import LocalStudioError
from tests.localstudio.processes import Process, free_port
from tests.paths import ROOT

#: A server with a child in a session of its own whose parent has ended.
RUNAWAY = "(setsid sleep 1000 &) ; trap : TERM; echo up; while :; do sleep 1000; done"


def wait_until(condition: Callable[[], bool], what: str, limit: float = 300.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not in {limit} s: {what}"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def start(tmp_path: Path, *command: str) -> Process:
    return await Process.start(
        command, env=dict(os.environ), cwd=tmp_path, log_path=tmp_path / "log"
    )


async def children(process: Process, count: int) -> list[int]:
    """The process ids of a command and its descendants, once there are this many."""
    while len(found := [info.pid for info in process.tree()]) < count:
        await asyncio.sleep(0.02)
    return found


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 300))


def test_stopping_ends_also_what_left_the_process_group_and_ignores_sigterm(tmp_path: Path) -> None:
    async def check() -> None:
        process = await start(tmp_path, "sh", "-c", RUNAWAY)
        pids = await children(process, 3)
        await process.stop(0.1)
        assert not any(lives(pid) for pid in pids)
        assert process.tree() == []
        assert process.exit_code == -signal.SIGKILL

    run(check())


def test_a_command_that_obeys_ends_by_itself_and_quickly(tmp_path: Path) -> None:
    async def check() -> None:
        process = await start(tmp_path, "sleep", "1000")
        begin = time.monotonic()
        await process.stop(100)
        assert time.monotonic() - begin < 50
        assert process.exit_code == -signal.SIGTERM

    run(check())


def test_what_a_command_leaves_behind_when_it_ends_by_itself_ends_too(tmp_path: Path) -> None:
    async def check() -> None:
        ends = "(setsid sleep 1000 &) ; until [ -e end ]; do sleep 0.1; done; exit 3"
        process = await start(tmp_path, "sh", "-c", ends)
        pids = await children(process, 3)
        (tmp_path / "end").touch()
        await process.gone.wait()
        assert process.exit_code == 3
        assert not any(lives(pid) for pid in pids)

    run(check())


def test_a_command_that_can_not_be_run_is_an_error_that_says_why(tmp_path: Path) -> None:
    async def check() -> None:
        with pytest.raises(LocalStudioError, match="No such file"):
            await start(tmp_path, str(tmp_path / "missing"))

    run(check())


def test_an_event_loop_that_ends_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    pids: list[int] = []

    async def check() -> None:
        process = await start(tmp_path, "sh", "-c", RUNAWAY)
        pids.extend(await children(process, 3))

    run(check())
    wait_until(lambda: not any(lives(pid) for pid in pids), "all gone")


def test_processes_end_even_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, pathlib
from tests.localstudio.processes import Process, free_port
async def main():
    folder = pathlib.Path({str(tmp_path)!r})
    process = await Process.start(["sh", "-c", {RUNAWAY!r}], env=dict(os.environ), cwd=folder,
                                  log_path=folder / "log")
    while len(process.tree()) < 3:
        await asyncio.sleep(0.02)
    print(*(info.pid for info in process.tree()), flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT
    ) as killed:
        assert killed.stdout is not None
        pids = [int(pid) for pid in killed.stdout.readline().split()]
        assert pids
        assert all(lives(pid) for pid in pids)
        killed.kill()
    wait_until(lambda: not any(lives(pid) for pid in pids), "all gone")


def test_a_port_that_was_chosen_for_a_server_goes_to_nobody_else_by_chance() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    # As servers do, which may start again and again.
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port
