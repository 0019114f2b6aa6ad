"""The fleet's Prometheus metrics: names, labels, and one collector that reads memory only.

Names follow ``metrics/collector.py``. Every series names the account, the region and the domain
(empty for notebook instances). It names the user only if the configuration says so, because
thousands of users make many series, and not everybody should see people's names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..metrics.collector import PREFIX
from .acting.model import Event, Grade, Happened
from .bill import NANO
from .model import VOLUME, Scope
from .record import Total
from .stopper import Proposal
from .view import UNUSED, USED, Summary

SCOPE_LABELS = ("account_id", "region")
_WHAT = ("app_type", "instance_type")


@dataclass(frozen=True)
class Definition:
    """A metric: its name without prefix, type, help, and labels beyond account and region."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name that a query uses."""
        return f"{PREFIX}fleet_{self.name}"


DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "apps",
        "gauge",
        "Running apps and notebook instances by coverage: who shuts them down when they are idle.",
        ("domain", *_WHAT, "coverage"),
    ),
    Definition(
        "usd_per_hour",
        "gauge",
        "Cost per hour of running apps and notebook instances. An instance that apps share is "
        "counted once.",
        ("domain", *_WHAT, "coverage"),
    ),
    Definition(
        "unpriced_instances",
        "gauge",
        "Running instances without a known price. Their cost is missing from all totals.",
        ("domain", *_WHAT),
    ),
    Definition(
        "oldest_run_start_timestamp_seconds",
        "gauge",
        "Start of the longest run that is up, as far as it was observed.",
        ("domain", *_WHAT, "coverage"),
    ),
    Definition(
        "volumes",
        "gauge",
        "Volumes of spaces by state: whether an app of the space is up.",
        ("domain", "state"),
    ),
    Definition("volume_bytes", "gauge", "Size of the volumes.", ("domain", "state")),
    Definition(
        "volume_usd_per_hour",
        "gauge",
        "Cost of the volumes per hour, with 730 hours in a month.",
        ("domain", "state"),
    ),
    Definition(
        "cost_usd_total",
        "counter",
        "Cost since records began, kept over restarts. Volumes have the app_type Volume.",
        ("domain", *_WHAT),
    ),
    Definition("last_sweep_timestamp_seconds", "gauge", "Time of the last good sweep."),
    Definition("sweep_duration_seconds", "gauge", "Duration of the last good sweep."),
    Definition("sweeps_total", "counter", "Sweeps by outcome: ok or failed.", ("outcome",)),
    Definition(
        "unseen_parts",
        "gauge",
        "Lists that the last good sweep could not read, such as the list of notebook instances.",
    ),
    Definition(
        "due_runs",
        "gauge",
        "Runs that are due by a rule, by class and by whether fleet run acts on that class.",
        ("class", "acts"),
    ),
    Definition(
        "acting_events_total",
        "counter",
        "Events of runs that were due: marked, spared, stopped, failed and so on.",
        ("event",),
    ),
    Definition(
        "acting_halted",
        "gauge",
        "1 while nothing is shut down because more runs were due at once than the limits "
        "allow, else 0.",
    ),
    Definition(
        "coverage_known",
        "gauge",
        "1 if Prometheus answered which servers report, else 0.",
    ),
)

OK, FAILED = "ok", "failed"
#: As EBS counts gigabytes.
GIGABYTE = 2**30


@dataclass
class _Seen:
    """The last good sweep of a scope."""

    summary: Summary
    at: datetime
    seconds: float
    unseen: int
    coverage_known: bool


@dataclass(eq=False)  # a registry keeps collectors by identity
class FleetMetrics:
    """The collector. Its methods may be called from any thread."""

    by_owner: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: dict[Scope, _Seen] = field(default_factory=dict)
    _totals: dict[tuple[str, ...], int] = field(default_factory=dict)
    _sweeps: dict[tuple[str, ...], int] = field(default_factory=dict)
    _proposals: dict[Scope, Proposal] = field(default_factory=dict)
    _events: dict[tuple[str, ...], int] = field(default_factory=dict)

    def labels_of(self, definition: Definition) -> tuple[str, ...]:
        """All labels of a metric, including the owner's if it is configured."""
        labels = definition.labels
        if self.by_owner and "domain" in labels:
            labels = ("domain", "owner", *labels[1:])
        return SCOPE_LABELS + labels

    def show(
        self,
        scope: Scope,
        summary: Summary,
        at: datetime,
        *,
        seconds: float,
        unseen: int,
        coverage_known: bool,
    ) -> None:
        """Shows this sweep of the scope from now on."""
        with self._lock:
            self._seen[scope] = _Seen(summary, at, seconds, unseen, coverage_known)

    def show_totals(self, totals: Iterable[Total]) -> None:
        """Shows these costs, which are complete, from now on."""
        sums: dict[tuple[str, ...], int] = {}
        for total in totals:
            owner = (total.owner,) if self.by_owner else ()
            labels = (*total.scope, total.domain, *owner, total.app_type, total.instance_type)
            sums[labels] = sums.get(labels, 0) + total.nano
        with self._lock:
            self._totals = sums

    def count_sweep(self, scope: Scope, outcome: str) -> None:
        """A sweep ended."""
        with self._lock:
            for each in (OK, FAILED):
                labels = (*scope, each)
                self._sweeps[labels] = self._sweeps.get(labels, 0) + (each == outcome)
                if scope.account_id:
                    # Failures from before the account was known would stay for ever.
                    self._sweeps.pop(("", scope.region, each), None)

    def show_acting(self, scope: Scope, proposal: Proposal, events: Sequence[Event]) -> None:
        """Shows the rules' verdicts on the scope from now on; counts the events."""
        with self._lock:
            self._proposals[scope] = proposal
            for each in Happened:
                labels = (*scope, each.value)
                count = sum(event.what is each for event in events)
                self._events[labels] = self._events.get(labels, 0) + count

    def show_sweeps(self, scope: Scope, stored: int, failed: int) -> None:
        """Shows these recorded numbers of sweeps from now on."""
        with self._lock:
            self._sweeps[(*scope, OK)] = stored
            self._sweeps[(*scope, FAILED)] = failed

    def describe(self) -> Iterator[Metric]:
        """The metrics without samples."""
        for definition in DEFINITIONS:
            yield self._family(definition)

    def collect(self) -> Iterator[Metric]:
        """All metrics with their present samples."""
        with self._lock:
            seen = dict(self._seen)
            totals = self._totals
            sweeps = dict(self._sweeps)
            proposals = dict(self._proposals)
            events = dict(self._events)
        samples: dict[str, dict[tuple[str, ...], float]] = {
            definition.name: {} for definition in DEFINITIONS
        }
        for scope, found in seen.items():
            self._of_sweep(scope, found, samples)
        for labels, nano in totals.items():
            samples["cost_usd_total"][labels] = nano / NANO
        for labels, count in sweeps.items():
            samples["sweeps_total"][labels] = count
        for scope, proposal in proposals.items():
            due = samples["due_runs"]
            for grade in Grade:
                for acts in ("true", "false"):
                    due[(*scope, grade.value, acts)] = 0
            for verdict in proposal.due:
                due[(*scope, verdict.grade.value, str(verdict.acts).lower())] += 1
            samples["acting_halted"][scope] = bool(proposal.plan.halted)
        for labels, count in events.items():
            samples["acting_events_total"][labels] = count
        for definition in DEFINITIONS:
            family = self._family(definition)
            for labels, value in samples[definition.name].items():
                family.add_metric(labels, value)
            yield family

    def _family(self, definition: Definition) -> CounterMetricFamily | GaugeMetricFamily:
        kind = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
        return kind(definition.full_name, definition.help, labels=self.labels_of(definition))

    def _of_sweep(
        self, scope: Scope, seen: _Seen, samples: dict[str, dict[tuple[str, ...], float]]
    ) -> None:
        def add(name: str, labels: tuple[str, ...], value: float) -> None:
            series = samples[name]
            series[labels] = series.get(labels, 0) + value

        for group, sums in seen.summary.groups.items():
            where = (*scope, group.domain, *((group.owner,) if self.by_owner else ()))
            if group.app_type == VOLUME:
                labels = (*where, group.coverage)
                add("volumes", labels, sums.count)
                add("volume_bytes", labels, sums.gigabytes * GIGABYTE)
                add("volume_usd_per_hour", labels, sums.nano_usd_per_hour / NANO)
                continue
            what = (*where, group.app_type, group.instance_type)
            labels = (*what, group.coverage)
            add("apps", labels, sums.count)
            add("usd_per_hour", labels, sums.nano_usd_per_hour / NANO)
            if sums.unpriced:
                add("unpriced_instances", what, sums.unpriced)
            if sums.oldest is not None:
                samples["oldest_run_start_timestamp_seconds"][labels] = sums.oldest.timestamp()
        # There from the start, at 0, so that an alert can tell zero from unknown.
        if not self.by_owner:
            for domain in {group.domain for group in seen.summary.groups if group.domain}:
                for state in (USED, UNUSED):
                    for name in ("volumes", "volume_bytes", "volume_usd_per_hour"):
                        add(name, (*scope, domain, state), 0)
        samples["last_sweep_timestamp_seconds"][scope] = seen.at.timestamp()
        samples["sweep_duration_seconds"][scope] = seen.seconds
        samples["unseen_parts"][scope] = seen.unseen
        samples["coverage_known"][scope] = seen.coverage_known
