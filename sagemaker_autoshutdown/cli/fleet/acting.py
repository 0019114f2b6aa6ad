"""``fleet plan``, ``fleet history`` and ``fleet policy``: the effect of rules, past actions, and
the rights that a fleet needs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...aws import AwsError
from ...clock import from_iso, to_iso, utcnow
from ...errors import Failed, Misused
from ...text import span, table, when
from ._observation import Seen, add_config, add_region, config_of, record_of, tell
from .stack import add_stack_record, stack_record

if TYPE_CHECKING:
    from ...fleet.acting.model import Hold, Task, Verdict
    from ...fleet.config import Config
    from ...fleet.stopper import Proposal

#: The time for which past actions are shown by default.
_SHOWN = timedelta(days=7)


def add_parsers(commands: Any) -> None:
    """Adds the commands to those of ``fleet``."""
    plan = commands.add_parser(
        "plan",
        help="show what the rules would do now, and why",
        description="Sweeps once. Shows what the rules of the configuration say about everything "
        "that is up, and what fleet run would do now. It changes nothing.",
    )
    add_config(plan)
    add_region(plan)
    plan.add_argument("--json", action="store_true", help="print one JSON document")
    plan.set_defaults(run=show_plan)
    history = commands.add_parser(
        "history",
        help="list the apps that were marked, spared and shut down",
        description="Reads the record of fleet run. Lists the apps that were marked, spared and "
        "shut down, with the rule and the evidence.",
    )
    add_config(history)
    history.add_argument(
        "--from", dest="start", metavar="TIME", help="a day or a time in UTC (default: a week ago)"
    )
    add_stack_record(history)
    history.add_argument("--json", action="store_true", help="print one JSON document")
    history.set_defaults(run=show_history)
    policy = commands.add_parser(
        "policy",
        help="print the IAM policy that a fleet needs",
        description="Prints an IAM policy. 'read' holds the rights to sweep; 'act' holds the "
        "additional rights to mark apps and to shut them down.",
    )
    policy.add_argument("which", choices=("read", "act"))
    add_config(policy)
    policy.add_argument("--partition", default="aws", help="default: aws")
    policy.set_defaults(run=show_policy)


# -- plan


def show_plan(arguments: argparse.Namespace) -> int:
    """Shows what would be done now."""
    config = config_of(arguments)
    if not config.rules.rules:
        raise Misused("There are no rules: write [[rules]] into a file, and name it with --config.")
    seen = Seen(arguments)
    found = list(_proposals(seen))
    rows = [row for proposal, holds in found for row in _plan_rows(proposal, holds)]
    halted = [proposal.plan.halted for proposal, _ in found if proposal.plan.halted]
    if arguments.json:
        document = {
            "at": to_iso(seen.now),
            "enabled": sorted(grade.value for grade in config.rules.grades),
            "problems": seen.problems,
            "halted": halted,
            "due": rows,
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(_plan_lines(rows, halted, config, to_iso(seen.now))))
    tell(seen.problems)
    return 1 if seen.failed else 0


def _proposals(seen: Seen) -> Iterator[tuple[Proposal, dict[Any, Hold]]]:
    from ...fleet.acting.sqlite import SqliteHolds
    from ...fleet.stopper import propose

    fleet = seen.fleet
    reported, problem = fleet.reported()
    if problem:
        seen.problems.append(f"{problem}; the servers' own reports are not known.")
    store = record_of(fleet.config)
    try:
        for target, observation in seen.found:
            facts, problem = fleet.facts(target, observation.sweep, reported)
            if problem:
                seen.problems.append(f"{problem}.")
            scope = observation.sweep.scope
            holds = list(SqliteHolds(store).of(scope)) if store is not None else []
            proposal = propose(
                fleet.lines(observation),
                observation.state,
                observation.sweep,
                fleet.config.rules,
                facts,
                holds,
            )
            yield proposal, {hold.run: hold for hold in holds}
    finally:
        if store is not None:
            store.close()


def _plan_rows(proposal: Proposal, holds: dict[Any, Hold]) -> Iterator[dict[str, Any]]:
    from ...fleet.document import money

    tasks = {task.run: task for task in proposal.plan.tasks}
    for verdict in proposal.due:
        hold, key = holds.get(verdict.run), verdict.run.key
        yield {
            "account_id": verdict.run.scope.account_id,
            "region": verdict.run.scope.region,
            "domain": key.domain,
            "owner": verdict.owner,
            "app_type": key.app_type,
            "app_name": key.name,
            "up_since": to_iso(verdict.run.up_since),
            "rule": verdict.rule,
            "class": verdict.grade.value,
            "why": verdict.why,
            "evidence": dict(verdict.evidence),
            "acts": verdict.acts,
            "phase": hold.phase.value if hold else None,
            "shutdown_at": to_iso(hold.due_at) if hold and hold.due_at else None,
            "kept_until": to_iso(verdict.kept_until) if verdict.kept_until else None,
            "now": _now_text(verdict, tasks.get(verdict.run)),
            "usd_per_hour": money(verdict.nano_usd_per_hour),
        }


def _now_text(verdict: Verdict, task: Task | None) -> str:
    if not verdict.acts:
        return "nothing: dry run"
    return task.kind.value if task else "wait"


def _plan_lines(
    rows: list[dict[str, Any]], halted: list[str], config: Config, now: str
) -> Iterator[str]:
    if rows:
        heads = ("USD/H", "DOMAIN", "OWNER", "TYPE", "APP", "RULE", "CLASS", "WHY", "NOW", "AT")
        yield table(
            heads,
            [
                (
                    row["usd_per_hour"],
                    row["domain"] or "-",
                    row["owner"],
                    row["app_type"],
                    row["app_name"],
                    row["rule"],
                    row["class"],
                    row["why"],
                    row["now"],
                    when(row["shutdown_at"] or row["kept_until"], now),
                )
                for row in rows
            ],
        )
        yield ""
    yield f"{len(rows)} due under the rules."
    for why in halted:
        yield f"Nothing would be marked or shut down: {why}."
    if not config.rules.grades:
        yield (
            "Dry run: no class may act. Name those that may in the configuration: "
            '[act] enabled = ["seen", "reported"].'
        )


# -- history


def show_history(arguments: argparse.Namespace) -> int:
    """Shows what was done."""
    now = utcnow()
    start = _moment(arguments.start) if arguments.start else now - _SHOWN
    rows = _events_of_stack(arguments, start) if arguments.stack else _events(arguments, start)
    if arguments.json:
        print(json.dumps({"from": to_iso(start), "events": rows}, indent=2))
        return 0
    print("\n".join(history_lines(rows, start, now)))
    return 0


def _events(arguments: argparse.Namespace, start: datetime) -> list[dict[str, Any]]:
    from ...fleet.acting.sqlite import SqliteAudit
    from ...fleet.record import StoreError
    from ...fleet.store import FILE_NAME, Store

    path = config_of(arguments).folder / FILE_NAME
    if not path.exists():
        raise Failed(
            f"There is no record at {path} yet. To make one, run: jupyter sagemaker-autoshutdown "
            "fleet run. To read the record of a fleet on AWS, give --stack."
        )
    try:
        with closing(Store(path, read_only=True)) as store:
            return list(SqliteAudit(store).since(start))
    except StoreError as error:
        raise Failed(str(error)) from None


def _events_of_stack(arguments: argparse.Namespace, start: datetime) -> list[dict[str, Any]]:
    from ...fleet.on_aws.holds import LogHistory

    aws, outputs = stack_record(arguments)
    try:
        return list(LogHistory(aws, outputs["AuditLogGroup"]).since(start))
    except AwsError as error:
        raise Failed(f"{error}. {error.remedy}") from None


def history_lines(rows: list[dict[str, Any]], start: datetime, now: datetime) -> Iterator[str]:
    """Events for people."""
    if not rows:
        yield f"Nothing was marked or shut down since {to_iso(start)}."
        return
    yield table(
        ("AT", "EVENT", "USD/H", "DOMAIN", "OWNER", "TYPE", "APP", "RULE", "CLASS", "WHY"),
        [
            (
                f"{from_iso(str(row['at'])):%Y-%m-%d %H:%M:%S}",
                str(row["event"]),
                str(row["usd_per_hour"]),
                str(row["domain"] or "-"),
                str(row["owner"] or "-"),
                str(row["app_type"] or "-"),
                str(row["app_name"] or "-"),
                str(row["rule"] or "-"),
                str(row["class"] or "-"),
                str(row["why"]),
            )
            for row in rows
        ],
    )
    yield ""
    yield f"{len(rows)} events in {span((now - start).total_seconds())}. Times are in UTC."


def _moment(text: str) -> datetime:
    try:
        return from_iso(text)
    except ValueError:
        raise Misused(
            f"{text!r} is not a time; write it as 2026-09-01 or 2026-09-01T12:00:00Z."
        ) from None


# -- policy


def show_policy(arguments: argparse.Namespace) -> int:
    """Prints the rights that a fleet needs."""
    from ...fleet.policy import act_policy, read_policy

    make = read_policy if arguments.which == "read" else act_policy
    print(json.dumps(make(config_of(arguments), arguments.partition), indent=2))
    return 0
