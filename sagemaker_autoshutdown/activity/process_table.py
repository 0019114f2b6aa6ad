"""The processes of this machine: each one's parent and its use of CPU and disk.

Read directly from Linux's ``/proc``: psutil takes five times the CPU for the same, and some images
lack it. Elsewhere (a developer's Mac) psutil is used. ``process_groups`` interprets the numbers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from . import tcp

log = logging.getLogger(__name__)

#: Linux returns this much of most of these files at once; a shorter read is complete.
_ONE_READ = 1024
#: Seconds for which a reading serves all who need one in the same check.
SHARED_FOR = 1.0


@dataclass(frozen=True)
class Process:
    """One process: its parent, its start in seconds (from a time that only its table knows; it
    tells a reused id), the CPU seconds of itself and of its ended children, its program's name,
    cut to 15 characters by Linux, its session's id (0 if unknown), and the number of its
    pseudoterminal (None if it has none)."""

    parent: int
    started: float
    own_cpu: float
    ended_children_cpu: float
    name: str = ""
    session: int = 0
    ended: bool = False
    """Whether it has ended and only waits for its parent to take note (a zombie)."""
    terminal: int | None = None
    stopped: bool = False
    """Whether a signal has stopped it."""
    runnable: bool = False
    """Whether it runs, or would if it got a CPU."""
    blocked: bool = False
    """Whether it waits for a disk or a network file system, which nothing can interrupt."""
    group: int = 0
    """The id of its process group (0 if unknown): a shell's pipeline is one."""

    @property
    def cpu(self) -> float:
        """CPU seconds of its own and of its ended children."""
        return self.own_cpu + self.ended_children_cpu


@dataclass(frozen=True)
class Traffic:
    """Bytes so far, including ended children: ``written`` by write calls to anything (files,
    pipes, terminals), ``read`` from the disk."""

    written: int
    read: int


class ProcessTable(Protocol):
    """A source of processes. Its methods block for some milliseconds."""

    def read(self) -> dict[int, Process]:
        """All processes by id. Raises ``ImportError`` if psutil is needed and missing."""
        ...

    def environment(self, pid: int) -> Mapping[str, str]:
        """Its environment at its start; empty if it is gone or may not be read."""
        ...

    def arguments(self, pid: int) -> list[str]:
        """Its command line; empty if it is gone or may not be read."""
        ...

    def traffic(self, pid: int) -> Traffic | None:
        """The bytes that it has read and written; None if it is gone or may not be read."""
        ...

    def cpu_wait(self, pid: int) -> float | None:
        """The seconds for which it has waited for a CPU so far; None if that may not be read."""
        ...

    def carried(self) -> int | None:
        """The bytes over all network interfaces so far; None if that may not be read."""
        ...

    def connections(self) -> Mapping[int, int]:
        """The bytes over each TCP connection so far, by its inode; empty if that may not be
        read."""
        ...

    def sockets(self, pid: int) -> Collection[int]:
        """The inodes of the sockets that it has open, as far as that may be read."""
        ...

    def tells_nothing(self, pid: int) -> bool:
        """Whether its environment may be read and is empty: it was cleared, or overwritten by a
        new title."""
        ...

    def age(self, process: Process) -> float:
        """The seconds since it began."""
        ...

    def uses_gpu(self, pid: int) -> bool:
        """Whether it has a GPU open, as far as that may be read."""
        ...

    def started_at(self, process: Process) -> datetime:
        """When it began."""
        ...


class ProcFs:
    """Linux."""

    def __init__(self, root: str = "/proc") -> None:
        self._root = root
        # Windows has none; nothing is read there.
        self._ticks = float(os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 100.0
        # What each process's file held last, and what that means: most processes sleep.
        self._last: dict[int, tuple[bytes, Process]] = {}
        self._last_io: dict[int, tuple[bytes, Traffic]] = {}

    def read(self) -> dict[int, Process]:
        """All processes by id; those that end meanwhile are left out."""
        last, found = self._last, {}
        for entry in os.listdir(self._root):  # noqa: PTH208  # a Path for each costs a third more
            if not entry.isdigit():
                continue
            pid = int(entry)
            stat = self._bytes(pid, "stat")
            before = last.get(pid)
            if before is not None and before[0] == stat:
                found[pid] = before
                continue
            process = self._parsed(stat)
            if process is not None:
                found[pid] = stat, process
        self._last = found
        self._last_io = {pid: io for pid, io in self._last_io.items() if pid in found}
        return {pid: process for pid, (_, process) in found.items()}

    def one(self, pid: int) -> Process | None:
        """One process; None if there is none."""
        return self._parsed(self._bytes(pid, "stat"))

    def _parsed(self, stat: bytes) -> Process | None:
        # The name is in brackets, and may itself hold brackets and blanks.
        name, bracket, rest = stat.partition(b"(")[2].rpartition(b")")
        if not bracket:
            return None
        # proc(5): state, ppid, pgrp, session, tty_nr, then utime, stime, cutime, cstime, and
        # starttime since boot.
        values = rest.split(maxsplit=20)
        return Process(
            int(values[1]),
            int(values[19]) / self._ticks,
            (int(values[11]) + int(values[12])) / self._ticks,
            (int(values[13]) + int(values[14])) / self._ticks,
            name.decode(errors="replace"),
            int(values[3]),
            values[0] in (b"Z", b"X"),
            _pseudoterminal(int(values[4])),
            values[0] in (b"T", b"t"),
            values[0] == b"R",
            values[0] == b"D",
            int(values[2]),
        )

    def environment(self, pid: int) -> Mapping[str, str]:
        """Its environment at its start; empty if it is gone or may not be read."""
        pairs = (entry.partition("=") for entry in self._words(pid, "environ"))
        return {name: value for name, _, value in pairs}

    def arguments(self, pid: int) -> list[str]:
        """Its command line; empty if it is gone or may not be read."""
        return self._words(pid, "cmdline")

    def traffic(self, pid: int) -> Traffic | None:
        """The bytes that it has read and written; None if it is gone or may not be read."""
        io = self._bytes(pid, "io")
        before = self._last_io.get(pid)
        if before is not None and before[0] == io:
            return before[1]
        words = io.split()
        if not words:
            return None
        found = dict(zip(words[::2], words[1::2]))
        traffic = Traffic(int(found.get(b"wchar:", 0)), int(found.get(b"read_bytes:", 0)))
        self._last_io[pid] = io, traffic
        return traffic

    def cpu_wait(self, pid: int) -> float | None:
        """The seconds for which its first thread has waited for a CPU so far."""
        values = self._bytes(pid, "schedstat").split()
        return int(values[1]) / 1e9 if len(values) > 1 else None

    def carried(self) -> int | None:
        """The bytes over all network interfaces so far; None if that may not be read."""
        return tcp.carried()

    def connections(self) -> Mapping[int, int]:
        """The bytes over each TCP connection so far, by its inode; empty if that may not be
        read."""
        return tcp.connections()

    def sockets(self, pid: int) -> Collection[int]:
        """The inodes of the sockets that it has open, as far as that may be read."""
        return tcp.inodes_of(pid)

    def tells_nothing(self, pid: int) -> bool:
        """Whether its environment may be read and is empty: it was cleared, or overwritten by a
        new title."""
        try:
            is_own = os.stat(f"{self._root}/{pid}").st_uid == os.geteuid()  # noqa: PTH116
        except OSError:
            return False
        # A thread of the system's has neither.
        arguments, left = self.arguments(pid), self._words(pid, "environ")
        # The end of a long title lies where the environment was; the rest is wiped.
        is_title = len(left) == 1 and bool(arguments) and arguments[-1].endswith(left[0])
        return is_own and bool(arguments) and (is_title or not any(left))

    def age(self, process: Process) -> float:
        """The seconds since it began."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - process.started

    def uses_gpu(self, pid: int) -> bool:
        """Whether it has one of Nvidia's devices open, as far as that may be read."""
        folder = f"{self._root}/{pid}/fd"
        try:
            return any(
                os.readlink(f"{folder}/{entry}").startswith("/dev/nvidia")  # noqa: PTH115
                for entry in os.listdir(folder)  # noqa: PTH208
            )
        except OSError:
            return False

    def started_at(self, process: Process) -> datetime:
        """When it began, by today's clock."""
        booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return datetime.fromtimestamp(booted_at + process.started, timezone.utc)

    def _words(self, pid: int, file: str) -> list[str]:
        text = self._bytes(pid, file).decode(errors="replace").rstrip("\0")
        return text.split("\0") if text else []

    def _bytes(self, pid: int, file: str) -> bytes:
        # Neither a Path nor a file object: they would take most of the time.
        try:
            opened = os.open(f"{self._root}/{pid}/{file}", os.O_RDONLY)
        except OSError:
            return b""
        try:
            parts = []
            while part := os.read(opened, 65536):
                parts.append(part)
                if len(part) < _ONE_READ:
                    break
            return b"".join(parts)
        except OSError:
            return b""
        finally:
            os.close(opened)


def _pseudoterminal(device: int) -> int | None:
    """The number behind a device of ``/dev/pts`` (major 136), by the device's number."""
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    return minor if major == 136 else None


class Psutil:
    """Other systems, by psutil. Its functions raise ``ImportError`` if that is missing."""

    def read(self) -> dict[int, Process]:
        """All processes by id."""
        import psutil

        found = {}
        for process in psutil.process_iter(["ppid", "create_time", "cpu_times", "name"]):
            cpu = process.info["cpu_times"]
            if cpu is None:  # may not be read
                continue
            found[process.pid] = Process(
                parent=process.info["ppid"] or 0,
                started=process.info["create_time"],
                own_cpu=cpu.user + cpu.system,
                # macOS has these too; Windows does not
                ended_children_cpu=getattr(cpu, "children_user", 0.0)
                + getattr(cpu, "children_system", 0.0),
                name=process.info["name"] or "",
            )
        return found

    def environment(self, pid: int) -> Mapping[str, str]:
        """Its environment at its start; empty if it is gone or may not be read."""
        import psutil

        try:
            return psutil.Process(pid).environ()
        except psutil.Error:
            return {}

    def arguments(self, pid: int) -> list[str]:
        """Its command line; empty if it is gone or may not be read."""
        import psutil

        try:
            return psutil.Process(pid).cmdline()
        except psutil.Error:
            return []

    def traffic(self, pid: int) -> Traffic | None:
        """None: psutil's figures differ from system to system."""
        return None

    def cpu_wait(self, pid: int) -> float | None:
        """None: unknown."""
        return None

    def carried(self) -> int | None:
        """None: unknown."""
        return None

    def connections(self) -> Mapping[int, int]:
        """Empty: unknown."""
        return {}

    def sockets(self, pid: int) -> Collection[int]:
        """Empty: unknown."""
        return ()

    def tells_nothing(self, pid: int) -> bool:
        """False: unknown."""
        return False

    def age(self, process: Process) -> float:
        """The seconds since it began."""
        return time.time() - process.started

    def uses_gpu(self, pid: int) -> bool:
        """False: unknown."""
        return False

    def started_at(self, process: Process) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(process.started, timezone.utc)


@dataclass(frozen=True)
class Reading:
    """All processes by id, and when they were read, in seconds of a monotonic clock."""

    at: float
    processes: Mapping[int, Process]


class Readings:
    """One reading of the process table for all who need one in the same check: it takes longer than
    what most of them do with it. Used from any thread."""

    def __init__(
        self,
        table: ProcessTable | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        shared_for: float = SHARED_FOR,
    ) -> None:
        self.table = table if table is not None else this_machine()
        self._monotonic = monotonic
        self._shared_for = shared_for
        self._latest: Reading | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A check begins: what was read before it is not of it."""
        self._latest = None

    def take(self, not_before: float = float("-inf")) -> Reading:
        """The reading of this check, unless it is older than that; else a new one. Blocks. Raises
        what the table raises."""
        with self._lock:
            latest, now = self._latest, self._monotonic()
            if latest is None or latest.at <= max(not_before, now - self._shared_for):
                # As of when it began, as any process may have been the first one.
                self._latest = latest = Reading(now, self.table.read())
            return latest


def this_machine() -> ProcessTable:
    """The processes of this machine."""
    return ProcFs() if Path("/proc/self/stat").exists() else Psutil()


def machine_started_at() -> datetime | None:
    """When this container or machine came up: its first process's start.

    None if it is not known. Never raises.
    """
    table = this_machine()
    try:
        return table.started_at(table.read()[1])
    except Exception as error:  # psutil missing, or /proc hidden
        log.debug("the machine's start is not known: %s", error)
        return None


def children_of(processes: Mapping[int, Process]) -> Mapping[int, list[int]]:
    """The ids of each one's children."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    return children


def below(roots: Iterable[int], children: Mapping[int, list[int]]) -> list[int]:
    """All descendants of ``roots``, without ``roots``."""
    found: list[int] = []
    todo = [child for root in roots for child in children.get(root, ())]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, ()))
    return found
