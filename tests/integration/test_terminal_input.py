"""Whether a program in a terminal waits for the user's answer."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity.terminal_input import _GET_NUMBER, asks_for_input

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as Studio")

#: One thread takes keys while another works.
CONTAINER = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
open("/proc/self/comm", "w").write("docker")
sys.stdin.buffer.raw.read(1)
"""

#: As vim does: one thread waits for keys, the C library's own for timers.
EDITOR = """
import select, signal, sys, threading
threading.Thread(target=signal.sigtimedwait, args=([signal.SIGUSR1], 1000)).start()
open("/proc/self/comm", "w").write("vim")
select.select([sys.stdin], [], [])
"""

Begin = Callable[[str], "tuple[int, int]"]


@pytest.fixture
def begin() -> Iterator[Begin]:
    started = []

    def begin_one(command: str) -> tuple[int, int]:
        """Runs a command in a terminal; returns its process id and the terminal's number."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvp("sh", ["sh", "-c", command])  # noqa: S606, S607
        started.append((pid, terminal))
        number = fcntl.ioctl(terminal, _GET_NUMBER, bytes(4))
        return pid, int.from_bytes(number, sys.byteorder)

    yield begin_one
    for pid, terminal in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


@pytest.mark.parametrize(
    ("command", "asks"),
    [
        ("exec head -1", True),
        ("exec head -1 < /dev/tty", True),
        ("stty -echo; exec sleep 1000", True),
        ("exec sleep 1000", False),
        # It is no user who answers.
        ("mkfifo $$.pipe; exec head -1 $$.pipe", False),
        # The prompt of sftp takes keys.
        ("stty raw -echo; exec head -1", True),
        # An editor, or a debugger's prompt, waits for keys in its own way.
        (f"stty raw -echo; exec {sys.executable} -c {shlex.quote(EDITOR)}", True),
        # A container takes keys at any time, and works.
        (f"stty raw -echo; exec {sys.executable} -c {shlex.quote(CONTAINER)}", False),
    ],
)
def test_who_waits_for_a_line_from_the_user(
    begin: Begin, command: str, asks: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    pid, number = begin(command)
    end = time.monotonic() + 60
    # It reads, or sleeps, once it is the last program of the command.
    while Path(f"/proc/{pid}/comm").read_text().strip() not in ("head", "sleep", "docker", "vim"):
        assert time.monotonic() < end
        time.sleep(0.05)
    while asks and not asks_for_input(number, [pid]):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.2)
    assert asks_for_input(number, [pid]) is asks


def test_who_asks_for_a_password_says_nothing_of_a_program_in_the_background(
    begin: Begin, tmp_path: Path
) -> None:
    told = tmp_path / "pid"
    _, number = begin(f"set -m; sleep 1000 & echo $! > {told}; stty -echo; exec sleep 2000")
    end = time.monotonic() + 60
    while not told.exists() or not told.read_text().strip():
        assert time.monotonic() < end
        time.sleep(0.05)
    background = int(told.read_text())
    foreground = os.getsid(background)
    while not asks_for_input(number, [foreground]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not asks_for_input(number, [background])
    os.kill(background, signal.SIGKILL)


def test_a_terminal_that_is_gone_asks_nothing() -> None:
    assert not asks_for_input(99999, [os.getpid()])
