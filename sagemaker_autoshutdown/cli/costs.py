"""``costs``: the cost of the instances, by day, instance type, instance, app or state."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..clock import from_iso, to_iso, utcnow
from ..costs.billing.report import MONEY_FIELDS, GroupBy, safe_cell
from ..errors import Failed
from ..text import clean, span, table, usd
from ._arguments import until
from ._server import add_options, connect


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "costs",
        help="show what instances cost, in use and idle",
        description="Shows what instances cost. Days are days in UTC. A time without an offset is "
        "in this machine's time zone; a date alone means midnight UTC.",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=_moment,
        metavar="TIME",
        help="the start, such as 2026-09-01 or 2026-09-01T18:00 (default: the first of the month)",
    )
    parser.add_argument(
        "--to", dest="end", type=_moment, metavar="TIME", help="the end, exclusive (default: now)"
    )
    parser.add_argument(
        "--group-by",
        choices=[group.value.replace("_", "-") for group in GroupBy],
        default=GroupBy.DAY.value,
        help="one row for each of these (default: day). The cost of an instance is divided "
        "evenly among its running apps",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="if a clock was ahead and nothing has been recorded since: delete entries of the "
        "future from the record. A copy of the record stays beside it",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print JSON")
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows the costs."""
    if arguments.repair:
        print(_repair())
        return 0
    query = {"from": arguments.start, "to": arguments.end}
    query["group_by"] = arguments.group_by.replace("-", "_")
    costs = connect(arguments).get("costs", **query)
    if arguments.json:
        print(json.dumps(costs, indent=2))
    elif arguments.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("key", *MONEY_FIELDS))
        for row in costs["rows"]:
            cells = (json.dumps(row[name]).strip('"') for name in MONEY_FIELDS)
            writer.writerow((safe_cell(row["key"]), *cells))
    else:
        print("\n".join(lines(costs)))
    return 0


def _repair() -> str:
    """Repairs the record of this machine and prints the result."""
    # Imported here, so that the other commands need not wait for it.
    import sqlite3

    from ..costs.store.database import Broken, MigrationFailed, TooNew
    from ..costs.store.ledger import FILE_NAME
    from ..costs.store.repair import repair
    from ..diagnostics.settings import admin_settings
    from ..settings.locks import Locked

    config, _ = admin_settings()
    path = Path(config.data_dir).expanduser() / FILE_NAME
    if not path.exists():
        raise Failed(f"There is no record at {path}.")
    try:
        repaired = repair(path, utcnow())
    except Locked:
        raise Failed(
            "A server is recording in it, so nothing lies in the future. If the clock was set just "
            "now, try again in a minute."
        ) from None
    except (Broken, MigrationFailed, TooNew, OSError, sqlite3.Error) as error:
        raise Failed(f"The record {path} could not be repaired: {error}.") from None
    if repaired is None:
        return "Nothing in the record lies in the future. Nothing was changed."
    return (
        f"Removed because they lay in the future: {repaired.runs} runs, {repaired.events} events. "
        f"What reached into it ends now. The record as it was is kept as {repaired.kept_as}. The "
        "server records again from its next check on."
    )


def lines(costs: dict[str, Any]) -> Iterator[str]:
    """The costs for people."""
    total = costs["total"]
    if not costs["rows"]:
        yield "No costs are recorded for that time."
        return
    extra = [name for name in ("avoided_usd", "volume_usd") if Decimal(total[name])]
    titles = {"avoided_usd": "avoided (est.)", "volume_usd": "volume"}
    heading = [costs["group_by"].replace("_", " "), "USD", "in use", "idle", "idle %"]
    yield table(
        [*heading, *(titles[name] for name in extra)],
        [
            *(_row(clean(row["key"]), row, extra) for row in costs["rows"]),
            _row("total", total, extra),
        ],
    )
    yield ""
    yield f"From {_local(costs['from'])} to {_local(costs['to'])}."
    if total["estimated"]:
        yield "Part of the cost is estimated, because the server was down for a while."
    if total["unpriced_seconds"]:
        yield (
            f"Excluded: {span(total['unpriced_seconds'])} of instances without a known price. "
            "Administrators can add prices with c.SageMakerAutoShutdown.prices."
        )
    if extra:
        yield "Avoided cost is an estimate. Totals include neither avoided cost nor volumes."


def _row(key: str, money: dict[str, Any], extra: list[str]) -> list[str]:
    share = money["idle_share"]
    return [
        key,
        usd(Decimal(money["usd"])),
        usd(Decimal(money["in_use_usd"])),
        usd(Decimal(money["idle_usd"])),
        "-" if share is None else f"{share:.0%}",
        *(usd(Decimal(money[name])) for name in extra),
    ]


def _local(moment: str) -> str:
    return f"{from_iso(moment).astimezone():%Y-%m-%d %H:%M}"


def _moment(text: str) -> str:
    """A time in the API's form."""
    if len(text.strip()) == len("2026-09-01"):
        text = f"{text.strip()}T00:00Z"
        try:
            return to_iso(from_iso(text))
        except ValueError:
            pass
    return to_iso(until(text, utcnow()))
