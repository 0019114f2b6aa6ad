"""A lock on a file beside the data that it guards, for processes that share a folder.

The system releases it however its process ends. The file itself stays: if it were removed, two
processes could hold a lock, one on the removed file and one on the new one.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

#: Seconds between attempts while a caller waits.
_STEP = 0.01
#: Attempts to lock a file that is still there afterwards.
_ATTEMPTS = 10


class Locked(Exception):
    """Another process holds the lock."""


class FileLock:
    """Held until ``release``, or until its process ends."""

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        """Takes the lock, waiting for ``wait`` seconds at most.

        Raises :class:`Locked`, and ``OSError`` if the disk does not support locks.
        """
        self._path = path
        deadline = time.monotonic() + wait
        for _ in range(_ATTEMPTS):
            self._descriptor = self._take(deadline)
            if self.is_current:
                return
            self.release()  # somebody removed the file between opening and locking it
        raise OSError(f"{path} is removed again and again")

    def _take(self, deadline: float) -> int:
        import fcntl  # not on Windows, where the extension must still load

        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise Locked(f"{self._path} is locked by another process") from None
                time.sleep(_STEP)
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def is_current(self) -> bool:
        """Whether the locked file is the one that others would lock."""
        return file_identity(self._path) == file_identity(self._descriptor)

    def release(self) -> None:
        """Releases the lock."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def file_identity(file: Path | int) -> tuple[int, int] | None:
    """The identity of a file, whatever its name; None if it is gone."""
    try:
        found = os.stat(file)  # noqa: PTH116 - of a descriptor, too
    except OSError:
        return None
    return found.st_dev, found.st_ino
