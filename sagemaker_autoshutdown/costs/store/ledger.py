"""The ledger: runs, stretches, prices and events on disk.

It decides when to write, and what happens if a write fails. Each write is one transaction, so a
crash loses only entries since the last one. If the disk takes no writes, entries stay in memory,
within bounds, and the next write tries them again; shutdowns go on meanwhile. All methods block:
call them from one thread that may wait.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from ...clock import to_iso, utcnow
from ...errors import Unavailable
from ...model import Event, Host, VolumePrice
from ...settings.locks import FileLock, Locked, file_identity
from ..microseconds import DAY, FOR_EVER, from_us, span_us, to_us
from ..observation import Observation
from . import days, reads
from .damage import Broken, is_of_the_disk, mend
from .database import open_for_reading, open_for_writing, put_aside, takes_damage_for_such
from .schema import MigrationFailed, TooNew
from .writes import write_event, write_observation, write_volume

FILE_NAME = "ledger.sqlite3"
LOCK_NAME = "ledger.lock"

#: Writes kept in memory while the disk takes none: more than a day at one observation a minute.
MAX_PENDING = 2000

Write = Callable[[sqlite3.Connection], None]


T = TypeVar("T")


class _Unwritable(Exception):
    """A write fails for a reason of its own, its ``__cause__``, not because of the disk."""

    def __init__(self, write: Write) -> None:
        self.write = write


class _Mended(Exception):
    """A write failed, but its cause has been repaired."""


class Ledger:
    """The ledger in ``folder``.

    ``error`` tells the user why nothing is recorded at present; ``notice`` tells which file was put
    aside. ``is_elsewhere`` means that another server writes the ledger. Two observations that are
    at most ``gap`` apart leave no gap in the record.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gap: timedelta,
        clock: Callable[[], datetime] = utcnow,
        log: logging.Logger | None = None,
    ) -> None:
        self.path = folder / FILE_NAME
        self.error = ""
        self.notice = ""
        self.is_elsewhere = False
        #: Changes with each file: data read from an earlier file is no longer valid.
        self.generation = 0
        self._gap = span_us(gap)
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self._db: sqlite3.Connection | None = None
        self._lock: FileLock | None = None
        self._identity: tuple[int, int] | None = None
        #: Whether a ledger that replaced a broken one is still empty.
        self._is_fresh = False
        self._pending: deque[Write] = deque(maxlen=MAX_PENDING)
        self._overflows = False
        self._behind: int | None = None
        self._ahead: timedelta | None = None
        self._changed_since = FOR_EVER

    # ---- writing ---------------------------------------------------------------------------

    def open(self) -> None:
        """Opens the ledger for writing. If that fails, ``error`` says why."""
        self._flush()

    def record(self, observation: Observation) -> int:
        """Records an observation. Returns the earliest time (microseconds) from which recorded
        costs have changed since the last such answer, or ``FOR_EVER`` if nothing was written."""
        at = to_us(observation.at)

        def write(db: sqlite3.Connection) -> None:
            last = reads.last_observed_at(db, observation.host)
            self._behind = last if last is not None and last - at > self._gap else None
            if last is not None and at <= last:
                return  # recorded already, by another server or before the clock was set back
            jump = 0
            if observation.ahead is not None and self._ahead is not None:
                jump = span_us(observation.ahead - self._ahead)
            changed_since = write_observation(db, observation, self._gap, jump)
            self._ahead = observation.ahead
            days.forget_since(db, changed_since)
            days.keep_until(db, at // DAY)
            self._changed_since = min(changed_since, self._changed_since)

        self._write(write)
        if self._pending:
            return FOR_EVER
        changed_since, self._changed_since = self._changed_since, FOR_EVER
        return changed_since

    def add_event(self, host: Host, event: Event) -> None:
        """Records an event, and the shutdown that it may belong to."""
        self._write(lambda db: write_event(db, host, event))

    def set_volume(self, host: Host, at: datetime, gigabytes: int, price: VolumePrice) -> None:
        """Records the size of a space's volume."""
        self._write(lambda db: write_volume(db, host, to_us(at), gigabytes, price))

    def close(self) -> None:
        """Closes the file and releases the lock."""
        self._close_file()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _close_file(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _write(self, write: Write) -> None:
        if len(self._pending) == MAX_PENDING and not self._overflows:
            self._overflows = True
            self._log.warning(
                "Costs and history could not be recorded for so long that the oldest records are "
                "dropped from now on"
            )
        self._pending.append(write)
        self._flush()

    def _flush(self) -> None:
        """Writes everything that is pending, all or nothing. Never raises."""
        try:
            try:
                lost = self._commit_all()
            except Broken as error:
                self._begin_anew(error)
                lost = self._commit_all()
        except Locked:
            self.is_elsewhere = True
            # When that server ends, entries that it recorded too are skipped.
            self._set_error(
                "Costs and history are not recorded here, because another server of yours records "
                "them. New entries stay in memory and are recorded when that server ends."
            )
        except (TooNew, MigrationFailed) as error:
            self._set_error(f"Costs and history are not recorded: {error}.")
            self.close()
        except Exception as error:
            if is_of_the_disk(error):
                self._set_error(
                    f"Costs and history can't be recorded in {self.path.parent} ({error}). Check "
                    "that there is space and that you may write there. Each check tries again."
                )
            elif isinstance(error, Broken):
                self._set_error(
                    f"Costs and history can't be recorded in {self.path.parent}: even a new record "
                    f"is broken ({error}). Check the disk."
                )
            else:
                self._log.debug("The record could not be written", exc_info=error)
                self._set_error(
                    f"Costs and history can't be recorded ({type(error).__name__}: {error}). "
                    "Please report it."
                )
            # This releases the lock, too, which may be on a file that is gone.
            self.close()
        else:
            self._overflows = False
            self._set_error(lost or self._clock_error())
            if self._behind is not None:
                self.close()  # nothing is recorded: "costs --repair" may have the file

    def _clock_error(self) -> str:
        if self._behind is None:
            return ""
        return (
            f"The clock is behind the last record ({to_iso(from_us(self._behind))}), so nothing is "
            "recorded until then. Check the clock of this machine. If it is right, that record was "
            "made while it was wrong: run `jupyter sagemaker-autoshutdown costs --repair`, which "
            "removes entries of the future and keeps a copy."
        )

    def _commit_all(self) -> str:
        """Writes everything pending except the entries that can't be written. Returns a text about
        lost entries, or an empty one."""
        lost = ""
        while True:
            try:
                self._commit()
            except _Mended as error:
                self._tell_mended(str(error))
                self._commit()
                return lost
            except _Unwritable as error:
                # Not the disk's fault, so a retry would fail for ever.
                self._pending.remove(error.write)
                self._log.error(
                    "A record of costs or history could not be written", exc_info=error.__cause__
                )
                lost = (
                    f"A record of costs or history was lost ({error.__cause__}). Please report it."
                )
            else:
                return lost

    def _commit(self) -> None:
        """One transaction. Raises :class:`_Unwritable`, or the error that prevents every write."""
        db = self._connect()
        if not self._pending:
            return
        before = self._behind, self._changed_since, self._ahead
        try:
            with takes_damage_for_such():
                db.execute("BEGIN IMMEDIATE")
            for write in self._pending:
                self._try(write, db)
            with takes_damage_for_such():
                db.execute("COMMIT")
        except BaseException:
            self._behind, self._changed_since, self._ahead = before
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._pending.clear()
        self._is_fresh = False

    def _try(self, write: Write, db: sqlite3.Connection) -> None:
        try:
            write(db)
        except Exception as error:
            if is_of_the_disk(error):
                raise
            # Is the new entry at fault, or the file?
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            with takes_damage_for_such():
                mended = mend(db)
                if not mended and type(error) is sqlite3.DatabaseError:
                    raise
            if mended:
                raise _Mended(mended) from error
            raise _Unwritable(write) from error

    def _connect(self) -> sqlite3.Connection:
        if self._lock is not None and not self._lock.is_current:
            # Somebody removed the folder: another server may hold the lock of the new one.
            self.close()
        if self._db is not None and file_identity(self.path) != self._identity:
            # Somebody removed the file. Anything written to the old one is lost with it.
            self._close_file()
        if self._db is None:
            folder = self.path.parent
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._lock is None:
                self._lock = FileLock(folder / LOCK_NAME)
                self.is_elsewhere = False
            self._db, mended = open_for_writing(self.path)
            identity = file_identity(self.path)
            if self._identity not in (None, identity):
                self.generation += 1
            self._identity = identity
            self._tell_mended(mended)
        return self._db

    def _tell_mended(self, mended: str) -> None:
        if mended:
            self._log.warning("The record of costs and history was damaged: %s", mended)

    def _begin_anew(self, error: Broken) -> None:
        """Puts a broken ledger aside. Needs the lock. If that fails, raises ``error``."""
        self._close_file()
        if self._is_fresh:
            raise error
        aside = put_aside(self.path, self._clock())
        self._is_fresh = True
        self.notice = (
            f"The record of costs and history was broken ({error}). It has been put aside as "
            f"{aside.name} and a new one begun: what was recorded before is missing here."
        )
        self._log.error("%s", self.notice)

    def _set_error(self, message: str) -> None:
        if message != self.error:
            if message:
                self._log.warning("%s", message)
            else:
                self._log.info("Costs and history are recorded again")
        self.error = message

    # ---- reading ---------------------------------------------------------------------------

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T | None:
        """The answer to a query of ``reads``; None if there is no ledger.

        Raises ``Unavailable`` if the ledger can't be read; a broken one has then been put aside. If
        a query fails on a sound ledger, its own error is raised.
        """
        if self._db is None:
            return read_ledger(self.path, query)
        try:
            return query(self._db)
        except Exception as error:
            if is_of_the_disk(error):
                raise _unreadable(error) from error
            try:
                with takes_damage_for_such():
                    mended = mend(self._db)
                if mended:
                    self._tell_mended(mended)
                    return query(self._db)
            except Broken as broken:
                self._put_aside_after_reading(broken)
                raise _unreadable(broken) from error
            except Exception as failure:
                raise _unreadable(failure) from error
            raise

    def _put_aside_after_reading(self, error: Broken) -> None:
        try:
            self._begin_anew(error)
        except Exception as failure:
            self._set_error(f"Costs and history can't be read ({error}), nor put aside: {failure}")
        else:
            self._flush()


def read_ledger(path: Path, query: Callable[[sqlite3.Connection], T]) -> T | None:
    """The answer to a query of the ledger at ``path``, even while another process writes it.

    None if there is no ledger, or an empty one. Raises ``Unavailable``.
    """
    try:
        if not path.exists():
            return None
        with contextlib.closing(open_for_reading(path)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            return query(db) if version else None
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> Unavailable:
    said = "its tables can't be read" if isinstance(error, UnicodeError) else str(error)
    return Unavailable(
        f"The record of costs and history can't be read: {said or type(error).__name__}"
    )
