"""``history``: past events, newest first."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..clock import from_iso
from ..text import clean, span
from ._server import add_json, add_options, connect


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "history", help="list past shutdowns, warnings and changes, newest first"
    )
    parser.add_argument("--limit", type=int, default=20, help="the number of events (default: 20)")
    parser.add_argument("--app", help="only events of this app")
    add_json(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows past events."""
    history = connect(arguments).get("history", limit=arguments.limit, app_name=arguments.app)
    if arguments.json:
        print(json.dumps(history, indent=2))
        return 0
    for event in history["events"]:
        # In UTC, as the times in messages are.
        at = from_iso(event["at"])
        idle = event.get("idle_seconds")
        print(
            f"{at:%Y-%m-%d %H:%M:%S}Z  {event['kind'].replace('_', ' '):<16}  "
            f"{clean(event['message'])}" + (f" (idle for {span(idle)})" if idle else "")
        )
    if not history["events"]:
        print("There are no events yet.")
    return 0
