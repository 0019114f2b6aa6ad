"""``status``: running apps, when and why they will be shut down, and their cost."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from ..text import clean, span, table, usd, when
from ._server import add_json, add_options, connect

_HOSTS = {
    "classic": "Studio Classic",
    "space": "JupyterLab space",
    "notebook-instance": "notebook instance",
    "none": "not on SageMaker",
}


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "status", help="show what runs, why, until when, and what it costs"
    )
    add_json(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows the status."""
    status = connect(arguments).get("status")
    if arguments.json:
        print(json.dumps(status, indent=2))
    else:
        print("\n".join(lines(status)))
    return 0


def lines(status: dict[str, Any]) -> Iterator[str]:
    """The status for people."""
    yield _headline(status)
    if status["dry_run"]:
        yield "Dry run is on: nothing is shut down."
    if status["check_overdue"]:
        yield f"CHECKS HAVE STOPPED: the last good one was {_checked(status)}."
    for problem in status["problems"]:
        yield f"PROBLEM: {clean(problem['message'])} {clean(problem['remedy'])}"
    if status["recording_error"]:
        yield f"PROBLEM: {clean(status['recording_error'])}"
    if status["apps"]:
        yield ""
        yield apps_table(status)
        yield from _evidence(status)
        for app in status["apps"]:
            if app.get("mark"):  # a server that was not restarted since an upgrade has none
                yield _mark(app, status["now"])
            if app["error"]:
                error = app["error"]
                yield (
                    f"{clean(app['app_name'])}: {clean(error['code'])}: "
                    f"{clean(error['message'])} {clean(error['remedy'])} Tried "
                    f"{error['attempts']} times; next {when(error['retry_at'], status['now'])}."
                )
    elif status["host"] != "none" and status["checked_at"]:
        yield "No apps are running."
    if status["totals"]:
        yield ""
        yield _costs(status["totals"])
    for note in status["notes"]:
        yield f"Note: {clean(note)}"


def _mark(app: dict[str, Any], now: str) -> str:
    mark = app["mark"]
    return clean(
        f"{app['app_name']}: the fleet shuts it down {when(mark['shutdown_at'], now)}: "
        f"{mark['why']} (rule {mark['rule']})."
    )


def _evidence(status: dict[str, Any]) -> Iterator[str]:
    """The evidence for each app, with its times."""
    for app in status["apps"]:
        seen = [(item, each) for item in app["work"] for each in item["evidence"]]
        if seen:
            yield ""
            yield f"Evidence for {clean(app['app_name'])}:"
        for item, each in seen:
            at = f" ({when(each['at'], status['now'])})" if each["at"] else ""
            about = "" if item["label"] in each["text"] else f"{clean(item['label'])}: "
            yield f"  {about}{clean(each['text'])}{at}"


def apps_table(status: dict[str, Any]) -> str:
    """One line for each app."""
    prices = {name: instance for instance in status["instances"] for name in instance["app_names"]}
    return table(
        ("APP", "STATE", "WHY", "SHUTDOWN", "INSTANCE", "USD/H"),
        [
            (
                app["app_name"],
                app["state"].replace("_", " "),
                _why(app),
                _shutdown(app, status["now"]),
                app["instance_type"],
                _price(prices.get(app["app_name"])),
            )
            for app in status["apps"]
        ],
    )


def _headline(status: dict[str, Any]) -> str:
    host = _HOSTS.get(status["host"], status["host"])
    if status["host"] == "none":
        return clean(f"{status['message'] or host}; nothing is watched.")
    owner = f" of {status['owner']}" if status["owner"] else ""
    domain = f" in {status['domain_id']}" if status["domain_id"] else ""
    where = f" ({status['region']})" if status["region"] else ""
    return clean(f"{host}{owner}{domain}{where}, checked {_checked(status)}")


def _checked(status: dict[str, Any]) -> str:
    return when(status["checked_at"], status["now"]) if status["checked_at"] else "never yet"


def _why(app: dict[str, Any]) -> str:
    return f"{app['reason_text']} ({app['subject']})" if app["subject"] else app["reason_text"]


def _shutdown(app: dict[str, Any], now: str) -> str:
    if app["state"] == "shutting_down":
        return "under way"
    if app["error"]:
        return f"again {when(app['error']['retry_at'], now)}"
    if app["status"] != "InService":
        return "-"
    if app["kept_until"]:
        return f"kept, {when(app['kept_until'], now)}"
    closed = ", as no tab is open" if app["limit"] == "closed_idle_timeout" else ""
    if app["shutdown_at"]:
        return when(app["shutdown_at"], now) + closed
    return f"after {span(app['idle_timeout'])} idle{closed}"


def _price(instance: dict[str, Any] | None) -> str:
    if instance is None:
        return "-"
    if instance["usd_per_hour"] is None:
        return "unpriced"
    mark = "~" if instance["price_source"] == "estimate" else ""
    shared = len(instance["app_names"])
    return f"{mark}{instance['usd_per_hour']}" + (f" for {shared}" if shared > 1 else "")


def _costs(totals: dict[str, Any]) -> str:
    has_volume = any(Decimal(part["volume_usd"]) for part in totals.values())
    return table(
        ("COSTS, USD", "ALL", "IDLE", "AVOIDED (ESTIMATE)", *(["VOLUME"] if has_volume else [])),
        [
            (
                label,
                _money(totals[key]["usd"]) + (" *" if totals[key]["estimated"] else ""),
                _idle(totals[key]),
                _money(totals[key]["avoided_usd"]),
                *([_money(totals[key]["volume_usd"])] if has_volume else []),
            )
            for label, key in (
                ("today (UTC)", "today"),
                ("this month", "month"),
                ("last 30 days", "last_30_days"),
            )
        ],
    ) + ("\n* in part an estimate" if any(part["estimated"] for part in totals.values()) else "")


def _money(text: str) -> str:
    return usd(Decimal(text))


def _idle(money: dict[str, Any]) -> str:
    share = money["idle_share"]
    return _money(money["idle_usd"]) + ("" if share is None else f" ({share:.0%})")
