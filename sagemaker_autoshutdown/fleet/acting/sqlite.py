"""Holds and audit of ``fleet run``, in the same file as its record."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from ...costs.microseconds import to_us
from ..model import Scope
from ..store import Store
from .audit import row
from .model import Event, Hold, RunId
from .protocols import Unavailable
from .steps import KEPT_FOR
from .wire import from_json, to_json


class SqliteHolds:
    """The :class:`~.protocols.Holds` of a record."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, hold: Hold) -> bool:
        """Stores a hold of version 1, if the run has none."""
        return self._write(
            "INSERT OR IGNORE INTO holds (account, region, run, version, changed_at, open, "
            "document) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *hold.run.scope,
                str(hold.run),
                hold.version,
                to_us(hold.changed_at),
                hold.is_open,
                json.dumps(to_json(hold)),
            ),
        )

    def replace(self, hold: Hold) -> bool:
        """Stores a hold of version N, if the stored one is of version N - 1."""
        return self._write(
            "UPDATE holds SET version = ?, changed_at = ?, open = ?, document = ? "
            "WHERE account = ? AND region = ? AND run = ? AND version = ?",
            (
                hold.version,
                to_us(hold.changed_at),
                hold.is_open,
                json.dumps(to_json(hold)),
                *hold.run.scope,
                str(hold.run),
                hold.version - 1,
            ),
        )

    def read(self, run: RunId) -> Hold | None:
        """The hold of a run."""
        found = self._store.rows(
            "SELECT document FROM holds WHERE account = ? AND region = ? AND run = ?",
            (*run.scope, str(run)),
        )
        return next((from_json(Hold, json.loads(document)) for (document,) in found), None)

    def of(self, scope: Scope) -> Iterator[Hold]:
        """All holds of a scope."""
        for (document,) in self._store.rows(
            "SELECT document FROM holds WHERE account = ? AND region = ?", tuple(scope)
        ):
            yield from_json(Hold, json.loads(document))

    def forget(self, now: datetime) -> None:
        """Removes holds that ended long ago."""
        before = to_us(now - KEPT_FOR)
        self._write("DELETE FROM holds WHERE NOT open AND changed_at < ?", (before,))

    def _write(self, statement: str, values: Sequence[object]) -> bool:
        try:
            return self._store.write(statement, values) == 1
        except sqlite3.Error as error:
            raise Unavailable(f"the record {self._store.path} can't be written: {error}") from None


class SqliteAudit:
    """The :class:`~.protocols.Audit` of a record."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, events: Sequence[Event]) -> None:
        """Appends; an event that exists stays unchanged."""
        try:
            for event in events:
                self._store.write(
                    "INSERT OR IGNORE INTO history VALUES (?, ?, ?)",
                    (event.event_id, to_us(event.at), json.dumps(row(event))),
                )
        except sqlite3.Error as error:
            raise Unavailable(f"the record {self._store.path} can't be written: {error}") from None

    def since(self, start: datetime) -> Iterator[dict[str, object]]:
        """The events from a time on, oldest first, in the form of ``audit.row``."""
        for (document,) in self._store.rows(
            "SELECT document FROM history WHERE at >= ? ORDER BY at, event", (to_us(start),)
        ):
            yield json.loads(document)
