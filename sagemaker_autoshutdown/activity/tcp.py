"""How much has gone over each TCP connection of this machine, by Linux's own count.

A program that streams its data from a bucket, or uploads a model, uses little CPU and writes to no
file, and ``/proc`` counts no ``recv`` and no ``send``. Linux tells each connection's bytes to
whoever asks (sock_diag(7)); its inode leads to the processes that have it open.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

#: linux/netlink.h and linux/inet_diag.h: the family, the kind of message (``TCPDIAG_GETSOCK``,
#: which searches the system's table once for IPv4 and IPv6; its successor does so for each), a
#: request for all, the attribute that holds ``struct tcp_info``.
_SOCK_DIAG, _GET_TCP, _DUMP, _INFO = 4, 18, 0x301, 2
#: Connections that are open, or that the other side has closed.
_STATES = 1 << 1 | 1 << 8
#: Where a message holds its attributes and the inode, and ``tcp_info`` the bytes that were sent and
#: received.
_ATTRIBUTES, _INODE, _BYTES = 16 + 72, 16 + 68, 120
_TIMEOUT = 1.0


def carried() -> int | None:
    """The bytes that all network interfaces have received and sent so far (proc(5)): at least those
    over all connections, as a connection within the machine counts at both ends here and there.
    None where the system does not tell."""
    try:
        lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
        figures = [line.partition(":")[2].split() for line in lines]
        return sum(int(each[0]) + int(each[8]) for each in figures)
    except (OSError, ValueError, IndexError):
        return None


def connections() -> dict[int, int]:
    """The bytes sent and received over each connection so far, by its inode. Empty where the
    system does not tell. Takes a millisecond or more, because Linux goes through a table whose size
    grows with the machine's memory. Raises nothing."""
    if not sys.platform.startswith("linux"):
        return {}
    found: dict[int, int] = {}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asked:
            asked.settimeout(_TIMEOUT)
            question = struct.pack("=3xB48xI4x", 1 << _INFO - 1, _STATES)
            header = struct.pack("=IHHII", 16 + len(question), _GET_TCP, _DUMP, 1, 0)
            asked.send(header + question)
            while _take(asked.recv(1 << 17), found):
                pass
    except (OSError, struct.error) as error:
        log.debug("TCP connections can't be read: %s", error)
    return found


def _take(answer: bytes, found: dict[int, int]) -> bool:
    """Takes a part of the answer; returns whether there is more."""
    at = 0
    while at + 16 <= len(answer):
        length, kind = struct.unpack_from("=IH", answer, at)
        if kind != _GET_TCP or length < _ATTRIBUTES:
            return False
        (inode,) = struct.unpack_from("=I", answer, at + _INODE)
        attribute, end = at + _ATTRIBUTES, at + length
        while attribute + 4 <= end:
            size, name = struct.unpack_from("=HH", answer, attribute)
            if name == _INFO and size >= 4 + _BYTES + 16:
                found[inode] = sum(struct.unpack_from("=QQ", answer, attribute + 4 + _BYTES))
            attribute += max(4, size + 3 & ~3)
        at += length + 3 & ~3
    return True


def grown(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """The bytes of each connection between two readings; a new one counts in full."""
    deltas = ((inode, count - before.get(inode, 0)) for inode, count in after.items())
    return {inode: delta for inode, delta in deltas if delta > 0}


def inodes_of(pid: int) -> list[int]:
    """The sockets that a process has open; empty if it is gone or may not be read."""
    folder = f"/proc/{pid}/fd"
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):  # noqa: PTH208
            with contextlib.suppress(OSError):
                target = os.readlink(f"{folder}/{entry}")  # noqa: PTH115
                if target.startswith("socket:["):
                    found.append(int(target[8:-1]))
    return found
