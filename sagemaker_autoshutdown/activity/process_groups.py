"""Which processes belong together, and when a group of them works. Pure.

A group is a kernel or a terminal with its descendants and the processes of its session. The
server's other children are a group, and all jobs that have left their terminal or kernel are
another.

A group works if one of its processes uses a fair share of a CPU, or all together use more, or one
writes or reads enough. Linux adds the use of an ended child to its parent's count, so a build or a
loop of short commands shows there. The use of such a child before the first of two readings is
subtracted, because it did not happen between them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from . import tcp
from .process_table import Process, Traffic, below

K = TypeVar("K", bound=Hashable)


#: A process that would use this much of a CPU, and gets less, works.
STARVED = 0.5


@dataclass(frozen=True)
class WorkRule:
    """The thresholds: CPU as a share of one CPU, for one process and for a whole group; bytes
    per second that one process writes, or reads from the disk; and the shortest time, in
    seconds, over which these are averaged."""

    cpu: float = 0.05
    group_cpu: float = 0.5
    bytes_per_second: float = 100_000.0
    interval: float = 2.0


@dataclass(frozen=True)
class Sample:
    """All processes at a moment (seconds of a monotonic clock), and the bytes that some have
    read and written by a moment that is hardly later."""

    at: float
    processes: Mapping[int, Process]
    traffic: Mapping[int, Traffic] = field(default_factory=dict)
    #: The seconds for which each that is runnable has waited for a CPU so far.
    waited: Mapping[int, float] = field(default_factory=dict)
    #: The bytes over each TCP connection so far, by its inode.
    connections: Mapping[int, int] = field(default_factory=dict)
    traffic_at: float | None = None

    def traffic_seconds_since(self, before: Sample) -> float:
        """Seconds between what both say of reading and writing."""
        then = before.at if before.traffic_at is None else before.traffic_at
        return (self.at if self.traffic_at is None else self.traffic_at) - then


@dataclass(frozen=True)
class Interval:
    """The time between two samples. What is the same for all groups is found once, and only if
    needed."""

    before: Sample
    after: Sample

    @cached_property
    def of_the_ended(self) -> tuple[Mapping[int, float], Mapping[int, Traffic]]:
        """The earlier use of processes that have ended since, CPU seconds and bytes, by the nearest
        living ancestor: Linux has added it there."""
        return _of_the_ended(self.before, self.after)

    @cached_property
    def grown(self) -> Mapping[int, int]:
        """The bytes over each TCP connection, by its inode."""
        return tcp.grown(self.before.connections, self.after.connections)

    @cached_property
    def network_bytes(self) -> int:
        """The bytes over all of them."""
        return sum(self.grown.values())


@dataclass(frozen=True)
class Use:
    """The use of a process between two samples, with its children that ended in between: CPU as
    a share of one, and bytes per second."""

    pid: int
    cpu: float
    written: float = 0.0
    read: float = 0.0
    network: float = 0.0
    #: The part of ``cpu`` that its ended children have used.
    ended_cpu: float = 0.0
    #: It waited for a CPU while it was runnable in both samples: the share of that time.
    waited: float = 0.0
    #: Both samples found it waiting for a disk. Reading from a network file system shows nowhere
    #: else.
    blocked: bool = False

    @property
    def is_starved(self) -> bool:
        """Whether others leave it hardly any CPU."""
        return self.waited > self.cpu and self.cpu + self.waited >= STARVED

    @property
    def bytes_per_second(self) -> float:
        """The largest of the three."""
        return max(self.written, self.read, self.network)


def groups(
    processes: Mapping[int, Process],
    children: Mapping[int, list[int]],
    roots: Mapping[K, int],
    server: int,
) -> dict[K, frozenset[int]]:
    """The processes of each kernel or terminal; ``roots`` holds the first process of each."""
    line = ancestors(server, processes)
    # One that shares the server's session shares it with everything that the server started.
    servers_own = {0, *(processes[pid].session for pid in line[:1])}
    sessions: dict[int, K] = {}
    found: dict[K, set[int]] = {}
    for key, root in roots.items():
        if root in processes:
            found[key] = {root, *below([root], children)}
            if processes[root].session not in servers_own:
                sessions.setdefault(processes[root].session, key)
    taken = {pid for members in found.values() for pid in members}
    for pid, process in processes.items():
        if process.session in sessions and pid not in taken and pid not in line:
            found[sessions[process.session]].update((pid, *below([pid], children)))
    return {key: frozenset(members) for key, members in found.items()}


def ancestors(server: int, processes: Mapping[int, Process]) -> list[int]:
    """The server and its ancestors, nearest first; empty if it is not there."""
    line = [server] if server in processes else []
    while line and processes[line[-1]].parent in processes.keys() - set(line):
        line.append(processes[line[-1]].parent)
    return line


def orphans(
    server: int, processes: Mapping[int, Process], children: Mapping[int, list[int]]
) -> list[int]:
    """The children of the processes that adopt the server's orphans: its ancestors, and in any
    case the first process, which may be the server itself."""
    line = ancestors(server, processes)
    adopters = {1, *line[1:]}
    return [pid for adopter in adopters for pid in children.get(adopter, ()) if pid not in line]


def uses(
    interval: Interval, pids: Iterable[int], network: Mapping[int, int] = {}
) -> dict[int, Use]:
    """The use of each of ``pids`` in this time. All use of a new process falls into it.
    ``network`` has the bytes that each sent and received."""
    before, after = interval.before, interval.after
    seconds, traffic_seconds = after.at - before.at, after.traffic_seconds_since(before)
    known_cpu, known_traffic = interval.of_the_ended
    found = {}
    for pid in pids:
        now, then = after.processes[pid], before.processes.get(pid)
        is_same = then is not None and then.started == now.started
        cpu, ended_cpu = now.own_cpu, now.ended_children_cpu
        if then is not None and is_same:
            cpu -= then.own_cpu
            ended_cpu -= then.ended_children_cpu + known_cpu.get(pid, 0.0)
        written, read = _traffic(pid, before, after, is_same, known_traffic.get(pid))
        found[pid] = Use(
            pid,
            (max(0.0, cpu) + max(0.0, ended_cpu)) / seconds,
            max(0, written) / traffic_seconds,
            max(0, read) / traffic_seconds,
            network.get(pid, 0) / traffic_seconds,
            max(0.0, ended_cpu) / seconds,
            _waited(pid, before, after) / traffic_seconds if is_same else 0.0,
            now.blocked and then is not None and is_same and then.blocked,
        )
    return found


def _waited(pid: int, before: Sample, after: Sample) -> float:
    if pid not in before.waited or pid not in after.waited:
        return 0.0
    return after.waited[pid] - before.waited[pid]


def _traffic(
    pid: int, before: Sample, after: Sample, is_same: bool, ended: Traffic | None
) -> tuple[int, int]:
    now, then = after.traffic.get(pid), before.traffic.get(pid)
    if now is None or (is_same and then is None):  # may not be read, now or then
        return 0, 0
    written, read = now.written, now.read
    for each in (then if is_same else None, ended):
        if each is not None:
            written, read = written - each.written, read - each.read
    return written, read


def _of_the_ended(
    before: Sample, after: Sample
) -> tuple[Mapping[int, float], Mapping[int, Traffic]]:
    cpu: dict[int, float] = {}
    traffic: dict[int, Traffic] = {}
    for pid, process in before.processes.items():
        if _lives(pid, before, after):
            continue
        heir, seen = process.parent, {pid}
        while heir in before.processes and heir not in seen and not _lives(heir, before, after):
            seen.add(heir)
            heir = before.processes[heir].parent
        cpu[heir] = cpu.get(heir, 0.0) + process.cpu
        own = before.traffic.get(pid)
        if own is not None:
            sum_ = traffic.get(heir, Traffic(0, 0))
            traffic[heir] = Traffic(sum_.written + own.written, sum_.read + own.read)
    return cpu, traffic


def _lives(pid: int, before: Sample, after: Sample) -> bool:
    now = after.processes.get(pid)
    return now is not None and now.started == before.processes[pid].started


def workers(
    group: Collection[Use],
    rule: WorkRule,
    parents: Callable[[int], int],
    is_clusters: Callable[[int], bool],
) -> tuple[Use, ...]:
    """The processes that make a group work, the busiest first; empty if it does not work.

    ``is_clusters`` tells whether a process id belongs to a cluster (Dask, Ray), whose processes
    never quite rest. Such a process counts by itself only, and its parent (``parents``) for its own
    use beyond them. It is called only if that matters.
    """
    single = [
        use
        for use in group
        if use.blocked
        or use.is_starved
        or use.bytes_per_second >= rule.bytes_per_second
        or (
            use.cpu >= rule.cpu
            and use.cpu - _cpu(_cluster_of(use.pid, group, parents, is_clusters)) >= rule.cpu
        )
    ]
    if not single:
        single = [use for use in group if use.cpu > 0]
        if _cpu(single) >= rule.group_cpu:
            single = [use for use in single if not is_clusters(use.pid)]
        if _cpu(single) < rule.group_cpu:
            return ()
    return tuple(sorted(single, key=lambda use: (-use.cpu, use.pid)))


def _cluster_of(
    pid: int,
    group: Collection[Use],
    parents: Callable[[int], int],
    is_clusters: Callable[[int], bool],
) -> list[Use]:
    return [use for use in group if parents(use.pid) == pid and is_clusters(use.pid)]


def _cpu(uses: Iterable[Use]) -> float:
    return sum(use.cpu for use in uses)
