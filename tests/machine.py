"""A machine whose processes, clock and CPU time a test moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sagemaker_autoshutdown.activity.background_jobs import BackgroundJobs, Jobs
from sagemaker_autoshutdown.activity.detached_jobs import DetachedJob
from sagemaker_autoshutdown.activity.process_table import Process

from .worlds import START

#: The first process, and the Jupyter server.
INIT, SERVER = 1, 5
FROM_A_TERMINAL = {"JUPYTER_SERVER_URL": "http://localhost:8888/"}
FROM_A_KERNEL = {"JPY_PARENT_PID": str(SERVER)}


class Machine:
    """A process table, and what is seen of it by :class:`BackgroundJobs`."""

    def __init__(self, server: int = SERVER, ignored: Collection[str] = ()) -> None:
        self.time = 0.0
        self.processes = {INIT: Process(0, 0.0, 5.0, 0.0, "tini")}
        self.environments: dict[int, Mapping[str, str]] = {}
        self.command_lines: dict[int, list[str]] = {}
        if server != INIT:
            self.add(server, INIT, "jupyter-lab")
        self.jobs = BackgroundJobs(self, lambda: self.time, ignored, server)

    # -- the table

    def read(self) -> dict[int, Process]:
        return dict(self.processes)

    def environment(self, pid: int) -> Mapping[str, str]:
        return self.environments.get(pid, {})

    def arguments(self, pid: int) -> list[str]:
        return self.command_lines.get(pid, [])

    def started_at(self, process: Process) -> datetime:
        return START + timedelta(seconds=process.started)

    # -- what happens on it

    def add(
        self, pid: int, parent: int, name: str = "python", environment: Mapping[str, str] = {}
    ) -> None:
        """A process starts now."""
        self.processes[pid] = Process(parent, self.time, 0.0, 0.0, name)
        self.environments[pid] = environment

    def move(self, pid: int, parent: int = INIT) -> None:
        """Its parent is gone: somebody adopts it."""
        self.processes[pid] = replace(self.processes[pid], parent=parent)

    def end(self, pid: int) -> None:
        """It ends; its parent waits for it, and its children are adopted."""
        ended = self.processes.pop(pid)
        parent = self.processes[ended.parent]
        cpu = parent.ended_children_cpu + ended.cpu
        self.processes[ended.parent] = replace(parent, ended_children_cpu=cpu)
        for child, process in self.processes.items():
            if process.parent == pid:
                self.move(child)

    def use(self, pid: int, seconds: float) -> None:
        """It uses CPU."""
        process = self.processes[pid]
        self.processes[pid] = replace(process, own_cpu=process.own_cpu + seconds)

    def look(self, roots: Mapping[str, int] = {}, *, passed: float = 60.0) -> Jobs:
        """What is seen after some time."""
        self.time += passed
        return self.jobs.look(roots)

    def detached(
        self, roots: Mapping[str, int] = {}, *, passed: float = 60.0
    ) -> tuple[DetachedJob, ...]:
        """The detached jobs that are seen after some time."""
        return self.look(roots, passed=passed).detached
