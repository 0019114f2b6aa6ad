"""The state between sweeps: SQLite, one file, one writer at a time.

A step is stored only if the scope is still at the sweep from which the step was made. So only one
of two sweepers that make the same step stores it, and a sweep that comes twice, or after a later
one, changes nothing. A step is one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..clock import utcnow
from ..costs.microseconds import from_us, to_us
from ..costs.store.damage import is_of_the_disk
from ..costs.store.database import put_aside
from .advance import Charge, ChargeKey, Step
from .model import Key, ReportKey, Run, Scope, State
from .record import Cost, StoreError, Total

FILE_NAME = "fleet.sqlite3"
VERSION = 2
#: How many seconds to wait for another process.
BUSY_TIMEOUT = 30.0
#: How long costs are kept by day. Their totals are kept for ever.
DAYS_KEPT = timedelta(days=400)

_SCHEMA = """
CREATE TABLE scopes (
  account TEXT NOT NULL, region TEXT NOT NULL, sweep TEXT NOT NULL,
  PRIMARY KEY (account, region)
) WITHOUT ROWID;
CREATE TABLE seen (
  account TEXT NOT NULL, region TEXT NOT NULL, part TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (account, region, part)
) WITHOUT ROWID;
CREATE TABLE runs (
  account TEXT NOT NULL, region TEXT NOT NULL, domain TEXT NOT NULL, owner_kind TEXT NOT NULL,
  owner TEXT NOT NULL, app_type TEXT NOT NULL, name TEXT NOT NULL,
  up_since INTEGER NOT NULL, changed_at INTEGER NOT NULL, instance_type TEXT NOT NULL,
  size_gb INTEGER NOT NULL,
  PRIMARY KEY (account, region, domain, owner_kind, owner, app_type, name)
) WITHOUT ROWID;
CREATE TABLE heard (
  account TEXT NOT NULL, region TEXT NOT NULL, domain TEXT NOT NULL, owner_kind TEXT NOT NULL,
  owner TEXT NOT NULL, host_kind TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (account, region, domain, owner_kind, owner, host_kind)
) WITHOUT ROWID;
CREATE TABLE days (
  account TEXT NOT NULL, region TEXT NOT NULL, day TEXT NOT NULL, domain TEXT NOT NULL,
  owner TEXT NOT NULL, app_type TEXT NOT NULL, instance_type TEXT NOT NULL,
  nano INTEGER NOT NULL, estimated_nano INTEGER NOT NULL, billed_us INTEGER NOT NULL,
  unpriced_us INTEGER NOT NULL,
  PRIMARY KEY (account, region, day, domain, owner, app_type, instance_type)
) WITHOUT ROWID;
CREATE TABLE totals (
  account TEXT NOT NULL, region TEXT NOT NULL, domain TEXT NOT NULL, owner TEXT NOT NULL,
  app_type TEXT NOT NULL, instance_type TEXT NOT NULL, nano INTEGER NOT NULL,
  PRIMARY KEY (account, region, domain, owner, app_type, instance_type)
) WITHOUT ROWID;
"""

#: Since version 2: planned and past shutdowns.
_ACTING = """
CREATE TABLE holds (
  account TEXT NOT NULL, region TEXT NOT NULL, run TEXT NOT NULL, version INTEGER NOT NULL,
  changed_at INTEGER NOT NULL, open INTEGER NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (account, region, run)
) WITHOUT ROWID;
CREATE TABLE history (
  event TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL, document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX history_at ON history (at);
"""
#: The tables that each version adds.
_ADDED = {1: _SCHEMA, 2: _ACTING}

_ADD_DAY = """
INSERT INTO days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account, region, day, domain, owner, app_type, instance_type) DO UPDATE SET
  nano = nano + excluded.nano,
  estimated_nano = estimated_nano + excluded.estimated_nano,
  billed_us = billed_us + excluded.billed_us, unpriced_us = unpriced_us + excluded.unpriced_us
"""
_ADD_TOTAL = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account, region, domain, owner, app_type, instance_type) DO UPDATE SET
  nano = nano + excluded.nano
"""


#: The errors of a damaged page.
_SHOWS_DAMAGE = (sqlite3.Error, UnicodeError, OverflowError, TypeError, ValueError)


class _Damaged(Exception):
    """The file is not a record, or not any more."""


class Store:
    """The record of a fleet. Its methods block; call them from one thread at a time."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Opens the file, and creates it if necessary. Raises :class:`StoreError`.

        A damaged one is put aside, and a new one begun: ``put_aside`` then names it. A reader
        leaves it where it is.
        """
        self.path = path
        self.put_aside: Path | None = None
        try:
            if read_only:
                uri = path.absolute().as_uri() + "?mode=rw"
                self._db = _connect(uri, uri=True)
                self._db.execute("PRAGMA query_only = ON")
                self._check(self._version())
                return
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._open()
            except _Damaged:
                self.put_aside = put_aside(path, utcnow(), "fleet")
                self._open()
        except (sqlite3.Error, OSError, _Damaged) as error:
            raise StoreError(f"The record {path} can't be used: {error}.") from None

    def _open(self) -> None:
        # Readable by its owner only; SQLite gives its journal the same mode.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = _connect(str(self.path))
        try:
            (finding,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if finding != "ok":
                raise _Damaged(finding)
            self._migrate()
            self._read_everything()
        except BaseException as error:
            self._db.close()
            if isinstance(error, _SHOWS_DAMAGE) and not is_of_the_disk(error):
                raise _Damaged(str(error)) from None
            raise

    def _read_everything(self) -> None:
        """SQLite checks its pages but not their contents: a flipped bit can leave a time in the
        year 200,000, or a cost that is not a number."""
        for row in self._db.execute("SELECT account, region FROM scopes").fetchall():
            self._load(Scope(*row))
        for table in ("days", "totals"):
            wrong = f"SELECT 1 FROM {table} WHERE typeof(nano) != 'integer'"  # noqa: S608
            if self._db.execute(wrong).fetchone():
                raise _Damaged(f"{table}.nano holds what can't be")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _check(self, version: int) -> None:
        if version > VERSION:
            raise StoreError(
                f"The record {self.path} was made by a newer version of this package: install "
                "that, or name another data_dir."
            )

    def _migrate(self) -> None:
        if self._version() == VERSION:
            return  # a record that turns out to be damaged only later stays unchanged
        with self._transaction():
            version = self._version()
            self._check(version)
            for number in range(version + 1, VERSION + 1):
                for statement in _ADDED[number].split(";"):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # A full disk may have ended it already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # -- the state

    def load(self, scope: Scope) -> State:
        """The memory of a scope; empty for a new one."""
        with self._reading():
            return self._load(scope)

    def _load(self, scope: Scope) -> State:
        row = self._db.execute(
            "SELECT sweep FROM scopes WHERE account = ? AND region = ?", scope
        ).fetchone()
        if row is None:
            return State(scope)
        seen = self._db.execute("SELECT part, at FROM seen WHERE account = ? AND region = ?", scope)
        runs = self._db.execute(
            "SELECT domain, owner_kind, owner, app_type, name, up_since, changed_at, "
            "instance_type, size_gb FROM runs WHERE account = ? AND region = ?",
            scope,
        )
        heard = self._db.execute(
            "SELECT domain, owner_kind, owner, host_kind, at FROM heard "
            "WHERE account = ? AND region = ?",
            scope,
        )
        return State(
            scope,
            row[0],
            {part: from_us(at) for part, at in seen},
            {
                Key(*found[:5]): Run(from_us(found[5]), from_us(found[6]), found[7], found[8])
                for found in runs
            },
            {ReportKey(*found[:4]): from_us(found[4]) for found in heard},
        )

    def apply(self, step: Step, before: str) -> bool:
        """Stores a step that was made from the state after the sweep ``before``. Returns False,
        without a change, if the scope is at another sweep by now."""
        state = step.state
        scope = state.scope
        try:
            with self._transaction():
                if not self._advance(scope, before, state.sweep_id):
                    return False
                self._write(step)
        except sqlite3.Error as error:
            raise StoreError(f"The record {self.path} can't be written: {error}.") from None
        return True

    def _advance(self, scope: Scope, before: str, sweep_id: str) -> bool:
        if not before:
            done = self._db.execute(
                "INSERT OR IGNORE INTO scopes VALUES (?, ?, ?)", (*scope, sweep_id)
            )
        else:
            done = self._db.execute(
                "UPDATE scopes SET sweep = ? WHERE account = ? AND region = ? AND sweep = ? "
                "AND sweep < ?",
                (sweep_id, *scope, before, sweep_id),
            )
        return done.rowcount == 1

    def _write(self, step: Step) -> None:
        scope = step.state.scope
        write = self._db.executemany
        write(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
            ((*scope, part, to_us(at)) for part, at in step.state.seen.items()),
        )
        write(
            "DELETE FROM runs WHERE account = ? AND region = ? AND domain = ? AND owner_kind = ? "
            "AND owner = ? AND app_type = ? AND name = ?",
            ((*scope, *key) for key in step.ended),
        )
        write(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *scope,
                    *key,
                    to_us(run.up_since),
                    to_us(run.changed_at),
                    run.instance_type,
                    run.size_gb,
                )
                for key, run in step.began.items()
            ),
        )
        write(
            "DELETE FROM heard WHERE account = ? AND region = ? AND domain = ? AND owner_kind = ? "
            "AND owner = ? AND host_kind = ?",
            ((*scope, *name) for name in step.forgotten),
        )
        write(
            "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((*scope, *name, to_us(at)) for name, at in step.heard.items()),
        )
        write(_ADD_DAY, ((*scope, *key, *charge) for key, charge in step.charges.items()))
        write(
            _ADD_TOTAL,
            ((*scope, *key[1:], charge.nano) for key, charge in step.charges.items()),
        )
        oldest = max(step.state.seen.values()) - DAYS_KEPT
        self._db.execute(
            "DELETE FROM days WHERE account = ? AND region = ? AND day < ?",
            (*scope, f"{oldest:%Y-%m-%d}"),
        )

    # -- for other parts that keep something in the same file

    def write(self, statement: str, values: Sequence[object]) -> int:
        """Runs one statement by itself; returns the number of changed rows. Raises
        ``sqlite3.Error``."""
        return self._db.execute(statement, values).rowcount

    def rows(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """The result of a query; empty for a record that an older version made and nobody has
        written to since then."""
        if self._version() < VERSION:
            return []
        return self._db.execute(statement, values).fetchall()

    # -- reading

    def totals(self) -> Iterator[Total]:
        """The costs since records began. They never fall."""
        with self._reading():
            for row in self._db.execute("SELECT * FROM totals"):
                yield Total(Scope(row[0], row[1]), *row[2:])

    def costs(self, start: str, end: str) -> Iterator[Cost]:
        """The costs of the days (UTC, as ``2026-09-01``) from the first to before the last."""
        query = "SELECT * FROM days WHERE day >= ? AND day < ?"
        with self._reading():
            for row in self._db.execute(query, (start, end)):
                yield Cost(Scope(row[0], row[1]), ChargeKey(*row[2:7]), Charge(*row[7:]))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except _SHOWS_DAMAGE as error:
            raise StoreError(
                f"The record {self.path} can't be read: {error}. If it is damaged, fleet run puts "
                "it aside when it starts."
            ) from None


def _connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        path, uri=uri, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
