"""Shared by the commands that call the running server."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from ..api.client import Client, find
from ..errors import Failed
from ..text import clean


def add_options(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that calls the server."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--url",
        help="the address of the Jupyter server, with its base URL (default: "
        "$JUPYTER_SERVER_URL, else the server of this app)",
    )
    group.add_argument("--token", help="the server's token (default: $JUPYTER_TOKEN, else found)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``: the server's answer, for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def connect(arguments: argparse.Namespace) -> Client:
    """The client for a command's arguments."""
    return Client(find(arguments.url, arguments.token))


def app_path(app_name: str, more: str = "") -> str:
    """The path of an app."""
    return f"apps/{quote(app_name, safe='')}{more}"


def choose_app(apps: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """The app with this name, else the only one whose name begins with it, else the only app."""
    names = sorted(str(app["app_name"]) for app in apps)
    there = f"The apps are: {', '.join(map(clean, names))}." if names else "No apps are running."
    if name is None:
        if len(apps) == 1:
            return apps[0]
        raise Failed(f"Name the app. {there}")
    exact = [app for app in apps if app["app_name"] == name]
    matches = exact or [app for app in apps if str(app["app_name"]).startswith(name)]
    if len(matches) == 1:
        return matches[0]
    problem = "is ambiguous" if matches else "is not an app"
    raise Failed(f"{clean(name)!r} {problem}. {there}")
