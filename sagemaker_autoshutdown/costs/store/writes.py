"""Writes the changes of one observation to the ledger.

These rules turn observations into runs and stretches: when a run begins and ends, what counts as
idle, what is estimated. Each function takes a connection with an open transaction.

Between two observations an app keeps the state of the earlier one, unless the later one knows
better: idle time counts from ``idle_since``, but not from before the last observation at which the
app was held. Whether a browser was connected is taken from the later one. A longer gap (the server
was down) is reconciled: if the app is still in the same run, it was up in between, and that time is
marked as estimated. A short use of an idle app becomes a stretch of its own, so that the record
tells two idle times from one that is twice as long.

Later observations do not change settled facts: no run begins before an observation at which it was
not up, and no time becomes idle in which the app was known to be used. Counters rely on that (see
``totals``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from ...model import AppStatus, Event, EventKind, Host, Price, VolumePrice
from ..microseconds import to_us
from ..observation import AppObservation, Observation, Use
from . import reads

Connection = sqlite3.Connection

#: How long a use of an idle app lasts at least, in microseconds. It costs nothing, but it separates
#: the idle time before the use from the idle time after it.
SHORT_USE = 1


@dataclass
class _Run:
    """A run that is up, as recorded. Columns are in the order of ``_COLUMNS``."""

    id: int
    app_type: str
    app_name: str
    instance_type: str
    started_at: int
    seen_at: int
    idle: bool
    held_until: int
    price_id: int
    shutdown_reason: str


_COLUMNS = (
    "id, app_type, app_name, instance_type, started_at, seen_at, idle, held_until, price_id, "
    "shutdown_reason"
)


def write_observation(db: Connection, observation: Observation, gap: int, jump: int = 0) -> int:
    """Records an observation. Two observations at most ``gap`` apart leave no gap; ``jump`` is how
    far the clock was set forward since the last one.

    Returns the earliest time from which something changed. Observations must be in order of time.
    """
    at = to_us(observation.at)
    dirty = at
    last_observed_at = reads.last_observed_at(db, observation.host)
    up = {(run.app_type, run.app_name): run for run in _runs_up(db, observation.host)}
    if last_observed_at is not None and jump > gap:
        # That time did not pass and is not billed: apps that are up go on as new runs, which start
        # at the last observation as the clock has it now.
        for before in up.values():
            dirty = min(dirty, _end_unseen(db, before, gap))
        up, last_observed_at = {}, last_observed_at + jump
    for app in observation.apps:
        run = up.pop((app.app.app_type.value, app.app.name), None)
        if run is not None and not _goes_on(run, app, at, gap):
            dirty = min(dirty, _end_unseen(db, run, gap))
            run = None
        if run is not None:
            dirty = min(dirty, _go_on(db, observation, run, app, at, gap))
        elif not app.app.unseen:  # else the instance that it runs on is not known
            start = _start(app, at, gap, last_observed_at)
            dirty = min(dirty, _begin(db, observation, app, at, gap, start))
    for run in up.values():
        if at - run.seen_at > gap:
            dirty = min(dirty, _end_unseen(db, run, gap))
        else:
            dirty = min(dirty, _end(db, run, at, _closed_since(observation)))
    db.execute(
        "INSERT OR REPLACE INTO looks (domain_id, owner, at) VALUES (?, ?, ?)",
        (observation.host.domain_id, observation.host.owner, at),
    )
    return dirty


def _runs_up(db: Connection, host: Host) -> Iterator[_Run]:
    for row in db.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE domain_id = ? AND owner = ? AND ended_at IS NULL",  # noqa: S608
        (host.domain_id, host.owner),
    ):
        run = _Run(*row)
        run.idle = bool(run.idle)
        yield run


def _goes_on(run: _Run, app: AppObservation, at: int, gap: int) -> bool:
    """Whether an app that is up is still in the recorded run.

    It is not if it was shut down and is in service after a gap: it was started again, whatever
    SageMaker says about its creation. An app that is being deleted is still in its run; deleting
    may take 20 minutes.
    """
    was_shut_down = bool(run.shutdown_reason) and app.app.status is not AppStatus.DELETING
    return (
        to_us(app.app.run_started_at) <= run.seen_at
        and (app.app.unseen or app.app.instance_type == run.instance_type)
        and not (was_shut_down and at - run.seen_at > gap)
    )


def _start(app: AppObservation, at: int, gap: int, last_observed_at: int | None) -> int:
    """The start of a new run. It is not before an observation at which the app was not up.

    SageMaker keeps the CreationTime of an app that is started again within a day. If its value is
    impossible and the last observation is long ago, the start can't be known, and the run counts
    from now on.
    """
    start = min(at, to_us(app.app.run_started_at))
    if last_observed_at is None or start >= last_observed_at:
        return start
    return at if at - last_observed_at > gap else last_observed_at


def _begin(
    db: Connection, observation: Observation, app: AppObservation, at: int, gap: int, start: int
) -> int:
    """Records a new run; returns its start."""
    price_id = _price_id(db, observation.host, app, at)
    cursor = db.execute(
        "INSERT INTO runs (region, domain_id, owner, app_type, app_name, instance_type, instance, "
        "started_at, seen_at, idle, held_until, price_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?, ?)",
        (
            observation.host.region,
            observation.host.domain_id,
            observation.host.owner,
            app.app.app_type.value,
            app.app.name,
            app.app.instance_type,
            app.instance,
            start,
            start,
            0,
            start,
            price_id,
        ),
    )
    run = _Run(
        int(cursor.lastrowid or 0),
        app.app.app_type.value,
        app.app.name,
        app.app.instance_type,
        start,
        start,
        False,
        start,
        price_id,
        "",
    )
    _extend(db, run, app, observation, estimated=at - start > gap, price_id=price_id)
    return start


def _go_on(
    db: Connection, observation: Observation, run: _Run, app: AppObservation, at: int, gap: int
) -> int:
    """Records that a run went on; returns the time from which something changed."""
    price_id = run.price_id
    if app.app.unseen or (app.price.usd_per_hour is None and _is_priced(db, price_id)):
        new_price_id = price_id  # a price that is not known at the moment
    else:
        new_price_id = _price_id(db, observation.host, app, at)
    dirty = run.seen_at
    if new_price_id != price_id and not _is_priced(db, price_id):
        # The price has become known, and it applies to the time so far.
        db.execute(
            "UPDATE stretches SET price_id = ? WHERE run_id = ? AND price_id = ?",
            (new_price_id, run.id, price_id),
        )
        price_id, dirty = new_price_id, run.started_at
    run.price_id = price_id
    estimated = at - run.seen_at > gap
    return min(
        dirty, _extend(db, run, app, observation, estimated=estimated, price_id=new_price_id)
    )


def _extend(
    db: Connection,
    run: _Run,
    app: AppObservation,
    observation: Observation,
    *,
    estimated: bool,
    price_id: int,
) -> int:
    """Records the course of a run from ``seen_at`` to the observation. Returns the time from which
    something changed."""
    at, seen_at, closed_since = to_us(observation.at), run.seen_at, _closed_since(observation)
    dirty = seen_at
    since = None if app.since is None else to_us(app.since)
    is_used_again = run.idle and since is not None and since > run.held_until
    held_until = run.held_until
    if app.use is Use.IDLE and since is not None:
        idle_from = min(at, max(since, run.held_until))
        turned = max(seen_at, idle_from)
        _append(db, run, min(seen_at, at), turned, run.idle, estimated, closed_since)
        if is_used_again:
            used_until = min(turned + SHORT_USE, at)
            _append(db, run, turned, used_until, False, estimated, closed_since)
            turned = held_until = used_until
        _append(db, run, turned, at, True, estimated, closed_since)
        if idle_from < seen_at and not run.idle:  # else it has been idle since then already
            _turn_idle(db, run, idle_from)
            dirty = idle_from
        idle = True
    else:
        idle = {Use.HELD: False, Use.RECENT: False, Use.UNSEEN: False}.get(app.use, run.idle)
        turned = at if since is None or idle == run.idle else min(at, max(seen_at, since))
        _append(db, run, seen_at, turned, run.idle, estimated, closed_since)
        _append(db, run, turned, at, idle, estimated, closed_since)
    if app.use is Use.HELD:
        held_until = at
    elif since is not None:
        held_until = max(held_until, min(since, at))
        if is_used_again and app.use is Use.RECENT:
            held_until += SHORT_USE
    db.execute(
        "UPDATE runs SET seen_at = ?, idle = ?, held_until = ?, price_id = ? WHERE id = ?",
        (at, int(idle), held_until, price_id, run.id),
    )
    return dirty


def _closed_since(observation: Observation) -> int | None:
    return None if observation.closed_since is None else to_us(observation.closed_since)


def _append(
    db: Connection,
    run: _Run,
    start: int,
    end: int,
    idle: bool,
    estimated: bool,
    closed_since: int | None,
) -> None:
    """Adds a stretch to the end of a run. If it is like the last one, that one gets longer.

    ``closed_since`` is the time since which no browser was connected, as known at ``end``. If it
    lies within the stretch, two stretches are added.
    """
    if closed_since is not None and start < closed_since:
        _append(db, run, start, min(closed_since, end), idle, estimated, None)
        start = closed_since
    if end <= start:
        return
    last = db.execute(
        "SELECT id, ended_at, idle, estimated, price_id, closed_since FROM stretches "
        "WHERE run_id = ? ORDER BY ended_at DESC LIMIT 1",
        (run.id,),
    ).fetchone()
    like = (int(idle), int(estimated), run.price_id, closed_since)
    if last is not None and last[1:] == (start, *like):
        db.execute("UPDATE stretches SET ended_at = ? WHERE id = ?", (end, last[0]))
        return
    _insert(db, run.id, start, end, like)


def _insert(
    db: Connection, run_id: int, start: int, end: int, like: tuple[int, int, int, int | None]
) -> None:
    """Adds a stretch. ``like`` holds its columns from ``idle`` on, which tell it from its
    neighbours."""
    db.execute(
        "INSERT INTO stretches (run_id, started_at, ended_at, idle, estimated, price_id, "
        "closed_since) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run_id, start, end, *like),
    )


def _turn_idle(db: Connection, run: _Run, since: int) -> None:
    """Turns time since then that counted as in use into idle time, as is known by now."""
    tail = db.execute(
        "SELECT id, started_at, ended_at, idle, estimated, price_id, closed_since FROM stretches "
        "WHERE run_id = ? AND ended_at > ? ORDER BY ended_at",
        (run.id, since),
    ).fetchall()
    for stretch_id, start, end, idle, *alike in tail:
        if idle:
            continue
        if start < since:
            db.execute("UPDATE stretches SET ended_at = ? WHERE id = ?", (since, stretch_id))
            _insert(db, run.id, since, end, (1, *alike))
        else:
            db.execute("UPDATE stretches SET idle = 1 WHERE id = ?", (stretch_id,))
    _merge_tail(db, run, since)


def _merge_tail(db: Connection, run: _Run, since: int) -> None:
    rows = db.execute(
        "SELECT id, started_at, ended_at, idle, estimated, price_id, closed_since FROM stretches "
        "WHERE run_id = ? AND ended_at >= ? ORDER BY ended_at",
        (run.id, since),
    ).fetchall()
    for earlier, later in zip(rows, rows[1:]):
        if earlier[2] == later[1] and earlier[3:] == later[3:]:
            # The later stretch absorbs the earlier one, so that a third can follow.
            (start,) = db.execute(
                "SELECT started_at FROM stretches WHERE id = ?", (earlier[0],)
            ).fetchone()
            db.execute("DELETE FROM stretches WHERE id = ?", (earlier[0],))
            db.execute("UPDATE stretches SET started_at = ? WHERE id = ?", (start, later[0]))


def _end(db: Connection, run: _Run, end: int, closed_since: int | None) -> int:
    """Records the observed end of a run; returns the time from which something changed.

    The run kept the state of the last observation until its end was seen.
    """
    dirty = run.seen_at
    _append(db, run, run.seen_at, end, run.idle, False, closed_since)
    db.execute("UPDATE runs SET ended_at = ?, seen_at = ? WHERE id = ?", (end, end, run.id))
    return dirty


def _end_unseen(db: Connection, run: _Run, gap: int) -> int:
    """Records the end of a run that nobody saw end; returns the time from which something changed.

    Nothing is known beyond the last observation, so the run ends there, and its last stretch counts
    as estimated.
    """
    row = db.execute(
        "SELECT id, started_at, ended_at, idle, price_id, closed_since FROM stretches "
        "WHERE run_id = ? ORDER BY ended_at DESC LIMIT 1",
        (run.id,),
    ).fetchone()
    since = run.seen_at - gap
    if row is not None and row[1] < since < row[2]:
        stretch_id, _, end, idle, price_id, closed_since = row
        db.execute("UPDATE stretches SET ended_at = ? WHERE id = ?", (since, stretch_id))
        _insert(db, run.id, since, end, (idle, 1, price_id, closed_since))
    elif row is not None:
        db.execute("UPDATE stretches SET estimated = 1 WHERE id = ?", (row[0],))
    db.execute("UPDATE runs SET ended_at = seen_at WHERE id = ?", (run.id,))
    return max(run.started_at, since)


def _price_id(db: Connection, host: Host, app: AppObservation, at: int) -> int:
    """The record of a price, created on first use. It holds the facts of that time."""
    price: Price = app.price
    usd = None if price.usd_per_hour is None else str(price.usd_per_hour)
    key = (
        host.region,
        app.app.instance_type,
        app.app.app_type.value,
        usd,
        price.source.value,
        price.date,
    )
    row = db.execute(
        "SELECT id FROM prices WHERE region = ? AND instance_type = ? AND app_type = ? "
        "AND usd_per_hour IS ? AND source = ? AND date = ?",
        key,
    ).fetchone()
    if row is not None:
        return int(row[0])
    cursor = db.execute(
        "INSERT INTO prices (region, instance_type, app_type, usd_per_hour, source, date, "
        "first_used_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*key, at),
    )
    return int(cursor.lastrowid or 0)


def _is_priced(db: Connection, price_id: int) -> bool:
    row = db.execute("SELECT usd_per_hour FROM prices WHERE id = ?", (price_id,)).fetchone()
    return row is not None and row[0] is not None


def write_event(db: Connection, host: Host, event: Event) -> None:
    """Records an event. If another event has the same time, this one's moves by microseconds, so
    that pages of events can be told apart by time."""
    at = to_us(event.at)
    while db.execute("SELECT 1 FROM events WHERE at = ?", (at,)).fetchone():
        at += 1
    db.execute(
        "INSERT INTO events (at, kind, message, app_name, app_type, instance_type, reason, "
        "shutdown_at, domain_id, owner, run_started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
        "?9, ?10, (SELECT max(started_at) FROM runs WHERE domain_id = ?9 AND owner = ?10 "
        "AND app_type = ?5 AND app_name = ?4 AND started_at <= ?1 "
        "AND (ended_at IS NULL OR ended_at >= ?1)))",
        (
            at,
            event.kind.value,
            event.message,
            event.app_name,
            event.app_type,
            event.instance_type,
            event.reason.value if event.reason else None,
            None if event.shutdown_at is None else to_us(event.shutdown_at),
            host.domain_id,
            host.owner,
        ),
    )
    if event.kind is EventKind.SHUTDOWN and event.reason is not None:
        db.execute(
            "UPDATE runs SET shutdown_reason = ?, shutdown_at = ? WHERE domain_id = ? "
            "AND owner = ? AND app_type = ? AND app_name = ? AND started_at <= ? "
            "AND (ended_at IS NULL OR ended_at >= ?)",
            (
                event.reason.value,
                at,
                host.domain_id,
                host.owner,
                event.app_type,
                event.app_name,
                at,
                at,
            ),
        )


def write_volume(db: Connection, host: Host, at: int, gigabytes: int, price: VolumePrice) -> None:
    """Records the size of a volume, if it is new."""
    last = db.execute(
        "SELECT gigabytes, usd_per_gb_month FROM volumes WHERE domain_id = ? AND owner = ? "
        "ORDER BY since DESC LIMIT 1",
        (host.domain_id, host.volume_owner),
    ).fetchone()
    usd = str(price.usd_per_gb_month)
    if last != (gigabytes, usd):
        db.execute(
            "INSERT INTO volumes (region, domain_id, owner, since, gigabytes, usd_per_gb_month, "
            "estimated) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                host.region,
                host.domain_id,
                host.volume_owner,
                at,
                gigabytes,
                usd,
                int(price.source.value != "list"),
            ),
        )
