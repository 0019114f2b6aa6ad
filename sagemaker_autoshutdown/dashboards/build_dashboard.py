"""Writes ``grafana-dashboard.json``; run it as a module.

``python -m sagemaker_autoshutdown.dashboards.build_dashboard``

Panels are rows of a table here, so that a change is a line and not a screen of JSON. Nothing of it
runs in a server.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).with_name("grafana-dashboard.json")

#: Fixed, so that a later version replaces this one and links to it stay valid.
UID = "sagemaker-autoshutdown"

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WHO = 'domain=~"$domain",owner=~"$owner"'


def metric(name: str, *matchers: str) -> str:
    """A selector for a metric of ours within the domains and owners that are chosen."""
    return f"sagemaker_autoshutdown_{name}{{{','.join((_WHO, *matchers))}}}"


_SPENT = 'kind=~"in_use|idle"'
_IDLE = 'kind="idle"'
_AVOIDED = 'kind="avoided"'
_USD_PER_HOUR = metric("instance_usd_per_hour")
_COST = metric("cost_usd_total")
_IDLE_USD_PER_HOUR = (
    f"{_USD_PER_HOUR} * on(domain, owner, host_kind, instance_type, app_type) group_left() "
    f"{metric('instance_idle')}"
)


@dataclass(frozen=True)
class Panel:
    """One panel. ``queries`` are pairs of an expression and a legend; width is of 24."""

    title: str
    kind: str
    queries: tuple[tuple[str, str], ...]
    width: int
    height: int
    unit: str = "short"
    description: str = ""
    instant: bool = False
    interval: str = ""
    stack: bool = False
    thresholds: tuple[tuple[str, float | None], ...] = (("green", None),)
    custom: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A heading."""

    title: str


_BAD_ABOVE_ZERO: tuple[tuple[str, float | None], ...] = (("green", None), ("red", 1))

LAYOUT: tuple[Panel | Row, ...] = (
    Row("Spend"),
    Panel(
        "Spend per hour now",
        "stat",
        ((f"sum({_USD_PER_HOUR})", ""),),
        4,
        4,
        "currencyUSD",
        "What all instances that are up cost per hour. Unpriced ones are left out.",
        instant=True,
    ),
    Panel(
        "This month",
        "stat",
        ((f"sum({metric('month_cost_usd', _SPENT)})", ""),),
        4,
        4,
        "currencyUSD",
        "Since the first of the month (UTC), in use and idle, without volumes.",
        instant=True,
    ),
    Panel(
        "Idle share this month",
        "stat",
        (
            (
                f"sum({metric('month_cost_usd', _IDLE)}) / sum({metric('month_cost_usd', _SPENT)})",
                "",
            ),
        ),
        4,
        4,
        "percentunit",
        "The part of the month's cost during which every app on an instance was idle.",
        instant=True,
        thresholds=(("green", None), ("yellow", 0.2), ("red", 0.5)),
    ),
    Panel(
        "Avoided this month (estimate)",
        "stat",
        ((f"sum({metric('month_cost_usd', _AVOIDED)})", ""),),
        4,
        4,
        "currencyUSD",
        "What instances that were shut down would have cost until they were started again, for "
        "avoided_cost_cap at most. An estimate; in no other sum.",
        instant=True,
    ),
    Panel(
        "Servers",
        "stat",
        ((f"count({metric('info')})", ""),),
        4,
        4,
        description="Jupyter servers that report.",
        instant=True,
    ),
    Panel(
        "Unpriced instances",
        "stat",
        ((f"sum({metric('unpriced_instances')})", ""),),
        4,
        4,
        description="Instances that are up and in no cost, since their type has no known price.",
        instant=True,
        thresholds=(("green", None), ("yellow", 1)),
    ),
    Panel(
        "Spend per hour by instance type",
        "timeseries",
        ((f"sum by (instance_type) ({_USD_PER_HOUR})", "{{instance_type}}"),),
        12,
        8,
        "currencyUSD",
        stack=True,
    ),
    Panel(
        "Cost by day",
        "timeseries",
        ((f"sum by (state) (increase({_COST}[1d]))", "{{state}}"),),
        12,
        8,
        "currencyUSD",
        "What was spent in the 24 hours before each bar, idle and in use.",
        interval="1d",
        stack=True,
        custom={"drawStyle": "bars", "fillOpacity": 80},
    ),
    Panel(
        "Cost by user or space",
        "bargauge",
        ((f"topk(20, sum by (owner) (increase({_COST}[$__range])))", "{{owner}}"),),
        8,
        8,
        "currencyUSD",
        "In the time that is chosen above.",
        instant=True,
    ),
    Panel(
        "Cost by instance type",
        "bargauge",
        (
            (
                f"topk(20, sum by (instance_type) (increase({_COST}[$__range])))",
                "{{instance_type}}",
            ),
        ),
        8,
        8,
        "currencyUSD",
        "In the time that is chosen above.",
        instant=True,
    ),
    Panel(
        "Avoided cost by user or space (estimate)",
        "bargauge",
        (
            (
                "topk(20, sum by (owner) (increase("
                f"{metric('avoided_cost_usd_total')}[$__range])))",
                "{{owner}}",
            ),
        ),
        8,
        8,
        "currencyUSD",
        "In the time that is chosen above.",
        instant=True,
    ),
    Row("Idle"),
    Panel(
        "Top idle instances",
        "bargauge",
        (
            (
                f"topk(10, sum by (owner, instance_type) ({_IDLE_USD_PER_HOUR}))",
                "{{owner}}: {{instance_type}}",
            ),
        ),
        8,
        8,
        "currencyUSD",
        "What instances cost per hour on which every app is idle just now; 0 for those in use.",
        instant=True,
    ),
    Panel(
        "Longest idle apps",
        "bargauge",
        (
            (
                f"topk(10, {metric('app_idle_seconds')})",
                "{{owner}}: {{app_name}} on {{instance_type}}",
            ),
        ),
        8,
        8,
        "s",
        "For how long an app has not been used.",
        instant=True,
    ),
    Panel(
        "Idle share of cost",
        "timeseries",
        (
            (
                "sum(rate("
                + metric("cost_usd_total", 'state="idle"')
                + f"[$__rate_interval])) / sum(rate({_COST}[$__rate_interval]))",
                "idle share",
            ),
        ),
        8,
        8,
        "percentunit",
    ),
    Panel(
        "Apps by state",
        "timeseries",
        ((f"sum by (state) ({metric('apps')})", "{{state}}"),),
        12,
        8,
        stack=True,
    ),
    Panel(
        "Next shutdowns",
        "bargauge",
        (
            (
                f"bottomk(10, {metric('app_shutdown_timestamp_seconds')} - time())",
                "{{owner}}: {{app_name}} on {{instance_type}}",
            ),
        ),
        12,
        8,
        "s",
        "Time until an app is shut down if nothing happens.",
        instant=True,
    ),
    Row("Shutdowns and failures"),
    Panel(
        "Shutdowns",
        "timeseries",
        (
            (
                "sum by (reason) (increase("
                + metric("shutdowns_total", 'outcome="accepted"')
                + "[$__rate_interval]))",
                "{{reason}}",
            ),
        ),
        8,
        8,
        description="Shutdowns that SageMaker accepted, by why.",
        custom={"drawStyle": "bars", "fillOpacity": 80},
    ),
    Panel(
        "Failed shutdowns",
        "timeseries",
        (
            (
                "sum by (owner) (increase("
                + metric("shutdowns_total", 'outcome="failed"')
                + "[$__rate_interval]))",
                "{{owner}}",
            ),
        ),
        8,
        8,
        description="Tries that failed; each is tried again.",
        custom={"drawStyle": "bars", "fillOpacity": 80},
    ),
    Panel(
        "Servers in trouble",
        "stat",
        (
            (f"sum({metric('check_overdue')})", "checks stopped"),
            (f"sum({metric('problems')})", "problems"),
            (f"sum({metric('recording_failed')})", "not recording"),
        ),
        8,
        8,
        instant=True,
        thresholds=_BAD_ABOVE_ZERO,
    ),
    Panel(
        "Calls to AWS",
        "timeseries",
        (
            (
                "sum by (operation, outcome) (rate("
                f"{metric('api_calls_total')}[$__rate_interval]))",
                "{{operation}} {{outcome}}",
            ),
        ),
        12,
        8,
        "reqps",
    ),
    Panel(
        "Duration of checks (99 %)",
        "timeseries",
        (
            (
                "histogram_quantile(0.99, sum by (le) (rate("
                f"{metric('check_duration_seconds_bucket')}[$__rate_interval])))",
                "p99",
            ),
        ),
        12,
        8,
        "s",
    ),
)


def build() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": UID,
        "title": "SageMaker Studio: idle shutdown and cost",
        "description": "What SageMaker Studio's notebooks cost and when they are shut down, as "
        "sagemaker_autoshutdown sees it.",
        "tags": ["sagemaker", "jupyter", "cost"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": _panels(),
    }


def _variables() -> list[dict[str, Any]]:
    chosen = {"text": ["All"], "value": ["$__all"], "selected": True}

    def of_labels(name: str, label: str, query: str) -> dict[str, Any]:
        return {
            "type": "query",
            "name": name,
            "label": label,
            "datasource": _DATASOURCE,
            "query": query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": chosen,
        }

    return [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Prometheus",
            "query": "prometheus",
            "refresh": 1,
        },
        of_labels("domain", "Domain", "label_values(sagemaker_autoshutdown_info, domain)"),
        of_labels(
            "owner",
            "User or space",
            'label_values(sagemaker_autoshutdown_info{domain=~"$domain"}, owner)',
        ),
    ]


def _panels() -> list[dict[str, Any]]:
    """The panels, placed from left to right and from top to bottom."""
    panels: list[dict[str, Any]] = []
    x = y = line_height = 0
    for number, item in enumerate(LAYOUT, 1):
        width, height = (24, 1) if isinstance(item, Row) else (item.width, item.height)
        if x + width > 24:
            x, y, line_height = 0, y + line_height, 0
        place = {"x": x, "y": y, "w": width, "h": height}
        x, line_height = x + width, max(line_height, height)
        if isinstance(item, Row):
            panels.append(
                {
                    "id": number,
                    "type": "row",
                    "title": item.title,
                    "gridPos": place,
                    "collapsed": False,
                    "panels": [],
                }
            )
        else:
            panels.append({"id": number, "gridPos": place, **_panel(item)})
    return panels


def _panel(panel: Panel) -> dict[str, Any]:
    custom: dict[str, Any] = dict(panel.custom)
    if panel.stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
        custom.setdefault("fillOpacity", 30)
    found: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": panel.instant,
                "range": not panel.instant,
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"color": color, "value": at} for color, at in panel.thresholds],
                },
                "custom": custom,
            },
            "overrides": [],
        },
        "options": _OPTIONS[panel.kind],
    }
    if panel.description:
        found["description"] = panel.description
    if panel.interval:
        found["interval"] = panel.interval
    return found


_LAST = {"values": False, "calcs": ["lastNotNull"], "fields": ""}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {"reduceOptions": _LAST, "colorMode": "value", "graphMode": "none"},
    "bargauge": {
        "reduceOptions": _LAST,
        "orientation": "horizontal",
        "displayMode": "basic",
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
}


def to_text(dashboard: dict[str, Any]) -> str:
    """The file's content."""
    return json.dumps(dashboard, indent=2) + "\n"


def main() -> None:
    """Writes the file in place."""
    DASHBOARD.write_text(to_text(build()), encoding="utf-8")
    sys.stderr.write(f"{DASHBOARD.name}: {len(LAYOUT)} panels\n")


if __name__ == "__main__":
    main()
