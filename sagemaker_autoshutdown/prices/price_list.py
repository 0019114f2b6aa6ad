"""Prices from the AWS Price List API: which row is the right one, and a cache on disk.

A thread calls the API, and nobody waits for it: a VPC-only domain often can't reach it, because it
has endpoints in three regions only. AWS defines the rows: ``product.attributes`` names the instance
and the component, ``terms.OnDemand`` the price; ``instanceName`` is sometimes ``NA`` or carries a
suffix, and the first row is often the wrong one (another component, 0 USD, another unit).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..clock import from_iso, to_iso, utcnow
from ..model import AppType, Price, PriceSource

#: Asks the Price List for SageMaker products by attribute; yields items as JSON text.
Fetch = Callable[[Mapping[str, str]], Iterable[str]]

SERVICE_CODE = "AmazonSageMaker"

#: The component of an app type. A type that is missing here (TensorBoard, RSessionGateway) is known
#: by its usage type alone.
COMPONENT: Mapping[str, str] = {
    AppType.KERNEL_GATEWAY.value: "studio-notebook",
    AppType.JUPYTER_LAB.value: "studio-jupyterlab",
    "CodeEditor": "studio-codeeditor",
    AppType.NOTEBOOK_INSTANCE.value: "notebook",
}
# Their prices differ by half a percent at most, so any of them can replace a missing one.
_STAND_INS = (
    "studio-jupyterlab",
    "studio-notebook",
    "studio-codeeditor",
    "notebook",
    "processing",
    "training",
    "hosting",
)

#: How long a price from the API is used before it is asked for again.
FRESH = timedelta(days=1)
#: How long to wait after the API failed.
BACK_OFF = timedelta(hours=1)

_TYPE_IN_USAGE = re.compile(r"[:-](ml\.[a-z0-9-]+\.[a-z0-9-]+)$")
#: As in ``USE1-Studio:TensorBoard-ml.m5.large`` and ``RStudio:RSessionGateway-ml.m5.large``.
_APP_IN_USAGE = re.compile(r"\bR?Studio:([A-Za-z]+)-ml\.")


def fetch_with(pages: Callable[[str, str, str, dict[str, Any]], Iterable[Any]]) -> Fetch:
    """A :data:`Fetch` made from ``Aws.pages_blocking``."""

    def fetch(attributes: Mapping[str, str]) -> Iterable[str]:
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in attributes.items()
        ]
        return pages(
            "pricing",
            "GetProducts",
            "PriceList",
            {"ServiceCode": SERVICE_CODE, "FormatVersion": "aws_v1", "Filters": filters},
        )

    return fetch


def component_of(app_type: str) -> str:
    """The Price List's name for an app of this type: a component, or the type in lower case."""
    return COMPONENT.get(app_type, app_type.lower())


@dataclass(frozen=True)
class _Row:
    component: str
    usd: Decimal
    date: str
    #: The app type that the usage type names, in lower case; empty where it names none.
    app: str = ""


def read_row(item: str, instance_type: str, region: str) -> _Row | None:
    """The price of the instance type in one item of a ``PriceList``, if it is usable.

    Skips other types and regions, items without a component, units other than ``Hrs``, and 0 USD.
    """
    try:
        product = json.loads(item)
        attributes = product["product"]["attributes"]
        terms = product["terms"]["OnDemand"].values()
        dimensions = [entry for term in terms for entry in term["priceDimensions"].values()]
        component = (attributes.get("component") or "").lower()
        named = _APP_IN_USAGE.search(attributes.get("usagetype") or "")
        app = named.group(1).lower() if named else ""
        if (
            not (component in _STAND_INS or (app and component))
            or attributes.get("regionCode", region) != region
        ):
            return None
        if not _is_of_type(attributes, instance_type):
            return None
        for entry in dimensions:
            usd = Decimal(entry["pricePerUnit"].get("USD", "0"))
            if entry["unit"] == "Hrs" and usd > 0:
                date = str(product.get("publicationDate"))[:10]
                return _Row(component, usd.normalize(), date, app)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return None
    return None


def _is_of_type(attributes: Mapping[str, str], instance_type: str) -> bool:
    usage = _TYPE_IN_USAGE.search(attributes.get("usagetype") or "")
    if usage:
        return usage.group(1) == instance_type
    name = attributes.get("instanceName") or ""
    # A suffix names the component: ml.t3.medium-Notebook
    return name == instance_type or name.startswith(instance_type + "-")


def choose(items: Iterable[str], instance_type: str, region: str, component: str) -> Price | None:
    """The price from a ``PriceList``: this component's, or one that can replace it."""
    rows = [row for row in (read_row(item, instance_type, region) for item in items) if row]
    for wanted in (component, *_STAND_INS):
        for row in rows:
            if wanted in (row.component, row.app):
                return Price(instance_type, row.usd, PriceSource.API, row.date)
    return None


@dataclass(frozen=True)
class _CachedPrice:
    price: Price | None
    fetched_at: datetime


class PriceListCache:
    """The last known prices from the API, which a thread of its own asks for.

    Answers at once from memory. Prices are kept in ``path`` (readable by its owner only) and used
    until a newer answer comes, however old they are: each carries its date.
    """

    def __init__(
        self,
        region: str,
        fetch: Fetch,
        path: Path,
        *,
        clock: Callable[[], datetime] = utcnow,
        log: logging.Logger | None = None,
    ) -> None:
        self._region = region
        self._fetch = fetch
        self._path = path
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self._cache: dict[tuple[str, str], _CachedPrice] = {}
        self._wanted: list[tuple[str, str]] = []  # the first one is being asked for
        self._closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._not_before: datetime | None = None
        #: Why the API could not be asked the last time; empty if it could.
        self.error = ""

    def cached(self, instance_type: str, app_type: str) -> Price | None:
        """The price, as far as it is known now."""
        cached = self._cache.get((instance_type, component_of(app_type)))
        return cached.price if cached else None

    def get(self, instance_type: str, app_type: str) -> Price | None:
        """The same. Asks for it in the background if it is unknown or old."""
        key = (instance_type, component_of(app_type))
        cached = self._cache.get(key)
        if cached is None or self._clock() - cached.fetched_at >= FRESH:
            self._ask(key)
        return cached.price if cached else None

    def close(self) -> None:
        """Asks for nothing more. Does not wait for a call that is under way."""
        self._closed = True

    def join(self, timeout: float) -> None:
        """Waits for all answers: for tests and command lines."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _ask(self, key: tuple[str, str]) -> None:
        with self._lock:
            if self._closed or key in self._wanted or self._is_backing_off():
                return
            self._wanted.append(key)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sagemaker_autoshutdown-prices", daemon=True
                )
                self._thread.start()

    def _is_backing_off(self) -> bool:
        return self._not_before is not None and self._clock() < self._not_before

    def _run(self) -> None:
        """Asks for all wanted prices, then ends: an idle server has no thread of ours."""
        if not self._cache:
            self._load()
        while True:
            key = self._wanted[0]
            cached = self._cache.get(key)
            if cached is None or self._clock() - cached.fetched_at >= FRESH:
                self._refresh(key)
            with self._lock:
                self._wanted.pop(0)
                if not self._wanted or self._closed:
                    self._wanted.clear()
                    self._thread = None
                    return

    def _refresh(self, key: tuple[str, str]) -> None:
        if self._is_backing_off():
            return
        try:
            price = self._lookup(*key)
        except Exception as error:  # the edge: any error of the network or of AWS
            self._not_before = self._clock() + BACK_OFF
            self.error = str(error) or type(error).__name__
            self._log.info(
                "The AWS Price List could not be asked (%s); the bundled prices apply. To switch "
                "it off: c.SageMakerAutoShutdown.price_list_api = False",
                self.error,
            )
            return
        self.error, self._not_before = "", None
        self._cache[key] = _CachedPrice(price, self._clock())
        self._save()

    def _lookup(self, instance_type: str, component: str) -> Price | None:
        # If instanceName is "NA", the type is in platoinstancetype.
        for field in ("instanceName", "platoinstancetype"):
            items = self._fetch({field: instance_type, "regionCode": self._region})
            price = choose(items, instance_type, self._region, component)
            if price is not None:
                return price
        return None

    def _load(self) -> None:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            for entry in content["regions"].get(self._region, ()):
                usd = entry["usd_per_hour"]
                price = usd and Price(
                    entry["instance_type"], Decimal(usd), PriceSource.API, str(entry["date"])
                )
                self._cache.setdefault(
                    (entry["instance_type"], entry["component"]),
                    _CachedPrice(price or None, from_iso(entry["fetched_at"])),
                )
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            # It is only a cache: the prices are asked for anew.
            self._log.info("The cached prices in %s can't be read: %s", self._path, error)

    def _save(self) -> None:
        entries = [
            {
                "instance_type": instance_type,
                "component": component,
                "usd_per_hour": str(cached.price.usd_per_hour) if cached.price else None,
                "date": cached.price.date if cached.price else "",
                "fetched_at": to_iso(cached.fetched_at),
            }
            for (instance_type, component), cached in sorted(self._cache.items())
        ]
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"regions": {self._region: entries}}, file, indent=1)
            temporary.replace(self._path)
        except OSError as error:
            self._log.info("Prices can't be cached in %s: %s", self._path, error)
            with contextlib.suppress(OSError):
                temporary.unlink()
