"""The whole way: a Jupyter server in a local Studio, scraped by a Prometheus and writing to one."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from sagemaker_autoshutdown.clock import utcnow
from tests.localstudio import ServerOptions
from tests.localstudio.scene import Scene
from tests.localstudio.testing import BlockingStudio, running_studio

from ..generators.build_dashboard import DASHBOARD
from ..prometheus import Prometheus, running_prometheus, wait_for

RULES = DASHBOARD.with_name("prometheus-rules.yml")
PROFILE = "data-scientist"


@dataclass(frozen=True)
class Running:
    """A server that watches three apps, and two Prometheuses.

    One app is busy, one is shut down when it has been idle for four seconds, one after an hour.
    """

    studio: BlockingStudio
    scene: Scene
    scraping: Prometheus
    receiving: Prometheus
    domain: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        running_prometheus(folder / "receiving") as receiving,
        running_studio(folder / "studio") as studio,
    ):
        traits = {
            "idle_timeout": 3600,
            "warning_time": 1,
            "active_time": 1,
            "poll_interval": 1,
            "price_list_api": False,
            "remote_write_url": receiving.receiver,
            "remote_write_interval": 1,
            "idle_timeout_rules": "[{'instance_type': 'ml.g4dn.*', 'idle_timeout': 4}]",
        }
        args = tuple(f"--SageMakerAutoShutdown.{name}={value}" for name, value in traits.items())
        scene = studio.classic(options=ServerOptions(frontend="server", args=args))
        assert scene.owner is not None
        busy = studio.create_kernel_app(scene.owner)
        idle = studio.create_kernel_app(scene.owner, instance_type="ml.g4dn.xlarge")
        later = studio.create_kernel_app(scene.owner, instance_type="ml.m5.large")
        for app in (busy, idle, later):
            studio.wait_for(app, "InService")
        kernel = studio.start_kernel(busy)
        studio.execute(busy, kernel, "import time; time.sleep(10_000)", wait=False)
        with running_prometheus(
            folder / "scraping", [scrape_config(scene)], rules=RULES
        ) as scraping:
            yield Running(studio, scene, scraping, receiving, str(scene.domain_id))


def scrape_config(scene: Scene) -> dict[str, Any]:
    """As in the documentation."""
    parts = urlsplit(scene.server.url)
    return {
        "job_name": "jupyter",
        "metrics_path": f"{parts.path.rstrip('/')}/metrics",
        "authorization": {"type": "token", "credentials": scene.server.token},
        "static_configs": [{"targets": [parts.netloc]}],
    }


def wait_until_shut_down(running: Running) -> None:
    """Waits until the idle app is gone and the scrapes know it."""
    expression = (
        'sagemaker_autoshutdown_shutdowns_total{reason="idle_timeout", outcome="accepted"} > 0'
    )
    running.scraping.wait(expression)
    running.scraping.wait("sagemaker_autoshutdown_avoided_cost_usd_total > 0")


def substituted(expression: str, interval: str = "30s") -> str:
    """A dashboard's expression with Grafana's variables filled in."""
    for name, value in {
        "$__rate_interval": "30s",
        "$__range": "1h",
        "$__interval": interval,
        "$domain": ".*",
        "$owner": ".*",
    }.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def test_a_prometheus_with_the_servers_token_sees_what_runs(running: Running) -> None:
    usd = "sagemaker_autoshutdown_instance_usd_per_hour"
    running.scraping.wait(f'{usd}{{instance_type="ml.t3.medium"}}')
    found = running.scraping.values(usd, "domain", "owner", "instance_type", "price_source")
    medium = (running.domain, PROFILE, "ml.t3.medium")
    assert {key[:3]: value for key, value in found.items()}[medium] == 0.05
    busy = running.scraping.wait('sagemaker_autoshutdown_apps{state="busy"} > 0')
    assert float(busy[0]["value"][1]) == 1


def test_cost_grows_and_a_shutdown_is_counted_with_what_it_avoided(running: Running) -> None:
    wait_until_shut_down(running)
    calls = running.scraping.values(
        "sagemaker_autoshutdown_api_calls_total", "operation", "outcome"
    )
    assert calls["sagemaker:DeleteApp", "ok"] == 1
    assert calls["sagemaker:ListApps", "ok"] > 1
    running.scraping.wait('sagemaker_autoshutdown_cost_usd_total{state="in_use"} > 0')
    running.scraping.wait('sagemaker_autoshutdown_cost_usd_total{state="idle"} > 0')
    # The instance that is gone has no series any more.
    gone = 'sagemaker_autoshutdown_instance_usd_per_hour{instance_type="ml.g4dn.xlarge"}'
    wait_for(lambda: not running.scraping.query(gone), "the series is gone")


def a_month_has_just_begun() -> bool:
    """The rules then wait for the servers' first checks."""
    now = utcnow()
    return (now.day, now.hour) == (1, 0) and now.minute < 21


def panel_queries() -> list[Any]:
    """Title and query of all panels, and the interval of those that show a time. GPUs of Studio
    Classic are not seen; ``dashboards/test_files.py`` tries their panel."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        pytest.param(target, panel.get("interval", ""), id=f"{panel['title']} {target['refId']}")
        for panel in panels
        for target in panel.get("targets", ())
        if "gpu_idle_seconds" not in target["expr"]
    ]


SECONDS = {"": 1, "1h": 3600, "1d": 86_400}


@pytest.mark.parametrize(("target", "interval"), panel_queries())
def test_every_panel_of_the_dashboard_has_data(
    running: Running, target: dict[str, Any], interval: str
) -> None:
    if "month_cost_usd" in target["expr"] and a_month_has_just_begun():
        pytest.skip("the rules record nothing in the first minutes of a month")
    wait_until_shut_down(running)
    prometheus, expression = running.scraping, substituted(target["expr"], interval or "30s")
    if target["range"]:
        wait_for(lambda: prometheus.query_range(expression, SECONDS[interval]), expression)
    else:
        prometheus.wait(expression)


def test_the_dashboards_variables_find_the_servers(running: Running) -> None:
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked = [
        re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        for variable in variables
        if variable["type"] == "query"
    ]
    assert len(asked) == 2
    for match in asked:
        assert match
        (series,) = running.scraping.wait(substituted(match[1]))
        assert series["metric"][match[2]] in (running.domain, PROFILE)


def test_the_rules_record_what_the_server_shows(running: Running) -> None:
    running.scraping.wait("owner:sagemaker_autoshutdown_instance_usd_per_hour:sum > 0.05")
    if not a_month_has_just_begun():
        running.scraping.wait("owner:sagemaker_autoshutdown_month_cost_usd:sum > 0")


def test_f23_an_anonymous_scrape_is_refused(running: Running) -> None:
    url = running.scene.server.url.rstrip("/") + "/metrics"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=90)  # noqa: S310
    with refused.value as reply:
        assert reply.status == 403
        assert b"sagemaker_autoshutdown" not in reply.read()


def test_what_is_written_remotely_is_what_is_scraped(running: Running) -> None:
    wait_until_shut_down(running)
    cost = 'sagemaker_autoshutdown_cost_usd_total{instance_type="ml.g4dn.xlarge",state="idle"}'
    labels = ("domain", "owner", "host_kind", "instance_type", "app_type", "state")
    wait_for(
        lambda: (
            running.receiving.values(cost, *labels) == running.scraping.values(cost, *labels) != {}
        ),
        "the same cost at the receiver",
    )
    (series,) = running.receiving.query("sagemaker_autoshutdown_info")
    assert series["metric"]["job"] == "sagemaker_autoshutdown"
    assert series["metric"]["account_id"]


def test_a_series_that_ends_ends_at_the_receiver_at_once(running: Running) -> None:
    """And not five minutes later, as without that marker."""
    wait_until_shut_down(running)
    gone = 'sagemaker_autoshutdown_instance_usd_per_hour{instance_type="ml.g4dn.xlarge"}'
    running.receiving.wait(f"count_over_time({gone}[10m])")  # it was there before
    wait_for(lambda: not running.receiving.query(gone), "the series has ended")


def test_what_was_sent_is_counted(running: Running) -> None:
    sent = 'sagemaker_autoshutdown_remote_write_samples_total{outcome="sent"} > 0'
    running.scraping.wait(sent)
    refused = running.scraping.values(
        "sagemaker_autoshutdown_remote_write_requests_total", "outcome"
    )
    assert refused["refused",] == 0


def test_counters_go_on_after_a_restart_of_the_server(running: Running) -> None:
    """The counters come from it, so that they go on after a restart."""
    wait_until_shut_down(running)
    total = "sum(sagemaker_autoshutdown_cost_usd_total)"
    before = running.scraping.values(total)[()]
    running.studio.restart_server(running.scene.target)
    wait_for(
        lambda: running.scraping.values(f"{total} and sum(up) == 1").get((), 0) >= before,
        "the counter goes on where it was",
    )
