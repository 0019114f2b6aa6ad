"""Writes ``grafana-dashboard.json``; run it as a module.

``python -m tests.generators.build_dashboard``

Panels are rows of a table here, so that a change is a line, not a screenful of JSON. It is not part
of a server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.paths import PACKAGE

DASHBOARD = PACKAGE / "metrics" / "dashboards" / "grafana-dashboard.json"

#: Fixed, so that a later version replaces this one and links to it stay valid.
UID = "sagemaker-autoshutdown"

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WHO = 'domain=~"$domain",owner=~"$owner"'


def metric(name: str, *matchers: str) -> str:
    """A selector for a metric of ours within the selected domains and owners."""
    return f"sagemaker_autoshutdown_{name}{{{','.join((_WHO, *matchers))}}}"


def month_cost(*matchers: str) -> str:
    """A selector for this month's cost, including servers that are gone: the series that
    ``prometheus-rules.yml`` records."""
    return f"owner:{metric('month_cost_usd', *matchers).replace('{', ':last{', 1)}"


_SPENT = 'kind=~"in_use|idle"'
_IDLE = 'kind="idle"'
_AVOIDED = 'kind="avoided"'
_COST = metric("cost_usd_total")
#: Two domains may have a user of one name, such as default-user.
_OWNER = "{{owner}} {{domain}}"
#: The labels that identify a server's series, and an instance's. Notebook instances have no domain,
#: and a name is unique within an account and region. Without the inner max, a series that arrives
#: twice (a second server on its home, scraped and written, or at a new address) would count twice,
#: or end a whole panel with an error.
_SERVER = "account_id, region, domain, owner_kind, owner, host_kind"
_INSTANCE = f"{_SERVER}, instance_type, app_type"


def once(name: str, per: str = _SERVER) -> str:
    """A gauge, counted once for each server, or for the labels in ``per``."""
    return f"max by ({per}) ({metric(name)})"


_USD_PER_HOUR = once("instance_usd_per_hour", _INSTANCE)
_IDLE_USD_PER_HOUR = (
    f"{_USD_PER_HOUR} * on({_INSTANCE}) group_left() "
    f"max by ({_INSTANCE}) ({metric('instance_idle')})"
)
_OF_THE_MONTH = (
    " Includes servers that are gone. Needs the package's prometheus-rules.yml; empty in the first "
    "20 minutes of a month."
)
_IN_THE_TIME = "In the selected time range."


@dataclass(frozen=True)
class Panel:
    """One panel. ``queries`` are pairs of an expression and a legend; width is of 24.

    ``interval`` is the shortest time from point to point, and ``step`` that from sample to sample:
    Grafana's ``$__rate_interval`` is four of them, where it would else be a minute, within which
    there may be one sample.
    """

    title: str
    kind: str
    queries: tuple[tuple[str, str], ...]
    width: int
    height: int
    unit: str = "short"
    description: str = ""
    instant: bool = False
    interval: str = ""
    step: str = "1m"
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
        "The hourly cost of all running instances, without unpriced ones.",
        instant=True,
    ),
    Panel(
        "This month",
        "stat",
        ((f"sum({month_cost(_SPENT)})", ""),),
        4,
        4,
        "currencyUSD",
        "Since the first of the month (UTC), in use and idle, without volumes." + _OF_THE_MONTH,
        instant=True,
    ),
    Panel(
        "Idle share this month",
        "stat",
        (
            (
                f"sum({month_cost(_IDLE)}) / sum({month_cost(_SPENT)})",
                "",
            ),
        ),
        4,
        4,
        "percentunit",
        "The part of the month's cost during which every app on an instance was idle."
        + _OF_THE_MONTH,
        instant=True,
        thresholds=(("green", None), ("yellow", 0.2), ("red", 0.5)),
    ),
    Panel(
        "Avoided this month (estimate)",
        "stat",
        ((f"sum({month_cost(_AVOIDED)})", ""),),
        4,
        4,
        "currencyUSD",
        "The cost that instances would have caused after their shutdown until their next start, "
        "for avoided_cost_cap at most. An estimate; not part of any total." + _OF_THE_MONTH,
        instant=True,
    ),
    Panel(
        "Servers",
        "stat",
        ((f"count({once('info')})", ""),),
        4,
        4,
        description="Jupyter servers that report.",
        instant=True,
    ),
    Panel(
        "Unpriced instances",
        "stat",
        ((f"sum({once('unpriced_instances')})", ""),),
        4,
        4,
        description="Running instances of unpriced types. Their cost is missing from all totals.",
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
        ((f"sum by (state) (increase({_COST}[$__interval] offset -$__interval))", "{{state}}"),),
        12,
        8,
        "currencyUSD",
        "The cost of the 24 hours from each bar on, idle and in use; the last bars are incomplete.",
        interval="1d",
        stack=True,
        custom={"drawStyle": "bars", "fillOpacity": 80},
    ),
    Panel(
        "Cost by user or space",
        "bargauge",
        ((f"topk(20, sum by (domain, owner) (increase({_COST}[$__range])))", _OWNER),),
        8,
        8,
        "currencyUSD",
        _IN_THE_TIME,
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
        _IN_THE_TIME,
        instant=True,
    ),
    Panel(
        "Avoided cost by user or space (estimate)",
        "bargauge",
        (
            (
                "topk(20, sum by (domain, owner) (increase("
                f"{metric('avoided_cost_usd_total')}[$__range])))",
                _OWNER,
            ),
        ),
        8,
        8,
        "currencyUSD",
        _IN_THE_TIME,
        instant=True,
    ),
    Row("Idle"),
    Panel(
        "Top idle instances",
        "bargauge",
        (
            (
                f"topk(10, sum by (domain, owner, instance_type) ({_IDLE_USD_PER_HOUR}) > 0)",
                f"{_OWNER}: {{{{instance_type}}}}",
            ),
        ),
        8,
        8,
        "currencyUSD",
        "The hourly cost of instances on which every app is idle now.",
        instant=True,
    ),
    Panel(
        "Longest idle apps",
        "bargauge",
        (
            (
                f"topk(10, {metric('app_idle_seconds')})",
                f"{_OWNER}: {{{{app_name}}}} on {{{{instance_type}}}}",
            ),
        ),
        8,
        8,
        "s",
        "How long an app has not been used.",
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
        "By the hour, because idle time is known only after active_time.",
        step="15m",
    ),
    Panel(
        "Apps by state",
        "timeseries",
        ((f"sum by (state) ({once('apps', _SERVER + ', state')})", "{{state}}"),),
        8,
        8,
        stack=True,
    ),
    Panel(
        "GPUs without work",
        "bargauge",
        (
            (
                f"topk(10, {once('gpu_idle_seconds', f'{_INSTANCE}, app_name, gpu')} > 3600)",
                f"{_OWNER}: GPU {{{{gpu}}}} of {{{{app_name}}}} on {{{{instance_type}}}}",
            ),
        ),
        8,
        8,
        "s",
        "How long a GPU has done nothing, also in an app that is in use. An hour or longer.",
        instant=True,
    ),
    Panel(
        "Next shutdowns",
        "bargauge",
        (
            (
                f"bottomk(10, {metric('app_shutdown_timestamp_seconds')} - time())",
                f"{_OWNER}: {{{{app_name}}}} on {{{{instance_type}}}}",
            ),
        ),
        8,
        8,
        "s",
        "Time until an app is shut down if nothing happens.",
        instant=True,
    ),
    Row("Shutdowns and failures"),
    Panel(
        "Shutdowns by hour",
        "timeseries",
        (
            (
                "sum by (reason) (increase("
                + metric("shutdowns_total", 'outcome="accepted"')
                + "[$__interval] offset -$__interval))",
                "{{reason}}",
            ),
        ),
        8,
        8,
        description="Shutdowns that SageMaker accepted, by reason: in the hour from each bar on, "
        "or longer if the time range is long.",
        interval="1h",
        stack=True,
        custom={"drawStyle": "bars", "fillOpacity": 80},
    ),
    Panel(
        "Failed shutdowns by user or space",
        "bargauge",
        (
            (
                "topk(10, sum by (domain, owner) (increase("
                + metric("shutdowns_total", 'outcome="failed"')
                + "[$__range])))",
                _OWNER,
            ),
        ),
        8,
        8,
        description=f"Failed attempts. Each is retried. {_IN_THE_TIME}",
        instant=True,
    ),
    Panel(
        "Servers in trouble",
        "stat",
        (
            (f"sum({once('check_overdue')})", "checks stopped"),
            (f"sum({once('problems')} > bool 0)", "with problems"),
            (f"sum({once('recording_failed')})", "not recording"),
            (
                "sum(increase("
                + metric("remote_write_samples_total", 'outcome="dropped"')
                + "[1h]) > bool 0)",
                "lost metrics",
            ),
        ),
        8,
        8,
        description="Servers whose checks have stopped, that report a problem, that can't write "
        "their record of costs, or whose metrics did not all arrive within "
        "the last hour.",
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
    return document(
        UID,
        "SageMaker Studio: idle shutdown and cost",
        "The cost of SageMaker Studio's apps and their idle shutdown, as "
        "sagemaker_autoshutdown sees it.",
        [
            variable("domain", "Domain", "label_values(sagemaker_autoshutdown_info, domain)"),
            variable(
                "owner",
                "User or space",
                'label_values(sagemaker_autoshutdown_info{domain=~"$domain"}, owner)',
            ),
        ],
        LAYOUT,
    )


def document(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[dict[str, Any]],
    layout: Sequence[Panel | Row],
) -> dict[str, Any]:
    """A dashboard in Grafana's JSON model."""
    datasource = {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "refresh": 1,
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["sagemaker", "jupyter", "cost"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [datasource, *variables]},
        "annotations": {"list": []},
        "links": [],
        "panels": _panels(layout),
    }


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of label values above the panels."""
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
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
    }


def _panels(layout: Sequence[Panel | Row]) -> list[dict[str, Any]]:
    """The panels, placed from left to right and from top to bottom."""
    panels: list[dict[str, Any]] = []
    x = y = line_height = 0
    for number, item in enumerate(layout, 1):
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
                **({} if panel.instant or panel.interval else {"interval": panel.step}),
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
    if panel.unit == "short":
        found["fieldConfig"]["defaults"]["decimals"] = 0  # increase() makes 1.02 of one
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
