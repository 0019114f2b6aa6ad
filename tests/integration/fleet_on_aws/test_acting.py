"""The stack with ``Act`` on ministack: apps that nobody watches are marked, get a warning, and
are gone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.clock import from_iso
from sagemaker_autoshutdown.fleet.acting.model import EXCEPTION_TAG
from sagemaker_autoshutdown.fleet.facts import METRIC, NAMESPACE
from sagemaker_autoshutdown.fleet.model import ReportKey
from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from sagemaker_autoshutdown.metrics.collector import PREFIX
from tests.localstudio import fleet as fleets
from tests.localstudio.state import AppKey, Domain
from tests.localstudio.testing import BlockingStudio
from tests.ministack import REGION, Ministack, wait_for
from tests.prometheus import Prometheus, running_prometheus
from tests.reporters import Reporters, serving

from .conftest import Fleet

DOMAIN = "d-acting000001"
#: Each takes some rounds of a minute, on a busy machine.
LIMIT = 400.0

CONFIG = """
[prices]
price_list_api = false
[prometheus]
url = "{prometheus}"
remote_write_url = "{prometheus}/api/v1/write"
[act]
enabled = ["seen", "reported"]
warning = "20s"
[act.limits]
share = 1.0
[act.notify]
sns_topic_arn = "{topic}"
[[rules]]
name = "elsewhere"
which = {{ domain = "d-fleet*" }}
[[rules]]
name = "sessions"
which = {{ app_type = "Canvas" }}
when = {{ idle_for = "1h" }}
[[rules]]
name = "stuck"
which = {{ owner = "stuck" }}
when = {{ idle_for = "1h" }}
[[rules]]
name = "long"
when = {{ up_for = "1s" }}
"""


@pytest.fixture
def reporters() -> Reporters:
    """The servers that report."""
    return Reporters()


@pytest.fixture
def prometheus(reporters: Reporters, tmp_path: Path) -> Iterator[Prometheus]:
    """A real Prometheus, which scrapes them and accepts the functions' metrics."""
    with serving(reporters) as address:
        scrapes = [{"job_name": "servers", "static_configs": [{"targets": [address]}]}]
        with running_prometheus(tmp_path / "prometheus", scrapes) as server:
            yield server


@pytest.fixture
def apps(studio: BlockingStudio) -> Iterator[dict[str, AppKey]]:
    """One app for each user, in service for an hour, in a domain without any idle shutdown."""
    made: dict[str, AppKey] = {}

    def fill(s: Any) -> None:
        now = s.now()
        s.account.create_domain(Domain(DOMAIN, DOMAIN, now, now, {"AuthMode": "IAM"}))
        into = fleets.Fleet()
        before = fleets._before(now, 0)
        for profile, app_type, instance in (
            ("idle", "Canvas", ""),
            ("busy", "Canvas", ""),
            ("editor", "CodeEditor", "ml.g5.2xlarge"),
            ("excepted", "CodeEditor", "ml.t3.large"),
            ("uncovered", "JupyterLab", "ml.g5.xlarge"),
            ("covered", "JupyterLab", "ml.t3.medium"),
            ("stuck", "JupyterLab", "ml.t3.medium"),
        ):
            made[profile] = fleets.enter(
                s.account, into, DOMAIN, profile, app_type, "default", instance, before
            )
        s.account.tags[made["excepted"].arn] = {EXCEPTION_TAG: "keep-until:2099-01-01"}

    def empty(s: Any) -> None:
        for key in made.values():
            s.account.remove(key)

    studio.do(fill)
    yield made
    studio.do(empty)


def _server(key: AppKey) -> ReportKey:
    return ReportKey(DOMAIN, "space", key.owner_name, "space")


def _used(engines: Ministack, profile: str, seconds: float) -> None:
    """CloudWatch's metric for a session of Canvas."""
    names = {"DomainId": DOMAIN, "UserProfileName": profile}
    dimensions = [{"Name": name, "Value": value} for name, value in names.items()]
    datum = {"MetricName": METRIC, "Dimensions": dimensions, "Value": seconds}
    engines.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=[datum])


def command(*arguments: str) -> dict[str, Any]:
    """The JSON output of ``fleet``, for an admin of the account."""
    done = subprocess.run(
        [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _up(studio: BlockingStudio, apps: dict[str, AppKey]) -> set[str]:
    found = studio.do(
        lambda s: {app.key for app in s.account.apps(s.now()) if app.status == "InService"}
    )
    return {name for name, key in apps.items() if key in found}


def _mark(studio: BlockingStudio, key: AppKey) -> str:
    return str(studio.do(lambda s: s.account.tags.get(key.arn, {}).get(MARK_TAG, "")))


@pytest.mark.whole_stack
def test_what_nobody_watches_is_marked_warned_of_and_gone_and_nothing_else_is_touched(
    fleet: Fleet,
    studio: BlockingStudio,
    apps: dict[str, AppKey],
    reporters: Reporters,
    prometheus: Prometheus,
) -> None:
    engines = fleet.engines
    reporters.set(frozenset({_server(apps["covered"]), _server(apps["stuck"])}))
    reporters.idle[_server(apps["stuck"])] = ("JupyterLab", 7200.0, time.time() - 1200)
    reporters.idle[_server(apps["covered"])] = ("JupyterLab", 7200.0, time.time() + 60)
    prometheus.wait(f"{PREFIX}app_idle_seconds")
    topic, told = fleet.mailbox()
    config = CONFIG.format(prometheus=prometheus.url, topic=topic)
    due = {"idle", "editor", "uncovered", "stuck"}

    def deleted() -> list[str]:
        names = {key.owner_name: name for name, key in apps.items()}
        return [
            names[owner]
            for call in studio.calls()
            if call.operation == "DeleteApp"
            and (owner := call.parameters.get("SpaceName") or call.parameters["UserProfileName"])
            in names
        ]

    fleet.deploy(config, Act="true", NotifyTopicArn=topic)

    marked: set[str] = set()

    def gone() -> bool:
        # CloudWatch goes on reporting while there is a session.
        _used(engines, "idle", 7200.0)
        _used(engines, "busy", 60.0)
        now = {name for name, key in apps.items() if _mark(studio, key)}
        assert marked | now >= set(deleted()), "each is marked first"
        marked.update(now)
        return not _up(studio, apps) & due

    wait_for(gone, "their end", LIMIT)
    assert marked == due
    assert _up(studio, apps) == set(apps) - due
    assert not any(_mark(studio, apps[name]) for name in set(apps) - due)
    assert sorted(deleted()) == sorted(due), "one call for each"
    group = fleet.deployment.outputs()["AuditLogGroup"]
    owners = {key.owner_name: name for name, key in apps.items()}

    def audit() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in engines.logs(group):
            event = json.loads(line)
            found.setdefault(event["event"], set()).add(owners[event["owner_name"]])
        return found

    wait_for(lambda: audit().get("stopped") == due, "the audit")
    assert audit() == {"marked": due, "stopped": due, "kept": {"excepted"}}
    times = {
        (owners[event["owner_name"]], event["event"]): from_iso(event["at"])
        for event in map(json.loads, engines.logs(group))
    }
    for name in due:
        warned = times[name, "stopped"] - times[name, "marked"]
        assert warned >= timedelta(seconds=20), "each is warned of in time"
    rules = {
        owners[event["owner_name"]]: (event["rule"], event["class"])
        for event in map(json.loads, engines.logs(group))
    }
    assert rules == {
        "idle": ("sessions", "reported"),
        "stuck": ("stuck", "reported"),
        "editor": ("long", "seen"),
        "uncovered": ("long", "seen"),
        "excepted": ("long", "seen"),
    }

    def messages() -> set[tuple[str, str]]:
        notices = [json.loads(each) for each in told()]
        return {(n["event"], owners[n.get("space") or n["user_profile"]]) for n in notices}

    wait_for(lambda: len(messages()) == 2 * len(due), "the messages")
    assert messages() == {(what, name) for what in ("marked", "stopped") for name in due}
    events = command("history", "--stack", fleet.name, "--region", REGION, "--json")["events"]
    assert {(event["event"], owners[event["owner_name"]]) for event in events} == {
        *((what, name) for what in ("marked", "stopped") for name in due),
        ("kept", "excepted"),
    }
    costs = command(
        *("costs", "--stack", fleet.name, "--region", REGION, "--group-by", "domain", "--json")
    )
    assert {row["key"]: Decimal(row["usd"]) > 0 for row in costs["rows"]}[DOMAIN]
    # Of the last minutes only: Prometheus shows an ended series for five.
    spent = f'sum(last_over_time({PREFIX}fleet_usd_per_hour{{domain="{DOMAIN}"}}[100s]))'
    wait_for(
        lambda: 0 < prometheus.values(spent).get((), 0) < 2.5,
        "the functions' metrics tell of an hour's spend without them",
    )
    [series] = prometheus.query_range(spent, step=15)
    assert max(float(value) for _, value in series["values"]) > 5
