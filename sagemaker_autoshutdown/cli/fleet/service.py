"""``fleet run``: sweeps every few minutes until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import logging
from contextlib import closing
from typing import Any

from ...errors import Failed
from ...text import span
from .._admin import say_aside
from ._observation import add_config, config_of


def add_parsers(commands: Any) -> None:
    """Adds the command to those of ``fleet``."""
    run_parser = commands.add_parser(
        "run",
        help="list everything every few minutes, record costs, serve /metrics",
        description="Lists everything every few minutes (interval), records what was spent, and "
        "serves /metrics. If the configuration has rules that may act, it shuts down what they "
        "call for.",
    )
    add_config(run_parser)
    run_parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Sweeps until it is stopped."""
    from ...fleet.record import StoreError
    from ...fleet.server import CanNotListen, Server
    from ...fleet.service import Fleet
    from ...fleet.store import FILE_NAME, Store

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    config = config_of(arguments)
    fleet = Fleet(config, ask_price_list=True)
    try:
        store = Store(config.folder / FILE_NAME)
    except StoreError as error:
        raise Failed(str(error)) from None
    if store.put_aside is not None:
        say_aside(
            f"The record {store.path} was damaged. It is kept as {store.put_aside.name}, and a new "
            "one was begun: costs count from now on."
        )
    with closing(store):

        def ready(url: str) -> None:
            print(f"Metrics: {url}. A sweep every {span(config.interval.total_seconds())}.")
            print(f"Record: {store.path}", flush=True)

        async def serve() -> None:
            await Server(fleet, store).run(ready)

        try:
            asyncio.run(serve())
        except CanNotListen as error:
            raise Failed(f"{error}. Set listen in the configuration.") from None
    return 0
