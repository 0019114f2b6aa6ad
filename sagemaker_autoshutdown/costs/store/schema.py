"""The ledger's tables, and how a file of an older version is brought up to date.

``MIGRATIONS[n]`` leads from version ``n`` to ``n + 1``; a released step never changes. Each step
changes a table, so the tables, too, show the version: a version number that does not fit them is
damage. Times are microseconds since 1970 in UTC, prices are decimal text.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from functools import lru_cache

from .damage import Broken, is_of_the_disk

_VERSION_1 = """
CREATE TABLE prices (
    id INTEGER PRIMARY KEY,
    region TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    app_type TEXT NOT NULL,
    usd_per_hour TEXT,              -- NULL: unpriced
    source TEXT NOT NULL,
    date TEXT NOT NULL,
    first_used_at INTEGER NOT NULL
);
-- One app from when it came up until it was gone.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    region TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    app_type TEXT NOT NULL,
    app_name TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    instance TEXT NOT NULL,         -- what is billed
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,       -- the last look at which it was up
    ended_at INTEGER,               -- NULL: it is up
    idle INTEGER NOT NULL,          -- its state at the last look
    held_until INTEGER NOT NULL,    -- until when it was used for sure
    price_id INTEGER NOT NULL REFERENCES prices,
    shutdown_reason TEXT NOT NULL DEFAULT ''  -- of a shutdown that SageMaker accepted
);
CREATE INDEX runs_open ON runs (domain_id, owner) WHERE ended_at IS NULL;
CREATE INDEX runs_by_end ON runs (ended_at);
-- What a run was doing. Neighbours that are alike are one.
CREATE TABLE stretches (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    idle INTEGER NOT NULL,
    estimated INTEGER NOT NULL,     -- not seen but reconstructed
    price_id INTEGER NOT NULL REFERENCES prices
);
CREATE INDEX stretches_by_run ON stretches (run_id, ended_at);
CREATE INDEX stretches_by_end ON stretches (ended_at);
-- The size of a space's volume, from the time it was seen to have it.
CREATE TABLE volumes (
    id INTEGER PRIMARY KEY,
    region TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    since INTEGER NOT NULL,
    gigabytes INTEGER NOT NULL,
    usd_per_gb_month TEXT NOT NULL,
    estimated INTEGER NOT NULL
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    app_name TEXT NOT NULL,
    app_type TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    reason TEXT,
    shutdown_at INTEGER
);
CREATE INDEX events_by_app ON events (app_name, at);
-- What was billed on days that are over, added up from the stretches so that a year is read in no
-- time. A write that changes such a day throws its sums away, in the same transaction.
CREATE TABLE days (
    day INTEGER NOT NULL,           -- since 1970, UTC
    instance TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    apps TEXT NOT NULL,             -- those that were up, a JSON array
    idle INTEGER NOT NULL,
    usd_per_hour TEXT,
    estimated INTEGER NOT NULL,
    duration INTEGER NOT NULL
);
CREATE INDEX days_by_day ON days (day);
-- One row: all days before this one are in the table above.
CREATE TABLE days_until (day INTEGER NOT NULL);
INSERT INTO days_until VALUES (0);
"""

_VERSION_2 = """
-- The last look at the apps of each owner: what was not up then, was not up then.
CREATE TABLE looks (
    domain_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (domain_id, owner)
) WITHOUT ROWID;
INSERT INTO looks SELECT domain_id, owner, max(seen_at) FROM runs GROUP BY domain_id, owner;
"""

_VERSION_3 = """
-- Since when no browser was connected; NULL: one was, or nobody knows. Part of what tells a stretch
-- from its neighbours, as a second limit (closed_idle_timeout) may apply from then on.
ALTER TABLE stretches ADD COLUMN closed_since INTEGER;
-- Why it counted as idle or in use when it began (a Reason), and what that was seen by, for people.
ALTER TABLE stretches ADD COLUMN reason TEXT;
ALTER TABLE stretches ADD COLUMN evidence TEXT;
-- When SageMaker accepted the shutdown: from then to ended_at the deletion took.
ALTER TABLE runs ADD COLUMN shutdown_at INTEGER;
UPDATE runs SET shutdown_at = (SELECT max(e.at) FROM events AS e WHERE e.kind = 'shutdown'
    AND e.app_name = runs.app_name AND e.app_type = runs.app_type AND e.at >= runs.started_at
    AND (runs.ended_at IS NULL OR e.at <= runs.ended_at)) WHERE shutdown_reason != '';
-- Whose app an event is about, and which run of it; NULL in what older versions recorded.
ALTER TABLE events ADD COLUMN domain_id TEXT;
ALTER TABLE events ADD COLUMN owner TEXT;
ALTER TABLE events ADD COLUMN run_started_at INTEGER;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3)


#: More versions than any product has.
_MOST_VERSIONS = 1000

#: Tables with their columns, and indexes with their definitions.
Structure = frozenset[tuple[str, str, tuple[tuple[object, ...], ...]]]


class TooNew(Exception):
    """The file was written by a later version of this product."""


class MigrationFailed(Exception):
    """A step does not work on a sound file: a defect of this package."""


def migrate(connection: sqlite3.Connection) -> str:
    """Brings the tables up to date, all or nothing. Returns a text about repairs, or an empty one.

    Raises :class:`TooNew`, :class:`MigrationFailed`, :class:`Broken`, and whatever SQLite raises.
    """
    mended = ""
    with _transaction(connection):
        version = _version(connection)
        found = _structure_of(connection)
        if version > len(MIGRATIONS) or found != _structure(MIGRATIONS[:version]):
            fitting = [
                number
                for number in range(len(MIGRATIONS) + 1)
                if found == _structure(MIGRATIONS[:number])
            ]
            if not fitting:
                if len(MIGRATIONS) < version <= _MOST_VERSIONS:
                    raise TooNew(
                        f"the record has version {version}, but this package knows versions up to "
                        f"{len(MIGRATIONS)} only: nothing is recorded until you upgrade it"
                    )
                raise Broken("its tables are not those of the record")
            mended = f"its version number was {version}, but it is {fitting[-1]}"
            version = fitting[-1]
        if mended or version < len(MIGRATIONS):
            try:
                for step in MIGRATIONS[version:]:
                    for statement in step.split(";\n"):
                        connection.execute(statement)
            except sqlite3.OperationalError as error:
                if is_of_the_disk(error):
                    raise
                raise MigrationFailed(
                    f"the record can't be brought to version {len(MIGRATIONS)}: {error}"
                ) from error
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    return mended


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@lru_cache(maxsize=16)
def _structure(steps: tuple[str, ...]) -> Structure:
    """The structure that these steps make of an empty file."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for step in steps:
            for statement in step.split(";\n"):
                connection.execute(statement)
        return _structure_of(connection)


def _structure_of(connection: sqlite3.Connection) -> Structure:
    found = []
    for kind, name, sql in connection.execute(
        "SELECT type, name, sql FROM sqlite_master"
    ).fetchall():
        if kind == "table":
            quoted = name.replace('"', '""')
            columns = tuple(connection.execute(f'PRAGMA table_info("{quoted}")'))
        else:
            columns = ((sql,),)
        found.append((kind, name, columns))
    return frozenset(found)
