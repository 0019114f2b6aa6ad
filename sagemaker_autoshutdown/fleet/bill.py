"""Which instances are billed, and what they cost. Pure, except for the price book that it asks.

Classic's KernelGateway apps of one owner on one instance type share an instance until the last is
gone. Everything else is billed by itself: the app of a space, an RSession, a Canvas session, a
TensorBoard, a notebook instance, a volume. JupyterServer and the default RStudioServerPro run on
SageMaker's own machines ("system") and are free.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, Protocol

from ..model import Price, PriceSource, VolumePrice
from .model import (
    CANVAS,
    JUPYTER_SERVER,
    KERNEL_GATEWAY,
    RSTUDIO_SERVER,
    SYSTEM,
    VOLUME,
    Key,
    Resource,
)

#: Money is added up in whole billionths of a dollar: exact, and what SQLite stores.
NANO = 1_000_000_000
#: Hours of a month, by which AWS converts monthly prices of gigabytes to hourly ones.
HOURS_PER_MONTH = 730

FREE = "free"


class Prices(Protocol):
    """The methods of a price book that this module needs."""

    def price(self, instance_type: str, app_type: str) -> Price:
        """The price of an instance of this type that runs an app of this type."""

    def volume_price(self) -> VolumePrice:
        """The price of a gigabyte of a volume."""


class Rate(NamedTuple):
    """A cost per hour. ``nano_usd_per_hour`` is None if the price is not known."""

    nano_usd_per_hour: int | None
    source: str
    date: str = ""

    @property
    def usd_per_hour(self) -> Decimal | None:
        """The same in dollars."""
        return None if self.nano_usd_per_hour is None else usd(self.nano_usd_per_hour)


_FREE = Rate(0, FREE)


def usd(nano: int) -> Decimal:
    """Dollars, exactly."""
    return Decimal(nano).scaleb(-9).normalize() if nano else Decimal(0)


def instance_of(resource: Resource) -> Key:
    """The billed unit: the same for all apps that share an instance."""
    key = resource.key
    if key.app_type != KERNEL_GATEWAY:
        return key
    return Key(key.domain, key.owner_kind, key.owner, key.app_type, resource.instance_type)


class Rates:
    """The rates of one sweep, each looked up once."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._rates: dict[tuple[str, str], Rate] = {}
        self._gigabyte: VolumePrice | None = None

    def of(self, resource: Resource) -> Rate:
        """The cost per hour of the instance of this resource, while it is billed."""
        app_type = resource.key.app_type
        if app_type == VOLUME:
            return self._volume(resource.size_gb)
        rate = self._rates.get((app_type, resource.instance_type))
        if rate is None:
            rate = self._look_up(app_type, resource.instance_type)
            self._rates[app_type, resource.instance_type] = rate
        return rate

    def _look_up(self, app_type: str, instance_type: str) -> Rate:
        if app_type == JUPYTER_SERVER or (app_type == RSTUDIO_SERVER and not instance_type):
            return _FREE
        if instance_type == SYSTEM and app_type != CANVAS:
            return _FREE
        return _rate(self._prices.price(instance_type, app_type))

    def _volume(self, size_gb: int) -> Rate:
        if self._gigabyte is None:
            self._gigabyte = self._prices.volume_price()
        price = self._gigabyte
        nano = int(price.usd_per_gb_month * NANO) * size_gb // HOURS_PER_MONTH
        return Rate(nano, price.source.value, price.date)


def _rate(price: Price) -> Rate:
    if price.usd_per_hour is None or price.source is PriceSource.UNPRICED:
        return Rate(None, PriceSource.UNPRICED.value)
    return Rate(int(price.usd_per_hour * NANO), price.source.value, price.date)
