"""A scope's record as bytes, and back. Pure.

All numbers of one kind are stored together and sorted by key, so that they compress: a run of an
app takes about 20 bytes, and would take 150 as an item of its own in a table. Money and times are
whole numbers, as everywhere in the record.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ...costs.microseconds import from_us, to_us
from ..advance import Charge, ChargeKey, Step
from ..model import Key, ReportKey, Run, Scope, State
from ..record import StoreError

VERSION = 1


class Payer(NamedTuple):
    """The keys by which costs are added up within a day, or since records began."""

    domain: str
    owner: str
    app_type: str
    instance_type: str


Charges = Mapping[Payer, Charge]


@dataclass(frozen=True)
class Book:
    """The whole record of a scope, except for days that are over.

    ``day`` is the newest day with costs and ``charges`` are its costs. ``totals`` are the costs
    since records began, in billionths of a dollar. ``sweeps`` counts the steps.
    """

    state: State
    totals: Mapping[Payer, int] = field(default_factory=dict)
    day: str = ""
    charges: Charges = field(default_factory=dict)
    sweeps: int = 0

    def turn(self, step: Step) -> tuple[Book, dict[str, Charges]]:
        """The next book, and the costs for days that are over by then: a day that has just
        ended, and earlier days if sweeps were far apart."""
        by_day: dict[str, dict[Payer, Charge]] = {}
        totals = dict(self.totals)
        for key, charge in step.charges.items():
            payer = Payer(*key[1:])
            by_day.setdefault(key.day, {})[payer] = charge
            totals[payer] = totals.get(payer, 0) + charge.nano
        newest = max([self.day, *by_day])
        over: dict[str, Charges] = {}
        charges = self.charges
        if self.day and self.day != newest:
            over[self.day] = add(charges, by_day.pop(self.day, {}))
            charges = {}
        charges = add(charges, by_day.pop(newest, {}))
        over.update(by_day)
        return replace(
            self,
            state=step.state,
            totals=totals,
            day=newest,
            charges=charges,
            sweeps=self.sweeps + 1,
        ), over


def add(mine: Charges, others: Charges) -> dict[Payer, Charge]:
    """Both together."""
    found = dict(mine)
    for payer, charge in others.items():
        earlier = found.get(payer)
        found[payer] = charge if earlier is None else earlier.plus(charge)
    return found


def day_keys(day: str, charges: Charges) -> Iterable[tuple[ChargeKey, Charge]]:
    """The costs of a day under the names that the rest of the package uses."""
    for payer, charge in charges.items():
        yield ChargeKey(day, *payer), charge


def pack_book(book: Book) -> bytes:
    """A book as bytes."""
    state = book.state
    runs = sorted(state.runs.items())
    return _deflate(
        {
            "sweep": state.sweep_id,
            "seen": {part: to_us(at) for part, at in state.seen.items()},
            "runs": _columns(
                (*key, to_us(run.up_since), to_us(run.changed_at), *run[2:]) for key, run in runs
            ),
            "heard": _columns((*name, to_us(at)) for name, at in sorted(state.heard.items())),
            "totals": _columns((*payer, nano) for payer, nano in sorted(book.totals.items())),
            "day": book.day,
            "charges": _charges(book.charges),
            "sweeps": book.sweeps,
        }
    )


def unpack_book(scope: Scope, body: bytes) -> Book:
    """The book that was packed. Raises :class:`StoreError`."""
    found = _inflate(body)
    state = State(
        scope,
        found["sweep"],
        {part: from_us(at) for part, at in found["seen"].items()},
        {
            Key(*row[:5]): Run(from_us(row[5]), from_us(row[6]), row[7], row[8])
            for row in _rows(found["runs"])
        },
        {ReportKey(*row[:4]): from_us(row[4]) for row in _rows(found["heard"])},
    )
    totals = {Payer(*row[:4]): row[4] for row in _rows(found["totals"])}
    return Book(state, totals, found["day"], _uncharge(found["charges"]), found["sweeps"])


def pack_charges(charges: Charges) -> bytes:
    """The costs of a day as bytes."""
    return _deflate({"charges": _charges(charges)})


def unpack_charges(body: bytes) -> dict[Payer, Charge]:
    """The costs that were packed. Raises :class:`StoreError`."""
    return _uncharge(_inflate(body)["charges"])


def _charges(charges: Charges) -> list[list[Any]]:
    return _columns((*payer, *charge) for payer, charge in sorted(charges.items()))


def _uncharge(columns: Sequence[Sequence[Any]]) -> dict[Payer, Charge]:
    return {Payer(*row[:4]): Charge(*row[4:]) for row in _rows(columns)}


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows)]


def _rows(columns: Sequence[Sequence[Any]]) -> Iterable[tuple[Any, ...]]:
    return zip(*columns)


def _deflate(document: dict[str, Any]) -> bytes:
    text = json.dumps({"version": VERSION, **document}, separators=(",", ":"))
    return zlib.compress(text.encode(), 6)


def _inflate(body: bytes) -> Any:
    document = json.loads(zlib.decompress(body))
    if document["version"] > VERSION:
        raise StoreError(
            "The record was made by a newer version of sagemaker-autoshutdown: deploy that one."
        )
    return document
