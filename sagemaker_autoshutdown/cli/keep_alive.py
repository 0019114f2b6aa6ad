"""``keep-alive``: keeps an app up until a time, or ends the keep-alive."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..clock import to_iso, utcnow
from ..text import clean, when
from ._arguments import duration, until
from ._server import add_json, add_options, app_path, choose_app, connect

DEFAULT = "1h"


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "keep-alive",
        help="keep an app up until a given time",
        description="Keeps an idle app up until a given time.",
    )
    parser.add_argument(
        "app",
        nargs="?",
        help="the app's name, or its beginning; not needed if there is only one app",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--for",
        dest="seconds",
        type=duration,
        default=DEFAULT,
        metavar="DURATION",
        help=f"how long from now, such as 30m or 4h (default: {DEFAULT})",
    )
    how.add_argument(
        "--until", metavar="TIME", help="the end, such as 18:00 or 2026-09-01T18:00 (local time)"
    )
    how.add_argument("--end", action="store_true", help="end the keep-alive now")
    add_json(parser)
    add_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Gives a keep-alive, or ends it."""
    body: dict[str, Any] = {"seconds": arguments.seconds}
    if arguments.until is not None:
        try:
            body = {"until": to_iso(until(arguments.until, utcnow()))}
        except argparse.ArgumentTypeError as error:
            arguments.parser.error(f"argument --until: {error}")
    client = connect(arguments)
    status = client.get("status")
    name = choose_app(status["apps"], arguments.app)["app_name"]
    path = app_path(name, "/keep-alive")
    app = client.call("DELETE", path) if arguments.end else client.call("PUT", path, body)
    if arguments.json:
        print(json.dumps(app, indent=2))
    elif app["kept_until"]:
        print(f"{clean(name)} is kept alive; that ends {when(app['kept_until'], status['now'])}.")
    else:
        print(f"{clean(name)} is not kept alive.")
    return 0
