"""Kernels on this machine that this server did not start.

Examples are kernels of papermill, of nbclient, of a scheduler's child processes, of a remote IDE
and of another Jupyter server.

They are found by their processes: an argument is the connection file, or the file is named after
the process. On a volume such files outlive their kernels, and process ids recur, so a file counts
only if its process listens on the port that it names. Each kernel is then listened to like the
server's own kernels, and asked once whether it is at work already.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_core.paths import jupyter_runtime_dir
from zmq.eventloop.zmqstream import ZMQStream

from ..clock import to_iso
from ..threads import in_thread
from . import kernel_probe
from .kernel_probe import Answer, Told
from .kernel_requests import KernelRequests
from .other_servers import METADATA, listens, listens_at
from .process_table import Process, ProcFs, Readings
from .programs import program

log = logging.getLogger(__name__)

#: Seconds in which a kernel that was just found must answer; an idle one takes milliseconds.
FIRST_PATIENCE = 1.0
#: A connection file has a few hundred bytes.
LARGEST_FILE = 16384
#: The number of observations in which a new process is checked again: it may yet become another.
FRESH = 2
_TRANSPORTS = ("tcp", "ipc")
_NAMED_AFTER_PROCESS = re.compile(r"kernel-([0-9]+)\.json")
#: Programs that only start another one.
_WRAPPERS = frozenset(
    {"bash", "sh", "dash", "zsh", "env", "conda", "micromamba", "mamba", "timeout", "nohup", "nice"}
)


@dataclass(frozen=True)
class FoundKernel:
    """A kernel's process, and the content of its connection file."""

    id: str
    label: str
    pid: int
    started: float
    connection: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)


class OtherKernels:
    """Finds these kernels, listens to them and asks them. Belongs to one event loop."""

    def __init__(
        self,
        requests: KernelRequests,
        own_pid: int | None = None,
        readings: Readings | None = None,
    ) -> None:
        """Their messages go to ``requests``. Kernels of ``own_pid``, by default this process,
        bear its name only if it is their server's. ``readings`` are shared with others."""
        self._requests = requests
        self._readings = readings or Readings(shared_for=0.0)
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._table = ProcFs()
        self._examined: dict[tuple[int, float, str], int] = {}
        #: Files among the arguments of processes that may yet start to listen.
        self._candidates: dict[tuple[int, float, str], list[Path]] = {}
        self._found: dict[str, FoundKernel] = {}
        self._streams: dict[str, ZMQStream] = {}

    @property
    def models(self) -> list[dict[str, Any]]:
        """As models of Jupyter's API."""
        return [dict(found.model) for found in self._found.values()]

    @property
    def processes(self) -> dict[str, int]:
        """Their process ids, by kernel id."""
        return {found.id: found.pid for found in self._found.values()}

    async def observe(self, listed: Collection[str]) -> None:
        """Searches for new kernels and drops those that are gone. ``listed`` holds the ids of
        this server's own kernels. Raises nothing."""
        if not sys.platform.startswith("linux"):
            return  # Studio runs on Linux; elsewhere there is nothing to shut down
        try:
            found = await in_thread(lambda: self._find(listed))
        except Exception:
            log.debug("kernels without a server can't be found", exc_info=True)
            return
        for kernel_id in self._found.keys() - found.keys():
            self._let_go(kernel_id)
        new = {each: kernel for each, kernel in found.items() if each not in self._found}
        self._found = found
        for kernel_id, kernel in new.items():
            self._requests.follow(kernel_id, from_start=False)
            self._listen(kernel)
        if new:
            told = await self._ask(new, FIRST_PATIENCE)
            for kernel_id, answer in told.items():
                if answer.answer is Answer.SILENT:
                    # It was at work before anybody listened.
                    self._requests.left_unanswered(kernel_id, answer.question_id, is_silent=True)

    async def ask(self, kernel_ids: Iterable[str], patience: float) -> Mapping[str, Told]:
        """Asks those of these kernels that were found, on their subshells as well."""
        asked = {each: self._found[each] for each in kernel_ids if each in self._found}
        return await self._ask(asked, patience) if asked else {}

    def close(self) -> None:
        """Stops listening."""
        for kernel_id in list(self._found):
            self._let_go(kernel_id)
        self._found = {}

    @staticmethod
    async def _ask(kernels: Mapping[str, FoundKernel], patience: float) -> dict[str, Told]:
        connections = {each: kernel.connection for each, kernel in kernels.items()}
        return await in_thread(
            lambda: kernel_probe.ask_here(connections, patience, with_subshells=connections)
        )

    def _listen(self, kernel: FoundKernel) -> None:
        try:
            connection = kernel_probe.Connection(zmq.Context.instance(), kernel.connection)
            socket = connection.connect_iopub()
            socket.linger = 0
            stream = ZMQStream(socket)
        except Exception as error:  # a file that some kernel wrote
            log.debug("kernel %s can't be listened to: %s", kernel.id, error)
            return
        stream.on_recv(lambda message: self._requests.hear(kernel.id, message))
        self._streams[kernel.id] = stream

    def _let_go(self, kernel_id: str) -> None:
        stream = self._streams.pop(kernel_id, None)
        if stream is not None:
            stream.close(linger=0)

    # ---- finding, in a thread ---------------------------------------------------------------

    def _find(self, listed: Collection[str]) -> dict[str, FoundKernel]:
        processes = self._readings.take().processes
        found = {}
        for kernel in self._found.values():
            process = processes.get(kernel.pid)
            is_there = process is not None and process.started == kernel.started
            if is_there and not self._is_listed(kernel.id, listed):
                found[kernel.id] = kernel
        pids = {kernel.pid for kernel in found.values()}
        named_after = self._files_named_after_processes()
        candidates, examined = {}, {}
        for pid, process in processes.items():
            # A process that becomes another program changes its name.
            key = (pid, process.started, process.name)
            examined[key] = times = self._examined.get(key, 0) + 1
            files = self._candidates.get(key, [])
            if times <= FRESH:
                files = self._files_in_arguments(pid)
            if files:
                candidates[key] = files  # it may take minutes until it listens
            if pid in pids:
                continue
            for file in [*files, *named_after.get(pid, [])]:
                # Most of them are this server's own.
                if self._is_listed(_kernel_id(file, pid), listed):
                    continue
                new = self._kernel(pid, process, file, processes)
                if new is not None:
                    found.setdefault(new.id, new)
        self._candidates, self._examined = candidates, examined
        return found

    @staticmethod
    def _is_listed(kernel_id: str, listed: Collection[str]) -> bool:
        return kernel_id.partition("@")[0] in listed

    def _files_in_arguments(self, pid: int) -> list[Path]:
        files = []
        for word in self._table.arguments(pid):
            # `-f FILE` or `--f=FILE`, in whatever language.
            name = word.rpartition("=")[2]
            if name.endswith(".json"):
                files.append(Path(f"/proc/{pid}/cwd") / name)
        return [file for file in files if _connection(file) is not None]

    @staticmethod
    def _files_named_after_processes() -> dict[int, list[Path]]:
        """Written by a kernel inside another program (``IPython.embed_kernel``)."""
        folder = jupyter_runtime_dir()
        try:
            names = [_NAMED_AFTER_PROCESS.fullmatch(name) for name in os.listdir(folder)]  # noqa: PTH208
        except OSError:
            return {}
        return {int(name[1]): [Path(folder, name[0])] for name in names if name}

    def _kernel(
        self, pid: int, process: Process, file: Path, processes: Mapping[int, Process]
    ) -> FoundKernel | None:
        # Another app's kernel. This happens only with several apps on one machine, as in the local
        # Studio.
        if self._table.environment(pid).get(METADATA) != os.environ.get(METADATA):
            return None
        connection = _connection(file)
        # A client has the same file among its arguments, and so has a kernel's child.
        if connection is None or not _listens(pid, connection):
            return None
        kernel_id = _kernel_id(file, pid)
        label = self._label(pid, connection, processes)
        model = {
            "id": kernel_id,
            "name": label,
            "execution_state": "idle",
            "last_activity": to_iso(self._table.started_at(process)),
            "connections": 0,
        }
        return FoundKernel(kernel_id, label, pid, process.started, connection, model)

    def _label(
        self, pid: int, connection: Mapping[str, Any], processes: Mapping[int, Process]
    ) -> str:
        """The program that runs it: ``papermill train.ipynb``."""
        above = processes[pid].parent
        while above in processes and above > 1 and above != self._own_pid:
            runner = program(processes[above].name, self._table.arguments(above))
            if not runner.names & _WRAPPERS:
                notebook = next((word for word in runner.words if word.endswith(".ipynb")), "")
                return f"{runner.label} {Path(notebook).name}".strip()
            above = processes[above].parent
        return str(connection.get("kernel_name") or "kernel without a server")


def _listens(pid: int, connection: Mapping[str, Any]) -> bool:
    port = connection["shell_port"]
    if connection.get("transport") == "ipc":
        return listens_at(pid, f"{connection.get('ip')}-{port}")
    return listens(pid, port)


def _kernel_id(file: Path, pid: int) -> str:
    """A kernel that is started anew has a process of its own."""
    return f"{file.stem.replace('kernel-', '', 1)}@{pid}"


def _connection(file: Path) -> dict[str, Any] | None:
    """The content of a connection file; None if it is not one."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            return None
        info = json.loads(file.read_text(encoding="utf-8"))
        for name in ("shell_port", "iopub_port", "control_port"):
            info[name] = int(info[name])
        if not isinstance(info["key"], str) or info.get("transport", "tcp") not in _TRANSPORTS:
            return None
        return dict(info)
    except (OSError, ValueError, KeyError, TypeError):
        return None
