"""A fleet as the JSON documents and rows that the command line prints. Pure.

Times are ISO 8601 in UTC, money is decimal strings in USD, as in the REST API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from ..clock import to_iso
from .advance import Charge
from .bill import usd
from .model import (
    COVERAGE_TEXT,
    KERNEL_GATEWAY,
    NOTEBOOK_INSTANCE,
    SPACE,
    VOLUME,
    Coverage,
    Scope,
    Sweep,
)
from .record import Cost
from .view import Line, Summary, Sums, tags_of

APP_FIELDS = (
    "account_id",
    "region",
    "domain",
    "domain_name",
    "owner",
    "space",
    "sharing",
    "app_type",
    "app_name",
    "status",
    "instance_type",
    "usd_per_hour",
    "price_source",
    "apps_on_instance",
    "coverage",
    "up_since",
    "created_at",
    "last_report_at",
    "tags",
)
NOTEBOOK_FIELDS = (
    "account_id",
    "region",
    "notebook_instance_name",
    "status",
    "instance_type",
    "usd_per_hour",
    "price_source",
    "coverage",
    "up_since",
    "modified_at",
    "last_report_at",
    "tags",
)
VOLUME_FIELDS = (
    "account_id",
    "region",
    "domain",
    "domain_name",
    "owner",
    "space",
    "sharing",
    "gigabytes",
    "usd_per_hour",
    "price_source",
    "in_use",
    "tags",
)


def money(nano: int) -> str:
    """Dollars as text, exactly, without an exponent."""
    return format(usd(nano), "f")


def row(sweep: Sweep, line: Line) -> tuple[str, dict[str, Any]]:
    """The list that a line belongs to, and its fields."""
    resource = line.resource
    key = resource.key
    rate = line.rate.usd_per_hour
    found: dict[str, Any] = {
        "account_id": sweep.scope.account_id,
        "region": sweep.scope.region,
        "status": resource.status,
        "instance_type": resource.instance_type,
        # The price of the whole instance, which ``apps_on_instance`` apps share.
        "usd_per_hour": None if rate is None else format(rate, "f"),
        "price_source": line.rate.source,
        "coverage": line.coverage.value if line.coverage else None,
        "up_since": to_iso(line.up_since) if line.up_since else None,
        "last_report_at": to_iso(line.heard_at) if line.heard_at else None,
        "tags": tags_of(sweep, resource),
    }
    if key.app_type == NOTEBOOK_INSTANCE:
        found["notebook_instance_name"] = key.name
        found["modified_at"] = to_iso(resource.changed_at)
        return "notebook_instances", {name: found[name] for name in NOTEBOOK_FIELDS}
    domain = sweep.domains.get(key.domain)
    found["domain"] = key.domain
    found["domain_name"] = domain.name if domain else None
    found["owner"] = line.owner
    found["space"] = key.owner if key.owner_kind == SPACE else None
    found["sharing"] = (line.space.sharing or None) if line.space else None
    if key.app_type == VOLUME:
        found["gigabytes"] = resource.size_gb
        found["in_use"] = not line.is_unused
        return "volumes", {name: found[name] for name in VOLUME_FIELDS}
    found["app_type"] = key.app_type
    found["app_name"] = key.name
    found["apps_on_instance"] = line.apps_on_instance if key.app_type == KERNEL_GATEWAY else 1
    found["created_at"] = to_iso(resource.changed_at)
    return "apps", {name: found[name] for name in APP_FIELDS}


def totals(summaries: Mapping[Scope, Summary]) -> dict[str, Any]:
    """The sums of all scopes."""
    compute, volumes = Sums(), Sums()
    coverage: dict[str, Sums] = {}
    for summary in summaries.values():
        compute.merge(summary.total(volumes=False))
        volumes.merge(summary.total(volumes=True))
        for name, sums in summary.by_coverage().items():
            coverage.setdefault(name, Sums()).merge(sums)
    return {
        "up": compute.count,
        "usd_per_hour": money(compute.nano_usd_per_hour),
        "unpriced": compute.unpriced,
        "volumes": volumes.count,
        "volume_gigabytes": volumes.gigabytes,
        "volume_usd_per_hour": money(volumes.nano_usd_per_hour),
        "coverage": {
            each.value: {
                "up": coverage.get(each.value, Sums()).count,
                "usd_per_hour": money(coverage.get(each.value, Sums()).nano_usd_per_hour),
                "meaning": COVERAGE_TEXT[each],
            }
            for each in Coverage
        },
    }


def stream(head: Mapping[str, Any], lists: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    """One JSON document that ends with some lists, piece by piece, because the lists can be
    long."""
    text = json.dumps(head, indent=2)
    yield text[: text.rindex("}")].rstrip()
    for name, items in lists.items():
        yield f",\n  {json.dumps(name)}: ["
        between = "\n    "
        for item in items:
            yield between + json.dumps(item)
            between = ",\n    "
        yield "\n  ]"
    yield "\n}\n"


GROUPS = ("day", "account", "region", "domain", "owner", "app-type", "instance-type")


def costs_by(costs: Iterable[Cost], group_by: str) -> dict[str, Charge]:
    """Costs added up by one of ``GROUPS``, in order of the key."""
    found: dict[str, Charge] = {}
    for cost in costs:
        key = {
            "day": cost.key.day,
            "account": cost.scope.account_id,
            "region": cost.scope.region,
            "domain": cost.key.domain,
            "owner": cost.key.owner,
            "app-type": cost.key.app_type,
            "instance-type": cost.key.instance_type,
        }[group_by]
        found[key] = found.get(key, Charge()).plus(cost.charge)
    return dict(sorted(found.items()))


def hours(microseconds: int) -> Decimal:
    """Hours to a hundredth."""
    return (Decimal(microseconds) / 3_600_000_000).quantize(Decimal("0.01"))


def cost_row(key: str, charge: Charge) -> dict[str, Any]:
    """A total as fields. ``hours`` are billed hours of instances, sessions and volumes."""
    return {
        "key": key,
        "usd": money(charge.nano),
        "estimated_usd": money(charge.estimated_nano),
        "hours": str(hours(charge.billed_us)),
        "unpriced_hours": str(hours(charge.unpriced_us)),
    }
