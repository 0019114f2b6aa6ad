"""Removes records that a wrong clock put into the future of a ledger. Keeps a copy.

As long as such a record exists, nothing is recorded until its time comes, because everything
earlier than the last observation counts as already recorded.
"""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ...settings.locks import FileLock
from ..microseconds import to_us
from .database import free_name, open_for_writing, takes_damage_for_such
from .ledger import LOCK_NAME

#: How many seconds to wait for a server. If its record is ahead, it releases the lock at each
#: check.
LOCK_WAIT = 5.0


class Repaired(NamedTuple):
    """The removed entries, and the copy of the ledger as it was before."""

    runs: int
    stretches: int
    events: int
    kept_as: Path


def repair(path: Path, now: datetime) -> Repaired | None:
    """Ends the record at ``path`` at the present time. None if nothing in it is later.

    Raises ``Locked``, ``Broken``, ``TooNew``, ``MigrationFailed``, ``OSError`` and
    ``sqlite3.OperationalError``; the ledger is then unchanged.
    """
    lock = FileLock(path.with_name(LOCK_NAME), LOCK_WAIT)
    try:
        trimmed = path.with_name(f"{path.name}.repaired")
        trimmed.unlink(missing_ok=True)
        try:
            removed = _trim_copy(path, trimmed, to_us(now))
            if removed is None:
                return None
            kept = free_name(path.parent, f"ledger-before-repair-{now:%Y-%m-%d}")
            path.rename(kept)
            trimmed.rename(path)
        finally:
            trimmed.unlink(missing_ok=True)
        return Repaired(*removed, kept)
    finally:
        lock.release()


def _trim_copy(path: Path, trimmed: Path, now: int) -> tuple[int, int, int] | None:
    # Open it for writing first: this rolls back half-written transactions and updates old tables.
    with takes_damage_for_such(), contextlib.closing(open_for_writing(path)[0]) as source:
        if not _is_ahead(source, now):
            return None
        trimmed.touch(mode=0o600)
        copy = sqlite3.connect(str(trimmed), isolation_level=None)
        with contextlib.closing(copy) as db:
            source.backup(db)
            db.execute("BEGIN IMMEDIATE")
            removed = _trim(db, now)
            db.execute("COMMIT")
            return removed


def _is_ahead(db: sqlite3.Connection, now: int) -> bool:
    (last,) = db.execute(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM looks UNION ALL SELECT max(seen_at) FROM "
        "runs UNION ALL SELECT max(ended_at) FROM stretches UNION ALL SELECT max(at) FROM events "
        "UNION ALL SELECT max(since) FROM volumes)"
    ).fetchone()
    return last is not None and last > now


def _trim(db: sqlite3.Connection, now: int) -> tuple[int, int, int]:
    stretches = db.execute("DELETE FROM stretches WHERE started_at >= ?", (now,)).rowcount
    db.execute("UPDATE stretches SET ended_at = ?1, estimated = 1 WHERE ended_at > ?1", (now,))
    db.execute(
        "DELETE FROM stretches WHERE run_id IN (SELECT id FROM runs WHERE started_at >= ?)", (now,)
    )
    runs = db.execute("DELETE FROM runs WHERE started_at >= ?", (now,)).rowcount
    # A run that is up goes on if its app is up at the next observation.
    db.execute(
        "UPDATE runs SET seen_at = min(seen_at, ?1), held_until = min(held_until, ?1), "
        "ended_at = min(ended_at, ?1), shutdown_at = min(shutdown_at, ?1)",
        (now,),
    )
    events = db.execute("DELETE FROM events WHERE at > ?", (now,)).rowcount
    db.execute("DELETE FROM volumes WHERE since > ?", (now,))
    db.execute("UPDATE looks SET at = min(at, ?)", (now,))
    db.execute("UPDATE prices SET first_used_at = min(first_used_at, ?)", (now,))
    db.execute("DELETE FROM days")
    db.execute("UPDATE days_until SET day = 0")
    return runs, stretches, events
