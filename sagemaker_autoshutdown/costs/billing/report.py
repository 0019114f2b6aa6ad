"""The answers of ``GET costs`` (amounts by group, as values, JSON and CSV) and the amounts in ``GET
history``. ``query`` and ``outcomes`` compute them."""

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
    """The groups by which costs are added up."""

    DAY = "day"
    INSTANCE_TYPE = "instance_type"
    INSTANCE = "instance"
    APP = "app"
    STATE = "state"


class Outcome(NamedTuple):
    """The outcome of one shutdown. The idle time is None if the app was not idle. The cost that it
    avoided so far is an estimate; it is None if nothing counts, as after a user's own shutdown."""

    idle: timedelta | None
    avoided_usd: Decimal | None


@dataclass(frozen=True)
class Report:
    """The cost from ``start`` to ``end``. The rows' amounts add up to ``total`` exactly."""

    start: datetime
    end: datetime
    group_by: GroupBy
    rows: tuple[tuple[str, Money], ...]
    total: Money

    @classmethod
    def empty(cls, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """The report for a time of which nothing is recorded."""
        return cls(start, end, group_by, (), Money())

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's fields."""
        return ("key", *MONEY_FIELDS)

    def to_csv(self) -> str:
        """The rows as CSV with a heading, without the total."""
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
    # Not str() of a float: that gives 1e-06, or only six digits with "g".
    return format(Decimal(str(value)), "f")


def safe_cell(text: str) -> str:
    """Keeps a spreadsheet from taking a name for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
