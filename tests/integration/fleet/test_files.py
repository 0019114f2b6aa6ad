"""The account's dashboard and rules as files: of the right form, about metrics that exist."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from sagemaker_autoshutdown.fleet.bill import Rates
from sagemaker_autoshutdown.fleet.metrics import DEFINITIONS, OK, FleetMetrics
from sagemaker_autoshutdown.fleet.model import Scope, State
from sagemaker_autoshutdown.fleet.record import Total
from sagemaker_autoshutdown.fleet.stopper import Proposal
from sagemaker_autoshutdown.fleet.view import lines, summarise
from tests.generators import build_fleet_dashboard
from tests.generators.build_dashboard import to_text
from tests.generators.build_fleet_dashboard import DASHBOARD
from tests.integration.dashboards.test_files import (
    lost,
    names_in,
    promtool,
    promtool_tests,
    through_the_sdk,
)
from tests.paths import DOCS
from tests.unit.fleet.scenes import NOON, POLICY, MadeUpPrices, app, stepped, sweep, volume

RULES = DASHBOARD.with_name("fleet-rules.yml")
MADE_UP = sorted(Path(__file__).parent.glob("*_test.yml"))
PAGE = (DOCS / "fleet.md").read_text(encoding="utf-8")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_names() -> set[str]:
    return {definition.full_name for definition in DEFINITIONS}


def test_the_shipped_dashboard_is_the_one_that_is_built() -> None:
    assert DASHBOARD.read_text() == to_text(build_fleet_dashboard.build())


def test_grafanas_own_types_hold_all_of_the_dashboard() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert lost(dashboard, through_the_sdk(dashboard)) == []


def test_the_dashboard_asks_only_for_metrics_that_exist() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = names_in(" ".join(t["expr"] for panel in panels for t in panel.get("targets", ())))
    assert asked
    assert asked <= known_names()


def test_the_rules_ask_only_for_metrics_that_exist() -> None:
    assert {name for rule in rules() for name in names_in(rule["expr"])} <= known_names()


def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(
        [promtool(), "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", MADE_UP, ids=lambda file: file.stem)
def test_the_rules_fire_when_they_should_and_not_when_they_should_not(
    file: Path, tmp_path: Path
) -> None:
    promtool_tests(file.read_text(), RULES, tmp_path)


def test_every_rule_has_a_test() -> None:
    made_up = " ".join(file.read_text() for file in MADE_UP)
    for rule in rules():
        assert (rule.get("alert") or rule["record"]) in made_up, "a rule without a test"


def test_promtool_finds_nothing_to_correct_in_the_metrics() -> None:
    """A counter ends in ``_total`` and a gauge does not; every metric says what it is."""
    found = sweep(0, app(), app(instance_type="ml.unknown"), volume("s"))
    state = stepped(State(found.scope), found).state
    for by_owner in (False, True):
        metrics = FleetMetrics(by_owner)
        summary = summarise(lines(state, found, Rates(MadeUpPrices()), POLICY), by_owner=by_owner)
        metrics.show(found.scope, summary, NOON, seconds=1, unseen=0, coverage_known=True)
        metrics.show_totals([Total(Scope("1", "r"), "d", "ada", "JupyterLab", "ml.t3.medium", 5)])
        metrics.count_sweep(found.scope, OK)
        metrics.show_acting(found.scope, Proposal(), [])
        registry = CollectorRegistry()
        registry.register(metrics)
        text = generate_latest(registry)
        for name in known_names():
            assert f"\n{name}{{".encode() in text, name
        assert (b'owner="ada"' in text) is by_owner
        done = subprocess.run(
            [promtool(), "check", "metrics"], input=text, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_leads_to_what_to_do_about_it() -> None:
    section = PAGE.split("## Metrics and alerts")[1].split("\n## ")[0]
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"].endswith("/docs/fleet.md#metrics-and-alerts")
            assert f"| `{rule['alert']}` |" in section
