"""Decides which of several Jupyter servers on one app acts for it: the one that holds a lock.

The lock is on this machine, not in the home, which several machines may share. It is a POSIX record
lock: the system releases it whenever its process ends, and a forked child does not inherit it
(fcntl(2)), unlike a lock of flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

from ..model import Host

_TEMPORARY = Path("/tmp")  # noqa: S108 - the folder below it is checked


class AppLock:
    """The lock of one app. Its methods take no measurable time."""

    def __init__(self, host: Host, folder: Path | None = None) -> None:
        """``folder`` is by default this user's own below ``/tmp``."""
        identity = "\n".join((host.kind.value, host.domain_id, host.owner, host.app_name))
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        # Not $TMPDIR: a terminal may have a different one from the server.
        default = _TEMPORARY / f"sagemaker-autoshutdown-{os.getuid()}"
        self._file = (folder or default) / f"{name}.lock"
        self._descriptor: int | None = None
        #: Whether this process acts: it has the lock, or no lock can be had.
        self.is_held = False

    def acquire(self) -> bool:
        """Takes the lock if it is free. Returns whether this process has it now.

        Raises ``OSError`` if the lock can't be created.
        """
        if self._descriptor is not None:
            return True
        folder = self._file.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()  # everybody may write to a link, by its mode
        if about.st_uid != os.getuid() or about.st_mode & 0o022:
            raise PermissionError(f"{folder} belongs to somebody else, or others may write to it")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self._file, flags, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        self.is_held = True
        return True

    def holder(self) -> int | None:
        """The holder's process id, as the holder wrote it; None if it can't be read."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._file.read_text())
        return None

    def release(self) -> None:
        """Releases it, if this process has it."""
        if self._descriptor is not None:
            # Closing releases it, and leaves the file for the next.
            os.close(self._descriptor)
            self._descriptor = None
        self.is_held = False
