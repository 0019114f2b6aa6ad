"""``doctor``: finds what keeps the extension from working here, and says what to do about it.

The checks are in modules by subject; each yields ``Finding``s and raises no expected error. This
module puts them in order and shows them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from ..api.client import Client
from ..diagnostics import aws, machine, other_shutdowns, server
from ..diagnostics.findings import Finding, Level
from ..diagnostics.settings import admin_settings
from ..hosts import detect
from ..text import clean
from ._server import add_json, add_options

_MARKS = {Level.OK: "ok", Level.NOTE: "note", Level.WARNING: "WARNING", Level.PROBLEM: "PROBLEM"}


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor",
        help="check the installation and say what to fix",
        description="Checks the machine, the server and AWS. It changes nothing and shuts nothing "
        "down: it tries each permission on a name that does not exist. Exits with 1 if there is a "
        "problem.",
    )
    add_json(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs all checks and prints the findings."""
    found = []
    for finding in findings(arguments.url, arguments.token):
        found.append(finding)
        if not arguments.json:
            print(show(finding), flush=True)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    problems = sum(finding.level is Level.PROBLEM for finding in found)
    if not arguments.json:
        print()
        print(f"{problems} problem(s) found." if problems else "No problems found.")
    return 1 if problems else 0


def findings(url: str | None, token: str | None) -> Iterator[Finding]:
    """All checks, one after the other."""
    config, faults = admin_settings()
    host = detect(config.resource_metadata_file)
    yield from machine.host(host, config.resource_metadata_file)
    yield from machine.configuration(faults)
    yield from machine.data_dir(config.data_dir)
    yield from machine.psutil_there()
    client: list[Client] = []
    yield from server.found(url, token, client.append)
    for there in client:
        yield from server.state(there)
    yield from _safely("aws", lambda: aws.access(host))
    yield from _safely(
        "other idle shutdowns",
        lambda: other_shutdowns.all_of(host, native_is_held_off=config.hold_off_native_idle),
    )


def _safely(title: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turns a check that breaks into a finding, so that the others go on."""
    try:
        yield from check()
    except Exception as error:
        yield Finding(
            Level.WARNING,
            title,
            f"the check failed: {type(error).__name__}: {error}",
            "Please report it.",
        )


def show(finding: Finding) -> str:
    """A finding in one or two lines."""
    line = f"{_MARKS[finding.level]:<8} {finding.title}: {clean(finding.detail)}"
    return f"{line}\n{'':<9}-> {clean(finding.remedy)}" if finding.remedy else line
