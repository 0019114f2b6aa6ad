"""The hourly price of an instance: from the admin's own table, the Price List API, or the bundled
table.

The first source that knows the type wins, and the price names its source. A type that none knows is
unpriced: it is shown as such and excluded from totals, never counted as 0.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model import Price, PriceSource, VolumePrice
from .table import BUNDLED_TABLE, load_bundled, load_own, own_prices
from .volumes import volume_price

if TYPE_CHECKING:
    from .price_list import PriceListCache

#: A session of Canvas is billed by the hour until its user logs out or the app is deleted, whatever
#: it runs on (aws.amazon.com/sagemaker/ai/canvas/pricing). The price of us-east-1 stands for all
#: regions.
CANVAS = "Canvas"
CANVAS_USD_PER_HOUR = Decimal("1.9")
CANVAS_PRICE_REGION = "us-east-1"
CANVAS_PRICE_DATE = "2026-06-25"


def endpoint_region(region: str) -> str | None:
    """The region of the Price List endpoint that serves ``region``; None if it can't be asked.

    China and GovCloud are partitions of their own, whose credentials do not work at these
    endpoints.
    """
    if region.startswith(("cn-", "us-gov-", "us-iso", "eu-isoe")) or not region:
        return None
    if region.startswith(("eu-", "il-", "me-", "af-")):
        return "eu-central-1"
    return "ap-south-1" if region.startswith("ap-") else "us-east-1"


class PriceBook:
    """Prices of one region. ``price`` answers at once from known prices, and has an unknown price
    looked up for the next time; ``cached`` touches neither disk nor network.

    ``own`` and ``own_file`` are the admin's prices; the former win. ``price_list`` creates the
    client of the API; None switches the API off. ``problems`` tells the admin about errors in the
    own table; its readable prices apply.
    """

    def __init__(
        self,
        region: str,
        *,
        own: Mapping[str, Any] | None = None,
        own_file: str = "",
        price_list: Callable[[], PriceListCache] | None = None,
        bundled: Path = BUNDLED_TABLE,
        log: logging.Logger | None = None,
    ) -> None:
        self.region = region
        self.problems: list[str] = []
        self._own_table = dict(own or {})
        self._own_file = own_file
        self._make_price_list = price_list
        self._price_list: PriceListCache | None = None
        self._bundled_path = bundled
        self._loading = threading.Lock()
        self._patience = 0.1
        self._own: dict[str, Price] | None = None
        self._bundled: dict[str, Price] = {}
        self._log = log or logging.getLogger(__name__)

    def load(self) -> None:
        """Reads the tables, once. ``price`` does so itself; a thread can do it beforehand."""
        with self._loading:
            if self._own is not None:
                return
            own: dict[str, Price] = {}
            try:
                self._load(own)
            except Exception:
                self._log.exception("sagemaker_autoshutdown: some prices could not be loaded")
            finally:
                self._own = own  # the readable tables; else each call would read all of them again

    def _load_or_wait(self) -> None:
        """Another thread may be loading. Waits for it, but only once and not for long, because
        the admin's table may lie on a disk that hangs."""
        patience, self._patience = self._patience, 0.0
        if self._loading.acquire(timeout=patience):
            self._loading.release()
            self.load()

    def _load(self, own: dict[str, Price]) -> None:
        if self._own_file:
            try:
                own.update(load_own(Path(self._own_file).expanduser(), self.region))
            except Exception as error:  # an admin's file may hold anything
                self._problem(f"The price table price_file can't be used: {error}")
        try:
            own.update(own_prices(self._own_table))
        except ValueError as error:
            self._problem(f"The setting prices can't be used: {error}")
        try:
            self._bundled = load_bundled(self.region, self._bundled_path)
        except (OSError, ValueError) as error:
            self._problem(
                f"The bundled price table can't be read ({error}); install the package again"
            )
        if self._make_price_list is not None:
            self._price_list = self._make_price_list()

    def price(self, instance_type: str, app_type: str) -> Price:
        """The price of an instance of this type that runs an app of this type.

        ``app_type`` is SageMaker's, or ``NotebookInstance``. For a Canvas app the instance type
        does not matter: its price is that of a session-hour, unless the admin's own table has a
        price for ``canvas``.
        """
        if app_type == CANVAS:
            return self._session()
        if self._own is None:
            self._load_or_wait()
        own = (self._own or {}).get(instance_type)
        if own is None and self._price_list is not None and instance_type:
            self._price_list.get(instance_type, app_type)  # looked up, if necessary
        return self.cached(instance_type, app_type)

    def _session(self) -> Price:
        if self._own is None:
            self._load_or_wait()
        source = PriceSource.LIST if self.region == CANVAS_PRICE_REGION else PriceSource.ESTIMATE
        listed = Price(CANVAS.lower(), CANVAS_USD_PER_HOUR, source, CANVAS_PRICE_DATE)
        return (self._own or {}).get(CANVAS.lower(), listed)

    def cached(self, instance_type: str, app_type: str) -> Price:
        """The same, from memory."""
        own = (self._own or {}).get(instance_type)
        if own is not None:
            return own
        if self._price_list is not None:
            listed = self._price_list.cached(instance_type, app_type)
            if listed is not None:
                return listed
        bundled = self._bundled.get(instance_type)
        return bundled or Price(instance_type, None, PriceSource.UNPRICED)

    def volume_price(self, *, of_notebook_instance: bool = False) -> VolumePrice:
        """The price of a space's volume here, or of a notebook instance's."""
        return volume_price(self.region, of_notebook_instance=of_notebook_instance)

    def close(self) -> None:
        """Ends the thread that asks the Price List."""
        if self._price_list is not None:
            self._price_list.close()

    def _problem(self, message: str) -> None:
        self.problems.append(message)
        self._log.warning(message)
