"""Runs one command and makes sure that none of its processes outlives the local Studio.

Run as a script, with the standard library only: ``supervisor.py FD [--tty] -- COMMAND...``. FD is
one end of a socket pair. The other end gets ``{"pid": N}`` once the command runs and ``{"exit":
N}`` once it and all its descendants are gone. If it sends a line ``stop SECONDS``, the command
ends, by force after that many seconds. When the other end closes, however the local Studio ended,
everything is killed at once.

On Linux the supervisor is the reaper of its descendants: it also finds and ends processes that a
kernel left in a session of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PROC = pathlib.Path("/proc")
#: How often to check whether the command has ended, without a signal.
TICK = 0.5


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2); elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, int]:
    """Process → its parent, for all processes that are not dead already."""
    found: dict[int, int] = {}
    if PROC.is_dir():
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    # The command's name is in brackets and may hold anything.
                    fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    if fields[0] != "Z":
                        found[int(entry.name)] = int(fields[1])
        return found
    command = ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in listing.splitlines():
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            found[int(pid)] = int(parent)
    return found


def descendants(root: int) -> list[int]:
    """All processes below one, children first."""
    by_parent: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        by_parent.setdefault(parent, []).append(pid)
    found: list[int] = []
    level = by_parent.get(root, [])
    while level:
        found += level
        level = [child for pid in level for child in by_parent.get(pid, [])]
    return found


def become_child(tty: bool) -> None:
    """The command's process runs this before it becomes the command."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if tty:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Supervisor:
    """The command, its descendants and the line to the local Studio."""

    def __init__(self, line: socket.socket, command: list[str], tty: bool) -> None:
        self.line = line
        self.tty = tty
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.wake, wake_up = os.pipe()
        os.set_blocking(wake_up, False)
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # The local Studio decides when to end; a Ctrl-C in its terminal is not for us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.ended = False
        signal.signal(signal.SIGTERM, self.on_term)
        self.child = subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=lambda: become_child(tty),
        )
        self.code: int | None = None
        self.say(pid=self.child.pid)

    def on_term(self, *_: object) -> None:
        """Somebody wants the supervisor itself to end: then everything ends."""
        self.ended = True

    def say(self, **message: int | None) -> None:
        """A line to the local Studio, which may be gone."""
        with contextlib.suppress(OSError):
            self.line.sendall(json.dumps(message).encode() + b"\n")

    def reap(self) -> bool:
        """Collects dead children and notes the command's own code. Returns whether any child is
        left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child.pid:
                self.code = os.waitstatus_to_exitcode(status)
                self.child.returncode = self.code

    def wait(self, seconds: float) -> bytes | None:
        """Waits for a message of the local Studio (b"" when it is gone) or a child's end (None)."""
        line = self.line.fileno()
        readable, _, _ = select.select([line, self.wake], [], [], seconds)
        if self.wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)
        self.reap()
        if line in readable:
            with contextlib.suppress(ConnectionError):
                return self.line.recv(4096)
            return b""
        return None

    def run(self) -> None:
        """Waits until the command ends or must end."""
        while self.code is None and not self.ended:
            word = self.wait(TICK)
            if word is None:
                continue
            if word.startswith(b"stop "):
                self.ask_to_stop(float(word.split()[1]))
            break
        self.kill_all()
        self.say(exit=self.code)

    def ask_to_stop(self, grace: float) -> None:
        """Sends SIGTERM (a shell gets SIGHUP, as when its terminal closes), and waits."""
        if grace <= 0:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, signal.SIGHUP if self.tty else signal.SIGTERM)
        end = time.monotonic() + grace
        while self.code is None and time.monotonic() < end:
            if self.wait(end - time.monotonic()) == b"":
                return

    def kill_all(self) -> None:
        """Kills until nothing is left: a killed process may just have started another.

        The list of processes is read one by one, so it can lack one whose parent ends meanwhile.
        That one becomes a child of the reaper, and waitpid(2) knows all of those.
        """
        while True:
            left = descendants(os.getpid())
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not self.reap() and not left:
                return
            time.sleep(0.01)


def main(arguments: list[str]) -> None:
    """``FD [--tty] -- COMMAND...``."""
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    line = socket.socket(fileno=int(options[0]))
    os.set_inheritable(line.fileno(), False)
    Supervisor(line, command, tty="--tty" in options).run()


if __name__ == "__main__":
    main(sys.argv[1:])
