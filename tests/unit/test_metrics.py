"""Metrics: the content of a scrape, and that it costs nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sagemaker_autoshutdown import status as status_module
from sagemaker_autoshutdown.costs.totals import Spent
from sagemaker_autoshutdown.listeners import Check
from sagemaker_autoshutdown.metrics import collector as metrics_module
from sagemaker_autoshutdown.metrics.collector import (
    BASE_LABELS,
    DEFINITIONS,
    PREFIX,
    Metrics,
)
from sagemaker_autoshutdown.model import (
    App,
    AppType,
    Event,
    EventKind,
    Host,
    HostKind,
    Limit,
    Money,
    OwnerKind,
    Presence,
    Price,
    PriceSource,
    Problem,
    Reason,
    Totals,
    Work,
    WorkKind,
)
from sagemaker_autoshutdown.settings.admin import Policy
from sagemaker_autoshutdown.status import Status

from ..worlds import START, World, app, at, kernel

HOST = Host(HostKind.CLASSIC, "us-east-2", "d-1", "ada")
BASE = {"domain": "d-1", "owner_kind": "user-profile", "owner": "ada", "host_kind": "classic"}


def price(instance_type: str, app_type: AppType) -> Price:
    if instance_type == "ml.z9.mega":
        return Price(instance_type, None, PriceSource.UNPRICED)
    return Price(instance_type, Decimal("0.05"), PriceSource.LIST, "2026-09-01")


def status(
    apps: tuple[App, ...] = (app(),),
    work: tuple[Work, ...] = (),
    hours: float = 1,
    totals: Totals | None = None,
) -> Status:
    now = at(hours=hours)
    verdicts = tuple(World(apps=apps, work=work).observe(now).values())
    return replace(
        status_module.empty(HOST, now),
        checked_at=now,
        apps=status_module.app_views(verdicts, work, {}, {}),
        instances=status_module.instance_views(HOST, verdicts, price, lambda *_: None),
        totals=totals,
    )


class Server:
    """A server's metrics, and the text of a scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(HOST)
        self.status = status()
        self.spent: tuple[Spent, ...] = ()
        self.volume = Decimal(0)
        self.metrics.watch(lambda: self.status, lambda: self.spent, Policy, lambda: self.volume)
        self.metrics.register(self.registry)

    def scrape(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Values by name and labels, without the common labels."""
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        text = generate_latest(self.registry).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = dict(sample.labels)
                assert {key: labels.pop(key, None) for key in BASE_LABELS} == BASE, sample
                by_labels = found.setdefault(sample.name.removeprefix(PREFIX), {})
                key = tuple(sorted(labels.items()))
                assert key not in by_labels, f"twice: {sample}"
                by_labels[key] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float | None:
        return self.scrape().get(name, {}).get(tuple(sorted(labels.items())))


@pytest.fixture
def server() -> Server:
    return Server()


MEDIUM = {"instance_type": "ml.t3.medium", "app_type": "KernelGateway"}


def test_what_runs_is_shown_with_what_it_costs(server: Server) -> None:
    assert server.value("instance_usd_per_hour", **MEDIUM, price_source="list") == 0.05
    assert server.value("instance_idle", **MEDIUM) == 1
    assert server.value("app_idle_seconds", app_name="app", **MEDIUM) == 3600
    assert (
        server.value("app_shutdown_timestamp_seconds", app_name="app", **MEDIUM)
        == (START + timedelta(hours=2)).timestamp()
    )
    assert server.value("apps", state="idle") == 1
    assert server.value("apps", state="busy") == 0
    assert server.value("last_check_timestamp_seconds") == at(hours=1).timestamp()
    assert server.value("info", version=server.status.version, region="us-east-2") == 1
    assert server.value("setting_seconds", setting="idle_timeout") == 7200
    assert server.value("setting_enabled", setting="keep_terminals") == 0


def test_a_busy_app_is_not_idle_and_has_no_deadline(server: Server) -> None:
    server.status = status(work=(kernel("busy"),))
    assert server.value("app_idle_seconds", app_name="app", **MEDIUM) == 0
    assert server.value("app_shutdown_timestamp_seconds", app_name="app", **MEDIUM) is None


def test_the_limit_that_applies_is_told_with_its_name(server: Server) -> None:
    (view,) = server.status.apps
    labels = {"app_name": "app", **MEDIUM}
    assert server.value("app_idle_timeout_seconds", **labels, limit="idle_timeout") == 7200
    closed = replace(view, limit=Limit.CLOSED_IDLE_TIMEOUT, idle_timeout=timedelta(minutes=15))
    server.status = replace(server.status, apps=(closed,))
    assert server.value("app_idle_timeout_seconds", **labels, limit="closed_idle_timeout") == 900
    assert server.value("app_idle_timeout_seconds", **labels, limit="idle_timeout") is None


@pytest.mark.parametrize(
    ("presence", "value"),
    [(Presence(), None), (Presence(True), 1), (Presence(True, START), 0)],
)
def test_an_unknown_presence_is_not_called_a_closed_browser(
    server: Server, presence: Presence, value: float | None
) -> None:
    server.status = replace(server.status, presence=presence)
    assert server.value("browser_connected") == value


def gpu(percent: float | None, hold: Reason | None = None) -> Work:
    """A GPU that last worked at the beginning."""
    return Work(
        kind=WorkKind.GPU,
        id="0",
        label="GPU 0",
        state="",
        state_since=START,
        last_activity=START,
        apps=frozenset({"app"}),
        hold=hold,
        gpu_percent=percent,
    )


def test_a_gpu_that_does_nothing_is_shown_though_its_app_is_in_use(server: Server) -> None:
    server.status = status(work=(kernel("busy"), gpu(2)))
    labels = {"app_name": "app", **MEDIUM, "gpu": "0"}
    assert server.value("gpu_utilization_ratio", **labels) == 0.02
    assert server.value("gpu_idle_seconds", **labels) == 3600
    assert server.value("app_idle_seconds", app_name="app", **MEDIUM) == 0
    server.status = status(work=(gpu(87, Reason.GPU_BUSY),))
    assert server.value("gpu_idle_seconds", **labels) == 0


def test_a_gpu_that_does_not_tell_is_not_called_idle(server: Server) -> None:
    server.status = status(work=(gpu(None),))
    assert not {"gpu_utilization_ratio", "gpu_idle_seconds"} & set(server.scrape())


def test_series_of_an_app_that_is_gone_go_away(server: Server) -> None:
    assert "app_idle_seconds" in server.scrape()
    server.status = status(apps=())
    found = server.scrape()
    assert not {"app_idle_seconds", "instance_usd_per_hour", "instance_idle"} & set(found)


def test_f24_an_unpriced_instance_is_counted_and_has_no_price(server: Server) -> None:
    server.status = status(apps=(app(instance_type="ml.z9.mega"), app("other")))
    assert server.value("unpriced_instances") == 1
    assert list(server.scrape()["instance_usd_per_hour"].values()) == [0.05]


def test_costs_are_those_of_the_ledger(server: Server) -> None:
    server.spent = (Spent("ml.t3.medium", "KernelGateway", 1.5, 0.5, 0.25),)
    money = Money(Decimal(2), Decimal("1.5"), Decimal("0.5"), 0.25, Decimal("0.25"), Decimal(7))
    server.status = status(totals=Totals(money, money, money))
    assert server.value("cost_usd_total", **MEDIUM, state="in_use") == 1.5
    assert server.value("cost_usd_total", **MEDIUM, state="idle") == 0.5
    assert server.value("avoided_cost_usd_total", **MEDIUM) == 0.25
    assert server.scrape()["month_cost_usd"] == {
        (("kind", "in_use"),): 1.5,
        (("kind", "idle"),): 0.5,
        (("kind", "volume"),): 7,
        (("kind", "avoided"),): 0.25,
    }


def test_what_can_happen_is_there_before_it_does(server: Server) -> None:
    found = server.scrape()
    assert len(found["shutdowns_total"]) == 6
    assert len(found["events_total"]) == len(EventKind) - 1  # but for "unknown", never told
    assert set(found["shutdowns_total"].values()) == {0}
    assert found["check_duration_seconds_count"] == {(): 0}


def test_what_happens_is_counted(server: Server) -> None:
    server.metrics.on_shutdown(Reason.IDLE_TIMEOUT, True)
    server.metrics.on_shutdown(Reason.IDLE_TIMEOUT, False)
    server.metrics.on_event(Event(START, EventKind.WARNING, ""))
    server.metrics.count_call("sagemaker:ListApps", "ok")
    server.metrics.count_call("sagemaker:DeleteApp", "AccessDeniedException")
    for seconds in (0.004, 0.3, 99):
        server.metrics.on_check(Check(START, timedelta(seconds=seconds), (), True))
    assert server.value("shutdowns_total", reason="idle_timeout", outcome="accepted") == 1
    assert server.value("shutdowns_total", reason="idle_timeout", outcome="failed") == 1
    assert server.value("events_total", kind="warning") == 1
    assert server.value("api_calls_total", operation="sagemaker:ListApps", outcome="ok") == 1
    denied = {"operation": "sagemaker:DeleteApp", "outcome": "AccessDeniedException"}
    assert server.value("api_calls_total", **denied) == 1
    assert server.value("check_duration_seconds_bucket", le="0.01") == 1
    assert server.value("check_duration_seconds_bucket", le="0.5") == 2
    assert server.value("check_duration_seconds_bucket", le="+Inf") == 3
    assert server.value("check_duration_seconds_sum") == pytest.approx(99.304)


def test_error_codes_without_end_do_not_make_series_without_end(server: Server) -> None:
    for number in range(1000):
        server.metrics.count_call("sagemaker:ListApps", f"Code{number}")
    assert len(server.scrape()["api_calls_total"]) <= metrics_module.MAX_CALL_SERIES + 1
    assert server.value("api_calls_total", operation="sagemaker:ListApps", outcome="other")


def test_troubles_show(server: Server) -> None:
    problem = Problem("access_denied", "no", "ask", START)
    server.status = replace(
        server.status, check_overdue=True, problems=(problem,), recording_error="full"
    )
    assert server.value("check_overdue") == 1
    assert server.value("problems") == 1
    assert server.value("recording_failed") == 1


def test_f22_loading_twice_doubles_nothing(server: Server) -> None:
    server.metrics.register(server.registry)
    later = Metrics(HOST)
    later.register(server.registry)
    assert server.value("events_total", kind="warning") == 0  # asserts that nothing is there twice
    # The first one stops after the second one has started, which keeps its metrics.
    server.metrics.unregister(server.registry)
    assert server.scrape()
    later.unregister(server.registry)
    assert server.scrape() == {}


def test_a_server_that_has_not_looked_yet_can_be_scraped() -> None:
    registry = CollectorRegistry()
    Metrics(Host(HostKind.NONE)).register(registry)
    assert b"sagemaker_autoshutdown_events_total" in generate_latest(registry)


# --- names ------------------------------------------------------------------------------------


def test_every_metric_that_is_defined_is_shown_and_no_other(server: Server) -> None:
    server.spent = (Spent("ml.t3.medium", "KernelGateway", 1.5, 0.5, 0.25),)
    server.status = status(totals=Totals(), work=(gpu(2),))
    server.status = replace(server.status, presence=Presence(is_known=True))
    assert "app_kept_until_timestamp_seconds" not in server.scrape(), "where nobody keeps it"
    kept = replace(server.status.apps[0], kept_until=at(hours=5))
    server.status = replace(server.status, apps=(kept,))
    until = server.value("app_kept_until_timestamp_seconds", app_name="app", **MEDIUM)
    assert until == at(hours=5).timestamp()
    assert "volume_usd_per_month" not in server.scrape(), "where there is none"
    server.volume = Decimal("5.6")
    assert server.value("volume_usd_per_month") == 5.6
    shown = set(server.scrape())
    defined = {definition.name for definition in DEFINITIONS}
    histogram = "check_duration_seconds"
    parts = {f"{histogram}_{part}" for part in ("bucket", "count", "sum")}
    assert shown == defined - {histogram} | parts
    labels = {
        name: {key for series in by_labels for key, _ in series}
        for name, by_labels in server.scrape().items()
    }
    for definition in DEFINITIONS:
        if definition.kind != "histogram":
            assert labels[definition.name] == set(definition.labels), definition.name


def test_a_shared_space_and_a_profile_of_one_name_share_no_series() -> None:
    registry = CollectorRegistry()
    for owner_kind in (OwnerKind.USER_PROFILE, OwnerKind.SPACE):
        metrics = Metrics(replace(HOST, owner_kind=owner_kind))
        # Each belongs to another server.
        metrics.register(registry)
        assert f'owner_kind="{owner_kind.value}"' in generate_latest(registry).decode()
    notebook = CollectorRegistry()
    Metrics(Host(HostKind.NOTEBOOK_INSTANCE, "us-east-1", app_name="nb")).register(notebook)
    assert 'owner="nb",owner_kind=""' in generate_latest(notebook).decode()
