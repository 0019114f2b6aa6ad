"""Jobs that have left their terminal or kernel: started with nohup or setsid, in tmux or screen, or
whose tab was closed. They go on, with nothing of Jupyter's above them.

Which processes those are: an orphan is adopted by one of the server's own ancestors. Such a child
is the user's if it was seen below a kernel or a terminal earlier, or if its environment holds what
Jupyter puts into theirs. So what belongs to the machine or was started by the server itself
(language servers, an editor's) is never taken for one, and whatever waits without using CPU holds
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import PurePath

from .cpu_meter import Meter
from .process_table import Process, ProcessTable, below

#: What jupyter_server (1.x) and jupyter_server_terminals tell every terminal, and jupyter_client
#: every kernel that it starts. Their children inherit it.
MARKS = ("JUPYTER_SERVER_URL", "JPY_PARENT_PID")
#: Of an interpreter's arguments the script is shown, none else: arguments may hold secrets.
SCRIPTS = frozenset({".py", ".sh", ".R", ".jl", ".pl", ".rb", ".js"})


@dataclass(frozen=True)
class DetachedJob:
    """A job that uses CPU and has nothing of Jupyter's above it."""

    pid: int
    program: str
    started_at: datetime


class DetachedJobs:
    """Follows them from reading to reading."""

    def __init__(self, table: ProcessTable, ignored: Collection[str], server: int) -> None:
        self._table = table
        self._ignored = tuple(ignored)
        self._server = server
        self._meter = Meter()
        # What was started by the user: a process id and its start.
        self._ours: set[tuple[int, float]] = set()
        self._cpu: dict[int, float] = {}

    def look(
        self,
        processes: Mapping[int, Process],
        children: Mapping[int, list[int]],
        roots: Collection[int],
        now: float,
    ) -> tuple[DetachedJob, ...]:
        """Those that have used CPU since the last reading, by process id. ``roots`` are the process
        ids of kernels and terminals, which are seen without."""
        self._remember(processes, below(roots, children))
        trees = {}
        for pid in _orphans(self._server, processes, children):
            if pid not in roots and self._is_ours(pid, processes[pid]):
                members = [pid, *below([pid], children)]
                self._remember(processes, members)
                trees[pid, processes[pid].started] = {
                    each: processes[each].cpu
                    for each in members
                    if not self._is_ignored(processes[each].name)
                }
        busy = self._meter.busy({key: sum(tree.values()) for key, tree in trees.items()}, now)
        jobs = []
        for key in sorted(busy):
            tree = trees[key]
            pid = max(tree, key=lambda each: tree[each] - self._cpu.get(each, 0.0))
            started_at = self._table.started_at(processes[pid])
            jobs.append(DetachedJob(key[0], self._program(pid, processes[pid]), started_at))
        self._cpu = {pid: cpu for tree in trees.values() for pid, cpu in tree.items()}
        self._ours = {
            (pid, started)
            for pid, started in self._ours
            if pid in processes and processes[pid].started == started
        }
        return tuple(jobs)

    def _remember(self, processes: Mapping[int, Process], pids: Iterable[int]) -> None:
        self._ours.update((pid, processes[pid].started) for pid in pids)

    def _is_ours(self, pid: int, process: Process) -> bool:
        if (pid, process.started) in self._ours:
            return True
        environment = self._table.environment(pid)
        # A server that was itself started in a Jupyter terminal shares its marks with strangers.
        return any(environment.get(mark) not in (None, os.environ.get(mark)) for mark in MARKS)

    def _is_ignored(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._ignored)

    def _program(self, pid: int, process: Process) -> str:
        """``python train.py``: the program, and of an interpreter's arguments its script."""
        first = next((word for word in self._table.arguments(pid)[1:] if word[:1] != "-"), "")
        script = PurePath(first)
        return f"{process.name} {script.name}" if script.suffix in SCRIPTS else process.name


def _orphans(
    server: int, processes: Mapping[int, Process], children: Mapping[int, list[int]]
) -> list[int]:
    """The children of those who adopt what the server's processes leave behind: its ancestors, and
    in any case the first process, which it may be itself."""
    line = [server]
    while line[-1] in processes and processes[line[-1]].parent not in (0, *line):
        line.append(processes[line[-1]].parent)
    adopters = {1, *line[1:]}
    return [pid for adopter in adopters for pid in children.get(adopter, ()) if pid not in line]
