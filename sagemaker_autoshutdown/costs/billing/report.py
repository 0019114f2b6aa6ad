"""What ``GET costs`` answers: amounts by group, as values, JSON and CSV; and what ``GET history``
answers of money. ``query`` and ``outcomes`` find them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from ...clock import to_iso
from ...model import Money


class GroupBy(str, Enum):
    """By what costs are added up."""

    DAY = "day"
    INSTANCE_TYPE = "instance_type"
    INSTANCE = "instance"
    APP = "app"
    STATE = "state"


class Outcome(NamedTuple):
    """Of one shutdown. Idle time: None where the app was not idle. What it avoided so far, an
    estimate: None where nothing is counted, as after a shutdown that the user asked for."""

    idle: timedelta | None
    avoided_usd: Decimal | None


@dataclass(frozen=True)
class Report:
    """What was spent from ``start`` to ``end``. The rows' amounts add up to ``total`` exactly."""

    start: datetime
    end: datetime
    group_by: GroupBy
    rows: tuple[tuple[str, Money], ...]
    total: Money

    @classmethod
    def empty(cls, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """That of a time of which nothing is recorded."""
        return cls(start, end, group_by, (), Money())

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's fields."""
        return ("key", *MONEY_FIELDS)

    def to_csv(self) -> str:
        """The rows as CSV with a heading; without the total, which is their sum."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(self.columns)
        for key, money in self.rows:
            writer.writerow([safe_cell(key), *(_cell(getattr(money, f)) for f in MONEY_FIELDS)])
        return text.getvalue()

    def to_json(self, money_to_json: Callable[[Money], Any]) -> dict[str, Any]:
        """The report as the REST API answers it; ``money_to_json`` writes the amounts."""
        return {
            "from": to_iso(self.start),
            "to": to_iso(self.end),
            "group_by": self.group_by.value,
            "rows": [{"key": key, **money_to_json(money)} for key, money in self.rows],
            "total": money_to_json(self.total),
        }


MONEY_FIELDS = (
    "usd",
    "in_use_usd",
    "idle_usd",
    "avoided_usd",
    "volume_usd",
    "estimated",
    "unpriced_seconds",
)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # Not what str() makes of a float: 1e-06, or all seconds of a year to six digits with "g".
    return format(Decimal(str(value)), "f")


def safe_cell(text: str) -> str:
    """A name that a spreadsheet would take for a formula is kept from being one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
