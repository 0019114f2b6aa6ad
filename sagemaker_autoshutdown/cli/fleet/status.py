"""``fleet status`` and ``fleet coverage``: running apps, and who shuts them down when they are
idle."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...clock import to_iso
from ...text import span, table, usd
from ._observation import Seen, add_config, add_form, add_region, tell

if TYPE_CHECKING:
    from ...fleet.view import Line, Summary

#: Lines in the table of apps that nobody shuts down.
MOST_EXPENSIVE = 20


def add_parsers(commands: Any) -> None:
    """Adds the commands to those of ``fleet``."""
    status = commands.add_parser(
        "status",
        help="show everything that is up",
        description="Lists everything once, and prints what is up.",
    )
    add_config(status)
    add_region(status)
    add_form(status)
    status.set_defaults(run=show_status)
    coverage = commands.add_parser(
        "coverage",
        help="show who shuts down what is up when it is idle",
        description="Lists everything once. Shows who shuts down the apps that are up when they "
        "are idle, and the most expensive apps that nobody shuts down.",
    )
    add_config(coverage)
    add_region(coverage)
    add_form(coverage, csv_too=False)
    coverage.set_defaults(run=show_coverage)


# -- status


def show_status(arguments: argparse.Namespace) -> int:
    """Sweeps once, and shows everything that is up."""
    from ...fleet import document
    from ...fleet.view import Summary

    seen = Seen(arguments)
    summaries: dict[Any, Summary] = {}
    for observation in seen.observations:
        summary = summaries[observation.sweep.scope] = Summary()
        for line in seen.fleet.lines(observation):
            summary.add(line)
    totals = document.totals(summaries)
    if arguments.json:
        head = {
            "at": to_iso(seen.now),
            "accounts": [
                {"account_id": scope.account_id, "region": scope.region} for scope in summaries
            ],
            "problems": seen.problems,
            "totals": totals,
        }
        lists = {name: seen.rows(name) for name in ("apps", "notebook_instances", "volumes")}
        for piece in document.stream(head, lists):
            sys.stdout.write(piece)
    elif arguments.csv:
        _csv(seen)
    else:
        print("\n".join(_status_lines(seen, totals)))
    tell(seen.problems)
    return 1 if seen.failed else 0


def _csv(seen: Seen) -> None:
    from ...costs.billing.report import safe_cell
    from ...fleet.document import APP_FIELDS, row

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(APP_FIELDS)
    for observation, line in seen.lines():
        kind, fields = row(observation.sweep, line)
        if kind == "notebook_instances":
            fields["app_type"] = "NotebookInstance"
            fields["app_name"] = fields["notebook_instance_name"]
            fields["apps_on_instance"] = 1
        elif kind == "volumes":
            continue
        writer.writerow([safe_cell(_cell(fields.get(name))) for name in APP_FIELDS])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ";".join(f"{key}={each}" for key, each in sorted(value.items()))
    return "" if value is None else str(value)


def _status_lines(seen: Seen, totals: dict[str, Any]) -> Iterator[str]:
    rows = [
        _status_row(seen, line)
        for _, line in seen.lines()
        if line.resource.is_up and line.resource.key.app_type != "Volume"
    ]
    if rows:
        rows.sort()
        heads = ("DOMAIN", "OWNER", "SPACE", "TYPE", "APP", "INSTANCE", "USD/H", "COVERAGE", "UP")
        yield table(heads, rows)
        yield ""
    yield from _total_lines(totals)


def _status_row(seen: Seen, line: Line) -> tuple[str, ...]:
    key = line.resource.key
    return (
        key.domain or "-",
        line.owner,
        key.owner if key.owner_kind == "space" else "-",
        key.app_type,
        key.name,
        line.resource.instance_type or "-",
        _price(line),
        line.coverage.value if line.coverage else "-",
        span((seen.now - line.up_since).total_seconds()) if line.up_since else "-",
    )


def _price(line: Line) -> str:
    rate = line.rate.usd_per_hour
    if not line.resource.is_billed:
        return line.resource.status
    if rate is None:
        return "unpriced"
    mark = "~" if line.rate.source == "estimate" else ""
    shared = f" for {line.apps_on_instance}" if line.apps_on_instance > 1 else ""
    return f"{mark}{rate:f}{shared}"


def _total_lines(totals: dict[str, Any]) -> Iterator[str]:
    unpriced = f", {totals['unpriced']} unpriced" if totals["unpriced"] else ""
    yield (
        f"{totals['up']} up, {usd(Decimal(totals['usd_per_hour']))} USD an hour{unpriced}; "
        f"{totals['volumes']} volumes, {totals['volume_gigabytes']} GB, "
        f"{usd(Decimal(totals['volume_usd_per_hour']))} USD an hour."
    )


# -- coverage


def show_coverage(arguments: argparse.Namespace) -> int:
    """Shows who shuts down running apps when they are idle."""
    from ...fleet import document
    from ...fleet.model import Coverage
    from ...fleet.view import Summary

    uncovered = (Coverage.NONE, Coverage.SILENT, Coverage.UNKNOWN)
    seen = Seen(arguments)
    summaries: dict[Any, Summary] = {}
    found: list[tuple[int, dict[str, Any]]] = []
    for observation in seen.observations:
        summary = summaries[observation.sweep.scope] = Summary()
        for line in seen.fleet.lines(observation):
            summary.add(line)
            if line.coverage in uncovered and line.nano_usd_per_hour:
                _, fields = document.row(observation.sweep, line)
                found.append((line.nano_usd_per_hour, fields))
    found.sort(key=lambda pair: -pair[0])
    totals = document.totals(summaries)
    if arguments.json:
        head = {"at": to_iso(seen.now), "problems": seen.problems, "coverage": totals["coverage"]}
        for piece in document.stream(head, {"uncovered": (fields for _, fields in found)}):
            sys.stdout.write(piece)
    else:
        print("\n".join(_coverage_lines(totals, [fields for _, fields in found])))
    tell(seen.problems)
    return 1 if seen.failed else 0


def _coverage_lines(totals: dict[str, Any], found: list[dict[str, Any]]) -> Iterator[str]:
    yield table(
        ("COVERAGE", "UP", "USD/H", "MEANING"),
        [
            (name, str(sums["up"]), usd(Decimal(sums["usd_per_hour"])), sums["meaning"])
            for name, sums in totals["coverage"].items()
        ],
    )
    if found:
        yield ""
        yield (
            f"{len(found)} of them cost money, and nobody is known to shut them down. "
            "The most expensive:"
        )
        yield table(
            ("USD/H", "COVERAGE", "DOMAIN", "OWNER", "TYPE", "APP"),
            [
                (
                    usd(Decimal(fields["usd_per_hour"])),
                    fields["coverage"],
                    fields.get("domain") or "-",
                    fields.get("owner") or "-",
                    fields.get("app_type") or "NotebookInstance",
                    fields.get("app_name") or fields["notebook_instance_name"],
                )
                for fields in found[:MOST_EXPENSIVE]
            ],
        )
