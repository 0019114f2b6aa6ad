"""Prometheus metrics, on the server's own ``/metrics`` and nowhere else.

When it is scraped, one collector turns values in memory into samples: no AWS call, no disk, no lock
that a slow thread may hold. It owns names and labels, and counts events that status does not keep.

Names are ``sagemaker_autoshutdown_`` + the measured thing (a noun, or a noun and a verb) + its base
unit (``seconds``, ``usd``; none for counts and switches) + ``_total`` for values that only grow. A
rate names its time: ``usd_per_hour``. A time of day ends in ``_timestamp_seconds``. Every series
names the domain, the owner (and its kind: a shared space can have the name of a profile) and the
kind of host, so that the series of a thousand servers can be stored together. A series whose label
values are known beforehand exists from the start, at 0; a series of an app or an instance ends with
it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ..listeners import Check, Listener
from ..model import Event, EventKind, Host, PriceSource, Reason, State, WorkKind

if TYPE_CHECKING:
    from ..costs.totals import Spent
    from ..settings.admin import Policy
    from ..status import InstanceView, Status

PREFIX = "sagemaker_autoshutdown_"

#: Labels that every series has: the server's place and owner.
BASE_LABELS = ("domain", "owner_kind", "owner", "host_kind")

#: Upper bounds of the check's histogram, in seconds.
CHECK_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: More error codes than AWS returns; further ones count as ``other``.
MAX_CALL_SERIES = 200

#: Reasons of shutdowns.
SHUTDOWN_REASONS = (Reason.IDLE_TIMEOUT, Reason.BUSY_TOO_LONG, Reason.USER_REQUEST)
ACCEPTED, FAILED = "accepted", "failed"

#: Operations that every host or most hosts call.
OPERATIONS = (
    "sagemaker:DeleteApp",
    "sagemaker:DescribeApp",
    "sagemaker:ListApps",
)


@dataclass(frozen=True)
class Definition:
    """A metric: its name without prefix, type, help, and labels beyond the common ones."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name that a query uses."""
        return PREFIX + self.name

    @property
    def all_labels(self) -> tuple[str, ...]:
        """All its labels."""
        return BASE_LABELS + self.labels


_INSTANCE = ("instance_type", "app_type")
_APP = ("app_name", *_INSTANCE)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "info",
        "gauge",
        "Always 1. The labels name the version and the region.",
        ("version", "region"),
    ),
    Definition(
        "instance_usd_per_hour",
        "gauge",
        "Price of a running instance in USD per hour. Missing for unpriced instance types.",
        (*_INSTANCE, "price_source"),
    ),
    Definition(
        "instance_idle",
        "gauge",
        "1 while every app on the instance is idle, else 0.",
        _INSTANCE,
    ),
    Definition(
        "unpriced_instances",
        "gauge",
        "Running instances whose type has no known price. Their cost is missing from all totals.",
    ),
    Definition(
        "cost_usd_total",
        "counter",
        "Cost of instances since records began, kept over restarts. Time that may still turn "
        "out to be idle or in use is added after active_time.",
        (*_INSTANCE, "state"),
    ),
    Definition(
        "avoided_cost_usd_total",
        "counter",
        "Avoided cost since records began: an estimate of the cost that instances would have "
        "caused after their shutdown.",
        _INSTANCE,
    ),
    Definition(
        "today_cost_usd",
        "gauge",
        "Cost since midnight UTC by kind: in_use, idle, volume, or avoided (an estimate, not "
        "spent).",
        ("kind",),
    ),
    Definition(
        "month_cost_usd",
        "gauge",
        "Cost since the first of the month UTC, by the same kinds as today_cost_usd.",
        ("kind",),
    ),
    Definition(
        "volume_usd_per_month",
        "gauge",
        "Price of the volume of a space or notebook instance in USD per month, whether its app "
        "is up or not. Missing where there is no volume.",
    ),
    Definition("apps", "gauge", "Apps by state.", ("state",)),
    Definition(
        "app_idle_seconds",
        "gauge",
        "Seconds since the last activity of an app; 0 while something holds it.",
        _APP,
    ),
    Definition(
        "gpu_utilization_ratio",
        "gauge",
        "Utilization of a GPU at the last check, from 0 to 1. Missing where the GPU does not "
        "report it, and in Classic, where GPUs are on other machines.",
        (*_APP, "gpu"),
    ),
    Definition(
        "gpu_idle_seconds",
        "gauge",
        "Seconds since a GPU was last seen at work, at most since this server started. "
        "Missing where the GPU does not report its utilization, and in Classic.",
        (*_APP, "gpu"),
    ),
    Definition(
        "app_idle_timeout_seconds",
        "gauge",
        "The idle limit of an app. The label limit names its setting.",
        (*_APP, "limit"),
    ),
    Definition(
        "browser_connected",
        "gauge",
        "1 while somebody has the server open in a browser, else 0. Missing while that is not "
        "known.",
    ),
    Definition(
        "app_shutdown_timestamp_seconds",
        "gauge",
        "The deadline of an app. Missing while it has none.",
        _APP,
    ),
    Definition(
        "app_kept_until_timestamp_seconds",
        "gauge",
        "The end of the keep-alive of an app. Missing while it has none.",
        _APP,
    ),
    Definition(
        "shutdowns_total",
        "counter",
        "Shutdowns by reason and by outcome: accepted by SageMaker, or failed.",
        ("reason", "outcome"),
    ),
    Definition(
        "events_total", "counter", "Events by kind, such as warnings and shutdowns.", ("kind",)
    ),
    Definition(
        "api_calls_total",
        "counter",
        "Calls to AWS by operation and outcome: ok, or the error code.",
        ("operation", "outcome"),
    ),
    Definition("check_duration_seconds", "histogram", "Duration of a check of apps and kernels."),
    Definition(
        "last_check_timestamp_seconds",
        "gauge",
        "Time of the last check without an error. Missing until there was one.",
    ),
    Definition("check_overdue", "gauge", "1 while the last good check is too long ago, else 0."),
    Definition("problems", "gauge", "Problems that keep the extension from working."),
    Definition(
        "recording_failed",
        "gauge",
        "1 while costs and history are not recorded or the record was set aside, else 0.",
    ),
    Definition("dry_run", "gauge", "1 while dry run is on, so nothing is shut down, else 0."),
    Definition("setting_seconds", "gauge", "Durations among the settings in force.", ("setting",)),
    Definition(
        "setting_enabled", "gauge", "Switches among the settings in force, 1 for on.", ("setting",)
    ),
    Definition(
        "remote_write_samples_total",
        "counter",
        "Samples for remote write by outcome: sent, or dropped because they were too many, too "
        "old or refused by the receiver.",
        ("outcome",),
    ),
    Definition(
        "remote_write_requests_total",
        "counter",
        "Requests of remote write by outcome: ok, failed (they are retried), or refused.",
        ("outcome",),
    ),
    Definition("remote_write_pending_samples", "gauge", "Samples that wait to be sent."),
)

SENT, DROPPED = "sent", "dropped"
OK, REFUSED = "ok", "refused"

_SETTINGS_IN_SECONDS = (
    "idle_timeout",
    "closed_idle_timeout",
    "warning_time",
    "active_time",
    "max_busy_time",
)
_SETTING_SWITCHES = ("keep_terminals", "ignore_connections")


class Metrics(Listener):
    """The collector of one server. Its ``count_*`` methods may be called from any thread."""

    def __init__(self, host: Host) -> None:
        # A notebook instance has no owner that SageMaker knows.
        owner_kind = host.owner_kind.value if host.owner else ""
        owner = host.owner or host.app_name
        self._base = (host.domain_id, owner_kind, owner, host.kind.value)
        self._lock = threading.Lock()
        self._counts: dict[str, dict[tuple[str, ...], float]] = {}
        self._check_counts = [0] * (len(CHECK_BUCKETS) + 1)
        self._check_sum = 0.0
        self._pending_samples = 0
        self._status: Callable[[], Status] | None = None
        self._spent: Callable[[], Iterable[Spent]] = tuple
        self._policy: Callable[[], Policy] | None = None
        self._volume_usd_per_month: Callable[[], Decimal] = Decimal
        for reason in SHUTDOWN_REASONS:
            for outcome in (ACCEPTED, FAILED):
                self._count("shutdowns_total", (reason.value, outcome), 0)
        for kind in EventKind:
            if kind is not EventKind.UNKNOWN:
                self._count("events_total", (kind.value,), 0)
        for operation in OPERATIONS:
            self._count("api_calls_total", (operation, "ok"), 0)
        for outcome in (SENT, DROPPED):
            self._count("remote_write_samples_total", (outcome,), 0)
        for outcome in (OK, FAILED, REFUSED):
            self._count("remote_write_requests_total", (outcome,), 0)

    def watch(
        self,
        status: Callable[[], Status],
        spent: Callable[[], Iterable[Spent]],
        policy: Callable[[], Policy],
        volume_usd_per_month: Callable[[], Decimal] = Decimal,
    ) -> None:
        """Shows these from now on. Each answers from memory."""
        self._status, self._spent, self._policy = status, spent, policy
        self._volume_usd_per_month = volume_usd_per_month

    # ---- counting ----------------------------------------------------------------------------

    def count_call(self, operation: str, outcome: str) -> None:
        """A call to AWS ended: ``sagemaker:ListApps`` and ``ok`` or an error's code."""
        key = (operation, outcome)
        calls = self._counts["api_calls_total"]
        if key not in calls and len(calls) >= MAX_CALL_SERIES:
            key = (operation, "other")
        self._count("api_calls_total", key, 1)

    def on_event(self, event: Event) -> None:
        """Counts it."""
        self._count("events_total", (event.kind.value,), 1)

    def on_shutdown(self, reason: Reason, accepted: bool) -> None:
        """Counts it."""
        outcome = ACCEPTED if accepted else FAILED
        self._count("shutdowns_total", (reason.value, outcome), 1)

    def on_check(self, check: Check) -> None:
        """Takes note of the duration."""
        if check.duration is None:
            return
        seconds = check.duration.total_seconds()
        with self._lock:
            self._check_counts[bisect_left(CHECK_BUCKETS, seconds)] += 1
            self._check_sum += seconds

    def count_remote_samples(self, outcome: str, samples: int) -> None:
        """Samples for remote write were ``SENT`` or ``DROPPED``."""
        self._count("remote_write_samples_total", (outcome,), samples)

    def count_remote_request(self, outcome: str) -> None:
        """A request of remote write ended: ``OK``, ``FAILED`` or ``REFUSED``."""
        self._count("remote_write_requests_total", (outcome,), 1)

    def set_remote_pending(self, samples: int) -> None:
        """This many samples wait to be sent."""
        self._pending_samples = samples

    def _count(self, name: str, labels: tuple[str, ...], amount: float) -> None:
        with self._lock:
            counts = self._counts.setdefault(name, {})
            counts[labels] = counts.get(labels, 0) + amount

    # ---- the registry --------------------------------------------------------------------------

    def register(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Shows these metrics, and hides those of an earlier server in this process."""
        earlier = _REGISTERED.get(registry)
        if earlier is self:
            return
        if earlier is not None:
            earlier.unregister(registry)
        registry.register(self)
        _REGISTERED[registry] = self

    def unregister(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Shows them no longer."""
        if _REGISTERED.get(registry) is self:
            del _REGISTERED[registry]
            registry.unregister(self)

    def describe(self) -> Iterator[Metric]:
        """The metrics without samples, so that the registry refuses others with these names."""
        for definition in DEFINITIONS:
            yield _family(definition)

    def collect(self) -> Iterator[Metric]:
        """All metrics with their present samples."""
        with self._lock:
            counts = {name: list(by_label.items()) for name, by_label in self._counts.items()}
            check_counts, check_sum = list(self._check_counts), self._check_sum
        samples = dict(counts)
        samples["remote_write_pending_samples"] = [((), self._pending_samples)]
        if self._status is not None:
            for name, labels, value in self._samples(self._status()):
                samples.setdefault(name, []).append((labels, value))
        for definition in DEFINITIONS:
            family = _family(definition)
            if isinstance(family, HistogramMetricFamily):
                family.add_metric(self._base, _buckets(check_counts), check_sum)
            else:
                for labels, value in samples.get(definition.name, ()):
                    family.add_metric(self._base + labels, value)
            yield family

    def _samples(self, status: Status) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """The samples of a status, as (name, labels, value)."""
        yield "info", (status.version, status.region), 1
        yield from _instances(status.instances, self._app_types(status))
        for spent in self._spent():
            kind = (spent.instance_type, spent.app_type)
            yield "cost_usd_total", (*kind, "in_use"), spent.in_use_usd
            yield "cost_usd_total", (*kind, "idle"), spent.idle_usd
            yield "avoided_cost_usd_total", kind, spent.avoided_usd
        if status.totals is not None:
            for name, money in (
                ("today_cost_usd", status.totals.today),
                ("month_cost_usd", status.totals.month),
            ):
                yield name, ("in_use",), float(money.in_use_usd)
                yield name, ("idle",), float(money.idle_usd)
                yield name, ("volume",), float(money.volume_usd)
                yield name, ("avoided",), float(money.avoided_usd)
        volume = self._volume_usd_per_month()
        if volume:
            yield "volume_usd_per_month", (), float(volume)
        yield from _apps(status)
        if status.checked_at is not None:
            yield "last_check_timestamp_seconds", (), status.checked_at.timestamp()
        yield "check_overdue", (), status.check_overdue
        yield "problems", (), len(status.problems)
        yield "recording_failed", (), bool(status.recording_error)
        yield "dry_run", (), status.dry_run
        if status.presence.is_known:
            yield "browser_connected", (), status.presence.closed_since is None
        policy = self._policy() if self._policy is not None else None
        for name in _SETTINGS_IN_SECONDS if policy is not None else ():
            value: timedelta | None = getattr(policy, f"user_{name}", None) or getattr(policy, name)
            if value is not None:
                yield "setting_seconds", (name,), value.total_seconds()
        for name in _SETTING_SWITCHES if policy is not None else ():
            yield "setting_enabled", (name,), getattr(policy, name)

    @staticmethod
    def _app_types(status: Status) -> dict[str, str]:
        return {app.app_name: app.app_type.value for app in status.apps}


def _instances(
    instances: Iterable[InstanceView], app_types: dict[str, str]
) -> Iterator[tuple[str, tuple[str, ...], float]]:
    unpriced = 0
    for instance in instances:
        app_type = app_types.get(instance.app_names[0], "") if instance.app_names else ""
        kind = (instance.instance_type, app_type)
        if instance.usd_per_hour is None or instance.price_source is PriceSource.UNPRICED:
            unpriced += 1
        else:
            source = (instance.price_source.value,)
            yield "instance_usd_per_hour", kind + source, float(instance.usd_per_hour)
        yield "instance_idle", kind, instance.idle
    yield "unpriced_instances", (), unpriced


def _apps(status: Status) -> Iterator[tuple[str, tuple[str, ...], float]]:
    states = dict.fromkeys(State, 0)
    for app in status.apps:
        states[app.state] += 1
        labels = (app.app_name, app.instance_type, app.app_type.value)
        idle = timedelta(0) if app.idle_since is None else status.now - app.idle_since
        yield "app_idle_seconds", labels, max(0.0, idle.total_seconds())
        limit = (*labels, app.limit.value)
        yield "app_idle_timeout_seconds", limit, app.idle_timeout.total_seconds()
        if app.shutdown_at is not None:
            yield "app_shutdown_timestamp_seconds", labels, app.shutdown_at.timestamp()
        if app.kept_until is not None:
            yield "app_kept_until_timestamp_seconds", labels, app.kept_until.timestamp()
        for item in app.work:
            if item.kind is WorkKind.GPU and item.gpu_percent is not None:
                yield "gpu_utilization_ratio", (*labels, item.id), item.gpu_percent / 100
                since = item.last_activity or status.now
                quiet = timedelta(0) if item.background_job else status.now - since
                yield "gpu_idle_seconds", (*labels, item.id), max(0.0, quiet.total_seconds())
    for state, number in states.items():
        yield "apps", (state.value,), number


def _family(
    definition: Definition,
) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    labels = list(definition.all_labels)
    if definition.kind == "counter":
        return CounterMetricFamily(definition.full_name, definition.help, labels=labels)
    if definition.kind == "histogram":
        return HistogramMetricFamily(definition.full_name, definition.help, labels=labels)
    return GaugeMetricFamily(definition.full_name, definition.help, labels=labels)


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    """Counts by bucket; each includes all lower ones, as in Prometheus."""
    found, below = [], 0
    for bound, count in zip((*CHECK_BUCKETS, float("inf")), counts):
        below += count
        found.append(("+Inf" if bound == float("inf") else str(bound), float(below)))
    return found


_REGISTERED: WeakKeyDictionary[CollectorRegistry, Metrics] = WeakKeyDictionary()
