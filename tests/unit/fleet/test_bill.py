"""Hourly costs, with the real price book and the real facts about prices."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from sagemaker_autoshutdown.fleet.bill import Rates
from sagemaker_autoshutdown.model import PriceSource
from sagemaker_autoshutdown.prices.book import PriceBook
from sagemaker_autoshutdown.prices.price_list import PriceListCache
from tests.paths import ROOT

from .scenes import app

REGION = "us-east-1"


def product(component: str, usage: str, usd: str, instance_type: str = "ml.m5.xlarge") -> str:
    """A row of the Price List, in AWS's form."""
    return json.dumps(
        {
            "product": {
                "attributes": {
                    "component": component,
                    "usagetype": f"USE1-{usage}-{instance_type}",
                    "instanceName": instance_type,
                    "regionCode": REGION,
                }
            },
            "terms": {
                "OnDemand": {
                    "t": {"priceDimensions": {"d": {"unit": "Hrs", "pricePerUnit": {"USD": usd}}}}
                }
            },
            "publicationDate": "2026-09-01T00:00:00Z",
        }
    )


#: A TensorBoard's price differs from all others here, to see whose price is used.
ROWS = (
    product("Studio-JupyterLab", "Studio:JupyterLab", "0.23"),
    product("Studio-Notebook", "Studio:KernelGateway", "0.231"),
    product("TensorBoard", "Studio:TensorBoard", "0.27"),
    product("Hosting", "Host", "0.25"),
    product("RStudio", "RStudio:RSessionGateway", "0.28"),
)


def rates(tmp_path: Path, rows: tuple[str, ...] = ROWS) -> Rates:
    """Those of a book that has asked the Price List."""

    def fetch(attributes: Mapping[str, str]) -> tuple[str, ...]:
        return rows

    cache = PriceListCache(REGION, fetch, tmp_path / "prices.json")
    book = PriceBook(REGION, price_list=lambda: cache)
    for app_type in ("TensorBoard", "JupyterLab", "RSessionGateway"):
        book.price("ml.m5.xlarge", app_type)
    cache.join(30)
    return Rates(book)


@pytest.mark.parametrize(
    ("app_type", "usd"),
    [("TensorBoard", "0.27"), ("JupyterLab", "0.23"), ("RSessionGateway", "0.28")],
)
def test_a_type_with_a_price_component_of_its_own_is_priced_by_that(
    tmp_path: Path, app_type: str, usd: str
) -> None:
    rate = rates(tmp_path).of(app(app_type, instance_type="ml.m5.xlarge"))
    assert (rate.usd_per_hour, rate.source) == (Decimal(usd), PriceSource.API.value)


def test_without_its_own_component_a_tensorboard_costs_what_its_instance_costs_elsewhere(
    tmp_path: Path,
) -> None:
    rate = rates(tmp_path, ROWS[:2]).of(app("TensorBoard", instance_type="ml.m5.xlarge"))
    assert rate.usd_per_hour == Decimal("0.23")


def test_without_the_price_list_a_tensorboard_has_the_price_of_its_instance_in_the_facts() -> None:
    facts = next(
        (
            found
            for folder in (ROOT, *ROOT.parents)
            if (found := folder / "shared" / "pricing" / "prices.csv").exists()
        ),
        None,
    )
    if facts is None:
        pytest.skip("the facts about prices are not beside the repository")
    with facts.open(encoding="utf-8") as file:
        newest = {
            row["instance_type"]: row
            for row in sorted(csv.DictReader(file), key=lambda row: row["as_of"])
            if row["region"] == REGION and row["component"].startswith("Studio")
        }
    assert newest
    rates_now = Rates(PriceBook(REGION))
    for instance_type, row in newest.items():
        rate = rates_now.of(app("TensorBoard", instance_type=instance_type))
        assert rate.usd_per_hour is not None, instance_type
        assert abs(rate.usd_per_hour / Decimal(row["usd_per_hour"]) - 1) <= Decimal("0.006"), row


def test_system_is_free_and_a_session_of_canvas_has_its_own_price(tmp_path: Path) -> None:
    found = rates(tmp_path)
    assert found.of(app("JupyterServer", instance_type="system")).nano_usd_per_hour == 0
    assert found.of(app("RStudioServerPro", instance_type="system")).nano_usd_per_hour == 0
    assert found.of(app("RStudioServerPro", instance_type="ml.m5.xlarge")).nano_usd_per_hour
    assert found.of(app("Canvas", instance_type="")).usd_per_hour == Decimal("1.9")
