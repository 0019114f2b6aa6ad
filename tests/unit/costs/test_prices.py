"""Prices: which one is used, and that asking for one never blocks."""

from __future__ import annotations

import csv
import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from sagemaker_autoshutdown.model import AppType, Price, PriceSource
from sagemaker_autoshutdown.prices import book as prices_module
from sagemaker_autoshutdown.prices import price_list, volumes
from sagemaker_autoshutdown.prices.book import PriceBook, endpoint_region
from sagemaker_autoshutdown.prices.price_list import PriceListCache, choose
from sagemaker_autoshutdown.prices.table import BUNDLED_TABLE, load_own
from tests.generators import build_prices

KERNEL_GATEWAY = AppType.KERNEL_GATEWAY


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now


def item(
    usd: str = "0.05",
    component: str | None = "Studio-Notebook",
    name: str = "ml.t3.medium",
    usagetype: str = "USE1-Studio:KernelGateway-ml.t3.medium",
    unit: str = "Hrs",
    region: str = "us-east-1",
) -> str:
    attributes = {"instanceName": name, "usagetype": usagetype, "regionCode": region}
    if component is not None:
        attributes["component"] = component
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}}
    terms = {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}
    return json.dumps(
        {
            "product": {"attributes": attributes},
            "terms": terms,
            "publicationDate": "2026-10-30T00:00:00Z",
        }
    )


class PriceList:
    """Answers like the API: items of the requested instance type."""

    def __init__(self, **items: list[str]) -> None:
        self.items = items
        self.asked: list[Mapping[str, str]] = []
        self.error: Exception | None = None

    def __call__(self, attributes: Mapping[str, str]) -> Iterable[str]:
        self.asked.append(attributes)
        if self.error:
            raise self.error
        return iter(self.items.get(next(iter(attributes)), []))


def cache(tmp_path: Path, fetch: price_list.Fetch, clock: Clock | None = None) -> PriceListCache:
    return PriceListCache(
        "us-east-1", fetch, tmp_path / "data" / "prices.json", clock=clock or Clock()
    )


# --- the bundled table ------------------------------------------------------------------------


def test_the_bundled_table_is_the_one_its_sources_give(tmp_path: Path) -> None:
    build_prices.write(build_prices.build(build_prices.SOURCES), tmp_path / "built.csv")
    assert (tmp_path / "built.csv").read_bytes() == BUNDLED_TABLE.read_bytes()


def test_every_bundled_price_says_whether_it_is_an_estimate_and_its_date() -> None:
    with BUNDLED_TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["source"] for row in rows} == {"list", "estimate"}
    assert all(row["date"][:2] == "20" and Decimal(row["usd_per_hour"]) > 0 for row in rows)
    assert len({(row["region"], row["instance_type"]) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("region", "instance_type", "usd", "source"),
    [
        ("us-east-1", "ml.t3.medium", "0.05", PriceSource.LIST),
        # sourced rows disagree: Studio's own, off the Price List, newest
        ("us-east-1", "ml.g4dn.xlarge", "0.7364", PriceSource.LIST),
        ("eu-west-1", "ml.g5.12xlarge", "7.92", PriceSource.LIST),
        # a table rounded to cents gives way to the same price in full
        ("us-east-1", "ml.p4d.24xlarge", "25.251", PriceSource.LIST),
        # 113.068 was before the price cut
        ("us-east-1", "ml.p5.48xlarge", "63.3", PriceSource.LIST),
        ("eu-central-1", "ml.g5.2xlarge", "1.8945", PriceSource.ESTIMATE),
    ],
)
def test_bundled_price(region: str, instance_type: str, usd: str, source: PriceSource) -> None:
    price = PriceBook(region).price(instance_type, KERNEL_GATEWAY)
    assert (price.usd_per_hour, price.source) == (Decimal(usd), source)


@pytest.mark.parametrize(
    ("region", "instance_type"),
    [
        ("us-east-1", "ml.trn1.2xlarge"),  # an estimate that nothing supports
        ("us-east-1", "ml.g6e.xlarge"),
        ("us-east-1", "ml.z9.mega"),
        ("us-east-1", ""),
        ("xx-none-1", "ml.t3.medium"),
        ("", "ml.t3.medium"),
    ],
)
def test_f24_an_unknown_type_is_unpriced_and_never_free(region: str, instance_type: str) -> None:
    price = PriceBook(region).price(instance_type, KERNEL_GATEWAY)
    assert (price.usd_per_hour, price.source) == (None, PriceSource.UNPRICED)


def test_the_price_of_a_hyperpod_cluster_or_of_storage_is_not_taken_for_studios() -> None:
    row = {"region": "r", "instance_type": "ml.p4d.24xlarge", "source": "", "as_of": "2026-01"}
    assert not build_prices.is_usable({**row, "component": "Cluster"})
    assert not build_prices.is_usable({**row, "component": "Storage"})
    assert build_prices.is_usable({**row, "component": "studio-codeeditor"})


# --- the admin's own table --------------------------------------------------------------------


def test_the_admins_table_wins_over_all_others(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(
        "instance_type,usd_per_hour,region,date\n"
        "ml.t3.medium,0.03,,2026-11-01\n"
        "ml.t3.large,9,eu-west-1,\n"
        "ml.g5.xlarge,0.9,us-east-1,\n"
    )
    api = cache(tmp_path, PriceList(instanceName=[item()]))
    book = PriceBook(
        "us-east-1", own={"ml.g5.xlarge": 0.7}, own_file=str(own), price_list=lambda: api
    )
    price = book.price("ml.t3.medium", KERNEL_GATEWAY)
    assert (price.usd_per_hour, price.source, price.date) == (
        Decimal("0.03"),
        PriceSource.OVERRIDE,
        "2026-11-01",
    )
    assert book.price("ml.g5.xlarge", KERNEL_GATEWAY).usd_per_hour == Decimal("0.7")
    # of another region
    assert book.price("ml.t3.large", KERNEL_GATEWAY).source is PriceSource.LIST
    assert book.problems == []
    api.close()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("type,price\nml.t3.medium,1\n", "the first line must name instance_type, usd_per_hour"),
        ("instance_type,usd_per_hour\nml.t3.medium,cheap\n", "line 2"),
        ("instance_type,usd_per_hour\nml.t3.medium,-1\n", "from 0 to 10000"),
        ("instance_type,usd_per_hour\nml.t3.medium,NaN\n", "from 0 to 10000"),
        ("instance_type,usd_per_hour\nml.t3.medium\n", "line 2"),
    ],
)
def test_a_slip_in_the_admins_table_is_named_and_other_prices_apply(
    tmp_path: Path, text: str, what: str
) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=what):
        load_own(path, "us-east-1")
    book = PriceBook("us-east-1", own_file=str(path), own={"ml.m5.large": True})
    assert book.price("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.LIST
    of_file, of_trait = book.problems
    assert what in of_file
    assert "ml.m5.large" in of_trait


def test_a_missing_table_is_named_and_other_prices_apply(tmp_path: Path) -> None:
    book = PriceBook("us-east-1", own_file=str(tmp_path / "none.csv"))
    assert book.price("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.LIST
    assert "none.csv" in book.problems[0]


def test_a_table_that_can_not_even_be_read_is_not_read_at_every_observation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def broken(path: Path, region: str) -> dict[str, Price]:
        reads.append(path)
        raise RecursionError("nobody thought of this")

    monkeypatch.setattr(prices_module, "load_own", broken)
    book = PriceBook("us-east-1", own_file=str(tmp_path / "own.csv"))
    for _ in range(3):
        assert book.price("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.LIST
    assert len(reads) == 1
    assert "nobody thought of this" in book.problems[0]


def test_a_price_list_that_can_not_be_made_leaves_the_tables_and_is_not_tried_at_every_check() -> (
    None
):
    make = Mock(side_effect=ImportError("no boto3"))
    book = PriceBook("us-east-1", own={"ml.m5.large": 1}, price_list=make)
    for _ in range(3):
        assert book.price("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.LIST
        assert book.price("ml.m5.large", KERNEL_GATEWAY).source is PriceSource.OVERRIDE
    make.assert_called_once()


def test_what_is_shown_is_neither_read_nor_asked_for(tmp_path: Path) -> None:
    """A scrape or a request for the status; ``price``, for the record, does both."""
    api = PriceList(instanceName=[item("0.9")])
    own = tmp_path / "own.csv"
    own.write_text("instance_type,usd_per_hour\nml.m5.large,1\n")
    made = cache(tmp_path, api)
    book = PriceBook("us-east-1", own_file=str(own), price_list=lambda: made)
    assert book.cached("ml.m5.large", KERNEL_GATEWAY).source is PriceSource.UNPRICED
    book.load()
    assert book.cached("ml.m5.large", KERNEL_GATEWAY).source is PriceSource.OVERRIDE
    assert book.cached("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.LIST
    made.join(60)
    assert api.asked == []
    book.price("ml.t3.medium", KERNEL_GATEWAY)
    made.join(60)
    assert book.cached("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.API


def test_f21_a_price_table_on_a_disk_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "own.csv"
    os.mkfifo(fifo)  # opening it waits for a writer
    book = PriceBook("us-east-1", own_file=str(fifo))
    loading = threading.Thread(target=book.load, daemon=True)
    loading.start()
    while not book._loading.locked():
        assert loading.is_alive()
    assert book.price("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.UNPRICED
    fifo.write_text("instance_type,usd_per_hour\nml.t3.medium,0.01\n")
    loading.join(60)
    assert book.price("ml.t3.medium", KERNEL_GATEWAY).usd_per_hour == Decimal("0.01")


# --- the Price List API -----------------------------------------------------------------------


def test_the_right_row_is_found_among_wrong_ones() -> None:
    items = [
        "not json",
        json.dumps({"product": {}}),
        item(usd="9.99", component=None),
        item(usd="0.0000000000"),
        item(usd="0.112", unit="GB-Mo"),
        item(usd="0.07", usagetype="USE1-Studio:KernelGateway-ml.t3.large"),
        item(usd="0.06", region="us-west-2"),
        item(usd="0.0510000000", component="Studio-JupyterLab"),
        item(usd="0.0500000000"),
    ]
    price = choose(items, "ml.t3.medium", "us-east-1", "studio-notebook")
    assert price is not None
    assert (str(price.usd_per_hour), price.source, price.date) == (
        "0.05",
        PriceSource.API,
        "2026-10-30",
    )
    lab = choose(items, "ml.t3.medium", "us-east-1", "studio-jupyterlab")
    assert lab is not None
    assert lab.usd_per_hour == Decimal("0.051")
    # not listed: another component stands for it
    other = choose(items, "ml.t3.medium", "us-east-1", "notebook")
    assert other is not None
    assert other.usd_per_hour == Decimal("0.051")
    assert choose(items[:7], "ml.t3.medium", "us-east-1", "studio-notebook") is None


@pytest.mark.parametrize("name", ["NA", "ml.t3.medium-Notebook"])
def test_a_row_is_told_by_its_usagetype_where_its_name_says_nothing(
    tmp_path: Path, name: str
) -> None:
    fetch = PriceList(platoinstancetype=[item(name=name)])
    prices = cache(tmp_path, fetch)
    assert prices.get("ml.t3.medium", KERNEL_GATEWAY) is None
    prices.join(60)
    price = prices.get("ml.t3.medium", KERNEL_GATEWAY)
    assert price is not None
    assert price.usd_per_hour == Decimal("0.05")
    assert [sorted(asked) for asked in fetch.asked] == [
        ["instanceName", "regionCode"],
        ["platoinstancetype", "regionCode"],
    ]


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("us-east-2", "us-east-1"),
        ("ca-central-1", "us-east-1"),
        ("eu-west-1", "eu-central-1"),
        ("ap-northeast-1", "ap-south-1"),
        ("cn-north-1", None),
        ("us-gov-west-1", None),
        ("", None),
    ],
)
def test_the_api_is_asked_where_it_has_an_endpoint(region: str, endpoint: str | None) -> None:
    assert endpoint_region(region) == endpoint


def test_f11_an_api_that_hangs_is_never_waited_for(tmp_path: Path) -> None:
    release = threading.Event()

    def hangs(attributes: Mapping[str, str]) -> Iterator[str]:
        release.wait(60)
        yield item(usd="0.04")

    prices = cache(tmp_path, hangs)
    book = PriceBook("us-east-1", price_list=lambda: prices)
    # On this thread, while the other hangs.
    assert book.price("ml.t3.medium", KERNEL_GATEWAY).source is PriceSource.LIST
    assert book.price("ml.z9.mega", KERNEL_GATEWAY).source is PriceSource.UNPRICED
    release.set()
    prices.join(60)
    price = book.price("ml.t3.medium", KERNEL_GATEWAY)
    assert (price.source, price.usd_per_hour) == (PriceSource.API, Decimal("0.04"))


def test_prices_are_kept_on_disk_for_a_day_and_for_their_owner_only(tmp_path: Path) -> None:
    clock = Clock()
    fetch = PriceList(instanceName=[item()])
    first = cache(tmp_path, fetch, clock)
    first.get("ml.t3.medium", KERNEL_GATEWAY)
    first.join(60)
    path = tmp_path / "data" / "prices.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["prices.json"]

    clock.now += timedelta(hours=23)
    again = cache(tmp_path, fetch, clock)
    again.get("ml.t3.medium", KERNEL_GATEWAY)
    again.join(60)
    assert again.get("ml.t3.medium", KERNEL_GATEWAY) is not None
    assert len(fetch.asked) == 1

    clock.now += timedelta(hours=1)
    later = cache(tmp_path, fetch, clock)
    later.get("ml.t3.medium", KERNEL_GATEWAY)
    later.join(60)
    assert len(fetch.asked) == 2


def test_a_price_of_yesterday_outlives_an_api_that_fails_today(tmp_path: Path) -> None:
    clock = Clock()
    fetch = PriceList(instanceName=[item(usd="0.06")])
    prices = cache(tmp_path, fetch, clock)
    prices.get("ml.t3.medium", KERNEL_GATEWAY)
    prices.join(60)

    clock.now += timedelta(days=3)
    fetch.error = OSError("no route")
    assert prices.get("ml.t3.medium", KERNEL_GATEWAY) is not None
    prices.join(60)
    price = prices.get("ml.t3.medium", KERNEL_GATEWAY)
    assert price is not None
    assert (price.usd_per_hour, price.date) == (Decimal("0.06"), "2026-10-30")
    assert prices.error == "no route"
    prices.close()


def test_an_api_that_fails_is_left_alone_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    fetch = PriceList(instanceName=[item()])
    fetch.error = OSError("no route")
    prices = cache(tmp_path, fetch, clock)

    def ask() -> int:
        for instance_type in ("ml.t3.medium", "ml.t3.large"):
            prices.get(instance_type, KERNEL_GATEWAY)
        prices.join(60)
        return len(fetch.asked)

    assert ask() == 1
    assert ask() == 1
    clock.now += timedelta(hours=1)
    fetch.error = None
    assert ask() > 1
    assert prices.error == ""


def test_a_type_that_is_not_listed_is_not_asked_for_at_every_check(tmp_path: Path) -> None:
    fetch = PriceList()
    prices = cache(tmp_path, fetch)
    for _ in range(5):
        assert prices.get("ml.z9.mega", KERNEL_GATEWAY) is None
        prices.join(60)
    assert len(fetch.asked) == 2  # by name, by type


@pytest.mark.parametrize("content", ["", "{", "[]", '{"regions": {"us-east-1": [{}]}}'])
def test_f28_a_broken_cache_is_asked_for_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data" / "prices.json"
    path.parent.mkdir()
    path.write_text(content)
    prices = cache(tmp_path, PriceList(instanceName=[item()]))
    prices.get("ml.t3.medium", KERNEL_GATEWAY)
    prices.join(60)
    assert prices.get("ml.t3.medium", KERNEL_GATEWAY) is not None


def test_prices_without_a_disk_are_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    prices = cache(tmp_path, PriceList(instanceName=[item()]))
    prices.get("ml.t3.medium", KERNEL_GATEWAY)
    prices.join(60)
    assert prices.get("ml.t3.medium", KERNEL_GATEWAY) is not None


def test_the_request_is_the_price_lists_own() -> None:
    calls: list[Any] = []

    def pages(*arguments: Any) -> Iterable[str]:
        calls.append(arguments)
        return ()

    list(price_list.fetch_with(pages)({"instanceName": "ml.t3.medium"}))
    ((service, operation, key, parameters),) = calls
    assert (service, operation, key) == ("pricing", "GetProducts", "PriceList")
    import botocore.session
    from botocore.validate import validate_parameters

    model = botocore.session.get_session().get_service_model("pricing")
    shape = model.operation_model("GetProducts").input_shape
    validate_parameters(parameters, shape)


@pytest.mark.parametrize(
    ("region", "of_notebook_instance", "usd", "source"),
    [
        ("us-east-1", False, "0.112", PriceSource.LIST),
        ("us-east-1", True, "0.14", PriceSource.LIST),
        ("eu-west-1", True, "0.154", PriceSource.LIST),
        ("eu-west-1", False, "0.1232", PriceSource.ESTIMATE),
        ("sa-east-1", False, "0.2128", PriceSource.ESTIMATE),
        ("xx-far-9", False, "0.112", PriceSource.ESTIMATE),
    ],
)
def test_a_volume_costs_what_it_does_in_its_region(
    region: str, of_notebook_instance: bool, usd: str, source: PriceSource
) -> None:
    price = PriceBook(region).volume_price(of_notebook_instance=of_notebook_instance)
    assert (price.usd_per_gb_month, price.source) == (Decimal(usd), source)
    assert price.date


@pytest.mark.parametrize(("region", "kind"), volumes._LISTED)
def test_a_listed_price_of_a_volume_is_what_the_estimate_says_too(region: str, kind: str) -> None:
    ec2 = Decimal(volumes._EC2_GP2[region]) * (volumes._GP3_OVER_GP2 if kind == "gp3" else 1)
    assert volumes._LISTED[region, kind][0] == ec2 * volumes._OVER_EC2
