"""``fleet``: whole accounts, seen from outside: running apps, their cost, and their idle shutdown.

It needs the rights to list, and no running server. Each module holds the subcommands that its
docstring names.
"""

from __future__ import annotations

import argparse
from typing import Any

from . import acting, costs, service, stack, status


def add_parser(subparsers: Any) -> None:
    """Adds the command and its own subcommands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "fleet",
        help="whole accounts: what is up, what it costs, who shuts it down when idle",
        description="Shows what is up in whole accounts, what it costs, and who shuts it down when "
        "it is idle. Without --config, it reads the account and region of your AWS configuration.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (service, status, acting, stack, costs):
        module.add_parsers(commands)
