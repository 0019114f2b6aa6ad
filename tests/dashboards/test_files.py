"""The dashboard and the rules as files: of the right shape, and about metrics that exist."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from sagemaker_autoshutdown.dashboards import build_dashboard
from sagemaker_autoshutdown.dashboards.build_dashboard import DASHBOARD
from sagemaker_autoshutdown.metrics import DEFINITIONS

RULES = DASHBOARD.with_name("prometheus-rules.yml")


def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool is missing: make system-packages"
    return found


def through_the_sdk(dashboard: dict[str, Any]) -> Any:
    """What is left of a dashboard in the types that Grafana publishes."""
    plugins.register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(dashboard)), cls=JSONEncoder))


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where ``after`` lacks or changes something of ``before``."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            problem
            for key, value in before.items()
            for problem in (
                lost(value, after[key], f"{path}/{key}") if key in after else [f"{path}/{key}"]
            )
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            problem
            for index, (one, other) in enumerate(zip(before, after))
            for problem in lost(one, other, f"{path}/{index}")
        ]
    return [] if before == after else [path]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def test_the_shipped_dashboard_is_the_one_that_is_built() -> None:
    assert DASHBOARD.read_text() == build_dashboard.to_text(build_dashboard.build())


def test_grafanas_own_types_hold_all_of_the_dashboard() -> None:
    assert lost(dashboard(), through_the_sdk(dashboard())) == []


@pytest.mark.parametrize("place", ["", "panels", "fieldConfig", "options"])
def test_grafanas_own_types_would_notice_a_field_that_they_do_not_have(place: str) -> None:
    changed = dashboard()
    panel = next(p for p in changed["panels"] if p["type"] == "timeseries")
    {
        "": changed,
        "panels": panel,
        "fieldConfig": panel["fieldConfig"]["defaults"]["custom"],
        "options": panel["options"],
    }[place]["noSuchField"] = 1
    assert lost(changed, through_the_sdk(changed))


def test_panels_lie_side_by_side_and_not_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bsagemaker_autoshutdown_\w+", text))


def known_names() -> set[str]:
    names = {definition.full_name for definition in DEFINITIONS}
    histograms = {d.full_name for d in DEFINITIONS if d.kind == "histogram"}
    return names | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


def test_the_dashboard_asks_only_for_metrics_that_exist() -> None:
    text = " ".join(
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
    )
    assert names_in(text)
    assert names_in(text) <= known_names()


def test_the_rules_ask_only_for_metrics_that_exist() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {part for rule in rules for part in names_in(rule.get("record", ""))}
    asked = {name for rule in rules for name in names_in(rule["expr"])}
    assert asked <= known_names() | recorded


def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(
        [promtool(), "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_fire_when_they_should_and_not_when_they_should_not(tmp_path: Path) -> None:
    made_up = (Path(__file__).parent / "rules_test.yml").read_text()
    test_file = tmp_path / "rules_test.yml"
    test_file.write_text(made_up.replace("- RULES", f"- {RULES}"))
    done = subprocess.run(
        [promtool(), "test", "rules", str(test_file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in (
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ):
        assert rule.get("alert", rule.get("record")) in made_up, "a rule without a test"
