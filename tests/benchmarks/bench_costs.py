"""The speed of answers about costs from a year's ledger, and of a scrape.

``python -m tests.benchmarks.bench_costs``. Printed, never asserted. The year: 10,000 runs and
50,000 stretches, of eight apps on four instances.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from sagemaker_autoshutdown import status as status_module
from sagemaker_autoshutdown.costs.billing.report import GroupBy
from sagemaker_autoshutdown.costs.microseconds import DAY, LONG_AGO, SECOND, span_us, to_us
from sagemaker_autoshutdown.costs.query import report
from sagemaker_autoshutdown.costs.store import reads
from sagemaker_autoshutdown.costs.store.database import open_for_reading
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME
from sagemaker_autoshutdown.costs.totals import RunningTotals, Spent
from sagemaker_autoshutdown.costs.tracker import CostTracker
from sagemaker_autoshutdown.costs.what_if import Limits, replay
from sagemaker_autoshutdown.decide import decide
from sagemaker_autoshutdown.metrics.collector import Metrics
from sagemaker_autoshutdown.model import (
    App,
    AppStatus,
    AppType,
    Holds,
    Host,
    HostKind,
    Price,
    PriceSource,
    Snapshot,
    Work,
    WorkKind,
)
from sagemaker_autoshutdown.prices.book import PriceBook
from sagemaker_autoshutdown.settings.admin import Policy
from sagemaker_autoshutdown.status import Status

from ..unit.costs.years import END, YEAR, fill

HOST = Host(HostKind.CLASSIC, "us-east-1", "d-1", "ada")
CAP = timedelta(days=1)


def best(work: Callable[[], object], times: int = 5) -> tuple[float, float]:
    """The best and the median of some runs, in milliseconds."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) * 1000)
    return min(took), sorted(took)[len(took) // 2]


def say(what: str, work: Callable[[], object], aim: str = "", times: int = 5) -> None:
    """Prints how long it takes."""
    low, middle = best(work, times)
    print(f"  {what:<52} {middle:9.2f} ms  (best {low:.2f}){f'   aim: {aim}' if aim else ''}")


def a_year(folder: Path) -> None:
    """Questions to a year's ledger."""
    path = folder / FILE_NAME
    fill(path)
    print(f"A ledger of one year: {path.stat().st_size / 1e6:.1f} MB")
    db = open_for_reading(path)
    try:
        for group_by in GroupBy:
            say(
                f"costs of the year by {group_by.value}",
                lambda group_by=group_by: report(  # type: ignore[misc]
                    db, END - YEAR, END, group_by, now=END, avoided_cap=span_us(CAP)
                ),
                "200 ms" if group_by is GroupBy.DAY else "",
            )
        running = RunningTotals(HOST, span_us(CAP))
        now = to_us(END) + 3600 * SECOND
        say("totals, from nothing (at start)", lambda: running.update(db, LONG_AGO, now), times=3)
        say("totals, after an observation", lambda: running.update(db, now, now), times=20)
        start, end = to_us(END - YEAR), to_us(END)
        limits = [Limits(timedelta(hours=hours)) for hours in (0.5, 1, 2)]
        say(
            "what-if: three limits over the last 30 days",
            lambda: replay(
                reads.timelines(db, end - 30 * DAY, end),
                reads.keep_alives(db, start, end),
                Policy(),
                limits,
                end - 30 * DAY,
                end,
            ),
            times=3,
        )
    finally:
        db.close()
    tracker = CostTracker(
        HOST,
        folder,
        PriceBook("us-east-1"),
        gap=timedelta(minutes=4),
        avoided_cost_cap=CAP,
        clock=lambda: END,
    )
    tracker.start()
    tracker.flush(60)
    say(
        "what status asks for (memory only)",
        lambda: (
            tracker.totals(),
            tracker.instance_cost(f"{HOST.domain_id}/{HOST.owner}/ml.t3.medium"),
        ),
        "10 ms",
        times=100,
    )

    async def asked() -> None:
        await tracker.costs(END - YEAR, END, GroupBy.DAY)

    say("GET costs by day, through the recording thread", lambda: asyncio.run(asked()))
    tracker.close()


def a_status(apps: int, kernels: int) -> Status:
    """The picture of a server with some apps, four on an instance, and some kernels."""
    listed = tuple(
        App(f"app-{n}", AppType.KERNEL_GATEWAY, AppStatus.IN_SERVICE, f"ml.x{n // 4}", END, END)
        for n in range(apps)
    )
    work = tuple(
        Work(
            WorkKind.KERNEL,
            f"k{n}",
            "x.ipynb",
            "idle",
            END,
            END,
            frozenset({f"app-{n % apps}"}),
        )
        for n in range(kernels)
    )
    now = END + timedelta(hours=1)
    verdicts = decide(Snapshot(listed, work), Policy(), "ada", Holds(), {}, now).verdicts
    return replace(
        status_module.empty(HOST, now),
        checked_at=now,
        apps=status_module.app_views(verdicts, work, {}, {}),
        instances=status_module.instance_views(
            HOST,
            verdicts,
            lambda name, _: Price(name, Decimal("0.05"), PriceSource.LIST),
            lambda *_: None,
        ),
    )


def scrapes() -> None:
    """Scrapes of everything that is shown."""
    print("A scrape of our metrics, text included")
    for apps, kernels, aim in ((1, 1, ""), (10, 100, "1 ms"), (100, 100, ""), (1000, 1000, "")):
        registry = CollectorRegistry()
        metrics = Metrics(HOST)
        status = a_status(apps, kernels)
        spent = tuple(
            Spent(instance.instance_type, "KernelGateway", 1.0, 1.0, 1.0)
            for instance in status.instances
        )
        metrics.watch(
            lambda status=status: status,  # type: ignore[misc]
            lambda spent=spent: spent,  # type: ignore[misc]
            Policy,
        )
        metrics.register(registry)
        say(
            f"{apps} apps, {kernels} kernels",
            lambda registry=registry: generate_latest(registry),  # type: ignore[misc]
            aim,
            times=21,
        )


def main() -> int:
    """Runs all of them."""
    with tempfile.TemporaryDirectory() as folder:
        a_year(Path(folder))
    scrapes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
