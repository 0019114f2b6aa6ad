"""Work on this machine that Jupyter can't see: CPU time used below a kernel or a terminal's shell,
and by jobs that have left theirs (see ``detached``)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .cpu_meter import Meter
from .detached_jobs import DetachedJob, DetachedJobs
from .process_table import Process, ProcessTable, below, children_of, this_machine

K = TypeVar("K", bound=Hashable)

#: Seconds that two readings must lie apart to tell a share.
MIN_INTERVAL = 1.0


class StillReading(Exception):
    """The reading before has not ended yet."""


@dataclass(frozen=True)
class Jobs:
    """What uses CPU: the kernels and shells with a job below, and the jobs that have none above."""

    below: frozenset[Hashable] = frozenset()
    detached: tuple[DetachedJob, ...] = ()


class BackgroundJobs:
    """Tells which jobs there are, from reading to reading.

    One reading at a time: a second one that comes while the first goes on (in the thread of a
    caller that no longer waits for it) raises ``StillReading``.
    """

    def __init__(
        self,
        table: ProcessTable | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        ignored: Collection[str] = (),
        server: int | None = None,
    ) -> None:
        """``ignored`` names programs that are no job once they have left their terminal, as
        shell-style patterns; ``server`` is the Jupyter server's process id, by default this one."""
        self._table = table if table is not None else this_machine()
        self._monotonic = monotonic
        self._meter = Meter()
        self._detached = DetachedJobs(
            self._table, ignored, os.getpid() if server is None else server
        )
        self._found = Jobs()
        self._read_at = float("-inf")
        self._reading = threading.Lock()

    def look(self, roots: Mapping[K, int]) -> Jobs:
        """The jobs that use CPU. ``roots`` holds a key for each kernel or shell, with its process
        id. Blocks for some milliseconds; call it in a thread.

        The first reading of a process tells nothing yet: it counts as not busy. Raises
        ``StillReading``, ``ImportError`` where psutil is needed and missing, and whatever else
        keeps processes from being read.
        """
        if not self._reading.acquire(blocking=False):
            raise StillReading("the processes of the last check are still being read")
        try:
            return self._look(roots)
        finally:
            self._reading.release()

    def _look(self, roots: Mapping[K, int]) -> Jobs:
        now = self._monotonic()
        if now - self._read_at >= MIN_INTERVAL:
            processes = self._table.read()
            children = children_of(processes)
            busy = self._below(roots, processes, children, now)
            detached = self._detached.look(processes, children, roots.values(), now)
            self._found, self._read_at = Jobs(busy, detached), now
        return Jobs(
            frozenset(key for key in roots if key in self._found.below), self._found.detached
        )

    def _below(
        self,
        roots: Mapping[K, int],
        processes: Mapping[int, Process],
        children: Mapping[int, list[int]],
        now: float,
    ) -> frozenset[K]:
        """Those of ``roots`` below which CPU time is used; the shell's own is none of a job's."""
        used = {
            (key, processes[pid].started): processes[pid].ended_children_cpu
            + sum(processes[child].cpu for child in below([pid], children))
            for key, pid in roots.items()
            if pid in processes
        }
        return frozenset(key for key, _ in self._meter.busy(used, now))
