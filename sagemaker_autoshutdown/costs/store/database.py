"""Opens the ledger's file, checks it and, if it is broken, puts it aside.

Home folders in Studio are on NFS (EFS). So there is no write-ahead log, which needs memory shared
by one machine, and there is only one writer: it holds a lock on a file beside the ledger. Any
number of processes may read.
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

#: How many seconds to wait for a reader to finish.
BUSY_TIMEOUT = 5.0
#: Written data survives even a sudden end of the machine.
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

#: Damaged text is shown as far as it can be decoded.
_lenient = partial(str, encoding="utf-8", errors="replace")


@contextlib.contextmanager
def takes_damage_for_such() -> Iterator[None]:
    """Turns errors in here into :class:`Broken`, except errors of the disk and the named ones.

    Not only ``sqlite3.DatabaseError``: for a damaged table, SQLite also raises errors about invalid
    UTF-8 and missing columns.
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
    """Opens the ledger at ``path`` and creates it if necessary, readable by its owner only. Also
    returns a text for the log about repairs.

    Raises :class:`Broken`, :class:`TooNew` and :class:`MigrationFailed`, and ``OSError`` or
    ``sqlite3.OperationalError`` if the disk is at fault.
    """
    # SQLite gives its journal the same mode as the file.
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
    """Raises :class:`Broken` if SQLite would mistake a damaged header for a disk that is full or
    read-only: bytes 18 and 19 are the versions of the format for writing and for reading."""
    with path.open("rb") as file:
        header = file.read(20)
    if len(header) == 20 and not set(header[18:20]) <= {1, 2}:
        raise Broken("its header is damaged")


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Opens the ledger at ``path`` for reading. Raises ``sqlite3.Error`` and ``UnicodeError``."""
    # Not "ro": if a killed server left a half-written transaction, the first reader has to roll it
    # back. If the disk is read-only, SQLite opens the file that way by itself.
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
    """An unused name under which to keep a ledger."""
    name = folder / f"{stem}.sqlite3"
    number = 1
    while name.exists():
        number += 1
        name = folder / f"{stem}-{number}.sqlite3"
    return name


def put_aside(path: Path, now: datetime, stem: str = "ledger") -> Path:
    """Renames a broken ledger and SQLite's files beside it, so that a new one can begin.

    Raises ``OSError``.
    """
    aside = free_name(path.parent, f"{stem}-broken-{now:%Y-%m-%d}")
    path.rename(aside)
    # Write-ahead logs belong to somebody who opened the file with another program.
    for end in ("-journal", "-wal", "-shm"):
        beside = path.with_name(f"{path.name}{end}")
        if beside.exists():
            beside.rename(aside.with_name(f"{aside.name}{end}"))
    return aside
