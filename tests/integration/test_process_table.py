"""Linux's facts about processes are read correctly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sagemaker_autoshutdown.activity.process_table import ProcessTable, ProcFs, Psutil, this_machine

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux's own")


@pytest.mark.parametrize("table", [pytest.param(ProcFs, marks=linux), Psutil])
def test_a_process_is_told_by_its_parent_start_cpu_time_and_program(
    table: type[ProcessTable],
) -> None:
    program = "sum(range(3 * 10**7)); print('done', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "MARK": "of=mine"},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen = psutil.Process(child.pid)
        one = table().read()[child.pid]
        cpu = seen.cpu_times()
        assert one.parent == os.getpid()
        assert one.name == seen.name()[:15]
        assert one.session in (0, os.getsid(child.pid))
        assert one.own_cpu == pytest.approx(cpu.user + cpu.system, abs=0.05)
        assert one.own_cpu > 0.1
        assert table().started_at(one).timestamp() == pytest.approx(seen.create_time(), abs=2)
        assert table().environment(child.pid)["MARK"] == "of=mine"
        assert table().arguments(child.pid) == [sys.executable, "-c", program]
        child.kill()
    assert child.pid not in table().read()
    assert (table().environment(child.pid), table().arguments(child.pid)) == ({}, [])


@linux
def test_what_waits_for_a_cpu_is_runnable_and_waits_for_longer_and_longer() -> None:
    me = ProcFs().one(os.getpid())
    assert me is not None
    assert me.runnable
    waited = ProcFs().cpu_wait(os.getpid())
    assert waited is not None
    assert 0 <= waited < time.monotonic()
    assert ProcFs().cpu_wait(999_999_999) is None


@linux
def test_a_process_that_waits_for_a_disk_is_told_from_one_that_sleeps(tmp_path: Path) -> None:
    # A process that starts another waits like that, until its child has opened all files: here a
    # pipe that nobody writes to.
    program = (
        "import os; os.mkfifo('pipe'); opens = (os.POSIX_SPAWN_OPEN, 0, 'pipe', os.O_RDONLY, 0); "
        "os.posix_spawn('/bin/true', ['true'], {}, file_actions=[opens])"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path) as child:
        table, end = ProcFs(), time.monotonic() + 60
        while not ((one := table.one(child.pid)) and one.blocked):
            assert time.monotonic() < end
            time.sleep(0.05)
        # Its own child lets it go on.
        with (tmp_path / "pipe").open("w"):
            child.wait(60)
    one = table.one(os.getpid())
    assert one is not None
    assert not one.blocked


@linux
def test_a_process_that_cleared_its_environment_is_told_from_one_that_is_gone() -> None:
    """It waits: such a process that works would be a job of every server on this machine, also of
    the tests that run beside this one."""
    program = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}
    ) as child:
        # Linux sets a new program's arguments after Popen has returned.
        assert child.stdout is not None
        child.stdout.readline()
        assert ProcFs().tells_nothing(child.pid)
        assert not ProcFs().tells_nothing(os.getpid())
        child.kill()
    assert not ProcFs().tells_nothing(child.pid)


@linux
def test_cpu_time_of_children_that_have_ended_is_their_parents() -> None:
    before = ProcFs().read()[os.getpid()].ended_children_cpu
    subprocess.run([sys.executable, "-c", "sum(range(3 * 10**7))"], check=True)
    assert ProcFs().read()[os.getpid()].ended_children_cpu > before + 0.1


@linux
def test_what_a_process_writes_to_a_pipe_counts_and_what_it_reads_from_memory_does_not() -> None:
    program = "import os; os.write(1, bytes(10**6)); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert len(child.stdout.read(10**6)) == 10**6
        traffic = ProcFs().traffic(child.pid)
        assert traffic is not None
        assert 10**6 <= traffic.written < 2 * 10**6
        child.kill()
    assert ProcFs().traffic(child.pid) is None


@linux
def test_what_ended_children_wrote_is_their_parents() -> None:
    """The subtraction in process_groups relies on that."""
    before = ProcFs().traffic(os.getpid())
    subprocess.run(
        ["/usr/bin/head", "-c", "5000000", "/dev/zero"], check=True, stdout=subprocess.DEVNULL
    )
    after = ProcFs().traffic(os.getpid())
    assert before is not None
    assert after is not None
    assert after.written - before.written >= 5_000_000


@linux
def test_a_process_that_nobody_waited_for_is_known_to_have_ended() -> None:
    child = subprocess.Popen(["/bin/true"])
    try:
        deadline = time.monotonic() + 120
        while not ProcFs().read()[child.pid].ended:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.wait()


def test_a_program_with_brackets_and_blanks_in_its_name_is_not_misread(tmp_path: Path) -> None:
    folder = tmp_path / "42"
    folder.mkdir()
    # proc(5): pid (name) state ppid pgrp session tty tpgid flags and four counts of faults, then
    # utime stime cutime cstime priority nice threads itrealvalue starttime, and more.
    stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 200 300 400 20 0 1 0 5000 1 2 3\n"
    (folder / "stat").write_text(stat)
    (tmp_path / "43").mkdir()
    (tmp_path / "self").mkdir()
    table = ProcFs(str(tmp_path))
    table._ticks = 100.0
    ((pid, one),) = table.read().items()
    assert (pid, one.parent, one.name, one.started) == (42, 7, "a) b (c", 50.0)
    assert (one.own_cpu, one.ended_children_cpu, one.cpu) == (3.0, 7.0, 10.0)
    assert (one.session, one.ended) == (42, False)


@linux
def test_on_linux_psutil_is_not_needed() -> None:
    assert isinstance(this_machine(), ProcFs)


@linux
@pytest.mark.parametrize(
    ("arguments", "environment", "tells_nothing"),
    [
        (b"python\0train.py\0", b"HOME=/root\0X=1\0", False),
        (b"python\0train.py\0", b"X=1\0", False),
        (b"python\0train.py\0", b"", True),
        (b"train: epoch 1\0", bytes(40), True),
        (b"train: epoch 12 loss=0.12\0", b"12 loss=0.12" + bytes(40), True),
        (b"", b"", False),
    ],
    ids=["several", "one", "cleared", "short title", "long title", "the system's"],
)
def test_an_environment_that_a_title_has_overwritten_tells_nothing(
    tmp_path: Path, arguments: bytes, environment: bytes, tells_nothing: bool
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(arguments)
    (tmp_path / "7" / "environ").write_bytes(environment)
    assert ProcFs(str(tmp_path)).tells_nothing(7) is tells_nothing
