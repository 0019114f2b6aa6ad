"""Jobs that Jupyter can't see, below a kernel or a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

from sagemaker_autoshutdown.activity.background_jobs import BackgroundJobs
from sagemaker_autoshutdown.activity.process_table import Process

from ..machine import SERVER, Machine

SHELL, JOB = 10, 11


def machine() -> Machine:
    """One with a terminal and a job in it, looked at once."""
    made = Machine()
    made.add(SHELL, SERVER, "bash")
    made.add(JOB, SHELL)
    assert not has_job(made)
    return made


def has_job(machine: Machine, passed: float = 60.0) -> bool:
    return machine.look({"terminal": SHELL}, passed=passed).below == {"terminal"}


def test_f18_a_job_that_uses_cpu_is_seen() -> None:
    one = machine()
    one.use(JOB, 30)
    assert has_job(one)


def test_a_job_that_only_waits_is_none() -> None:
    one = machine()
    one.use(JOB, 0.1)
    assert not has_job(one)


def test_the_shell_itself_is_no_job() -> None:
    one = machine()
    one.use(SHELL, 60)
    assert not has_job(one)


def test_many_short_commands_in_a_row_are_a_job() -> None:
    """A build starts a process for each file; each look finds none that was there before."""
    one = machine()
    one.use(JOB, 40)
    one.end(JOB)
    assert has_job(one)


def test_looks_that_follow_at_once_do_not_forget_the_job() -> None:
    one = machine()
    one.use(JOB, 30)
    assert has_job(one)
    assert has_job(one, passed=0.1)


def test_a_shell_that_reuses_a_process_id_starts_anew() -> None:
    one = machine()
    one.processes[SHELL] = Process(SERVER, 50.0, 0.0, ended_children_cpu=90.0)
    assert not has_job(one)


def test_a_job_of_another_terminal_is_not_this_ones() -> None:
    one = machine()
    one.add(20, SERVER, "bash")
    one.add(21, 20)
    roots = {"terminal": SHELL, "other": 20}
    one.look(roots)
    one.use(21, 30)
    one.processes[SHELL] = replace(one.processes[SHELL], own_cpu=30)
    assert one.look(roots).below == {"other"}


def test_a_real_job_below_a_real_shell_is_seen() -> None:
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} -c 'while True: pass' & wait"],
        start_new_session=True,
    )
    try:
        jobs = BackgroundJobs()
        found: frozenset[object] = frozenset()
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            found = jobs.look({"shell": shell.pid}).below
            time.sleep(0.2)
        assert found == {"shell"}
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
