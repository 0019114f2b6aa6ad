"""Price tables in CSV: the bundled one and the admin's own.

This module defines their form and reads them. ``book`` decides which table comes first.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ..model import Price, PriceSource

BUNDLED_TABLE = Path(__file__).with_name("prices.csv")
COLUMNS = ("region", "instance_type", "usd_per_hour", "source", "date")

#: No instance costs more per hour: a higher price is a mistake (cents, a price per month).
MAX_USD_PER_HOUR = Decimal(10_000)


def load_bundled(region: str, path: Path = BUNDLED_TABLE) -> dict[str, Price]:
    """The bundled prices of one region, by instance type; empty for a region it does not hold.

    Only the region's lines are parsed: the whole table would take 5 MB of memory.
    """
    prices = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(region + ","):
                _, instance_type, usd, source, date = line.rstrip("\n").split(",")
                prices[instance_type] = Price(
                    instance_type, Decimal(usd), PriceSource(source), date
                )
    return prices


def parse_usd(value: Any) -> Decimal:
    """A price from a number or a text. Raises ``ValueError`` that says what is allowed."""
    if not isinstance(value, bool) and isinstance(value, (int, float, str, Decimal)):
        try:
            usd = Decimal(str(value).strip())
        except InvalidOperation:
            pass
        else:
            if usd.is_finite() and 0 <= usd <= MAX_USD_PER_HOUR:
                return usd
    raise ValueError(
        f"a price must be in USD per hour, from 0 to {MAX_USD_PER_HOUR}; got {value!r}"
    )


def own_prices(table: Mapping[str, Any], date: str = "") -> dict[str, Price]:
    """The admin's own prices: USD per hour by instance type. Raises ``ValueError``."""
    prices = {}
    for instance_type, value in table.items():
        try:
            usd = parse_usd(value)
        except ValueError as error:
            raise ValueError(f"{instance_type}: {error}") from None
        prices[instance_type] = Price(instance_type, usd, PriceSource.OVERRIDE, date)
    return prices


def load_own(path: Path, region: str) -> dict[str, Price]:
    """The admin's own table: CSV with a heading, ``instance_type`` and ``usd_per_hour``.

    An optional ``region`` column limits a line to that region (empty: every region); a ``date``
    column is shown with the price. Raises ``OSError`` and ``ValueError``, the latter with the wrong
    line.
    """
    prices = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = {"instance_type", "usd_per_hour"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: the first line must name {', '.join(sorted(missing))}")
        for row in reader:
            if (row.get("region") or region).strip() != region:
                continue
            instance_type = (row["instance_type"] or "").strip()
            try:
                usd = parse_usd(row["usd_per_hour"])
            except ValueError as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
            date = (row.get("date") or "").strip()
            prices[instance_type] = Price(instance_type, usd, PriceSource.OVERRIDE, date)
    return prices
