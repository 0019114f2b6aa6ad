"""A machine whose processes, clock and CPU time a test moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sagemaker_autoshutdown.activity.background_jobs import BackgroundJobs, Finding, Jobs
from sagemaker_autoshutdown.activity.process_table import Process, Traffic
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown

from .worlds import START

#: The first process, and the Jupyter server.
INIT, SERVER = 1, 5
FROM_A_TERMINAL = {"JUPYTER_SERVER_URL": "http://localhost:8888/"}
FROM_A_KERNEL = {"JPY_PARENT_PID": str(SERVER)}


class Machine:
    """A process table, and what is seen of it by :class:`BackgroundJobs`."""

    def __init__(
        self,
        server: int = SERVER,
        ignored: Collection[str] | None = None,
        ignored_detached: Collection[str] = (),
        waiting_for: float = 0.0,
    ) -> None:
        """``ignored`` is the setting's default if it is not given."""
        self.time = 0.0
        self.reads = 0
        self.waited = 0.0
        self.traffics: dict[int, Traffic] = {}
        self.gpu_users: set[int] = set()
        #: The seconds that processes have waited for a CPU.
        self.starved: dict[int, float] = {}
        #: By inode and by process id.
        self.bytes_sent: dict[int, int] = {1: 0}
        self.open_sockets: dict[int, list[int]] = {}
        self.connections_read = 0
        #: Those that have cleared their environment.
        self.cleared: set[int] = set()
        self.processes = {INIT: Process(0, 0.0, 5.0, 0.0, "tini", INIT)}
        self.environments: dict[int, Mapping[str, str]] = {}
        self.command_lines: dict[int, list[str]] = {}
        if server != INIT:
            self.add(server, INIT, "jupyter-lab")
        defaults = SageMakerAutoShutdown()
        self.jobs = BackgroundJobs(
            self,
            ignored=defaults.ignored_programs if ignored is None else ignored,
            holding=defaults.holding_programs,
            ignored_detached=ignored_detached,
            server=server,
            monotonic=lambda: self.time,
            wait=lambda seconds: self.wait(seconds),
            waiting_for=waiting_for,
        )

    def wait(self, seconds: float) -> None:
        """Time passes while a reading waits for its second sample; nothing happens meanwhile."""
        self.time += seconds
        self.waited += seconds

    # -- the table

    def read(self) -> dict[int, Process]:
        self.reads += 1
        return dict(self.processes)

    def environment(self, pid: int) -> Mapping[str, str]:
        return self.environments.get(pid, {})

    def arguments(self, pid: int) -> list[str]:
        return self.command_lines.get(pid, [])

    def traffic(self, pid: int) -> Traffic | None:
        return self.traffics.get(pid)

    def cpu_wait(self, pid: int) -> float | None:
        return self.starved.get(pid)

    def carried(self) -> int | None:
        return sum(self.bytes_sent.values())

    def connections(self) -> Mapping[int, int]:
        self.connections_read += 1
        return dict(self.bytes_sent)

    def sockets(self, pid: int) -> Collection[int]:
        return self.open_sockets.get(pid, ())

    def tells_nothing(self, pid: int) -> bool:
        return pid in self.cleared

    def age(self, process: Process) -> float:
        return self.time - process.started

    def uses_gpu(self, pid: int) -> bool:
        return pid in self.gpu_users

    def started_at(self, process: Process) -> datetime:
        return START + timedelta(seconds=process.started)

    # -- what happens on it

    def add(
        self,
        pid: int,
        parent: int,
        name: str = "python",
        environment: Mapping[str, str] = {},
        *,
        session: int = 0,
        runs: Sequence[str] = (),
    ) -> None:
        """A process starts now, in its parent's session unless another is given."""
        session = session or (self.processes[parent].session if parent in self.processes else pid)
        self.processes[pid] = Process(parent, self.time, 0.0, 0.0, name, session)
        self.environments[pid] = environment
        self.command_lines[pid] = list(runs)
        self.traffics[pid] = Traffic(0, 0)

    def move(self, pid: int, parent: int = INIT) -> None:
        """Its parent is gone, and an ancestor adopts it."""
        self.processes[pid] = replace(self.processes[pid], parent=parent)

    def end(self, pid: int) -> None:
        """It ends; its parent waits for it, and its children are adopted."""
        ended = self.processes.pop(pid)
        parent = self.processes[ended.parent]
        cpu = parent.ended_children_cpu + ended.cpu
        self.processes[ended.parent] = replace(parent, ended_children_cpu=cpu)
        traffic = self.traffics.pop(pid)
        self.write(ended.parent, traffic.written, traffic.read)
        for child, process in self.processes.items():
            if process.parent == pid:
                self.move(child)

    def use(self, pid: int, seconds: float) -> None:
        """It uses CPU."""
        process = self.processes[pid]
        self.processes[pid] = replace(process, own_cpu=process.own_cpu + seconds)

    def write(self, pid: int, written: int, read: int = 0) -> None:
        """It writes, and reads from the disk."""
        before = self.traffics.get(pid, Traffic(0, 0))
        self.traffics[pid] = Traffic(before.written + written, before.read + read)

    def observe(
        self,
        roots: Mapping[str, int] = {},
        *,
        passed: float = 60.0,
        rested: Mapping[str, float] = {},
    ) -> Jobs:
        """The jobs that are seen after some time."""
        self.time += passed
        return self.jobs.observe(roots, rested)

    def detached(
        self, roots: Mapping[str, int] = {}, *, passed: float = 60.0
    ) -> tuple[Finding, ...]:
        """The jobs outside of kernels and terminals that are seen after some time."""
        return self.observe(roots, passed=passed).outside
