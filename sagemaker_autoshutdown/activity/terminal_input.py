"""When somebody last typed into a terminal of this machine.

A terminal's output does not count as use: ``top``, ``watch`` and a tab that reconnects (the shell
redraws its prompt) change Jupyter's time of last activity. The system keeps the time when input was
last read from a terminal as its device's access time, which ``w`` shows as idle time. It is exact
to 8 s (Linux, ``tty_update_time``), and does not see keys that no program has read yet. A terminal
that answers by itself, when a program asks for the cursor's position, looks like typing.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

#: How much too early the time of Linux may be.
EXACT_TO = timedelta(seconds=8)
#: ``TIOCGPTN`` of Linux: the number of the terminal behind the server's end.
_GET_NUMBER = 0x80045430
#: The system call by which programs read, by the machine's kind; and those by which editors and
#: prompts with keys of their own wait: select, pselect6, poll, ppoll.
_READ = {"x86_64": "0", "aarch64": "63"}
_WAIT = {"x86_64": ("23", "270", "7", "271"), "aarch64": ("72", "73")}
#: ``rt_sigtimedwait``, in which the C library's thread for timers waits: vim has one.
_TIMER = {"x86_64": "128", "aarch64": "137"}


def last_input(descriptor: int) -> datetime | None:
    """When input was last read from the terminal behind the server's end, ``descriptor``; the
    latest possible time, given ``EXACT_TO``. A terminal without any input counts from when it
    was opened. None if the system does not tell."""
    if sys.platform != "linux":
        return None
    import fcntl

    try:
        number = struct.unpack("I", fcntl.ioctl(descriptor, _GET_NUMBER, b"\0" * 4))[0]
    except OSError:
        return None
    return last_input_of(number)


def last_input_of(number: int) -> datetime | None:
    """The same for the terminal with this number, ``/dev/pts/NUMBER``."""
    try:
        read_at = Path(f"/dev/pts/{number}").stat().st_atime
    except OSError:
        return None
    return datetime.fromtimestamp(read_at, timezone.utc) + EXACT_TO


def asks_for_input(number: int, pids: Iterable[int]) -> bool:
    """Whether one of ``pids`` waits for input from this terminal: for a line that is not to be
    shown (a password) or is, or for keys, as at the prompt of ``sftp`` or in an editor."""
    pids = list(pids)
    try:
        import termios

        terminal = os.open(f"/dev/pts/{number}", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except (ImportError, OSError):
        return False
    try:
        modes = termios.tcgetattr(terminal)[3]
    except termios.error:
        return False
    finally:
        os.close(terminal)
    takes_lines = bool(modes & termios.ICANON)
    if takes_lines and not modes & termios.ECHO and any(map(_is_in_foreground, pids)):
        return True
    return any(_reads_terminal(pid, takes_lines) for pid in pids)


def _reads_terminal(pid: int, takes_lines: bool) -> bool:
    """Whether one of its threads waits for input from a terminal, as far as that may be read. One
    of many that takes keys, not lines, does so while the others work: ``docker run -it``."""
    machine = platform.machine()
    try:
        calls = [
            Path(f"/proc/{pid}/task/{thread}/syscall").read_text(encoding="ascii").split()
            for thread in os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        ]
        calls = [call for call in calls if call[0] != _TIMER.get(machine)]
        for call in calls if takes_lines or len(calls) == 1 else ():
            if call[0] == _READ.get(machine):
                file = os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}")  # noqa: PTH115
                if file == "/dev/tty" or file.startswith("/dev/pts/"):
                    return True
            is_editor = not takes_lines and call[0] in _WAIT.get(machine, ())
            if is_editor and _is_in_foreground(pid):
                return True
    except (OSError, ValueError, IndexError):
        pass
    return False


def _is_in_foreground(pid: int) -> bool:
    """Whether its terminal's input goes to it and its group, as far as that may be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # proc(5): state, ppid, pgrp, session, tty_nr, tpgid
        values = stat.rpartition(")")[2].split()
        return values[2] == values[5]
    except (OSError, IndexError):
        return False
