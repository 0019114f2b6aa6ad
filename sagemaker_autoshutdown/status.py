"""The one truth that the REST API, the metrics, the command line and the panel show.

A frozen ``Status``, how it is built, and how it is written as JSON. Pure; ``api/openapi.yaml``
explains each field to its readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

from ._version import __version__
from .clock import to_iso
from .model import (
    REASON_TEXT,
    Action,
    AppStatus,
    AppType,
    Evidence,
    Host,
    HostKind,
    Limit,
    Mark,
    OwnerKind,
    Presence,
    Price,
    PriceSource,
    Problem,
    Reason,
    ShutdownFailure,
    ShutdownProgress,
    State,
    Totals,
    Verdict,
    Work,
    WorkKind,
)


@dataclass(frozen=True)
class WorkStatus:
    """Something that can hold its app. ``shared`` means that it could also be another app's."""

    kind: WorkKind
    id: str
    label: str
    state: str
    last_activity: datetime | None
    connections: int
    background_job: bool
    evidence: tuple[Evidence, ...]
    shared: bool
    gpu_percent: float | None = None


@dataclass(frozen=True)
class AppView:
    """One app as users see it."""

    app_name: str
    app_type: AppType
    instance_type: str
    status: AppStatus
    state: State
    reason: Reason
    reason_text: str
    subject: str
    since: datetime | None
    idle_timeout: timedelta
    limit: Limit
    idle_since: datetime | None
    shutdown_at: datetime | None
    kept_until: datetime | None
    image: str
    run_started_at: datetime
    work: tuple[WorkStatus, ...]
    error: ShutdownFailure | None
    mark: Mark | None


@dataclass(frozen=True)
class InstanceView:
    """A billed instance: in Classic the one of a type for all its apps, else the app's."""

    instance_type: str
    app_names: tuple[str, ...]
    usd_per_hour: Decimal | None
    price_date: str
    price_source: PriceSource
    idle: bool
    up_since: datetime | None
    cost: Totals | None


@dataclass(frozen=True)
class Status:
    """Everything at one moment."""

    version: str
    host: HostKind
    message: str
    region: str
    domain_id: str
    owner: str
    owner_kind: OwnerKind
    now: datetime
    checked_at: datetime | None
    next_check_at: datetime | None
    check_overdue: bool
    dry_run: bool
    presence: Presence
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    apps: tuple[AppView, ...]
    instances: tuple[InstanceView, ...]
    totals: Totals | None
    recording_error: str


class Costs(Protocol):
    """The costs that status shows, all from memory."""

    def price(self, instance_type: str, app_type: AppType) -> Price:
        """The hourly price of an instance, from the present prices."""
        ...

    def instance_cost(self, billing_key: str) -> Totals | None:
        """The cost of an instance (``Host.billing_key``) so far; None while that is not known."""
        ...

    def totals(self) -> Totals | None:
        """The cost of all instances so far; None while that is not known."""
        ...

    @property
    def recording_error(self) -> str:
        """Why nothing is recorded, or which data was lost; empty if all is well."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Other problems, such as with the admin's prices."""
        ...


def app_views(
    verdicts: Iterable[Verdict],
    work: Iterable[Work],
    progress: Mapping[str, ShutdownProgress],
    marks: Mapping[str, Mark],
) -> tuple[AppView, ...]:
    """The apps with their verdicts, the progress of their shutdowns, and a fleet's marks."""
    work = tuple(work)
    return tuple(
        _app_view(verdict, work, progress.get(verdict.app.name), marks.get(verdict.app.name))
        for verdict in verdicts
    )


def _app_view(
    verdict: Verdict, work: tuple[Work, ...], progress: ShutdownProgress | None, mark: Mark | None
) -> AppView:
    app = verdict.app
    view = AppView(
        app_name=app.name,
        app_type=app.app_type,
        instance_type=app.instance_type,
        status=app.status,
        state=verdict.state,
        reason=verdict.reason,
        reason_text=REASON_TEXT[verdict.reason],
        subject=verdict.subject or app.failure,
        since=verdict.since,
        idle_timeout=verdict.idle_timeout,
        limit=verdict.limit,
        idle_since=verdict.idle_since,
        shutdown_at=verdict.shutdown_at,
        kept_until=verdict.kept_until,
        image=app.image_arn,
        run_started_at=app.run_started_at,
        work=tuple(_work_status(item) for item in work if app.name in item.apps),
        error=None,
        mark=mark if app.status is AppStatus.IN_SERVICE else None,
    )
    if progress is None or app.status is not AppStatus.IN_SERVICE:
        return view
    failure = progress.failure
    if failure is not None and verdict.action is not Action.SHUT_DOWN:
        # There is no retry, so the app keeps its own state.
        return replace(view, error=failure)
    if failure is None:
        state, reason, since = State.SHUTTING_DOWN, progress.reason, progress.requested_at
    else:
        state, reason, since = State.FAILED, Reason.SHUTDOWN_FAILED, failure.since
    return replace(
        view,
        state=state,
        reason=reason,
        reason_text=REASON_TEXT[reason],
        since=since,
        error=failure,
    )


def _work_status(item: Work) -> WorkStatus:
    return WorkStatus(
        kind=item.kind,
        id=item.id,
        label=item.label,
        state=item.state,
        last_activity=item.last_activity,
        connections=item.connections,
        background_job=item.hold is not None,
        evidence=item.evidence,
        shared=len(item.apps) > 1,
        gpu_percent=item.gpu_percent,
    )


def instance_views(
    host: Host,
    verdicts: Iterable[Verdict],
    price: Callable[[str, AppType], Price],
    cost: Callable[[str], Totals | None],
) -> tuple[InstanceView, ...]:
    """The instances that are billed now. ``cost`` is called with ``Host.billing_key``."""
    billed: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        app = verdict.app
        if app.status.is_billed:
            billed.setdefault((app.instance_type, host.billing_key(app)), []).append(verdict)
    views = []
    for (instance_type, billing_key), on_it in sorted(billed.items()):
        priced = price(instance_type, on_it[0].app.app_type)
        views.append(
            InstanceView(
                instance_type=instance_type,
                app_names=tuple(verdict.app.name for verdict in on_it),
                usd_per_hour=priced.usd_per_hour,
                price_date=priced.date,
                price_source=priced.source,
                idle=all(verdict.is_idle for verdict in on_it),
                up_since=min(verdict.app.run_started_at for verdict in on_it),
                cost=cost(billing_key),
            )
        )
    return tuple(views)


def empty(host: Host, now: datetime) -> Status:
    """The status of a host before the first observation, or on which nothing is done."""
    return Status(
        version=__version__,
        host=host.kind,
        message=host.message,
        region=host.region,
        domain_id=host.domain_id,
        owner=host.owner,
        owner_kind=host.owner_kind,
        now=now,
        checked_at=None,
        next_check_at=None,
        check_overdue=False,
        dry_run=False,
        presence=Presence(),
        problems=(),
        notes=(),
        apps=(),
        instances=(),
        totals=None,
        recording_error="",
    )


def to_json(value: Any) -> Any:
    """A status, or any part of it, in a form for ``json.dumps``: times as ISO 8601 in UTC,
    durations in seconds, money as decimal strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return to_iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    return value
