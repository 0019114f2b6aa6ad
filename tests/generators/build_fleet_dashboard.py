"""Writes ``fleet-dashboard.json``, of a whole account; run it as a module.

``python -m tests.generators.build_fleet_dashboard``
"""

from __future__ import annotations

import sys
from typing import Any

from .build_dashboard import DASHBOARD as SERVERS_DASHBOARD
from .build_dashboard import Panel, Row, document, to_text, variable

DASHBOARD = SERVERS_DASHBOARD.with_name("fleet-dashboard.json")

UID = "sagemaker-autoshutdown-fleet"

_WHERE = 'account_id=~"$account",region=~"$region",domain=~"$domain"'
_SCOPE = 'account_id=~"$account",region=~"$region"'
_PREFIX = "sagemaker_autoshutdown_fleet_"


def metric(name: str, *matchers: str, where: str = _WHERE) -> str:
    """A selector within the selected accounts, regions and domains."""
    return f"{_PREFIX}{name}{{{','.join((where, *matchers))}}}"


_NOBODY = 'coverage=~"none|silent"'
_USD = metric("usd_per_hour")
_GPU = 'instance_type=~"ml\\\\.(g|gr|p|trn|inf|dl)[0-9].*"'
_FAILED = metric("sweeps_total", 'outcome="failed"', where=_SCOPE)
_BAD_ABOVE_ZERO: tuple[tuple[str, float | None], ...] = (("green", None), ("red", 1))

LAYOUT: tuple[Panel | Row, ...] = (
    Row("Now"),
    Panel("Spend per hour", "stat", ((f"sum({_USD})", ""),), 4, 4, "currencyUSD", instant=True),
    Panel("Up", "stat", ((f"sum({metric('apps')})", ""),), 4, 4, instant=True),
    Panel(
        "Not covered, per hour",
        "stat",
        ((f"sum({metric('usd_per_hour', _NOBODY)}) or vector(0)", ""),),
        4,
        4,
        "currencyUSD",
        "Cost of what nobody shuts down: coverage none or silent.",
        instant=True,
        thresholds=(("green", None), ("orange", 10), ("red", 100)),
    ),
    Panel(
        "GPU instances not covered",
        "stat",
        ((f"sum({metric('apps', _NOBODY, _GPU)}) or vector(0)", ""),),
        4,
        4,
        instant=True,
        thresholds=_BAD_ABOVE_ZERO,
    ),
    Panel(
        "Unused volumes, per month",
        "stat",
        ((f"""sum({metric("volume_usd_per_hour", 'state="unused"')}) * 730""", ""),),
        4,
        4,
        "currencyUSD",
        "Volumes of spaces without an app that is up now.",
        instant=True,
    ),
    Panel(
        "Last good sweep",
        "stat",
        ((f"time() - min({metric('last_sweep_timestamp_seconds', where=_SCOPE)})", ""),),
        4,
        4,
        "s",
        "Time since the last good sweep, in the account and region where it is longest.",
        instant=True,
        thresholds=(("green", None), ("red", 1800)),
    ),
    Row("Spend"),
    Panel(
        "Spend per hour by app type",
        "timeseries",
        ((f"sum by (app_type) ({_USD})", "{{app_type}}"),),
        12,
        8,
        "currencyUSD",
        stack=True,
    ),
    Panel(
        "Spend per hour by domain",
        "timeseries",
        ((f"topk(15, sum by (account_id, region, domain) ({_USD}))", "{{domain}} {{region}}"),),
        12,
        8,
        "currencyUSD",
        "The fifteen most expensive. Notebook instances belong to no domain.",
        stack=True,
    ),
    Panel(
        "Cost by day and app type",
        "timeseries",
        (
            (
                f"sum by (app_type) (increase({metric('cost_usd_total')}[$__interval]))",
                "{{app_type}}",
            ),
        ),
        12,
        8,
        "currencyUSD",
        "An estimate by Prometheus; `fleet costs` is exact.",
        interval="1d",
        stack=True,
        custom={"drawStyle": "bars", "fillOpacity": 80},
    ),
    Panel(
        "Most expensive types",
        "bargauge",
        (
            (
                f"topk(15, sum by (app_type, instance_type) ({_USD}) > 0)",
                "{{app_type}} {{instance_type}}",
            ),
        ),
        12,
        8,
        "currencyUSD",
        "USD per hour now, by app type and instance type.",
        instant=True,
    ),
    Row("Coverage: who shuts it down when idle"),
    Panel(
        "Apps by coverage",
        "timeseries",
        ((f"sum by (coverage) ({metric('apps')})", "{{coverage}}"),),
        12,
        8,
        stack=True,
    ),
    Panel(
        "Spend per hour by coverage",
        "timeseries",
        ((f"sum by (coverage) ({_USD})", "{{coverage}}"),),
        12,
        8,
        "currencyUSD",
        stack=True,
    ),
    Panel(
        "Most expensive, not covered",
        "bargauge",
        (
            (
                f"topk(15, sum by (domain, app_type, instance_type) "
                f"({metric('usd_per_hour', _NOBODY)}) > 0)",
                "{{domain}} {{app_type}} {{instance_type}}",
            ),
        ),
        12,
        8,
        "currencyUSD",
        "USD per hour now.",
        instant=True,
    ),
    Panel(
        "Longest runs",
        "bargauge",
        (
            (
                "topk(15, time() - min by (domain, app_type, instance_type) "
                f"({metric('oldest_run_start_timestamp_seconds')}))",
                "{{domain}} {{app_type}} {{instance_type}}",
            ),
        ),
        12,
        8,
        "s",
        "Since the first sweep that saw the run.",
        instant=True,
    ),
    Row("Volumes"),
    Panel(
        "Volumes by use",
        "timeseries",
        ((f"sum by (state) ({metric('volume_bytes')})", "{{state}}"),),
        12,
        8,
        "bytes",
        "Whether an app of the space is up.",
        stack=True,
    ),
    Panel(
        "Unused volumes by domain, per month",
        "bargauge",
        (
            (
                "topk(15, sum by (domain) "
                f"""({metric("volume_usd_per_hour", 'state="unused"')}) * 730)""",
                "{{domain}}",
            ),
        ),
        12,
        8,
        "currencyUSD",
        instant=True,
    ),
    Row("Sweeps"),
    Panel(
        "Duration",
        "timeseries",
        ((metric("sweep_duration_seconds", where=_SCOPE), "{{account_id}} {{region}}"),),
        8,
        6,
        "s",
    ),
    Panel(
        "Failed sweeps and lists",
        "timeseries",
        (
            (
                f"sum by (account_id, region) (increase({_FAILED}[$__rate_interval]))",
                "failed {{account_id}} {{region}}",
            ),
            (
                metric("unseen_parts", where=_SCOPE),
                "lists not read {{account_id}} {{region}}",
            ),
        ),
        8,
        6,
        step="15m",
    ),
    Panel(
        "Instances without a price",
        "stat",
        ((f"sum({metric('unpriced_instances')}) or vector(0)", ""),),
        4,
        6,
        "short",
        "Their cost is missing from all totals.",
        instant=True,
    ),
    Panel(
        "Accounts and regions with known coverage",
        "stat",
        ((f"sum({metric('coverage_known', where=_SCOPE)})", ""),),
        4,
        6,
        "short",
        "Those for which Prometheus answered which servers report.",
        instant=True,
    ),
)


def build() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    info = f"{_PREFIX}last_sweep_timestamp_seconds"
    return document(
        UID,
        "SageMaker Studio: the whole account",
        "Everything that is up in SageMaker Studio, what it costs and who shuts it down when it is "
        "idle, as sagemaker-autoshutdown's fleet sees it from outside.",
        [
            variable("account", "Account", f"label_values({info}, account_id)"),
            variable("region", "Region", f'label_values({info}{{account_id=~"$account"}}, region)'),
            variable("domain", "Domain", f"label_values({_PREFIX}apps{{{_SCOPE}}}, domain)"),
        ],
        LAYOUT,
    )


def main() -> None:
    """Writes the file in place."""
    DASHBOARD.write_text(to_text(build()), encoding="utf-8")
    sys.stderr.write(f"{DASHBOARD.name}: {len(LAYOUT)} panels\n")


if __name__ == "__main__":
    main()
