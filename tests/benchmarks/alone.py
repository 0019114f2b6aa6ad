"""Runs a command on a machine of its own as far as it can see: with no processes and no network
but its own. Those of others would be measured too, and be taken for a user's."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys

_ALONE = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--mount-proc", "--fork"]
_ALONE += ["--kill-child"]
#: Tells the command that it is alone.
MARK = "BENCHMARK_ALONE"
#: linux/sockios.h and linux/if.h
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


def be_alone() -> None:
    """Starts this very command again, alone, and ends with it. Returns where that can't be had,
    and in the command that is alone."""
    if os.environ.get(MARK):
        _bring_loopback_up()
        return
    try:
        subprocess.run([*_ALONE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return
    # Not the first process: that one adopts others.
    first = ["sh", "-c", '"$@"; exit $?', "sh"]
    again = [*_ALONE, *first, sys.executable, *sys.orig_argv[1:]]
    sys.exit(subprocess.run(again, env={**os.environ, MARK: "yes"}, check=False).returncode)


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _GET_FLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", answer)[1]
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))
