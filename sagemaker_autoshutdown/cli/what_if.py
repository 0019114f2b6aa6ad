"""``what-if``: what other limits would have saved, and whom they would have interrupted.

It reads the ledger itself, because that needs no running server, and replays it with the live
loop's own decision.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Failed, Unavailable
from ..text import span, table, usd
from ._arguments import duration

if TYPE_CHECKING:
    import sqlite3

    from ..costs.what_if import Outcome, Replay

DEFAULT_LIMITS = ("30m", "1h", "2h", "4h")
DEFAULT_DAYS = 30


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "what-if",
        help="show what other idle limits would have saved",
        description="Replays the record with other idle limits. Shows what each limit would have "
        "saved and how often it would have interrupted somebody. Each limit replaces all limits, "
        "also those of rules, and dry run counts as off. The replay assumes that an idle app that "
        "was shut down would have stayed idle, and that shutdowns take as long as they did.",
    )
    parser.add_argument(
        "--idle-timeout",
        nargs="+",
        type=_limit,
        default=[_limit(text) for text in DEFAULT_LIMITS],
        metavar="DURATION",
        help=f"limits to try, such as 30m 1h 2h (default: {' '.join(DEFAULT_LIMITS)})",
    )
    parser.add_argument(
        "--closed-idle-timeout",
        nargs="+",
        type=_limit,
        metavar="DURATION",
        help="limits to try for the time after the last browser tab is closed, each together with "
        "every longer idle timeout (default: the administrator's, if there is one)",
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=DEFAULT_DAYS,
        help=f"the number of days to replay (default: {DEFAULT_DAYS})",
    )
    parser.add_argument(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="the record (default: ledger.sqlite3 in data_dir)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Replays, and shows the outcome."""
    # Imported here, so that the other commands need not wait for it.

    from ..clock import utcnow
    from ..costs.microseconds import span_us, to_us
    from ..costs.store import reads
    from ..costs.store.ledger import FILE_NAME, read_ledger
    from ..costs.what_if import combinations, lookback, replay
    from ..diagnostics.settings import admin_settings
    from ..status import to_json

    # The server's warning time and active time.
    config, _ = admin_settings()
    path = arguments.ledger or Path(config.data_dir).expanduser() / FILE_NAME
    end = to_us(utcnow())
    start = end - span_us(timedelta(days=arguments.days))

    policy = config.policy()
    closed = [timedelta(seconds=limit) for limit in arguments.closed_idle_timeout or ()]
    if not closed and policy.closed_idle_timeout is not None:
        closed = [policy.closed_idle_timeout]
    limits = combinations([timedelta(seconds=limit) for limit in arguments.idle_timeout], closed)
    earlier = start - span_us(lookback(limits))

    def query(db: sqlite3.Connection) -> Replay:
        return replay(
            reads.timelines(db, earlier, end),
            reads.keep_alives(db, earlier, end),
            policy,
            limits,
            start,
            end,
        )

    try:
        replayed = read_ledger(path, query)
    except Unavailable as error:
        raise Failed(f"{error} ({path}).") from None
    if replayed is None:
        raise Failed(
            f"There is no record at {path} yet. A Jupyter server with this extension writes it. "
            "Run this command in the app, or name another record with --ledger."
        )
    if arguments.json:
        print(json.dumps(to_json(replayed), indent=2))
    else:
        print("\n".join(lines(replayed, arguments.days)))
    return 0


def lines(replayed: Replay, days: float) -> Iterator[str]:
    """The outcome for people."""
    actual = replayed.actual
    tries_closed = any(one.closed_idle_timeout is not None for one in replayed.outcomes)
    yield (
        f"In the last {days:g} days, {usd(actual.usd)} USD were spent, {usd(actual.idle_usd)} "
        "of it while idle. With other limits it would have been:"
    )
    yield ""
    yield table(
        [
            "idle timeout",
            *(["tabs closed"] if tries_closed else []),
            "USD",
            "saved",
            "saved %",
            "shutdowns",
            "interrupted",
        ],
        [_row(outcome, actual.usd, tries_closed) for outcome in replayed.outcomes],
    )
    yield ""
    yield "Interrupted: shutdowns after which the app was used again."
    if tries_closed:
        yield "Tabs closed: closed_idle_timeout, the limit once the last browser tab is closed."
    if tries_closed and not replayed.saw_closed:
        yield (
            "In this time the record never says that all tabs were closed, so this limit changes "
            "nothing. Older versions did not record it."
        )
    if actual.estimated:
        yield "Part of the record is estimated because the server was down for a while."


def _row(outcome: Outcome, spent: Decimal, tries_closed: bool) -> list[str]:
    closed = outcome.closed_idle_timeout
    shown = "same" if closed is None else span(closed.total_seconds())
    share = f"{outcome.saved_usd / spent:.0%}" if spent else "-"
    return [
        span(outcome.idle_timeout.total_seconds()),
        *([shown] if tries_closed else []),
        usd(outcome.money.usd),
        usd(outcome.saved_usd),
        share,
        str(outcome.shutdowns),
        str(outcome.interrupted),
    ]


def _limit(text: str) -> float:
    seconds = duration(text)
    if not 1 <= seconds <= 366 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1s and 366d")
    return seconds


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0
    if not 0 < days <= 36600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days above 0")
    return days
