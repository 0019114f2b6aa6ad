"""``shut-down``: shuts an app down now."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ..errors import Misused
from ..text import clean
from ._server import add_json, add_options, app_path, choose_app, connect


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "shut-down",
        help="shut an app down now",
        description="Shuts an app down, whatever runs in it. Files stay; unsaved changes are lost. "
        "In a space or on a notebook instance, the Jupyter server ends with the app.",
    )
    parser.add_argument("app", help="the app's name, or its beginning")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_json(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Asks, and shuts down."""
    client = connect(arguments)
    app = choose_app(client.get("status")["apps"], arguments.app)
    name = app["app_name"]
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise Misused(
                "There is no terminal to ask for confirmation. Give --yes to shut the app down."
            )
        question = f"Shut down {clean(name)} on {clean(app['instance_type'])} ({app['state']})?"
        if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was done.")
            return 1
    app = client.call("DELETE", app_path(name))
    if arguments.json:
        print(json.dumps(app, indent=2))
    else:
        print(f"{clean(name)} is being shut down.")
    return 0
