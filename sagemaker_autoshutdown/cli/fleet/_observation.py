"""Shared by the commands of ``fleet``: their arguments, and one observation of whole accounts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...clock import to_iso, utcnow
from ...errors import Misused
from ...text import clean
from .._admin import say_aside

if TYPE_CHECKING:
    from ...fleet.config import Config
    from ...fleet.service import Fleet, Observation, Target
    from ...fleet.store import Store
    from ...fleet.view import Line


# -- arguments


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML: accounts, regions, Prometheus, prices"
    )


def add_region(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--region",
        action="append",
        help="a region in place of the configured ones; can be repeated",
    )


def add_form(parser: argparse.ArgumentParser, *, csv_too: bool = True) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    if csv_too:
        form.add_argument("--csv", action="store_true", help="print CSV")


def config_of(arguments: argparse.Namespace) -> Config:
    from dataclasses import replace

    from ...fleet.config import Config, InvalidConfig, read

    try:
        config = read(arguments.config) if arguments.config else Config()
    except InvalidConfig as error:
        raise Misused(str(error)) from None
    regions = tuple(dict.fromkeys(getattr(arguments, "region", None) or ()))
    if regions:
        accounts = tuple(replace(account, regions=regions) for account in config.accounts)
        config = replace(config, accounts=accounts)
    return config


# -- an observation


class Seen:
    """One observation of everything that the arguments name."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from ...fleet.service import Failure, Fleet, problems_of

        self.now = utcnow()
        self.fleet: Fleet = Fleet(config_of(arguments), progress=_progress, say=say_aside)
        heard, problem = self.fleet.heard()
        self.problems = [f"{problem}; coverage is not known."] if problem else []
        self.found: list[tuple[Target, Observation]] = []
        self.failed = False
        store = record_of(self.fleet.config)
        try:
            for target, found, seconds in self.fleet.sweep_all(to_iso(self.now), utcnow, heard):
                if isinstance(found, Failure):
                    self.failed = True
                    self.problems.append(f"{found.name}: {found.message}. {found.remedy}")
                else:
                    observation = self.fleet.observation(target, found, seconds, store)
                    self.found.append((target, observation))
        finally:
            _end_progress()
            if store is not None:
                store.close()
        self.problems += problems_of(self.observations)

    @property
    def observations(self) -> list[Observation]:
        """The results of each account and region."""
        return [observation for _, observation in self.found]

    def lines(self) -> Iterator[tuple[Observation, Line]]:
        """Everything that was seen."""
        for observation in self.observations:
            for line in self.fleet.lines(observation):
                yield observation, line

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """One of the lists of the JSON document."""
        from ...fleet.document import row

        for observation, line in self.lines():
            kind, fields = row(observation.sweep, line)
            if kind == name:
                yield fields


def record_of(config: Config) -> Store | None:
    """The record of ``fleet run``, if there is one: it knows since when an app has been up."""
    from ...fleet.record import StoreError
    from ...fleet.store import FILE_NAME, Store

    path = config.folder / FILE_NAME
    if not path.exists():
        return None
    try:
        return Store(path, read_only=True)
    except StoreError as error:
        say_aside(str(error))
        return None


def tell(problems: Iterable[str]) -> None:
    for problem in problems:
        say_aside(clean(problem))


def _progress(name: str, what: str, count: int) -> None:
    if sys.stderr.isatty():
        where = f"{clean(name)}: " if name else ""
        sys.stderr.write(f"\r\x1b[K{where}{count} {what}")
        sys.stderr.flush()


def _end_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
