"""``lifecycle-config status``: who has the extension, who must restart, and who has another
script."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..aws import AwsError
from ..clock import utcnow
from ..errors import Misused
from ..fleet.config import Config, InvalidConfig, read
from ..fleet.model import ReportKey
from ..fleet.reports import Heard, NotAsked
from ..lifecycle import rollout
from ..lifecycle.notebooks import Notebooks
from ..lifecycle.plan import Refused
from ..lifecycle.rollout import Row
from ..lifecycle.start_logs import Outcome
from ..lifecycle.studio import Studio
from ..lifecycle.throttling import Patient
from ..text import span, table
from ._admin import NotDone, Progress, add_region, failed, say_aside

#: The exit code of ``--exit-code`` if there is something to do.
TO_DO = 3

#: The values of ``--only``.
_ONLY: dict[str, Callable[[Row], bool]] = {
    "outdated": lambda row: bool(row.advice) and row.covered,
    "not-covered": lambda row: not row.covered,
    "dry-run": lambda row: row.is_dry_run,
}


def add_parser(commands: Any) -> None:
    """Add the command."""
    status = commands.add_parser(
        "status",
        help="show who has the extension",
        description="Shows every user profile and space: the version that its app was started "
        "with, the next one, and what is left to do.",
    )
    status.add_argument("--domain-id", metavar="ID", help="the domain (default: the only one)")
    status.add_argument(
        "--notebook-instances",
        action="store_true",
        help="show notebook instances instead of a domain",
    )
    status.add_argument(
        "--logs",
        action="store_true",
        help="also show the result of each app's last start, from CloudWatch Logs",
    )
    status.add_argument(
        "--reports",
        type=Path,
        metavar="FILE",
        help="also show whose metrics arrive, from the Prometheus server that this configuration "
        "file of `fleet` names",
    )
    status.add_argument(
        "--only",
        choices=_ONLY,
        help="show only rows with something to do, not covered, or in dry run",
    )
    status.add_argument("--summary", action="store_true", help="show only the totals")
    status.add_argument(
        "--exit-code",
        action="store_true",
        help=f"exit with {TO_DO} if there is something to do, for cron",
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    add_region(status)
    status.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows who has the extension."""
    fleet = None if arguments.reports is None else _fleet(arguments.reports)
    rows = _read(arguments, fleet)
    selected = [row for row in rows if arguments.only is None or _ONLY[arguments.only](row)]
    if arguments.json:
        document = _summary(rows) if arguments.summary else [_to_json(row) for row in selected]
        print(json.dumps(document, indent=2))
    else:
        if not arguments.summary:
            print(f"{_table(selected, logs=arguments.logs, reports=fleet is not None)}\n")
        print("\n".join(_in_words(rows, logs=arguments.logs, reports=fleet is not None)))
    if any(row.error for row in rows):
        raise NotDone("Some rows could not be read. Run the command again.")
    return TO_DO if arguments.exit_code and any(map(_ONLY["outdated"], rows)) else 0


def _read(arguments: argparse.Namespace, fleet: Config | None) -> list[Row]:
    aws = Patient(arguments.region, say_aside)
    try:
        if arguments.notebook_instances:
            domain_id = ""
            rows = list(rollout.of_notebooks(Notebooks(aws)))
        else:
            domain_id = arguments.domain_id or Studio(aws).only_domain()
            told = Progress().tell
            rows = list(rollout.of_domain(aws, domain_id, logs=arguments.logs, tell=told))
        if fleet is not None:
            rows = _with_reports(rows, fleet, domain_id, aws.effective_region)
    except (AwsError, Refused) as error:
        raise failed(error, "status") from error
    except NotAsked as error:
        raise NotDone(f"{error}.") from None
    return rows


def _fleet(path: Path) -> Config:
    try:
        config = read(path)
    except InvalidConfig as error:
        raise Misused(f"--reports: {error}") from None
    if config.prometheus is None:
        raise Misused(f"--reports: {path} has no [prometheus], so there is no server to ask")
    return config


def _with_reports(rows: list[Row], fleet: Config, domain_id: str, region: str) -> list[Row]:
    """Finds out which servers report. One that was just started may not report yet."""
    heard: set[ReportKey] = set()
    now = utcnow()
    found = fleet.prometheus.ask() if fleet.prometheus else Heard()
    if found.doubt:
        say_aside(f"{found.doubt}. Who does not report is not known.")
    for (_, where, key), at in found.servers.items():
        # Metrics that were scraped name no region.
        if where in ("", region) and now - at <= fleet.reports_within:
            heard.add(key)

    def reports(row: Row) -> bool | None:
        if not (row.covered and row.is_up):
            return None
        owner_kind = row.owner_kind if domain_id else ""
        is_heard = ReportKey(domain_id, owner_kind, row.owner, row.kind) in heard
        is_new = row.created_at is None or now - row.created_at <= fleet.reports_within
        return is_heard or (None if is_new or found.doubt else False)

    return [replace(row, reports=reports(row)) for row in rows]


def _table(rows: Sequence[Row], *, logs: bool, reports: bool) -> str:
    heading = ["OWNER", "KIND", "APP", "STARTED WITH", "NEXT START", "LIMIT", "FROM"]
    cells = []
    for row in rows:
        line = [f"{row.owner_kind} {row.owner}", row.kind, row.status or "-"]
        if row.covered:
            line += [
                (row.started_with or "without it") if row.is_up else "-",
                _version(row) or "without it",
                _limit(row) or "-",
                row.source or "-",
            ]
        else:
            native = row.native_minutes
            line += [
                "-",
                "-",
                "-" if native is None else f"{span(native * 60)} (Studio's own)",
                "-",
            ]
        if logs:
            line.append(_log(row))
        if reports:
            line.append({True: "arrive", False: "none", None: "-"}[row.reports])
        cells.append((*line, row.advice))
    more = [*(["LOG"] if logs else []), *(["METRICS"] if reports else [])]
    return table((*heading, *more, ""), cells)


def _version(row: Row) -> str:
    """With the digest of the script: two of one version may have different settings."""
    if row.config is None:
        return ""
    return f"{row.config.version} {row.config.digest}".strip()


def _limit(row: Row) -> str:
    limits = row.config.limits if row.config is not None else None
    if limits is None:
        return ""
    return span(limits.idle_timeout) + (
        f" or as {limits.settings_source} says" if limits.settings_source else ""
    )


def _log(row: Row) -> str:
    if not row.is_up or not row.covered:
        return "-"
    return row.start.outcome.value if row.start is not None else "says nothing"


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    covered = [row for row in rows if row.covered]
    up = [row for row in covered if row.is_up]
    said = Counter(row.start.outcome.value for row in up if row.start is not None)
    return {
        "owners": len(covered),
        "next_start": _counted(row.next_start for row in covered if row.next_start is not None),
        "scripts": {
            kind: _counted(_version(row) for row in covered if row.kind == kind and row.config)
            for kind in sorted({row.kind for row in covered})
        },
        "must_restart": sum(not row.current and row.config is not None for row in up),
        "dry_run": sum(row.is_dry_run for row in covered),
        "not_covered": _counted(row.kind for row in rows if not row.covered),
        "not_read": sum(bool(row.error) for row in rows),
        "log": dict(sorted(said.items())),
        "log_says_nothing": len(up) - sum(said.values()),
        "metrics_arrive": sum(row.reports is True for row in up),
        "metrics_missing": sum(row.reports is False for row in up),
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _in_words(rows: Sequence[Row], *, logs: bool, reports: bool) -> Iterable[str]:
    told = _summary(rows)
    have = sum(told["next_start"].values())
    versions = told["next_start"]
    mixed = f" ({_listed(versions)})" if len(versions) > 1 else ""
    yield (
        f"{have} of {told['owners']} will start with it next time{mixed}; "
        f"{told['must_restart']} must restart."
    )
    for kind, scripts in told["scripts"].items():
        if len(scripts) > 1:
            yield f"{kind} has different scripts: {_listed(scripts)}."
    if told["dry_run"]:
        yield f"{told['dry_run']} in dry run: their apps are not shut down."
    if told["not_covered"]:
        yield f"Not covered: {_listed(told['not_covered'])}."
    if logs:
        said = [f"{count} {outcome}" for outcome, count in told["log"].items()]
        yield f"Start logs of the running ones: {', '.join([*said, _nothing(told)])}."
    if reports:
        yield (
            f"Metrics arrive from {told['metrics_arrive']} of the running ones, but not from "
            f"{told['metrics_missing']}."
        )
    if not (logs or reports) and any(row.is_up and row.started_with for row in rows):
        yield (
            "STARTED WITH shows which script an app was given, not whether it worked: --logs reads "
            "what the script said."
        )


def _nothing(told: dict[str, Any]) -> str:
    return f"{told['log_says_nothing']} without a log line of the script"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def _to_json(row: Row) -> dict[str, Any]:
    config, limits = row.config, row.config.limits if row.config is not None else None
    start = row.start
    return {
        "owner_kind": row.owner_kind,
        "owner": row.owner,
        "kind": row.kind,
        "covered": row.covered,
        "status": row.status,
        "started_with": row.started_with,
        "next_start": row.next_start,
        "config": config.name if config is not None else None,
        "digest": config.digest if config is not None else None,
        "idle_timeout": limits.idle_timeout if limits is not None else None,
        "dry_run": limits.dry_run if limits is not None else None,
        "settings_source": limits.settings_source if limits is not None else None,
        "from": row.source,
        "native_idle_minutes": row.native_minutes,
        "log": None
        if start is None
        else {
            "outcome": start.outcome.value,
            "version": start.version,
            "line": start.line,
            "is_installed": start.outcome is Outcome.INSTALLED,
        },
        "metrics_arrive": row.reports,
        "advice": row.advice,
        "error": row.error,
    }
