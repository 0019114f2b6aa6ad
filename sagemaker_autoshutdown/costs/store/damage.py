"""Finds damage in a ledger on disk, and repairs it if that loses nothing.

SQLite checks its pages but not their contents: a flipped bit can leave a price that is not a
number, or a time in the year 200,000. Data that follows from other tables (indexes, daily sums) is
rebuilt; otherwise the file is :class:`Broken`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from ..microseconds import DAY

Connection = sqlite3.Connection


class Broken(Exception):
    """The file is not a ledger, or its contents are damaged."""


#: SQLite's messages if the disk, a lock or a right is at fault. The file itself may be sound.
_OF_THE_DISK = (
    "unable to open",
    "disk i/o",
    "is full",
    "readonly database",
    "is locked",
    "locking protocol",
    "interrupted",
    "access permission",
    "out of memory",
    "large file support",
)

#: The year 2500. No clock is that far ahead, and later years break some calendars.
LATEST = 193_579 * DAY
#: USD per hour or month, and gigabytes.
MOST_USD = Decimal(1_000_000)
MOST_GIGABYTES = 1_000_000

# Columns by the values they may hold. A name with a question mark may be empty.
_TIMES = {
    "prices": "first_used_at",
    "runs": "started_at seen_at ended_at? held_until shutdown_at?",
    "stretches": "started_at ended_at closed_since?",
    "volumes": "since",
    "events": "at shutdown_at? run_started_at?",
    "looks": "at",
}
_TEXTS = {
    "prices": "region instance_type app_type usd_per_hour? source date",
    "runs": "region domain_id owner app_type app_name instance_type instance shutdown_reason",
    "stretches": "reason? evidence?",
    "volumes": "region domain_id owner usd_per_gb_month",
    "events": "kind message app_name app_type instance_type reason? domain_id? owner?",
    "looks": "domain_id owner",
}
_SWITCHES = {"runs": "idle", "stretches": "idle estimated", "volumes": "estimated"}


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the disk, a lock or a right is at fault, not the file."""
    if isinstance(error, sqlite3.OperationalError):
        said = str(error).lower()
        return any(words in said for words in _OF_THE_DISK)
    return isinstance(error, (OSError, MemoryError))


def mend(db: Connection) -> str:
    """Rebuilds data that follows from other tables. Returns a text for the log, empty if there was
    nothing to rebuild.

    Raises :class:`Broken`, and whatever SQLite raises.
    """
    mended = []
    finding = _finding(db)
    if "index" in finding:
        db.execute("REINDEX")
        finding = _finding(db)
        mended.append("its indexes were rebuilt")
    if finding != "ok":
        raise Broken(finding)
    if db.execute("PRAGMA foreign_key_check").fetchone():
        raise Broken("a row refers to a row that is gone")
    for table, column in _wrong_values(db):
        raise Broken(f"{table}.{column} holds an impossible value")
    if not _days_are_sound(db):
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM days")
        db.execute("DELETE FROM days_until")
        db.execute("INSERT INTO days_until VALUES (0)")
        db.execute("COMMIT")
        mended.append("its daily sums were rebuilt")
    return " and ".join(mended)


def _finding(db: Connection) -> str:
    (finding,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    return str(finding)


def _wrong_values(db: Connection) -> Iterator[tuple[str, str]]:
    """Tables and columns with values that no version of this product writes there."""
    for columns_of, is_sound in (
        (_TIMES, f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN 0 AND {LATEST}"),
        (_TEXTS, "typeof({0}) = 'text'"),
        (_SWITCHES, "typeof({0}) = 'integer' AND {0} IN (0, 1)"),
    ):
        for table, columns in columns_of.items():
            for column in columns.split():
                name = column.rstrip("?")
                sound = is_sound.format(name)
                if column.endswith("?"):
                    sound = f"{name} IS NULL OR {sound}"
                if db.execute(f"SELECT 1 FROM {table} WHERE NOT ({sound}) LIMIT 1").fetchone():  # noqa: S608
                    yield table, name
    for table, column in (("prices", "usd_per_hour"), ("volumes", "usd_per_gb_month")):
        for (text,) in db.execute(f"SELECT DISTINCT {column} FROM {table}"):  # noqa: S608
            if text is not None and not _is_price(text):
                yield table, column
    if db.execute(
        "SELECT 1 FROM volumes WHERE typeof(gigabytes) != 'integer' "
        "OR gigabytes NOT BETWEEN 0 AND ? LIMIT 1",
        (MOST_GIGABYTES,),
    ).fetchone():
        yield "volumes", "gigabytes"


def _is_price(text: str) -> bool:
    try:
        usd = Decimal(text)
        return usd.is_finite() and 0 <= usd <= MOST_USD and usd.as_tuple().exponent >= -20  # type: ignore[operator]
    except InvalidOperation:
        return False


def _days_are_sound(db: Connection) -> bool:
    """Whether the daily sums look as this product writes them, without duplicates."""
    untils = db.execute("SELECT day, typeof(day) FROM days_until").fetchall()
    if len(untils) != 1 or untils[0][1] != "integer" or untils[0][0] < 0:
        return False
    (until,) = untils[0][:1]
    # A day is not added up before it is over at the last observation, nor twice.
    (last_observed_at,) = db.execute("SELECT max(at) FROM looks").fetchone()
    if until > (0 if last_observed_at is None else last_observed_at) // DAY:
        return False
    if db.execute(
        "SELECT 1 FROM days WHERE typeof(day) != 'integer' OR day NOT BETWEEN 0 AND ? - 1 "
        "OR typeof(duration) != 'integer' OR duration NOT BETWEEN 0 AND ? OR idle NOT IN (0, 1) "
        "OR estimated NOT IN (0, 1) OR typeof(instance) != 'text' "
        "OR typeof(instance_type) != 'text' OR typeof(apps) != 'text' LIMIT 1",
        (until, DAY),
    ).fetchone():
        return False
    return all(
        usd is None or (isinstance(usd, str) and _is_price(usd))
        for (usd,) in db.execute("SELECT DISTINCT usd_per_hour FROM days")
    ) and all(_is_list_of_names(apps) for (apps,) in db.execute("SELECT DISTINCT apps FROM days"))


def _is_list_of_names(text: str) -> bool:
    try:
        names = json.loads(text)
    except ValueError:
        return False
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
