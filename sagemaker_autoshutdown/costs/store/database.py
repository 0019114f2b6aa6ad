"""The ledger's file: opened, locked, checked and, where it is broken, put aside.

Home folders are on NFS (EFS) in Studio. So there is no write-ahead log, which needs memory shared
by one machine, and there is one writer: it holds a lock on a file beside the ledger for as long as
it lives, and the system lets go of it however the process ends. Any number may read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import datetime
from pathlib import Path

from .schema import TooNew, migrate

#: Seconds to wait for a reader to finish.
BUSY_TIMEOUT = 5.0
#: What was written survives even the machine's sudden end.
SYNCHRONOUS = "FULL"

__all__ = ["Locked", "TooNew", "WriterLock", "open_for_reading", "open_for_writing", "put_aside"]


class Locked(Exception):
    """Another server writes this ledger."""


class WriterLock:
    """Held by the one writer of a ledger; given back by ``release`` or with the process."""

    def __init__(self, path: Path) -> None:
        """Takes the lock. Raises :class:`Locked` and ``OSError``."""
        import fcntl  # not on Windows, where the extension loads all the same

        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(self._descriptor)
            if isinstance(error, BlockingIOError):
                raise Locked("another server of yours records costs and history") from None
            raise

    def release(self) -> None:
        """Gives the lock back. The file stays: removing it would let two hold it."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The ledger at ``path``, made if need be, readable by its owner only.

    Raises ``sqlite3.DatabaseError`` where the file is broken, ``TooNew``, and ``OSError`` or
    ``sqlite3.OperationalError`` where the disk does not let it be.
    """
    # SQLite gives its journal the file's own mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(
        str(path), timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if finding != "ok":
            raise sqlite3.DatabaseError(f"the ledger is broken: {finding}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """The ledger at ``path``, for reading only. Raises ``sqlite3.Error``."""
    # Not "ro": what a server that was killed left half written has to be rolled back before it can
    # be read, by whoever comes first. Where the disk is read-only, SQLite opens it so by itself.
    uri = path.absolute().as_uri() + "?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file itself is what is wrong, and not the disk or a lock."""
    if isinstance(error, sqlite3.OperationalError):
        # Tables that are not there, or that are in a file without a version: not our file.
        return "no such table" in str(error) or "already exists" in str(error)
    # Exactly this class: its subclasses are slips of a statement.
    return type(error) is sqlite3.DatabaseError


def put_aside(path: Path, now: datetime) -> Path:
    """Renames a broken ledger, with its journal, so that a new one can begin.

    Raises ``OSError``.
    """
    stem = f"ledger-broken-{now:%Y-%m-%d}"
    aside = path.with_name(f"{stem}.sqlite3")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{stem}-{number}.sqlite3")
    path.rename(aside)
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists():
        journal.rename(aside.with_name(f"{aside.name}-journal"))
    return aside
