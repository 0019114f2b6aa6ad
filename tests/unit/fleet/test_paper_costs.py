"""The arithmetic of what a fleet on AWS costs, as the docs show it."""

from __future__ import annotations

import re
from decimal import Decimal

from tests.paths import ROOT

PAGE = (ROOT / "docs" / "fleet-on-aws.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## What it costs")[2].partition("\n## ")[0]
_TERM = r"[(\d][\d,.()×/+⁶⁷ ]*(?:(?:s|GB) [×][\d,.()×/+⁶⁷ ]*)*"


def _value(text: str) -> Decimal:
    plain = re.sub(r"[a-zA-Z-]", "", text).replace(",", "").replace("×", "*")
    plain = re.sub(r"\d+(?:\.\d+)?", lambda n: f"Decimal('{n[0]}')", _powers(plain))
    value: Decimal = eval(plain, {"Decimal": Decimal})  # noqa: S307 - of this repository's docs
    return value


def _powers(text: str) -> str:
    return text.replace("10⁶", "1000000").replace("10⁷", "10000000")


def test_every_sum_in_it_is_right() -> None:
    found = re.findall(rf"({_TERM}) = ([\d,]+(?:\.\d+)?)", SECTION)
    assert len(found) >= 15
    for left, right in found:
        said = Decimal(right.replace(",", ""))
        places = said.as_tuple().exponent
        assert isinstance(places, int)
        assert round(_value(left), -places) == said, f"{left} = {right}"


def test_the_columns_add_up() -> None:
    rows = [line.strip(" |").split(" | ") for line in SECTION.splitlines() if "|" in line]
    services = [row for row in rows[2:] if "sum" not in row[0]]
    [total] = [re.findall(r"\*\*([\d.]+)\*\*", "|".join(row)) for row in rows if "sum" in row[0]]
    for column in range(3):
        parts = [Decimal(re.findall(r"\d+\.\d\d\b", row[2 + column])[-1]) for row in services]
        assert sum(parts) == Decimal(total[column]), parts
