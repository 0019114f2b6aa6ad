"""``fleet``: whole accounts from outside: what is up, what it costs, who shuts it down when idle.

It needs the rights to list, and no running server.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clock import to_iso, utcnow
from ..errors import Failed, Misused
from ..text import clean, span, table, usd
from . import fleet_acting, fleet_on_aws

if TYPE_CHECKING:
    from ..fleet.config import Config
    from ..fleet.record import Cost
    from ..fleet.service import Fleet, Observation, Target
    from ..fleet.store import Store
    from ..fleet.view import Line, Summary

#: Lines of the table of what nobody shuts down.
MOST_EXPENSIVE = 20


def add_parser(subparsers: Any) -> None:
    """Add the command and its own subcommands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "fleet",
        help="whole accounts: what is up, what it costs, who shuts it down when idle",
        description="Shows what is up in whole accounts, what it costs, and who shuts it down when "
        "it is idle. Without --config, it reads the account and region of your AWS configuration.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run_parser = commands.add_parser(
        "run",
        help="list everything every few minutes, record costs, serve /metrics",
        description="Lists everything every few minutes (interval), records what was spent, and "
        "serves /metrics. If the configuration has rules that may act, it shuts down what they "
        "call for.",
    )
    _add_config(run_parser)
    run_parser.set_defaults(run=run)
    status = commands.add_parser(
        "status",
        help="show everything that is up",
        description="Lists everything once, and prints what is up.",
    )
    _add_config(status)
    _add_region(status)
    _add_form(status)
    status.set_defaults(run=show_status)
    coverage = commands.add_parser(
        "coverage",
        help="show who shuts down what is up when it is idle",
        description="Lists everything once. Shows who shuts down the apps that are up when they "
        "are idle, and the most expensive apps that nobody shuts down.",
    )
    _add_config(coverage)
    _add_region(coverage)
    _add_form(coverage, csv_too=False)
    coverage.set_defaults(run=show_coverage)
    fleet_acting.add_parsers(commands, _add_config, _add_region)
    fleet_on_aws.add_parsers(commands, _add_config)
    costs = commands.add_parser(
        "costs",
        help="show the costs that fleet run recorded",
        description="Reads the record of fleet run. Days are in UTC.",
    )
    _add_config(costs)
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
    fleet_on_aws.add_stack_record(costs)
    _add_form(costs)
    costs.set_defaults(run=show_costs)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML: accounts, regions, Prometheus, prices"
    )


def _add_region(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--region",
        action="append",
        help="a region in place of the configured ones; can be repeated",
    )


def _add_form(parser: argparse.ArgumentParser, *, csv_too: bool = True) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    if csv_too:
        form.add_argument("--csv", action="store_true", help="print CSV")


def config_of(arguments: argparse.Namespace) -> Config:
    from dataclasses import replace

    from ..fleet.config import Config, InvalidConfig, read

    try:
        config = read(arguments.config) if arguments.config else Config()
    except InvalidConfig as error:
        raise Misused(str(error)) from None
    regions = tuple(dict.fromkeys(getattr(arguments, "region", None) or ()))
    if regions:
        accounts = tuple(replace(account, regions=regions) for account in config.accounts)
        config = replace(config, accounts=accounts)
    return config


# -- run


def run(arguments: argparse.Namespace) -> int:
    """Sweeps until it is told to stop."""
    import asyncio
    import logging

    from ..fleet.record import StoreError
    from ..fleet.server import CanNotListen, Server
    from ..fleet.service import Fleet
    from ..fleet.store import FILE_NAME, Store

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    config = config_of(arguments)
    fleet = Fleet(config, ask_price_list=True)
    try:
        store = Store(config.folder / FILE_NAME)
    except StoreError as error:
        raise Failed(str(error)) from None
    if store.put_aside is not None:
        _say_aside(
            f"The record {store.path} was damaged. It is kept as {store.put_aside.name}, and a new "
            "one was begun: costs count from now on."
        )
    with closing(store):

        def ready(url: str) -> None:
            print(f"Metrics: {url}. A sweep every {span(config.interval.total_seconds())}.")
            print(f"Record: {store.path}", flush=True)

        async def serve() -> None:
            await Server(fleet, store).run(ready)

        try:
            asyncio.run(serve())
        except CanNotListen as error:
            raise Failed(f"{error}. Set listen in the configuration.") from None
    return 0


# -- status


def show_status(arguments: argparse.Namespace) -> int:
    """Sweeps once, and shows what is up."""
    from ..fleet import document
    from ..fleet.view import Summary

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


class Seen:
    """One observation of everything that the arguments name."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from ..fleet.service import Failure, Fleet, problems_of

        self.now = utcnow()
        self.fleet: Fleet = Fleet(config_of(arguments), progress=_progress, say=_say_aside)
        heard, problem = self.fleet.heard()
        self.problems = [f"{problem}; coverage is not known."] if problem else []
        self.found: list[tuple[Target, Observation]] = []
        self.failed = False
        store = record_of(self.fleet.config)
        try:
            for target, found, seconds in self.fleet.sweep_all(to_iso(self.now), utcnow, heard):
                if isinstance(found, Failure):
                    self.failed = True
                    self.problems.append(f"{found.name}: {found.message}. {found.remedy}")
                else:
                    observation = self.fleet.observation(target, found, seconds, store)
                    self.found.append((target, observation))
        finally:
            _end_progress()
            if store is not None:
                store.close()
        self.problems += problems_of(self.observations)

    @property
    def observations(self) -> list[Observation]:
        """What each account and region showed."""
        return [observation for _, observation in self.found]

    def lines(self) -> Iterator[tuple[Observation, Line]]:
        """Everything that was seen."""
        for observation in self.observations:
            for line in self.fleet.lines(observation):
                yield observation, line

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """One of the lists of the JSON document."""
        from ..fleet.document import row

        for observation, line in self.lines():
            kind, fields = row(observation.sweep, line)
            if kind == name:
                yield fields


def record_of(config: Config) -> Store | None:
    """The record of ``fleet run``, if there is one: it knows since when an app is up."""
    from ..fleet.record import StoreError
    from ..fleet.store import FILE_NAME, Store

    path = config.folder / FILE_NAME
    if not path.exists():
        return None
    try:
        return Store(path, read_only=True)
    except StoreError as error:
        _say_aside(str(error))
        return None


def _csv(seen: Seen) -> None:
    from ..costs.billing.report import safe_cell
    from ..fleet.document import APP_FIELDS, row

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
    """Who shuts down what is up when it is idle."""
    from ..fleet import document
    from ..fleet.model import Coverage
    from ..fleet.view import Summary

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


# -- costs


def show_costs(arguments: argparse.Namespace) -> int:
    """What was spent."""
    from ..costs.billing.report import safe_cell
    from ..fleet.advance import Charge
    from ..fleet.document import cost_row, costs_by

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
    """The costs of these days, out of the record of ``fleet run`` or of a stack."""
    from ..fleet.on_aws.table import Table
    from ..fleet.record import StoreError
    from ..fleet.store import FILE_NAME, Store

    try:
        if arguments.stack:
            aws, outputs = fleet_on_aws.stack_record(arguments)
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


# -- what is said aside


def _progress(name: str, what: str, count: int) -> None:
    if sys.stderr.isatty():
        where = f"{clean(name)}: " if name else ""
        sys.stderr.write(f"\r\x1b[K{where}{count} {what}")
        sys.stderr.flush()


def _end_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _say_aside(message: str) -> None:
    print(message, file=sys.stderr)


def tell(problems: Iterable[str]) -> None:
    for problem in problems:
        _say_aside(clean(problem))
