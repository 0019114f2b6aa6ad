"""Opens the ledger's file, checks it and, if it is broken, puts it aside.

Home folders are on NFS (EFS) in Studio. So there is no write-ahead log, which needs memory shared
by one machine, and there is one writer: it holds a lock on a file beside the ledger. Any number may
read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from .damage import Broken, is_of_the_disk, mend
from .schema import MigrationFailed, TooNew, migrate

#: Seconds to wait for a reader to finish.
BUSY_TIMEOUT = 5.0
#: What was written survives even the machine's sudden end.
SYNCHRONOUS = "FULL"

__all__ = [
    "Broken",
    "MigrationFailed",
    "TooNew",
    "free_name",
    "is_of_the_disk",
    "open_for_reading",
    "open_for_writing",
    "put_aside",
    "takes_damage_for_such",
]

#: Text that is no text any more is shown as far as it is.
_lenient = partial(str, encoding="utf-8", errors="replace")


@contextlib.contextmanager
def takes_damage_for_such() -> Iterator[None]:
    """Whatever goes wrong in here is :class:`Broken`, unless it is of the disk or said otherwise.

    Not only ``sqlite3.DatabaseError``: of a damaged table SQLite says things that are no UTF-8,
    and that there is no such column.
    """
    try:
        yield
    except (Broken, TooNew, MigrationFailed):
        raise
    except Exception as error:
        if is_of_the_disk(error):
            raise
        raise Broken(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "its tables can't be read"
    return "".join(letter for letter in str(error) if letter.isprintable())[:200]


def open_for_writing(path: Path) -> tuple[sqlite3.Connection, str]:
    """The ledger at ``path``, made if need be, readable by its owner only; and what had to be
    mended in it, in words for the log.

    Raises :class:`Broken`, :class:`TooNew`, :class:`MigrationFailed`, and ``OSError`` or
    ``sqlite3.OperationalError`` where the disk does not let it be.
    """
    # SQLite gives its journal the file's own mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _check_header(path)
    connection = sqlite3.connect(
        str(path), timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = _lenient
    try:
        with takes_damage_for_such():
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            healed = [migrate(connection), mend(connection)]
    except BaseException:
        connection.close()
        raise
    return connection, "; ".join(filter(None, healed))


def _check_header(path: Path) -> None:
    """Raises :class:`Broken` where SQLite would take a damaged header for a disk that is full or
    read-only: bytes 18 and 19 are the versions of the format for writing and for reading."""
    with path.open("rb") as file:
        header = file.read(20)
    if len(header) == 20 and not set(header[18:20]) <= {1, 2}:
        raise Broken("its header is damaged")


def open_for_reading(path: Path) -> sqlite3.Connection:
    """The ledger at ``path``, for reading only. Raises ``sqlite3.Error`` and ``UnicodeError``."""
    # Not "ro": what a server that was killed left half written has to be rolled back before it can
    # be read, by whoever comes first. Where the disk is read-only, SQLite opens it so by itself.
    uri = path.absolute().as_uri() + "?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)
    connection.text_factory = _lenient
    try:
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def free_name(folder: Path, stem: str) -> Path:
    """A name for a ledger that is kept, which no other has."""
    name = folder / f"{stem}.sqlite3"
    number = 1
    while name.exists():
        number += 1
        name = folder / f"{stem}-{number}.sqlite3"
    return name


def put_aside(path: Path, now: datetime, stem: str = "ledger") -> Path:
    """Renames a broken ledger, with what SQLite keeps beside it, so that a new one can begin.

    Raises ``OSError``.
    """
    aside = free_name(path.parent, f"{stem}-broken-{now:%Y-%m-%d}")
    path.rename(aside)
    # Those of a write-ahead log are somebody else's, who opened it with another program.
    for end in ("-journal", "-wal", "-shm"):
        beside = path.with_name(f"{path.name}{end}")
        if beside.exists():
            beside.rename(aside.with_name(f"{aside.name}{end}"))
    return aside
