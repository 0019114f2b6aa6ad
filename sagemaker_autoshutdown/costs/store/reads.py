"""Questions to the ledger. Each function takes a connection and blocks while it reads."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeVar

from ...model import Event, EventKind, Host, HostKind, Reason
from ..billing.arithmetic import Stretch
from ..billing.avoided import Run
from ..billing.volumes import Volume
from ..microseconds import from_us, to_us

Connection = sqlite3.Connection
E = TypeVar("E", bound=Enum)


class Timeline(NamedTuple):
    """One run of an app, and its whole course. ``ended_by`` is the reason of its shutdown, or empty
    if it ended otherwise; ``is_up`` means that it has not ended. ``shutdown_at`` is the time when
    SageMaker accepted the shutdown."""

    domain_id: str
    owner: str
    app_type: str
    app: str
    ended_by: str
    is_up: bool
    stretches: tuple[Stretch, ...]
    shutdown_at: int | None = None


class Hold(NamedTuple):
    """A keep-alive of a run of an app: its start, and its end, which is no later than the run's."""

    domain_id: str
    owner: str
    app_type: str
    app: str
    start: int
    end: int


@lru_cache(maxsize=1024)
def to_usd(text: str | None) -> Decimal | None:
    """A price as stored."""
    return None if text is None else Decimal(text)


def stretches(db: Connection, start: int, end: int) -> list[Stretch]:
    """The activity of apps between two times. Stretches that reach beyond are not cut."""
    return [
        Stretch(instance, began, ended, app, instance_type, idle == 1, to_usd(usd), estimated == 1)
        for instance, began, ended, app, instance_type, idle, usd, estimated in db.execute(
            "SELECT r.instance, s.started_at, s.ended_at, r.app_name, r.instance_type, s.idle, "
            "p.usd_per_hour, s.estimated FROM stretches AS s JOIN runs AS r ON r.id = s.run_id "
            "JOIN prices AS p ON p.id = s.price_id WHERE s.ended_at > ? AND s.started_at < ?",
            (start, end),
        )
    ]


def runs(db: Connection, start: int, end: int) -> list[Run]:
    """The runs that were up between two times, each with its last price.

    A run that ended exactly at ``start`` is included.
    """
    return [
        Run(instance, began, ended, app, instance_type, reason, to_usd(usd))
        for instance, began, ended, app, instance_type, reason, usd in db.execute(
            "SELECT r.instance, r.started_at, r.ended_at, r.app_name, r.instance_type, "
            "r.shutdown_reason, p.usd_per_hour FROM runs AS r JOIN prices AS p "
            "ON p.id = r.price_id WHERE (r.ended_at IS NULL OR r.ended_at >= ?) "
            "AND r.started_at < ?",
            (start, end),
        )
    ]


def timelines(db: Connection, start: int, end: int) -> list[Timeline]:
    """The activity of each run that was up between two times, in order of time."""
    parts: dict[int, list[Stretch]] = {}
    for (
        run_id,
        instance,
        began,
        ended,
        app,
        instance_type,
        idle,
        usd,
        estimated,
        closed,
    ) in db.execute(
        "SELECT r.id, r.instance, s.started_at, s.ended_at, r.app_name, r.instance_type, "
        "s.idle, p.usd_per_hour, s.estimated, s.closed_since FROM stretches AS s "
        "JOIN runs AS r ON r.id = s.run_id JOIN prices AS p ON p.id = s.price_id "
        "WHERE (r.ended_at IS NULL OR r.ended_at > ?) AND r.started_at < ? "
        "ORDER BY s.started_at",
        (start, end),
    ):
        state = (idle == 1, to_usd(usd), estimated == 1, closed)
        parts.setdefault(run_id, []).append(
            Stretch(instance, began, ended, app, instance_type, *state)
        )
    return [
        Timeline(
            domain_id, owner, app_type, app, reason, ended is None, tuple(parts[run_id]), shutdown
        )
        for run_id, domain_id, owner, app_type, app, reason, ended, shutdown in db.execute(
            "SELECT id, domain_id, owner, app_type, app_name, shutdown_reason, ended_at, "
            "shutdown_at FROM runs WHERE (ended_at IS NULL OR ended_at > ?) AND started_at < ? "
            "ORDER BY started_at",
            (start, end),
        )
        if run_id in parts
    ]


def runs_version(db: Connection) -> tuple[object, ...]:
    """A value that changes whenever a run begins or ends."""
    version: tuple[object, ...] = db.execute(
        "SELECT (SELECT max(id) FROM runs), (SELECT count(*) FROM runs WHERE ended_at IS NULL)"
    ).fetchone()
    return version


def app_types(db: Connection, host: Host) -> dict[str, str]:
    """The instances that this host's owner ever had, with the type of their apps.

    Several owners can share a home folder, or one can be a copy of another.
    """
    return {
        instance: app_type
        for instance, app_type in db.execute(
            "SELECT DISTINCT instance, app_type FROM runs WHERE domain_id = ? AND owner = ?",
            (host.domain_id, host.owner),
        )
        if host.kind is not HostKind.NOTEBOOK_INSTANCE or instance == host.app_name
    }


def last_observed_at(db: Connection, host: Host) -> int | None:
    """When the apps of this host's owner were last seen; None if never."""
    row = db.execute(
        "SELECT at FROM looks WHERE domain_id = ? AND owner = ?", (host.domain_id, host.owner)
    ).fetchone()
    return None if row is None else int(row[0])


def unsettled(db: Connection, host: Host) -> dict[tuple[str, str], int]:
    """For each instance and app that counts as in use but may turn out to have been idle: since
    when."""
    return {
        (instance, app): since
        for instance, app, since in db.execute(
            "SELECT instance, app_name, held_until FROM runs WHERE domain_id = ? AND owner = ? "
            "AND ended_at IS NULL AND NOT idle AND held_until < seen_at",
            (host.domain_id, host.owner),
        )
    }


def started_at(db: Connection) -> int | None:
    """When the first record begins."""
    (first,) = db.execute("SELECT min(started_at) FROM stretches").fetchone()
    return first if first is None else int(first)


def volumes(db: Connection) -> list[Volume]:
    """The sizes of the spaces' volumes, in order of time."""
    return [
        Volume(domain_id, owner, since, gigabytes, Decimal(usd), bool(estimated))
        for domain_id, owner, since, gigabytes, usd, estimated in db.execute(
            "SELECT domain_id, owner, since, gigabytes, usd_per_gb_month, estimated FROM volumes "
            "ORDER BY since"
        )
    ]


def events(
    db: Connection, limit: int, before: datetime | None = None, app_name: str | None = None
) -> list[Event]:
    """The newest events, newest first."""
    rows = db.execute(
        "SELECT at, kind, message, app_name, app_type, instance_type, reason, shutdown_at "
        "FROM events WHERE (?1 IS NULL OR at < ?1) AND (?2 IS NULL OR app_name = ?2) "
        "ORDER BY at DESC LIMIT ?3",
        (None if before is None else to_us(before), app_name, limit),
    )
    return [
        Event(
            at=from_us(at),
            kind=_known(EventKind, kind) or EventKind.UNKNOWN,
            message=message,
            app_name=app,
            app_type=app_type,
            instance_type=instance_type,
            reason=_known(Reason, reason),
            shutdown_at=None if shutdown_at is None else from_us(shutdown_at),
        )
        for at, kind, message, app, app_type, instance_type, reason, shutdown_at in rows
    ]


def _known(enum: type[E], value: object) -> E | None:
    """The member, or None: a newer server on the same home may record values unknown here."""
    try:
        return enum(value)
    except ValueError:
        return None


class RunAt(NamedTuple):
    """A run as stored; ``ended_at`` is None while it is up."""

    id: int
    ended_at: int | None


def run_at(db: Connection, app_type: str, app_name: str, at: int) -> RunAt | None:
    """The run of an app that was up at a given time."""
    row = db.execute(
        "SELECT id, ended_at FROM runs WHERE app_type = ? AND app_name = ? AND started_at <= ? "
        "AND (ended_at IS NULL OR ended_at >= ?) ORDER BY started_at DESC LIMIT 1",
        (app_type, app_name, at, at),
    ).fetchone()
    return None if row is None else RunAt(*row)


def idle_since(db: Connection, run_id: int, at: int) -> int | None:
    """Since when a run had been idle at a given time; None if it was in use."""
    since = None
    for began, idle in db.execute(
        "SELECT started_at, idle FROM stretches WHERE run_id = ? AND started_at <= ? "
        "ORDER BY started_at DESC",
        (run_id, at),
    ):
        if not idle:
            break
        since = int(began)
    return since


def keep_alives(db: Connection, start: int, end: int) -> list[Hold]:
    """The keep-alives that users asked for. Each lasts until its end, the next request about it, or
    the end of its run."""
    holds: dict[tuple[str, str, str, str], Hold] = {}
    found = []
    # Older versions did not record the run of an event. Take the run that was up then.
    for at, kind, until, ended_at, domain_id, owner, app_type, app in db.execute(
        "SELECT e.at, e.kind, e.shutdown_at, r.ended_at, r.domain_id, r.owner, r.app_type, "
        "r.app_name FROM events AS e JOIN runs AS r ON r.id = (SELECT id FROM runs "
        "WHERE app_type = e.app_type AND app_name = e.app_name "
        "AND (e.domain_id IS NULL OR (domain_id = e.domain_id AND owner = e.owner)) "
        "AND started_at <= coalesce(e.run_started_at, e.at) "
        "AND (ended_at IS NULL OR ended_at >= coalesce(e.run_started_at, e.at)) "
        "ORDER BY started_at DESC LIMIT 1) WHERE e.kind IN (?, ?) AND e.at < ? ORDER BY e.at",
        (EventKind.KEEP_ALIVE.value, EventKind.KEEP_ALIVE_ENDED.value, end),
    ):
        key = (domain_id, owner, app_type, app)
        earlier = holds.pop(key, None)
        if earlier is not None:
            found.append(earlier._replace(end=min(earlier.end, at)))
        if kind == EventKind.KEEP_ALIVE.value and until is not None:
            until = until if ended_at is None else min(until, ended_at)
            holds[key] = Hold(*key, at, until)
    found.extend(holds.values())
    return [hold for hold in found if hold.end > max(start, hold.start)]
