"""``fleet run``: rounds, costs over restarts, ``/metrics`` in a real Prometheus with 5,000 apps."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.fleet.model import ReportKey
from tests.generators.build_fleet_dashboard import DASHBOARD
from tests.localstudio import Fault
from tests.localstudio.fleet import Fleet
from tests.localstudio.processes import free_port
from tests.localstudio.testing import BlockingStudio, running_studio
from tests.prometheus import Prometheus, running_prometheus, wait_for
from tests.reporters import Reporters, serving

from .conftest import fill

pytestmark = pytest.mark.timeout(600)

RULES = DASHBOARD.with_name("fleet-rules.yml")
P = "sagemaker_autoshutdown_fleet_"
FLEET = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet"]


def environment_of(studio: BlockingStudio, folder: Path) -> dict[str, str]:
    # The Price List would be called once for each type.
    return {**os.environ, **studio.aws_environment(), "JUPYTER_DATA_DIR": str(folder / "data")}


def configuration(folder: Path, port: int, *, interval: str = "1s", more: str = "") -> Path:
    path = folder / "fleet.toml"
    path.write_text(
        f'interval = "{interval}"\nlisten = "127.0.0.1:{port}"\ndata_dir = "record"\n'
        f"[prices]\nprice_list_api = false\n{more}"
    )
    return path


@contextmanager
def running_fleet(
    config: Path, environment: Mapping[str, str], *, ends_well: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """``fleet run``, until the block ends; it must end cleanly when it is told to."""
    process = subprocess.Popen(
        [*FLEET, "run", "--config", str(config)],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Metrics: http://"), first + (process.stderr or sys.stdin).read()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(180) == 0 or not ends_well
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def scraped(port: int, headers: Mapping[str, str] | None = None) -> dict[str, float]:
    """All samples of ``/metrics``, by name and labels."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers=dict(headers or {})
    )
    with urllib.request.urlopen(request, timeout=90) as reply:  # noqa: S310
        lines = reply.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line and not line.startswith("#")
    }


def total(samples: Mapping[str, float], name: str, *parts: str) -> float:
    return sum(
        value
        for key, value in samples.items()
        if key.startswith(f"{P}{name}{{") and all(part in key for part in parts)
    )


@dataclass
class Running:
    """A watched fleet of 5,000 apps, with a Prometheus that has a third of the servers."""

    studio: BlockingStudio
    made: Fleet
    prometheus: Prometheus
    reporters: Reporters
    environment: Mapping[str, str]
    config: Path
    silenced: list[ReportKey] = field(default_factory=list)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fleet")
    port, reporters = free_port(), Reporters()
    with running_studio(folder / "studio") as studio, serving(reporters) as servers:
        made = fill(studio, apps=5000, domains=30)
        labs = [
            ReportKey(key.domain_id, key.owner_kind, key.owner_name, "space")
            for key in made.apps
            if key.app_type == "JupyterLab" and int(key.domain_id[-7:]) % 3 == 2
        ]
        reporters.set(frozenset(labs))
        scrapes = [
            {"job_name": "servers", "static_configs": [{"targets": [servers]}]},
            {
                "job_name": "fleet",
                "scrape_timeout": "1s",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            },
        ]
        with running_prometheus(folder / "prometheus", scrapes, rules=RULES) as prometheus:
            prometheus.wait("count(sagemaker_autoshutdown_last_check_timestamp_seconds) > 100")
            more = f'[prometheus]\nurl = "{prometheus.url}"\nreports_within = "5s"\n'
            config = configuration(folder, port, interval="4s", more=more)
            environment = environment_of(studio, folder)
            with running_fleet(config, environment):
                prometheus.wait(f"sum({P}apps) > 4999")
                # Half of them fall silent.
                silenced = labs[: len(labs) // 2]
                reporters.set(frozenset(labs) - frozenset(silenced))
                yield Running(studio, made, prometheus, reporters, environment, config, silenced)


def test_prometheus_has_every_app_once(running: Running) -> None:
    up = running.prometheus.values(
        f'sum by (app_type) ({P}apps{{app_type!="NotebookInstance"}})', "app_type"
    )
    assert sum(up.values()) == 5000
    assert len(up) == 9


def test_servers_that_stop_reporting_are_told_as_silent(running: Running) -> None:
    query = f'sum({P}apps{{coverage="silent"}}) == {len(running.silenced)}'
    running.prometheus.wait(query)
    reporting = len(running.reporters.names)
    running.prometheus.wait(f'sum({P}apps{{coverage="reports"}}) == {reporting}')
    running.prometheus.wait(f'sum({P}apps{{coverage="native"}}) > 0')


def substituted(expression: str) -> str:
    """An expression with Grafana's variables filled in."""
    expression = re.sub(r"\$(account|region|domain)\b", ".*", expression)
    return expression.replace("$__rate_interval", "30s").replace("$__interval", "30s")


def panel_queries() -> list[Any]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        pytest.param(target, id=f"{panel['title']} {target['refId']}")
        for panel in panels
        for target in panel.get("targets", ())
    ]


@pytest.mark.parametrize("target", panel_queries())
def test_every_panel_of_the_dashboard_has_data(running: Running, target: dict[str, Any]) -> None:
    expression = substituted(target["expr"])
    if target["range"]:
        wait_for(lambda: running.prometheus.query_range(expression, 1), expression)
    else:
        running.prometheus.wait(expression)


def test_the_dashboards_variables_find_accounts_regions_and_domains(running: Running) -> None:
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    asked = [
        re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        for variable in variables
        if variable["type"] == "query"
    ]
    assert len(asked) == 3
    for match in asked:
        assert match
        series = running.prometheus.wait(substituted(match[1]))
        assert any(each["metric"].get(match[2]) for each in series)


def test_the_rules_record_and_judge_what_there_is(running: Running) -> None:
    running.prometheus.wait("account:sagemaker_autoshutdown_fleet_usd_per_hour:sum > 100")
    running.prometheus.wait('ALERTS{alertname="SageMakerFleetSpend"}')
    running.prometheus.wait('ALERTS{alertname="SageMakerFleetUncoveredGPU"}')
    running.prometheus.wait('ALERTS{alertname="SageMakerFleetSilentServers"}')


def test_counters_never_fall_over_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=60)
        config = configuration(tmp_path, port)
        environment = environment_of(studio, tmp_path)
        with running_fleet(config, environment):
            wait_for(lambda: total(scraped(port), "cost_usd_total") > 0, "costs")
            before = scraped(port)
        with running_fleet(config, environment):
            # Before its first sweep it has the recorded values.
            at_once = scraped(port)
            for key, value in before.items():
                if key.startswith(f"{P}cost_usd_total"):
                    assert at_once[key] >= value
            wait_for(
                lambda: total(scraped(port), "cost_usd_total") > total(at_once, "cost_usd_total"),
                "costs go on",
            )


def test_costs_and_status_read_the_record_of_a_fleet_that_runs(tmp_path: Path) -> None:
    port = free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=60)
        config = configuration(tmp_path, port)
        environment = environment_of(studio, tmp_path)

        def told(*arguments: str) -> dict[str, Any]:
            done = subprocess.run(
                [*FLEET, *arguments, "--config", str(config), "--json"],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        with running_fleet(config, environment):
            wait_for(lambda: total(scraped(port), "cost_usd_total") > 0, "costs")
            shown = total(scraped(port), "cost_usd_total")
            for group in ("day", "owner", "app-type", "instance-type", "domain", "region"):
                costs = told("costs", "--group-by", group)
                assert float(costs["total"]["usd"]) >= shown - 1e-6
                assert (
                    abs(
                        sum(float(row["usd"]) for row in costs["rows"])
                        - float(costs["total"]["usd"])
                    )
                    < 1e-6
                )
            assert "user-0" in {row["key"] for row in told("costs", "--group-by", "owner")["rows"]}
            apps = told("status")["apps"]
            assert all(app["up_since"] for app in apps)


def test_an_account_that_fails_is_counted_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=60)
        with running_fleet(configuration(tmp_path, port), environment_of(studio, tmp_path)):
            wait_for(lambda: total(scraped(port), "sweeps_total", '"ok"') > 1, "a sweep")
            fault = studio.fault(Fault("ListApps", code="AccessDeniedException"))
            wait_for(lambda: total(scraped(port), "sweeps_total", '"failed"') > 0, "a failure")
            assert total(scraped(port), "apps") == 62
            studio.faults_off(fault)
            good = total(scraped(port), "sweeps_total", '"ok"')
            wait_for(lambda: total(scraped(port), "sweeps_total", '"ok"') > good, "a sweep")


def test_two_that_run_on_one_record_count_nothing_twice(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=60)
        environment = environment_of(studio, tmp_path)
        folders = [tmp_path / "a", tmp_path / "b"]
        configs = []
        for folder, port in zip(folders, ports):
            folder.mkdir()
            configs.append(configuration(folder, port))
            configs[-1].write_text(
                configs[-1].read_text().replace('"record"', f'"{tmp_path / "record"}"')
            )
        with running_fleet(configs[0], environment), running_fleet(configs[1], environment):
            for port in ports:
                wait_for(
                    lambda port=port: total(scraped(port), "sweeps_total", '"ok"') > 4,  # type: ignore[misc]
                    "sweeps",
                )
            samples, now = scraped(ports[0]), time.time()
        began = min(
            value for key, value in samples.items() if key.startswith(f"{P}oldest_run_start")
        )
        rate = total(samples, "usd_per_hour") + total(samples, "volume_usd_per_hour")
        # Never more than everything at its rate since the first sweep, plus one sweep of tolerance.
        # The other's sweeps may be younger than this one's last, so the end is now.
        assert total(samples, "cost_usd_total") <= rate * (now - began + 2) / 3600
        assert total(samples, "cost_usd_total") > 0


def test_a_scrape_needs_the_token_where_there_is_one(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "token").write_text("t0ken")
    with running_studio(tmp_path / "studio") as studio:
        config = configuration(tmp_path, port)
        config.write_text('token_file = "token"\n' + config.read_text())
        with running_fleet(config, environment_of(studio, tmp_path)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                scraped(port)
            with refused.value as reply:
                assert reply.status == 401
            scraped(port, {"Authorization": "Bearer t0ken"})


def test_a_page_in_a_browser_that_gives_its_name_this_address_reads_nothing(tmp_path: Path) -> None:
    port = free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=5)
        with running_fleet(configuration(tmp_path, port), environment_of(studio, tmp_path)):
            for host in ("evil.example.com", f"evil.example.com:{port}", "127.0.0.1.evil.com", "["):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    scraped(port, {"Host": host})
                with refused.value as reply:
                    assert reply.status == 403
            for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
                scraped(port, {"Host": host})


def test_it_ends_soon_although_aws_does_not_answer(tmp_path: Path) -> None:
    """Service managers kill a process that takes too long."""
    port = free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=5)
        config = configuration(tmp_path, port)
        config.write_text(
            config.read_text() + '[[accounts]]\nregions = ["us-east-2", "us-east-1"]\n'
        )
        fault = studio.fault(Fault("ListApps", hang=True))
        with running_fleet(config, environment_of(studio, tmp_path)):
            wait_for(lambda: len(studio.calls("ListApps")) > 1, "it asks")
            began = time.monotonic()
        # The end of the block asserts that it exited with 0. The calls alone would take 45 s.
        assert time.monotonic() - began < 45
        studio.faults_off(fault)


def test_a_long_outage_is_one_line_and_its_end_another(tmp_path: Path) -> None:
    port = free_port()
    more = (
        '[prometheus]\nurl = "http://127.0.0.1:9"\nheaders = { Authorization = "Bearer s3cret" }\n'
    )
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=5)
        config = configuration(tmp_path, port, more=more)

        def rounds(count: int) -> None:
            before = total(scraped(port), "sweeps_total")
            wait_for(lambda: total(scraped(port), "sweeps_total") >= before + count, "rounds")

        with running_fleet(config, environment_of(studio, tmp_path)) as process:
            wait_for(lambda: total(scraped(port), "sweeps_total") > 0, "a round")
            denied = studio.fault(Fault("ListSpaces", code="AccessDeniedException"))
            rounds(3)
            failing = studio.fault(Fault("ListApps", code="AccessDeniedException"))
            rounds(3)
            studio.faults_off(failing)
            studio.faults_off(denied)
            rounds(2)
            process.terminate()
            assert process.stderr is not None
            log = process.stderr.read()
    lines = log.splitlines()
    assert len([line for line in lines if "coverage is not known" in line]) == 1
    # Once more at most: while the apps can't be seen, nothing is reported about the spaces.
    assert 1 <= len([line for line in lines if "sagemaker:ListSpaces is not allowed" in line]) <= 2
    apps_unseen = [line for line in lines if "can't be seen" in line and "ListApps" in line]
    assert len(apps_unseen) == 1
    assert len([line for line in lines if "All is well again with us-east-2" in line]) == 1
    assert "s3cret" not in log
    assert "Traceback" not in log


def test_a_fleet_run_that_is_killed_loses_nothing_that_it_told(tmp_path: Path) -> None:
    port = free_port()
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=60)
        config = configuration(tmp_path, port)
        environment = environment_of(studio, tmp_path)
        told: dict[str, float] = {}
        for _ in range(3):
            spent = total(told, "cost_usd_total")
            with running_fleet(config, environment, ends_well=False) as process:
                wait_for(
                    lambda spent=spent: total(scraped(port), "cost_usd_total") > spent,  # type: ignore[misc]
                    "costs",
                )
                told = scraped(port)
                process.kill()
            assert stat.S_IMODE((tmp_path / "record" / "fleet.sqlite3").stat().st_mode) == 0o600
        with running_fleet(config, environment):
            now = scraped(port)
            for key, value in told.items():
                if key.startswith(f"{P}cost_usd_total"):
                    assert now[key] >= value


def test_a_damaged_record_is_put_aside_and_said(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / "fleet.sqlite3").write_text("no database, this " * 500)
    with running_studio(tmp_path / "studio") as studio:
        fill(studio, apps=5)
        config, environment = configuration(tmp_path, port), environment_of(studio, tmp_path)
        for command in ("status", "costs"):
            done = subprocess.run(
                [*FLEET, command, "--config", config],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "can't be used: file is not a database" in done.stderr
            assert "Traceback" not in done.stderr
        with running_fleet(config, environment) as process:
            wait_for(lambda: total(scraped(port), "cost_usd_total") > 0, "costs")
            process.terminate()
            assert process.stderr is not None
            assert "was damaged. It is kept as fleet-broken-" in process.stderr.read()


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with running_studio(tmp_path / "studio") as studio, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = configuration(tmp_path, taken.getsockname()[1])
        done = subprocess.run(
            [*FLEET, "run", "--config", config],
            env=environment_of(studio, tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "can't be listened on" in done.stderr
    assert "Traceback" not in done.stderr
