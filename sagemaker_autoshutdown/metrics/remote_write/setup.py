"""Builds a remote writer from the admin's settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from prometheus_client.core import Metric

from ...aws import sigv4_headers
from ...model import Host
from ...settings.admin import SageMakerAutoShutdown
from ..collector import Metrics
from .encode import Series, check_installed
from .writer import RemoteWriter

#: Seconds to wait for the event loop to hand over the samples.
GATHER_TIMEOUT = 30.0


def remote_writer(
    host: Host,
    config: SageMakerAutoShutdown,
    metrics: Metrics,
    loop: asyncio.AbstractEventLoop,
    log: logging.Logger,
    is_elsewhere: Callable[[], bool] = lambda: False,
) -> RemoteWriter | None:
    """The writer, not yet started; None if no receiver is named. It sends nothing while
    ``is_elsewhere``: another server then sends series with the same labels.

    Raises ``ValueError`` and ``MissingExtra``, whose messages say what to do.
    """
    if not config.remote_write_url:
        return None
    check_installed()
    sign = None
    if config.remote_write_sigv4:
        region = config.remote_write_region or host.region

        def sign(url: str, body: bytes, headers: Any) -> dict[str, str]:
            return sigv4_headers(url, body, headers, service="aps", region=region)

    common = {
        "job": "sagemaker_autoshutdown",
        "region": host.region,
        "account_id": host.account_id,
    }

    def gather() -> list[tuple[Series, float]]:
        return [] if is_elsewhere() else series_of(metrics.collect(), common)

    return RemoteWriter(
        config.remote_write_url,
        lambda: _on_loop(loop, gather),
        metrics,
        interval=config.remote_write_interval,
        headers={str(name): str(value) for name, value in config.remote_write_headers.items()},
        sign=sign,
        log=log,
    )


def series_of(families: Iterable[Metric], common: dict[str, str]) -> list[tuple[Series, float]]:
    """The samples of metrics, each with the ``common`` labels too."""
    return [
        (
            tuple(
                sorted(
                    (name, value)
                    for name, value in {
                        **common,
                        **sample.labels,
                        "__name__": sample.name,
                    }.items()
                    if value  # an empty label counts as missing
                )
            ),
            float(sample.value),
        )
        for family in families
        for sample in family.samples
    ]


def _on_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[[], list[tuple[Series, float]]]
) -> list[tuple[Series, float]]:
    """The function's result, called on the event loop, which owns the data. When the server
    ends, nothing else runs on the loop, so it is called directly."""
    if not loop.is_running():
        return function()
    answer: Future[list[tuple[Series, float]]] = Future()

    def call() -> None:
        try:
            answer.set_result(function())
        except BaseException as error:
            answer.set_exception(error)

    loop.call_soon_threadsafe(call)
    return answer.result(GATHER_TIMEOUT)
