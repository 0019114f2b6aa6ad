"""``settings``: shows the settings in force, and changes the user's."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..text import clean, span, table
from ._arguments import duration
from ._server import add_json, add_options, connect

DEFAULT = "default"


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "settings",
        help="show or change your settings",
        description="Shows the settings, or changes those that you name. Write durations as 90s, "
        "30m, 2h or 1h30m. 'default' restores the administrator's value.",
    )
    for option, what in (
        ("--idle-timeout", "how long an app may be idle before it is shut down"),
        (
            "--closed-idle-timeout",
            "how long an app may be idle once your last browser tab is closed",
        ),
        ("--warning-time", "how long before a shutdown you get a warning"),
    ):
        parser.add_argument(option, type=_duration, metavar="DURATION", help=what)
    for option, what in (
        ("--keep-terminals", "whether an open terminal keeps its app up"),
        ("--ignore-connections", "whether an open browser tab does not count as activity"),
    ):
        parser.add_argument(option, type=_switch, metavar="on|off", help=what)
    add_json(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show or change."""
    names = (
        "idle_timeout",
        "closed_idle_timeout",
        "warning_time",
        "keep_terminals",
        "ignore_connections",
    )
    given = {name: getattr(arguments, name) for name in names}
    changes = {
        name: None if value == DEFAULT else value
        for name, value in given.items()
        if value is not None
    }
    client = connect(arguments)
    settings = client.call("PUT", "settings", changes) if changes else client.get("settings")
    if arguments.json:
        print(json.dumps(settings, indent=2))
    else:
        print(_table(settings))
        for rule in settings["rules"]:
            print(_rule(rule))
        for note in settings["notes"]:
            print(f"Note: {clean(note)}")
    return 0


def _table(settings: dict[str, Any]) -> str:
    rows = []
    for name, setting in settings.items():
        if isinstance(setting, dict):
            rows.append(
                (
                    name.replace("_", "-"),
                    _value(setting["value"]),
                    "you" if setting["source"] == "user" else "administrator",
                    _value(setting["admin"]),
                    _allowed(setting),
                )
            )
    return table(("SETTING", "IN FORCE", "SET BY", "ADMINISTRATOR'S", "YOU MAY SET"), rows)


def _value(value: float | bool | None) -> str:
    if value is None:
        return "as idle-timeout"
    if isinstance(value, bool):
        return "on" if value else "off"
    return span(value)


def _allowed(setting: dict[str, Any]) -> str:
    if not setting["editable"]:
        return "nothing (fixed)"
    if setting["min"] is None:
        return "on, off"
    return f"{span(setting['min'])} to {span(setting['max'])}"


def _rule(rule: dict[str, Any]) -> str:
    which = ", ".join(
        f"{key.replace('_', ' ')} {clean(rule[key])}"
        for key in ("instance_type", "owner", "app_type")
        if rule[key] != "*"
    )
    limit = span(rule["idle_timeout"])
    if rule["closed_idle_timeout"] is not None:
        limit += f" ({span(rule['closed_idle_timeout'])} with no tab open)"
    return f"Rule: at most {limit} idle for {which or 'all apps'}."


def _duration(text: str) -> float | str:
    return DEFAULT if text == DEFAULT else duration(text)


def _switch(text: str) -> bool | str:
    switches: dict[str, bool | str] = {"on": True, "off": False, DEFAULT: DEFAULT}
    try:
        return switches[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not on, off or default") from None
