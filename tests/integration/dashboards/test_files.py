"""The dashboard and the rules as files: of the right form, and about metrics that exist."""

from __future__ import annotations

import copy
import csv
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

from sagemaker_autoshutdown.metrics.collector import BASE_LABELS, DEFINITIONS
from tests.generators import build_dashboard
from tests.generators.build_dashboard import DASHBOARD
from tests.paths import DOCS, PACKAGE

RULES = DASHBOARD.with_name("prometheus-rules.yml")
PRICES = PACKAGE / "prices" / "prices.csv"
MADE_UP = sorted(Path(__file__).parent.glob("*_test.yml"))


def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool is missing: make system-packages"
    return found


def through_the_sdk(dashboard: dict[str, Any]) -> Any:
    """The part of a dashboard that survives the types that Grafana publishes."""
    plugins.register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(dashboard)), cls=JSONEncoder))


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where ``after`` lacks or changes a part of ``before``."""
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
    recorded = {part for rule in rules() for part in names_in(rule.get("record", ""))}
    asked = {name for rule in rules() for name in names_in(rule["expr"])}
    assert asked <= known_names() | recorded


def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(
        [promtool(), "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool_tests(made_up: str, rules: Path, folder: Path) -> None:
    """Runs promtool's tests of these rules."""
    test_file = folder / "rules_test.yml"
    test_file.write_text(made_up.replace("- RULES", f"- {rules}"))
    done = subprocess.run(
        [promtool(), "test", "rules", str(test_file)], capture_output=True, text=True, check=False
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


def test_every_alert_leads_to_what_to_do_about_it() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    section = page.split("## Dashboard and alerts")[1].split("\n## ")[0]
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"].endswith(
                "/docs/metrics.md#dashboard-and-alerts"
            )
            assert f"| `{rule['alert']}` |" in section


def test_no_rule_mixes_servers_that_only_other_labels_tell_apart() -> None:
    """Two notebook instances may have one name; only account and region tell them apart."""
    panels = [t["expr"] for panel in dashboard()["panels"] for t in panel.get("targets", ())]
    for expression in [*panels, *(rule["expr"] for rule in rules())]:
        for group, metric in re.findall(r"(?:by|on) ?\(([^)]+)\)\s*(\w*)", expression):
            labels = {label.strip() for label in group.split(",")}
            if "domain" in labels and expression not in panels:
                # `info` has a region where the metrics of the same server have none.
                has_region = metric != "sagemaker_autoshutdown_info"
                assert labels >= {"account_id", *(["region"] if has_region else [])}, expression
            if "host_kind" in labels:
                assert labels >= {"account_id", "region", *BASE_LABELS}, expression


def test_every_accelerator_is_taken_for_one_and_nothing_else_is() -> None:
    (expression,) = (rule["expr"] for rule in rules() if rule.get("alert") == "SageMakerIdleGPU")
    match = re.search(r'instance_type=~"([^"]+)"', expression)
    assert match
    pattern = match[1].replace("\\\\", "\\")
    with PRICES.open(encoding="utf-8") as file:
        kinds = {row["instance_type"] for row in csv.DictReader(file)}
    taken = {kind.split(".")[1] for kind in kinds if re.fullmatch(pattern, kind)}
    left = {kind.split(".")[1] for kind in kinds if not re.fullmatch(pattern, kind)}
    assert taken >= {"g4dn", "g5", "g6", "p3", "p4d", "p5", "inf2", "trn1"}
    assert {kind[0] for kind in left} <= set("tmcr")
    assert not {kind[0] for kind in taken} & set("mcr")


TWICE = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      # One server, scraped and written. One name of a notebook instance in two accounts.
      - {{series: '{p}instance_usd_per_hour{{{ada}, instance="x", price_source="list"}}',
         values: 2x9}}
      - {{series: '{p}instance_usd_per_hour{{{ada}, instance="y", price_source="api"}}',
         values: 2x9}}
      - {{series: '{p}instance_idle{{{ada}, instance="x"}}', values: 1x9}}
      - {{series: '{p}instance_idle{{{ada}, instance="y"}}', values: 1x9}}
      - {{series: '{p}instance_usd_per_hour{{{one}}}', values: 3x9}}
      - {{series: '{p}instance_idle{{{one}}}', values: 1x9}}
      - {{series: '{p}instance_usd_per_hour{{{two}}}', values: 4x9}}
      - {{series: '{p}instance_idle{{{two}}}', values: 0x9}}
      # One name of a user in two domains.
      - {{series: '{p}cost_usd_total{{domain="d", owner="default-user"}}', values: 0+1x9}}
      - {{series: '{p}cost_usd_total{{domain="e", owner="default-user"}}', values: 0+2x9}}
    promql_expr_test:
      - expr: '{idle}'
        eval_time: 5m
        exp_samples:
          - {{labels: '{{domain="d", owner="ada", instance_type="t"}}', value: 2}}
          - {{labels: '{{owner="nb", instance_type="t"}}', value: 3}}
      - expr: '{hour}'
        eval_time: 5m
        exp_samples:
          - {{labels: '{{}}', value: 9}}
      - expr: owner:{p}instance_usd_per_hour:sum{{domain="d"}}
        eval_time: 5m
        exp_samples:
          - labels: 'owner:{p}instance_usd_per_hour:sum{{domain="d", owner="ada"}}'
            value: 2
      - expr: '{cost}'
        eval_time: 5m
        exp_samples:
          - {{labels: '{{domain="d", owner="default-user"}}', value: 5}}
          - {{labels: '{{domain="e", owner="default-user"}}', value: 10}}
"""


GPUS = """
rule_files: [{rules}]
tests:
  - interval: 1m
    input_series:
      - {{series: '{p}gpu_idle_seconds{{owner="ada", gpu="0", instance="x"}}', values: 7200x9}}
      - {{series: '{p}gpu_idle_seconds{{owner="ada", gpu="0", instance="y"}}', values: 7200x9}}
      - {{series: '{p}gpu_idle_seconds{{owner="ada", gpu="1"}}', values: 3600x9}}
    promql_expr_test:
      - expr: '{expression}'
        eval_time: 5m
        exp_samples:
          - {{labels: '{{owner="ada", gpu="0"}}', value: 7200}}
"""


def expression(title: str) -> str:
    """The first query of a panel."""
    (panel,) = (panel for panel in dashboard()["panels"] if panel["title"] == title)
    found: str = panel["targets"][0]["expr"]
    return re.sub(r"\$(domain|owner)", ".*", found).replace("$__range", "5m")


def test_a_gpu_without_work_for_hours_is_shown_once(tmp_path: Path) -> None:
    found = expression("GPUs without work")
    promtool_tests(
        GPUS.format(rules=RULES, p="sagemaker_autoshutdown_", expression=found), RULES, tmp_path
    )


def test_one_server_twice_or_two_of_one_name_spoil_no_panel(tmp_path: Path) -> None:
    promtool_tests(
        TWICE.format(
            rules=RULES,
            p="sagemaker_autoshutdown_",
            ada='domain="d", owner="ada", host_kind="classic", instance_type="t"',
            one='account_id="1", owner="nb", host_kind="notebook_instance", instance_type="t"',
            two='account_id="2", owner="nb", host_kind="notebook_instance", instance_type="t"',
            hour=expression("Spend per hour now"),
            idle=expression("Top idle instances"),
            cost=expression("Cost by user or space"),
        ),
        RULES,
        tmp_path,
    )


def test_a_panel_of_rates_sees_two_samples_a_minute_apart() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            if "$__rate_interval" in target["expr"]:
                assert target["interval"] in ("1m", "15m"), panel["title"]
            if "$__interval" in target["expr"]:
                assert panel["interval"] in ("1h", "1d"), panel["title"]
