"""Builds a cost tracker from the admin's settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..aws import Aws, AwsError
from ..model import Host, HostKind
from ..prices.book import PriceBook, endpoint_region
from ..settings.admin import SageMakerAutoShutdown
from .tracker import CostTracker

if TYPE_CHECKING:
    from ..prices.price_list import Fetch, PriceListCache

PRICE_CACHE_NAME = "prices.json"


def cost_tracker(
    host: Host,
    config: SageMakerAutoShutdown,
    aws: Aws,
    log: logging.Logger,
    on_call: Callable[[str, str], None] | None = None,
) -> CostTracker:
    """The tracker of this host's costs, not yet started. Does no I/O."""
    folder = Path(config.data_dir).expanduser()
    return CostTracker(
        host,
        folder,
        price_book(host.region, config, folder, log, on_call),
        gap=config.longest_gap,
        # Every third check of an app to which nothing happens.
        hold=timedelta(seconds=config.poll_interval * 2.5),
        avoided_cost_cap=timedelta(seconds=config.avoided_cost_cap),
        ask_volume=_volume_size(host, aws, log),
        log=log,
    )


def price_book(
    region: str,
    config: SageMakerAutoShutdown,
    folder: Path,
    log: logging.Logger,
    on_call: Callable[[str, str], None] | None = None,
) -> PriceBook:
    """The price book for the admin's settings. It reports each call to the Price List to
    ``on_call`` (operation and outcome), from a thread."""
    endpoint = endpoint_region(region) if config.price_list_api else None

    def price_list() -> PriceListCache:
        from ..prices.price_list import PriceListCache, fetch_with

        # Its own client, because the Price List answers in three regions only.
        fetch = _counted(fetch_with(Aws(endpoint or "").pages_blocking), on_call)
        return PriceListCache(region, fetch, folder / PRICE_CACHE_NAME, log=log)

    return PriceBook(
        region,
        own=config.prices,
        own_file=config.price_file,
        price_list=price_list if endpoint else None,
        log=log,
    )


def _counted(fetch: Fetch, on_call: Callable[[str, str], None] | None) -> Fetch:
    """The same function, but it reports the outcome of each call to ``on_call`` from the calling
    thread."""

    def counted(attributes: Mapping[str, str]) -> Iterator[str]:
        outcome = "ok"
        try:
            yield from fetch(attributes)
        except AwsError as error:
            outcome = error.code
            raise
        finally:
            if on_call is not None:
                on_call("pricing:GetProducts", outcome)

    return counted


def _volume_size(host: Host, aws: Aws, log: logging.Logger) -> Callable[[], int | None] | None:
    """Asks SageMaker for the size of the space's or notebook instance's volume, in GB; None if it
    can't be known. Classic has no such volume: its files are on the domain's EFS."""
    if host.kind is HostKind.SPACE:
        operation = "DescribeSpace"
        parameters = {"DomainId": host.domain_id, "SpaceName": host.owner}
        path: tuple[str, ...] = (
            "SpaceSettings",
            "SpaceStorageSettings",
            "EbsStorageSettings",
            "EbsVolumeSizeInGb",
        )
    elif host.kind is HostKind.NOTEBOOK_INSTANCE:
        operation = "DescribeNotebookInstance"
        parameters = {"NotebookInstanceName": host.app_name}
        path = ("VolumeSizeInGB",)
    else:
        return None

    def ask() -> int | None:
        found: Any = {}
        try:
            found = aws.call_blocking("sagemaker", operation, parameters)
        except AwsError as error:
            log.info("The size of the volume is not known: %s", error)
        for name in path:
            found = (found or {}).get(name)
        return found if isinstance(found, int) else None

    return ask
