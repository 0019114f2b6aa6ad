"""Jobs that Jupyter can't see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from sagemaker_autoshutdown.processes import BackgroundJobs, Process, read_processes

SHELL, JOB = 10, 11


class Machine:
    """Processes whose clock and CPU time the test moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.processes = {
            1: Process(0, 0.0, 5.0, 0.0),
            SHELL: Process(1, 0.0, 0.5, 0.0),
            JOB: Process(SHELL, 1.0, 0.0, 0.0),
        }
        self.jobs = BackgroundJobs(lambda: dict(self.processes), lambda: self.time)

    def passes(self, seconds: float, **cpu: float) -> bool:
        """Whether the shell has a job after some time, in which CPU was used."""
        self.time += seconds
        for name, used in cpu.items():
            pid = {"shell": SHELL, "job": JOB}[name]
            before = self.processes[pid]
            self.processes[pid] = Process(
                before.parent, before.started, before.own_cpu + used, before.ended_children_cpu
            )
        return self.jobs.look({"terminal": SHELL}) == {"terminal"}


def test_f18_a_job_that_uses_cpu_is_seen() -> None:
    machine = Machine()
    assert not machine.passes(0)
    assert machine.passes(60, job=30)


def test_a_job_that_only_waits_is_none() -> None:
    machine = Machine()
    machine.passes(0)
    assert not machine.passes(60, job=0.1)


def test_the_shell_itself_is_no_job() -> None:
    machine = Machine()
    machine.passes(0)
    assert not machine.passes(60, shell=60)


def test_many_short_commands_in_a_row_are_a_job() -> None:
    """A build starts a process for each file; each look finds none that was there before."""
    machine = Machine()
    machine.passes(0)
    del machine.processes[JOB]
    machine.processes[SHELL] = Process(1, 0.0, 0.5, ended_children_cpu=40.0)
    assert machine.passes(60)


def test_looks_that_follow_at_once_do_not_forget_the_job() -> None:
    machine = Machine()
    machine.passes(0)
    assert machine.passes(60, job=30)
    assert machine.passes(0.1)


def test_a_shell_that_reuses_a_process_id_starts_anew() -> None:
    machine = Machine()
    machine.passes(0)
    machine.processes[SHELL] = Process(1, 50.0, 0.0, ended_children_cpu=90.0)
    assert not machine.passes(60)


def test_a_real_job_below_a_real_shell_is_seen() -> None:
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} -c 'while True: pass' & wait"],
        start_new_session=True,
    )
    try:
        jobs = BackgroundJobs(read_processes)
        found: frozenset[str] = frozenset()
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            found = jobs.look({"shell": shell.pid})
            time.sleep(0.2)
        assert found == {"shell"}
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
