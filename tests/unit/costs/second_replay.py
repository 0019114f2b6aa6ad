"""The effect of other limits, computed a second time: plainly, from the tables, without
``decide`` or any other part of the product. For ``test_replay_agrees``.

The rules, as users are told:

- An app is idle since it was last used or started. It is shut down once it has been idle for
  the limit. If the last browser was closed, the shorter limit applies since it was closed or the
  app was last used, whichever is later, if that is sooner.
- A deadline is announced for a whole warning (at most the limit) before it. It stands as long as
  its terms do: the use, the limit, the keep-alive. No keep-alive is cut short; one that runs out
  changes nothing.
- A keep-alive ends with the run that it was given to, recorded or not.
- An app that this product shut down for being idle would have stayed idle until its next start.
- A shutdown takes as long as that of the same run took; else the median; else nothing.
- Whoever uses or starts an app that would have been gone was interrupted. If the app was gone
  anyway in between, nobody was.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import Any

HOUR = 3600 * 1_000_000


@dataclass
class Part:
    """A time in an app's history."""

    start: int
    end: int
    is_used: bool
    closed_since: int | None
    run: dict[str, Any]
    piece: dict[str, Any]
    is_first: bool = False
    is_going: bool = False


@dataclass
class Second:
    """The result."""

    in_use_usd: Fraction
    idle_usd: Fraction
    shutdowns: int
    interrupted: int


def rows(db: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    cursor = db.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]


class Ledger:
    """Its whole content, as lists."""

    def __init__(self, db: sqlite3.Connection, median_since: int) -> None:
        self.runs = rows(db, "SELECT * FROM runs ORDER BY started_at, id")
        pieces = rows(
            db,
            "SELECT stretches.*, prices.usd_per_hour FROM stretches, prices "
            "WHERE prices.id = stretches.price_id ORDER BY stretches.started_at",
        )
        for run in self.runs:
            run["pieces"] = [piece for piece in pieces if piece["run_id"] == run["id"]]
            run["key"] = (run["domain_id"], run["owner"], run["app_type"], run["app_name"])
            run["is_ours"] = run["shutdown_reason"] in ("idle_timeout", "busy_too_long")
        self.begun = self.runs  # those that have only just begun, too
        self.runs = [run for run in self.runs if run["pieces"]]
        took = [
            self.deletion(run)
            for run in self.runs
            if run["ended_at"] is None or run["ended_at"] > median_since
        ]
        known = [time for time in took if time is not None]
        self.usual = int(median(known)) if known else 0
        self.events = rows(db, "SELECT * FROM events ORDER BY at")

    def going_since(self, run: dict[str, Any]) -> int | None:
        at = run["shutdown_at"]
        if at is None or at > run["pieces"][-1]["ended_at"]:
            return None
        after = [piece for piece in run["pieces"] if piece["ended_at"] > at]
        changed = any(piece["idle"] != after[0]["idle"] for piece in after)
        return None if changed or any(piece["estimated"] for piece in after) else int(at)

    def deletion(self, run: dict[str, Any]) -> int | None:
        since = self.going_since(run)
        if since is None or run["ended_at"] is None:
            return None
        return int(run["pieces"][-1]["ended_at"]) - since

    def holds(self, key: tuple[str, ...]) -> list[tuple[int, int]]:
        words = []
        for event in self.events:
            whose = tuple(event[name] for name in ("domain_id", "owner", "app_type", "app_name"))
            if event["kind"] in ("keep_alive", "keep_alive_ended") and whose == key:
                run = self.run_of(event, key)
                words += [(event, run)] if run is not None else []
        found = []
        for number, (event, run) in enumerate(words):
            if event["kind"] == "keep_alive":
                ends = [event["shutdown_at"]]
                ends += [run["ended_at"]] if run["ended_at"] is not None else []
                ends += [words[number + 1][0]["at"]] if number + 1 < len(words) else []
                if min(ends) > event["at"]:
                    found.append((event["at"], min(ends)))
        return found

    def run_of(self, event: dict[str, Any], key: tuple[str, ...]) -> dict[str, Any] | None:
        """The run that was up at the time of the request; as recorded then, if it was."""
        runs = [run for run in self.begun if run["key"] == key]
        for run in runs:
            if run["started_at"] == event["run_started_at"]:
                return run
        for run in reversed(runs):
            if run["started_at"] <= event["at"] and event["run_started_at"] is None:
                is_over = run["ended_at"] is not None and run["ended_at"] < event["at"]
                return None if is_over else run
        return None

    def history(self, key: tuple[str, ...], end: int) -> list[Part]:
        runs = [run for run in self.runs if run["key"] == key and run["started_at"] < end]
        parts = []
        for number, run in enumerate(runs):
            going = None if run["is_ours"] else self.going_since(run)
            for piece in run["pieces"]:
                edges = [piece["started_at"], piece["ended_at"]]
                if going is not None and edges[0] < going < edges[1]:
                    edges.insert(1, going)
                for first, last in zip(edges, edges[1:]):
                    part = Part(first, last, not piece["idle"], piece["closed_since"], run, piece)
                    part.is_first = first == run["pieces"][0]["started_at"]
                    part.is_going = going is not None and first >= going
                    parts.append(part)
            last_piece = run["pieces"][-1]
            gone = last_piece["ended_at"]
            until = runs[number + 1]["pieces"][0]["started_at"] if number + 1 < len(runs) else end
            if run["is_ours"] and run["ended_at"] is not None and until > gone:
                parts.append(Part(gone, until, False, last_piece["closed_since"], run, last_piece))
        return parts


def second_replay(
    ledger: Ledger, limit: int, closed_limit: int | None, warning: int, start: int, end: int
) -> Second:
    """Times are microseconds."""
    billed: list[tuple[int, int, bool, dict[str, Any], dict[str, Any]]] = []
    shutdowns = interrupted = 0
    for key in {run["key"] for run in ledger.runs}:
        mine: list[list[Any]] = []
        is_up, was_sent_away = False, False
        idle_since = began = gone_at = 0
        told: tuple[Any, ...] | None = None
        deadline = 0
        holds = ledger.holds(key)
        for part in ledger.history(key, end):
            if part.start > gone_at:
                is_up, was_sent_away, told = False, False, None
                is_new = True
            else:
                is_new = part.is_first or (part.is_used and not part.is_going)
            gone_at = part.end
            if not is_up:
                if not is_new:
                    continue
                interrupted += was_sent_away
                is_up, was_sent_away, told, began = True, False, None, part.start
                if mine:
                    mine[-1][1] = min(mine[-1][1], part.start)
                idle_since = part.start
            if part.is_first:
                idle_since = part.start
            mine.append([part.start, part.end, not part.is_used, part.run, part.piece])
            if part.is_going:
                continue
            if part.is_used:
                idle_since, told = part.end, None
                continue
            given = [hold for hold in holds if hold[0] >= began]
            turns = {part.start} | {
                moment for hold in given for moment in hold if part.start < moment < part.end
            }
            points = [*sorted(turns), part.end]
            for at, following in zip(points, points[1:]):
                kept = max((last for first, last in given if first <= at < last), default=None)
                counts_from, applies = idle_since, limit
                if part.closed_since is not None and closed_limit is not None:
                    left = max(idle_since, part.closed_since)
                    if left + closed_limit < idle_since + limit:
                        counts_from, applies = left, closed_limit
                facts = (counts_from, applies, kept)
                ran_out = (
                    told is not None
                    and kept is None
                    and told[2] is not None
                    and told[2] <= at
                    and told[:2] == facts[:2]
                )
                if told != facts and not ran_out:
                    deadline = max(counts_from + applies, at + min(warning, applies), kept or 0)
                told = facts
                shut_at = max(at, deadline)
                if shut_at < following:
                    own = ledger.deletion(part.run)
                    mine[-1][1] = shut_at + (ledger.usual if own is None else own)
                    is_up, was_sent_away = False, start <= shut_at < end
                    shutdowns += was_sent_away
                    break
        billed += [(first, last, idle, run, piece) for first, last, idle, run, piece in mine]
    in_use, idle = bill(billed, start, end)
    return Second(in_use, idle, shutdowns, interrupted)


def spent(ledger: Ledger, start: int, end: int) -> tuple[Fraction, Fraction]:
    """The actual cost, in use and idle."""
    pieces = [
        (piece["started_at"], piece["ended_at"], bool(piece["idle"]), run, piece)
        for run in ledger.runs
        for piece in run["pieces"]
    ]
    return bill(pieces, start, end)


def bill(
    billed: list[tuple[int, int, bool, dict[str, Any], dict[str, Any]]], start: int, end: int
) -> tuple[Fraction, Fraction]:
    """From one change to the next: each instance that is up, once."""
    sums = {False: Fraction(0), True: Fraction(0)}
    for instance in {run["instance"] for _, _, _, run, _ in billed}:
        here = [one for one in billed if one[3]["instance"] == instance]
        moments = {moment for one in here for moment in one[:2]} | {start, end}
        within = sorted(moment for moment in moments if start <= moment <= end)
        for first, last in zip(within, within[1:]):
            up = [one for one in here if one[0] <= first and one[1] >= last]
            if up:
                usd = max(Fraction(piece["usd_per_hour"]) for *_, piece in up)
                sums[all(one[2] for one in up)] += usd * (last - first) / HOUR
    return sums[False], sums[True]
