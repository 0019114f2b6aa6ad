"""Processes of apps, started under a supervisor, so that none is ever left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from .errors import LocalStudioError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
#: How much of a log an error message shows.
LOG_TAIL = 2000


@dataclass(frozen=True)
class ProcessInfo:
    """A process of an app."""

    pid: int
    command: tuple[str, ...]

    @property
    def is_kernel(self) -> bool:
        """Whether it is a Python kernel."""
        return "ipykernel_launcher" in self.command


class Process:
    """A command that runs under its supervisor. Make one with `Process.start`."""

    def __init__(
        self, supervisor: subprocess.Popen[bytes], line: socket.socket, log_path: Path
    ) -> None:
        self.log_path = log_path
        #: Set once the command and all its descendants are gone.
        self.gone = asyncio.Event()
        self.exit_code: int | None = None
        self._supervisor = supervisor
        self._line = line
        self._pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        tty: int | None = None,
    ) -> Process:
        """Runs a command; its output goes to the log, or all its streams to the terminal `tty`."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        arguments = [str(theirs.fileno()), *(["--tty"] if tty is not None else [])]
        with theirs, log_path.open("ab") as log:
            # This blocks, but only for a fork, and the file descriptors are at hand.
            supervisor = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-I", "-S", str(SUPERVISOR), *arguments, "--", *command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL if tty is None else tty,
                stdout=log if tty is None else tty,
                stderr=subprocess.STDOUT if tty is None else tty,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        process = cls(supervisor, ours, log_path)
        try:
            await process._pid
        except LocalStudioError:
            await process.gone.wait()
            raise
        except asyncio.CancelledError:
            # Nobody will hold the process, so the supervisor must not wait for a message.
            supervisor.terminate()
            raise
        return process

    @property
    def pid(self) -> int:
        """The command's process id."""
        return self._pid.result()

    def send_signal(self, number: int) -> None:
        """Signals the command itself, not its descendants."""
        if not self.gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def stop(self, grace: float) -> None:
        """Ends it and all its descendants; after `grace` seconds by force."""
        if not self.gone.is_set():
            with contextlib.suppress(OSError):
                self._line.send(f"stop {grace}\n".encode())
        await self.gone.wait()

    def tree(self) -> list[ProcessInfo]:
        """The command and its living descendants."""
        try:
            found = psutil.Process(self._supervisor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        infos = []
        for process in found:
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    infos.append(ProcessInfo(process.pid, tuple(process.cmdline())))
        return infos

    def log_tail(self) -> str:
        """The end of its output."""
        with contextlib.suppress(OSError):
            return self.log_path.read_text(errors="replace")[-LOG_TAIL:]
        return ""

    async def _listen(self) -> None:
        """Reads the supervisor's messages, until it is gone."""
        reader, writer = await asyncio.open_connection(sock=self._line)
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "pid" in message:
                    self._pid.set_result(message["pid"])
                elif "exit" in message:
                    self.exit_code = message["exit"]
        except ConnectionError:
            pass
        finally:
            # It has closed its end and is about to exit, or the loop ends before it did.
            self._supervisor.terminate()
            self._supervisor.wait()
            writer.close()
            if not self._pid.done():
                self._pid.set_exception(
                    LocalStudioError(f"A command could not be run: {self.log_tail()}")
                )
            self.gone.set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 for a server that starts soon.

    For a minute Linux gives it to nobody who asks for any port: the server's end of a connection
    that was closed on this port is remembered. A server that names the port may have it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        probe.listen(1)
        with socket.create_connection(probe.getsockname()):
            probe.accept()[0].close()
        return int(probe.getsockname()[1])
