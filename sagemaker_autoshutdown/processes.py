"""Work on this machine that Jupyter can't see: CPU time used below a kernel or a terminal's shell.

Needs psutil, which is in every Studio image but Classic's, where no kernel runs on this machine.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

#: From this share of one CPU on, a job counts as running. Language servers, debuggers and shells
#: that wait stay far below it.
BUSY_SHARE = 0.05
#: Seconds that two readings must lie apart to tell a share.
MIN_INTERVAL = 1.0


@dataclass(frozen=True)
class Process:
    """One process: its parent, its start (it tells a reused id), and CPU seconds used by itself
    and by those of its children that have ended."""

    parent: int
    started: float
    own_cpu: float
    ended_children_cpu: float


def read_processes() -> dict[int, Process]:
    """All processes of this machine by id. Raises ``ImportError`` where psutil is missing."""
    import psutil

    found = {}
    for process in psutil.process_iter(["ppid", "create_time", "cpu_times"]):
        cpu = process.info["cpu_times"]
        if cpu is None:  # not ours to see
            continue
        found[process.pid] = Process(
            parent=process.info["ppid"] or 0,
            started=process.info["create_time"],
            own_cpu=cpu.user + cpu.system,
            # macOS has these too; Windows does not
            ended_children_cpu=getattr(cpu, "children_user", 0.0)
            + getattr(cpu, "children_system", 0.0),
        )
    return found


class BackgroundJobs:
    """Tells which kernels and terminals have a job below them, from reading to reading.

    Not thread safe: one reading at a time.
    """

    def __init__(
        self,
        read: Callable[[], dict[int, Process]] = read_processes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._readings: dict[Hashable, tuple[float, float, float]] = {}
        self._busy: frozenset[Hashable] = frozenset()
        self._read_at = float("-inf")

    def look(self, roots: Mapping[K, int]) -> frozenset[K]:
        """Those of ``roots`` (a key for each kernel or shell, with its process id) below which
        CPU time is used. Blocks for some milliseconds; call it in a thread.

        The first reading of a root tells nothing yet: it counts as not busy.
        """
        now = self._monotonic()
        if now - self._read_at >= MIN_INTERVAL:
            self._read_at = now
            self._busy = self._measure(roots, now)
        return frozenset(key for key in roots if key in self._busy)

    def _measure(self, roots: Mapping[K, int], now: float) -> frozenset[Hashable]:
        processes = self._read()
        children: dict[int, list[int]] = defaultdict(list)
        for pid, process in processes.items():
            children[process.parent].append(pid)
        busy = set()
        readings: dict[Hashable, tuple[float, float, float]] = {}
        for key, pid in roots.items():
            root = processes.get(pid)
            if root is None:
                continue
            cpu = root.ended_children_cpu + sum(
                processes[below].own_cpu + processes[below].ended_children_cpu
                for below in _descendants(pid, children)
            )
            readings[key] = (now, root.started, cpu)
            before = self._readings.get(key)
            if before is not None and before[1] == root.started:
                elapsed, used = now - before[0], cpu - before[2]
                if used >= BUSY_SHARE * elapsed:
                    busy.add(key)
        self._readings = readings
        return frozenset(busy)


def _descendants(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    found: list[int] = []
    todo = list(children.get(pid, ()))
    while todo:
        below = todo.pop()
        found.append(below)
        todo.extend(children.get(below, ()))
    return found
