"""Work on this machine that Jupyter can't see: processes in and below its kernels and terminals,
below the server itself, and jobs that have left their terminal or kernel.

This module owns the readings, and remembers them from one to the next. ``process_groups`` says
which processes belong together and when they work; ``programs`` names them.

A job leaves its terminal by nohup or setsid, in tmux or screen, or when its tab is closed. One of
the server's own ancestors adopts such an orphan. It is the user's if it was seen below a kernel or
a terminal earlier, or if its environment holds variables that Jupyter (or a login by SSH) sets. So
the machine's own processes are never taken for a job. Containers and logins are the user's as well,
if this machine can see them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, TypeVar

from ..model import Evidence, EvidenceKind, Reason
from .process_groups import (
    Interval,
    Sample,
    Use,
    WorkRule,
    ancestors,
    groups,
    orphans,
    uses,
    workers,
)
from .process_table import Process, ProcessTable, Readings, Traffic, below, children_of
from .programs import SHELLS, Program, is_named, program
from .progress import Progress
from .terminal_input import asks_for_input, last_input_of

K = TypeVar("K", bound=Hashable)

#: Clusters whose processes never quite rest: they count by themselves only.
CLUSTERS = ("dask", "dask-*", "distributed.cli", "gcs_server", "ray::*", "raylet", "*/ray/*")
#: Set by Dask for the processes of a cluster on the same machine.
DASK_MARK = "__DASK_PARENT_PID"
#: These repeat the arguments of the programs that they run.
REPEATERS = ("watch",)
#: They say nothing about what a shell's loop is for: it pauses, and formats what it shows.
PAUSES = ("sleep", "date", "clear", "grep", "head", "column")
#: Variables that jupyter_server (1.x) and jupyter_server_terminals set in every terminal,
#: jupyter_client in every kernel that it starts, and sshd in every login. Child processes inherit
#: them.
MARKS = ("JUPYTER_SERVER_URL", "JPY_PARENT_PID", "SSH_CONNECTION")
#: Beginnings of programs below which the user works: logins, and containers of a notebook instance.
GUESTS = ("sshd", "ssm-session-wor", "containerd-shim", "conmon", "cron", "anacron", "atd")

#: Seconds after which a reading is too old to compare with: a longer average tells little.
MAX_AGE = 600.0
#: The number of working processes that are named.
MAX_NAMED = 3
#: For a kernel that has run no cell.
_NEVER = float("-inf")


class StillReading(Exception):
    """The previous reading has not ended yet."""


@dataclass(frozen=True)
class Finding:
    """A group of processes that holds its app: the reason, the evidence, and the process that
    uses most (its id, its name, and since when it runs)."""

    reason: Reason
    evidence: tuple[Evidence, ...]
    pid: int
    program: str
    started_at: datetime


@dataclass(frozen=True)
class OtherTerminal:
    """A terminal that Jupyter did not open: of tmux, of a remote IDE, of a login. ``program``
    owns it, and ``typed_at`` is when input was last read from it."""

    number: int
    program: str
    typed_at: datetime


@dataclass(frozen=True)
class Jobs:
    """The processes that hold their app, by kernel or terminal, and all others; and the
    terminals that other programs of the user own."""

    below: Mapping[Hashable, Finding] = field(default_factory=dict)
    outside: tuple[Finding, ...] = ()
    terminals: tuple[OtherTerminal, ...] = ()


@dataclass
class _Facts:
    """Facts that do not change while a process runs the same program. Facts from its environment
    are None until it is read."""

    name: str
    program: Program
    is_ignored: bool
    is_ignored_detached: bool
    holds: bool
    repeats: bool
    is_shell: bool
    pauses: bool
    #: Whether the shells above it have taken note of it.
    is_known_to_shells: bool = False
    is_ours: bool | None = None
    is_cluster: bool | None = None


@dataclass(frozen=True)
class _GroupedSample(Generic[K]):
    """A sample with its groups: processes below each kernel or terminal, below the server
    itself, and without any process of Jupyter above them. ``children`` are those of each
    process."""

    sample: Sample
    children: Mapping[int, list[int]]
    below: Mapping[K, frozenset[int]]
    servers: frozenset[int]
    detached: frozenset[int]


class BackgroundJobs:
    """Finds the jobs, from reading processes to grouping them.

    One reading at a time: if a second one starts while the first goes on (in the thread of a caller
    that no longer waits for it), it raises ``StillReading``.
    """

    def __init__(
        self,
        table: ProcessTable | None = None,
        rule: WorkRule | None = None,
        ignored: Collection[str] = (),
        holding: Collection[str] = (),
        ignored_detached: Collection[str] = (),
        server: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
        readings: Readings | None = None,
        waiting_for: float = 0.0,
    ) -> None:
        """``readings`` are shared with others; without them, ``table`` is read for each
        observation. ``ignored`` names programs that never count, ``ignored_detached`` those that
        don't once they have left their terminal, ``holding`` those that hold their app (see
        ``programs``); ``server`` is the Jupyter server's process id, by default this one. What
        only waits counts for ``waiting_for`` seconds (0: for ever)."""
        self._readings = readings or Readings(table, monotonic, shared_for=0.0)
        self._table = self._readings.table
        self._rule = rule or WorkRule()
        self._progress = Progress(self._rule, waiting_for)
        self.exclude(ignored, holding, ignored_detached)
        self._server = os.getpid() if server is None else server
        self._monotonic = monotonic
        self._wait = wait
        self._samples: list[Sample] = []
        self._facts: dict[tuple[int, float], _Facts] = {}
        # Processes seen below a kernel, a terminal or the server: a process id and its start.
        self._ours: set[tuple[int, float]] = set()
        #: Shells, and whether every program that was seen below them is ignored.
        self._only_shows: dict[tuple[int, float], bool] = {}
        #: The last reading of connections, and what all interfaces had carried before it.
        self._connections: Mapping[int, int] = {}
        self._carried: int | None = None
        self._read_lock = threading.Lock()

    def exclude(
        self,
        ignored: Collection[str],
        holding: Collection[str],
        ignored_detached: Collection[str],
    ) -> None:
        """Uses other lists of programs from the next observation on."""
        self._ignored = tuple(ignored)
        self._holding = tuple(holding)
        self._ignored_detached = tuple(ignored_detached)

    def observe(
        self,
        roots: Mapping[K, int],
        rested: Mapping[K, float] = {},
        other_servers: Collection[int] = (),
        crashing: Collection[K] = (),
    ) -> Jobs:
        """The jobs that hold their app. ``roots`` holds a key for each kernel or terminal, with its
        process id. ``rested`` holds for how many seconds a kernel has run no cell, if known:
        earlier CPU use belongs to the cell. ``other_servers`` holds the process ids of Jupyter
        servers that have listed their terminals themselves. ``crashing`` holds kernels that crash
        again and again: to start them is no work.

        Compares two readings that are at least ``WorkRule.interval`` apart, and waits for the
        second one if it must. Blocks; call it in a thread. Raises ``StillReading``, ``ImportError``
        if psutil is needed and missing, and any error that keeps processes from being read.
        """
        if not self._read_lock.acquire(blocking=False):
            raise StillReading("the processes of the last check are still being read")
        try:
            return self._observe(roots, rested, frozenset(other_servers), crashing)
        finally:
            self._read_lock.release()

    def gpu_user(self, pid: int) -> str:
        """The name of the process if it is one of this machine that has a GPU open; else empty."""
        if not self._table.uses_gpu(pid):
            return ""
        return program("a program", self._table.arguments(pid)).label

    def _observe(
        self,
        roots: Mapping[K, int],
        rested: Mapping[K, float],
        other_servers: frozenset[int],
        crashing: Collection[K],
    ) -> Jobs:
        now = self._monotonic()
        ran_until = {key: now - rested[key] for key in roots if key in rested}
        grouped = self._read(roots, max(ran_until.values(), default=_NEVER))
        # Each group is compared with the latest reading that is old enough. If there is none, the
        # oldest usable reading will do after a while.
        before, missing = {}, 0.0
        for since in {_NEVER, *ran_until.values()}:
            young = self._young_enough(since)
            latest = grouped.sample.at - self._rule.interval
            before[since] = next((each for each in reversed(young) if each.at <= latest), young[0])
            missing = max(missing, before[since].at - latest)
        if missing > 0:
            self._wait(missing)
            grouped = self._read(roots, grouped.sample.at + missing)
        for pids in (*grouped.below.values(), grouped.servers, grouped.detached):
            self._learn_from(pids, grouped.sample.processes)
        # Many groups are compared with the same few readings.
        intervals = {id(each): Interval(each, grouped.sample) for each in before.values()}
        compared = {since: intervals[id(each)] for since, each in before.items()}
        found: dict[Hashable, Finding] = {}
        for key, pids in grouped.below.items():
            since = ran_until.get(key, _NEVER)
            counted = pids - {roots[key]} if key in crashing else pids
            finding = self._finding(counted, grouped, compared[since], roots[key])
            if finding is not None:
                found[key] = finding
        outside = (
            self._finding(pids, grouped, compared[_NEVER])
            for pids in (grouped.servers, grouped.detached)
        )
        holding = tuple(each for each in outside if each is not None)
        terminals = tuple(self._terminals(grouped, roots.values(), other_servers))
        self._forget(grouped.sample)
        return Jobs(found, holding, terminals)

    def _terminals(
        self,
        grouped: _GroupedSample[K],
        roots: Collection[int],
        other_servers: Collection[int],
    ) -> Iterator[OtherTerminal]:
        """The processes of programs that the user runs, except Jupyter's own."""
        processes = grouped.sample.processes
        seen = {None, *(processes[pid].terminal for pid in roots if pid in processes)}
        seen.update(each.terminal for each in map(processes.get, (self._server,)) if each)
        for pid in sorted({*grouped.servers, *grouped.detached}.union(*grouped.below.values())):
            number = processes[pid].terminal
            if number is None or number in seen:
                continue
            seen.add(number)
            keeper = processes[pid].session
            above = processes[keeper].parent if keeper in processes else 0
            if above in other_servers:
                continue
            typed_at = last_input_of(number)
            if typed_at is not None:
                known = above if above in processes and above > 1 else pid
                label = self._facts_of(known, processes[known]).program.label
                yield OtherTerminal(number, label, typed_at)

    # ---- readings ------------------------------------------------------------------------------

    def _read(self, roots: Mapping[K, int], not_before: float) -> _GroupedSample[K]:
        # Reading and writing is measured a little later, which must not matter.
        young = self._monotonic() - self._rule.interval / 4
        reading = self._readings.take(max(not_before, young))
        processes = reading.processes
        children = children_of(processes)
        below, servers, detached = self._members(processes, children, roots)
        traffic: dict[int, Traffic] = {}
        waited: dict[int, float] = {}
        for pids in (*below.values(), servers, detached):
            for pid in pids:
                found = self._table.traffic(pid)
                if found is not None:
                    traffic[pid] = found
                if processes[pid].runnable:
                    seconds = self._table.cpu_wait(pid)
                    if seconds is not None:
                        waited[pid] = seconds
        sample = Sample(
            reading.at,
            processes,
            traffic,
            waited,
            self._connections_now(),
            traffic_at=self._monotonic(),
        )
        self._samples.append(sample)
        return _GroupedSample(sample, children, below, servers, detached)

    def _connections_now(self) -> Mapping[int, int]:
        """The bytes over each TCP connection. The last reading is good until all interfaces have
        carried a quarter of what counts as work at least."""
        little = self._rule.bytes_per_second * self._rule.interval / 4
        carried, before = self._table.carried(), self._carried
        if carried is None or before is None or not 0 <= carried - before < little:
            self._connections, self._carried = self._table.connections(), carried
        return self._connections

    def _young_enough(self, since: float) -> list[Sample]:
        """The readings since then that can be compared with, the last one included."""
        oldest = max(since, self._samples[-1].at - MAX_AGE)
        return [each for each in self._samples if each.at >= oldest] or self._samples[-1:]

    def _forget(self, sample: Sample) -> None:
        """Drops readings that are no longer needed, and processes that are gone."""
        latest = sample.at - self._rule.interval
        while len(self._samples) > 1 and self._samples[1].at <= latest:
            del self._samples[0]
        there = {(pid, process.started) for pid, process in sample.processes.items()}
        self._ours &= there
        self._progress.forget_all_but(there)
        for key in self._only_shows.keys() - there:
            del self._only_shows[key]
        for key in self._facts.keys() - there:
            del self._facts[key]

    # ---- who belongs where ---------------------------------------------------------------------

    def _members(
        self,
        processes: Mapping[int, Process],
        children: Mapping[int, list[int]],
        roots: Mapping[K, int],
    ) -> tuple[dict[K, frozenset[int]], frozenset[int], frozenset[int]]:
        found = groups(processes, children, roots, self._server)
        taken = {pid for pids in found.values() for pid in pids}
        taken.update(ancestors(self._server, processes))
        servers = frozenset(below([self._server], children)) - taken
        left = {
            pid
            for pid in orphans(self._server, processes, children)
            if pid not in taken and self._is_ours(pid, processes[pid])
        }
        left.update(
            child
            for pid, process in processes.items()
            if process.name.startswith(GUESTS)
            for child in children.get(pid, ())
        )
        detached = frozenset({*left, *below(left, children)}) - taken - servers
        for pids in (*found.values(), servers, detached):
            self._ours.update((pid, processes[pid].started) for pid in pids)
        return found, servers, detached

    def _is_ours(self, pid: int, process: Process) -> bool:
        if (pid, process.started) in self._ours:
            return True
        facts = self._facts_of(pid, process)
        if facts.is_ours is None:
            environment = self._table.environment(pid)
            # A server that was itself started in a Jupyter terminal shares its variables with
            # unrelated processes.
            facts.is_ours = any(
                environment.get(mark) not in (None, os.environ.get(mark)) for mark in MARKS
            ) or self._table.tells_nothing(pid)
        return facts.is_ours

    def _is_cluster(self, pid: int, process: Process) -> bool:
        facts = self._facts_of(pid, process)
        if facts.is_cluster is None:
            is_clusters = is_named(facts.program, CLUSTERS)
            facts.is_cluster = is_clusters or DASK_MARK in self._table.environment(pid)
        return facts.is_cluster

    def _facts_of(self, pid: int, process: Process) -> _Facts:
        key = (pid, process.started)
        facts = self._facts.get(key)
        if facts is None or facts.name != process.name:  # it runs another program now
            what = program(process.name, self._table.arguments(pid))
            facts = self._facts[key] = _Facts(
                process.name,
                what,
                is_ignored=is_named(what, self._ignored),
                is_ignored_detached=is_named(what, self._ignored_detached),
                holds=is_named(what, self._holding),
                repeats=is_named(what, REPEATERS),
                is_shell=is_named(what, SHELLS),
                pauses=is_named(what, PAUSES),
            )
        return facts

    def _learn_from(self, pids: Collection[int], processes: Mapping[int, Process]) -> None:
        """Takes note of what shells run. A loop that runs a monitor again and again only shows
        something, though its ended monitors have used CPU."""
        for pid in pids:
            facts = self._facts_of(pid, processes[pid])
            # One that ends just now has no command line any more.
            is_unread = not facts.program.paths and not facts.is_ignored
            if facts.is_known_to_shells or is_unread:
                continue
            facts.is_known_to_shells = True
            if facts.is_shell or facts.pauses or processes[pid].parent not in pids:
                continue
            for shell in ancestors(pid, processes)[1:]:
                if shell in pids and self._facts_of(shell, processes[shell]).is_shell:
                    key = (shell, processes[shell].started)
                    self._only_shows[key] = facts.is_ignored and self._only_shows.get(key, True)

    # ---- what they do --------------------------------------------------------------------------

    def _finding(
        self, pids: frozenset[int], grouped: _GroupedSample[K], interval: Interval, root: int = 0
    ) -> Finding | None:
        """The processes of a group that hold the app, if any; ``root`` is their kernel or
        terminal."""
        processes = grouped.sample.processes
        counted = self._counted(pids, processes, is_detached=pids is grouped.detached)
        used = uses(interval, counted, self._network(interval, counted))
        for pid, use in used.items():
            if use.blocked and self._has_hung(pid, [pid], grouped.sample):
                used[pid] = replace(use, blocked=False)
            if use.ended_cpu and self._only_shows.get((pid, processes[pid].started)):
                used[pid] = replace(use, cpu=use.cpu - use.ended_cpu)
        busy = workers(
            tuple(used.values()),
            self._rule,
            lambda pid: processes[pid].parent,
            lambda pid: self._is_cluster(pid, processes[pid]),
        )
        if busy:
            reason = Reason.BACKGROUND_JOB if root else Reason.DETACHED_JOB
            texts = [f"{self._label(counted, use.pid, root)}: {describe(use)}" for use in busy]
            if len(busy) > MAX_NAMED:
                cpu = sum(use.cpu for use in busy)
                rest = f"{len(busy)} processes in all: {cpu * 100:.0f} % of a CPU"
                texts = [*texts[:MAX_NAMED], rest]
            first = busy[0].pid
        else:
            holding = sorted(
                pid
                for pid, facts in counted.items()
                if facts.holds and self._is_at_it(pid, grouped)
            )
            if not holding:
                return None
            reason, first = Reason.HOLDING_PROGRAM, holding[0]
            labels = dict.fromkeys(counted[pid].program.label for pid in holding)
            texts = [f"{name} is running" for name in labels]
        return Finding(
            reason,
            tuple(Evidence(EvidenceKind.PROCESS, text) for text in texts[: MAX_NAMED + 1]),
            first,
            self._label(counted, first, root),
            self._table.started_at(processes[first]),
        )

    def _network(self, interval: Interval, pids: Iterable[int]) -> Mapping[int, int]:
        """The bytes that each process sent and received; none where all together are too few to
        count, so that sockets need not be read."""
        before, grown = interval.before, interval.grown
        least = self._rule.bytes_per_second * interval.after.traffic_seconds_since(before)
        if not before.connections or interval.network_bytes < least:
            return {}
        return {
            pid: sum(grown.get(inode, 0) for inode in {*self._table.sockets(pid)}) for pid in pids
        }

    def _is_at_it(self, pid: int, grouped: _GroupedSample[K]) -> bool:
        """Whether a program that holds its app does more than ask for something in passing, or wait
        for an answer of the user's, or for one that never comes."""
        process = grouped.sample.processes[pid]
        if process.ended or process.stopped or self._table.age(process) < self._rule.interval:
            return False
        its_own = [pid, *below([pid], grouped.children)]
        if process.terminal is not None:
            # A pager at the end of its pipeline waits for the user, and it for the pager.
            pipeline = [
                each
                for each in grouped.children.get(process.parent, ())
                if each != pid and grouped.sample.processes[each].group == process.group
            ]
            if asks_for_input(process.terminal, [*its_own, *pipeline]):
                return False
        return not self._has_hung(pid, its_own, grouped.sample)

    def _has_hung(self, pid: int, its_own: Collection[int], sample: Sample) -> bool:
        """Whether the process, with all that is ``its_own``, has only waited for too long."""
        moved = (sample.traffic[each] for each in its_own if each in sample.traffic)
        sockets = {inode for each in its_own for inode in self._table.sockets(each)}
        return self._progress.has_hung(
            (pid, sample.processes[pid].started),
            sample.at,
            sum(sample.processes[each].cpu for each in its_own),
            sum(each.written + each.read for each in moved)
            + sum(sample.connections.get(inode, 0) for inode in sockets),
        )

    def _counted(
        self, pids: frozenset[int], processes: Mapping[int, Process], is_detached: bool
    ) -> dict[int, _Facts]:
        """The processes of a group that are not ignored."""
        facts = {pid: self._facts_of(pid, processes[pid]) for pid in pids}
        counted = {
            pid: fact
            for pid, fact in facts.items()
            if not fact.is_ignored and not (is_detached and fact.is_ignored_detached)
        }
        for repeater in [pid for pid, fact in facts.items() if fact.repeats]:
            for pid in list(counted):
                if repeater not in counted and repeater in ancestors(pid, processes):
                    del counted[pid]
        return counted

    @staticmethod
    def _label(counted: Mapping[int, _Facts], pid: int, root: int) -> str:
        name = counted[pid].program.label
        return "the kernel itself" if pid == root and name.startswith("ipykernel") else name


def describe(use: Use) -> str:
    """``62 % of a CPU, 4 MB/s``: the figures worth showing."""
    parts = [f"{use.cpu * 100:.0f} % of a CPU"]
    speed = use.bytes_per_second
    if speed >= 1e6:
        parts.append(f"{speed / 1e6:.0f} MB/s")
    elif speed >= 1e3:
        parts.append(f"{speed / 1e3:.0f} kB/s")
    if use.is_starved:
        parts.append("waits for a CPU")
    if use.blocked:
        parts.append("waits for a disk")
    return ", ".join(parts)
