"""``python -m tests.localstudio.record``: a record of some weeks, for pictures of a panel.

What was up and used is made up here. It is written by the product's own store, observation by
observation, so that every sum and every event is read as in a real record. Run it while no server
writes to the folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sagemaker_autoshutdown.clock import from_iso, utcnow
from sagemaker_autoshutdown.costs.observation import AppObservation, Observation, Use
from sagemaker_autoshutdown.costs.store import database
from sagemaker_autoshutdown.costs.store.ledger import Ledger
from sagemaker_autoshutdown.model import (
    App,
    AppStatus,
    AppType,
    Event,
    EventKind,
    Host,
    HostKind,
    Reason,
)
from sagemaker_autoshutdown.prices.book import PriceBook

from . import names

DAYS = 30
STEP = timedelta(minutes=30)
LIMIT = timedelta(hours=2)

#: The image and instance type of the app for every day, and of the one with a GPU.
NOTEBOOKS = ("datascience-1.0", "ml.t3.medium")
TRAINING = ("pytorch-2.0.0-gpu-py310", "ml.g4dn.2xlarge")


@dataclass(frozen=True)
class Run:
    """An app from when it came up until it was shut down; idle since ``used_until``."""

    image: str
    instance_type: str
    start: datetime
    used_until: datetime
    end: datetime
    reason: Reason

    def observed(self, at: datetime, host: Host, prices: PriceBook) -> AppObservation:
        """As an observation while it was up has it."""
        found = names.find_image(self.image)
        kind = AppType.KERNEL_GATEWAY
        app = App(
            name=names.app_name(found, self.instance_type),
            app_type=kind,
            status=AppStatus.IN_SERVICE,
            instance_type=self.instance_type,
            run_started_at=self.start,
            status_since=self.start,
            image_arn=found.arn,
        )
        is_idle = at > self.used_until
        return AppObservation(
            app,
            host.billing_key(app),
            Use.IDLE if is_idle else Use.HELD,
            self.used_until if is_idle else self.start,
            prices.price(self.instance_type, kind.value),
        )

    def shutdown(self) -> Event:
        """The event of its end."""
        name = names.app_name(names.find_image(self.image), self.instance_type)
        return Event(
            self.end,
            EventKind.SHUTDOWN,
            f"{name} is being shut down",
            name,
            AppType.KERNEL_GATEWAY.value,
            self.instance_type,
            self.reason,
        )


def runs(until: datetime) -> Iterator[Run]:
    """What somebody ran on the days up to ``until``: on working days, each a little different."""
    midnight = until.replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(DAYS - 1, -1, -1):
        day = midnight - timedelta(days=back)
        if day.weekday() >= 5:
            continue
        starts = day + timedelta(hours=8, minutes=30 * (back % 3))
        yield from _until(
            until,
            _forgotten(NOTEBOOKS, starts, timedelta(hours=8 + back % 4 / 2)),
        )
        if back % 5 in (0, 1, 3):
            begins = day + timedelta(hours=9 + back % 3)
            training = timedelta(hours=2 + back % 4)
            if back % 7 == 4:
                end = begins + training + STEP
                yield from _until(
                    until, Run(*TRAINING, begins, end - STEP, end, Reason.USER_REQUEST)
                )
            else:
                yield from _until(until, _forgotten(TRAINING, begins, training))


def _forgotten(what: tuple[str, str], start: datetime, used: timedelta) -> Run:
    return Run(*what, start, start + used, start + used + LIMIT, Reason.IDLE_TIMEOUT)


def _until(until: datetime, run: Run) -> Iterator[Run]:
    if run.end < until:
        yield run


def write(folder: Path, host: Host, up_since: datetime, until: datetime) -> None:
    """Write the record of the days up to ``until`` into ``folder``. Both apps are up again since
    ``up_since``, and the one with a GPU has been idle since then."""
    prices = PriceBook(host.region)
    ledger = Ledger(folder, gap=2 * STEP, clock=lambda: until)
    was_up = list(runs(up_since))
    is_up = (
        Run(*NOTEBOOKS, up_since, until, until, Reason.IDLE_TIMEOUT),
        Run(*TRAINING, up_since, up_since, until, Reason.IDLE_TIMEOUT),
    )
    try:
        at = min(run.start for run in was_up)
        while at < up_since:
            for run in was_up:
                if run.end == at:
                    ledger.add_event(host, run.shutdown())
            if any(run.start <= at <= run.end for run in was_up):
                up = [run for run in was_up if run.start <= at < run.end]
                seen = tuple(run.observed(at, host, prices) for run in up)
                ledger.record(Observation(at, host, seen))
            at += STEP
        for moment in (up_since, *_steps(up_since, until), until):
            seen = tuple(run.observed(moment, host, prices) for run in is_up)
            ledger.record(Observation(moment, host, seen))
        if ledger.error:
            raise OSError(ledger.error)
    finally:
        ledger.close()


def _steps(start: datetime, end: datetime) -> Iterator[datetime]:
    while (start := start + STEP) < end:
        yield start


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.localstudio.record", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the server keeps its record")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--user", required=True, help="the name of the user profile")
    parser.add_argument(
        "--up-since", type=from_iso, required=True, help="when the apps that are up now came up"
    )
    options = parser.parse_args(arguments)
    database.SYNCHRONOUS = "OFF"  # it outlives no power cut: there is no need to wait for the disk
    host = Host(HostKind.CLASSIC, names.REGION, options.domain, options.user)
    write(options.folder, host, options.up_since, utcnow())
    return 0


if __name__ == "__main__":
    sys.exit(main())
