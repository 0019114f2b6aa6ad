"""``fleet costs``: the costs that a fleet recorded."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...clock import utcnow
from ...errors import Failed, Misused
from ...text import table, usd
from ._observation import add_config, add_form, config_of
from .stack import add_stack_record, stack_record

if TYPE_CHECKING:
    from ...fleet.record import Cost


def add_parsers(commands: Any) -> None:
    """Adds the command to those of ``fleet``."""
    costs = commands.add_parser(
        "costs",
        help="show the costs that fleet run recorded",
        description="Reads the record of fleet run. Days are in UTC.",
    )
    add_config(costs)
    costs.add_argument(
        "--from", dest="start", metavar="DAY", help="default: the first of the month"
    )
    costs.add_argument("--to", dest="end", metavar="DAY", help="not included (default: tomorrow)")
    costs.add_argument(
        "--group-by",
        default="day",
        choices=("day", "account", "region", "domain", "owner", "app-type", "instance-type"),
        help="one row for each (default: day)",
    )
    add_stack_record(costs)
    add_form(costs)
    costs.set_defaults(run=show_costs)


def show_costs(arguments: argparse.Namespace) -> int:
    """Shows recorded costs."""
    from ...costs.billing.report import safe_cell
    from ...fleet.advance import Charge
    from ...fleet.document import cost_row, costs_by

    today = utcnow()
    start = _day(arguments.start) or f"{today:%Y-%m}-01"
    end = _day(arguments.end) or f"{today + timedelta(days=1):%Y-%m-%d}"
    with _recorded(arguments, start, end) as costs:
        groups = costs_by(costs, arguments.group_by)
    total = Charge()
    for charge in groups.values():
        total = total.plus(charge)
    rows = [cost_row(key, charge) for key, charge in groups.items()]
    summed = cost_row("total", total)
    if arguments.json:
        head = {"from": start, "to": end, "group_by": arguments.group_by, "total": summed}
        print(json.dumps({**head, "rows": rows}, indent=2))
    elif arguments.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(summed)
        writer.writerows([safe_cell(row["key"]), *list(row.values())[1:]] for row in rows)
    else:
        print("\n".join(_cost_lines(rows, summed, arguments.group_by, start, end)))
    return 0


@contextmanager
def _recorded(arguments: argparse.Namespace, start: str, end: str) -> Iterator[Iterable[Cost]]:
    """The costs of these days, from the record of ``fleet run`` or of a stack."""
    from ...fleet.on_aws.table import Table
    from ...fleet.record import StoreError
    from ...fleet.store import FILE_NAME, Store

    try:
        if arguments.stack:
            aws, outputs = stack_record(arguments)
            yield Table(aws, outputs["TableName"], outputs["BucketName"]).costs(start, end)
            return
        path = config_of(arguments).folder / FILE_NAME
        if not path.exists():
            raise Failed(
                f"There is no record at {path} yet. To make one, run: jupyter "
                "sagemaker-autoshutdown fleet run. What a fleet on AWS recorded is read with "
                "--stack."
            )
        with closing(Store(path, read_only=True)) as store:
            yield store.costs(start, end)
    except StoreError as error:
        raise Failed(str(error)) from None


def _cost_lines(
    rows: list[dict[str, Any]], total: dict[str, Any], group_by: str, start: str, end: str
) -> Iterator[str]:
    if not rows:
        yield f"Nothing was recorded from {start} to {end} (days in UTC, the last not included)."
        return
    yield table(
        (group_by.replace("-", " "), "USD", "hours"),
        [
            (row["key"] or "(no domain)", usd(Decimal(row["usd"])), row["hours"])
            for row in [*rows, total]
        ],
    )
    yield ""
    yield f"From {start} to {end} (days in UTC, the last not included)."
    if Decimal(total["estimated_usd"]):
        yield (
            f"Of this, {usd(Decimal(total['estimated_usd']))} USD are an estimate, because the "
            "sweeps were too far apart."
        )
    if Decimal(total["unpriced_hours"]):
        yield f"Not included: {total['unpriced_hours']} hours without a known price."


def _day(text: str | None) -> str:
    from datetime import date

    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Misused(f"{text!r} is not a day. Write days as 2026-09-01.") from None
