"""The rounds of ``fleet run``: clocks that jump, a full disk, names with a special meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sagemaker_autoshutdown.fleet.bill import Rates
from sagemaker_autoshutdown.fleet.config import Config
from sagemaker_autoshutdown.fleet.metrics import FleetMetrics
from sagemaker_autoshutdown.fleet.model import Resource, Sweep
from sagemaker_autoshutdown.fleet.recorder import Recorder
from sagemaker_autoshutdown.fleet.reports import Heard
from sagemaker_autoshutdown.fleet.service import Failure, Fleet, Target
from sagemaker_autoshutdown.fleet.store import FILE_NAME, Store

from .scenes import NOON, after, app, rates, sweep


class Seeing(Fleet):
    """A fleet with prepared observations."""

    resources: tuple[Resource, ...] = (app(),)

    def sweep_all(
        self, sweep_id: str, now: Callable[[], datetime], heard: Heard | None
    ) -> Iterator[tuple[Target, Sweep | Failure, float]]:
        """One sweep, now."""
        found = sweep((now() - NOON) / timedelta(minutes=1), *self.resources)
        yield self.targets[0], found, 0.1

    def rates(self, target: Target) -> Rates:
        """A dollar an hour."""
        return rates()


class World:
    """A recorder whose clock can be set."""

    def __init__(self, folder: Path, *, by_owner: bool = False) -> None:
        self.store = Store(folder / FILE_NAME)
        self.fleet = Seeing(Config())
        self.metrics = FleetMetrics(by_owner)
        self.at = NOON
        self.recorder = Recorder(self.fleet, self.store, self.metrics, lambda: self.at)

    def round(self, minutes: float) -> None:
        """A round this long after noon."""
        self.at = after(minutes)
        assert self.recorder.round() == []

    @property
    def minutes_charged(self) -> float:
        """At a dollar an hour."""
        return sum(total.nano for total in self.store.totals()) / 1e9 * 60

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """The content of a scrape."""
        registry = CollectorRegistry()
        registry.register(self.metrics)
        text = generate_latest(registry).decode()
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_a_clock_that_is_set_back_takes_nothing_away_and_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.round(0)
    world.round(60)
    assert world.minutes_charged == pytest.approx(60)
    world.round(-120)
    assert world.minutes_charged == pytest.approx(60)
    (line,) = [line for line in caplog.messages if "clock" in line]
    assert "2026-09-01T13:00:00Z, which is ahead of this machine's clock" in line
    world.round(-115)
    assert len([line for line in caplog.messages if "clock" in line]) == 1
    world.round(65)
    assert world.minutes_charged == pytest.approx(65)
    assert "All is well again with the clock" in caplog.text


def test_a_clock_that_jumps_ahead_is_charged_as_an_estimate_and_once(world: World) -> None:
    world.round(0)
    world.round(5)
    world.round(5 + 24 * 60)
    costs = [cost.charge for cost in world.store.costs("2026-09-01", "2026-09-03")]
    assert sum(charge.estimated_nano for charge in costs) / 1e9 == pytest.approx(24)
    world.round(10)  # it was set right
    world.round(15)
    assert world.minutes_charged == pytest.approx(5 + 24 * 60)


def test_a_disk_that_is_full_stops_no_round_and_the_time_is_charged_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.round(0)
    world.round(5)
    (pages,) = world.store._db.execute("PRAGMA page_count").fetchone()
    world.store._db.execute(f"PRAGMA max_page_count = {pages}")
    world.fleet.resources = (
        app(),
        *(app("Canvas", owner=f"user-{number}") for number in range(2000)),
    )
    for minutes in (10, 15):
        world.round(minutes)
    assert world.minutes_charged == pytest.approx(5)
    full = [line for line in caplog.messages if "full" in line]
    assert len(full) == 1
    assert "can't be written: database or disk is full" in full[0]
    counter = [value for name, _, value in world.samples() if "cost_usd_total" in name]
    assert sum(counter) * 60 == pytest.approx(5)
    world.store._db.execute("PRAGMA max_page_count = 1000000")
    world.fleet.resources = (app(),)
    world.round(20)
    assert world.minutes_charged == pytest.approx(20)
    assert "All is well again with the record" in caplog.text


@pytest.mark.parametrize(
    "name",
    ['a"b\\c', "two\nlines", "tab\there", "Zoë \u202e 東京 😀", "=cmd()", 'x"} 7\n#'],
)
def test_a_name_of_any_kind_is_one_label_of_one_sample(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, by_owner=True)
    try:
        world.fleet.resources = (app(owner=name),)
        world.round(0)
        world.round(60)
        shown = world.samples()
    finally:
        world.store.close()
    owners = {labels["owner"] for _, labels, _ in shown if "owner" in labels}
    assert owners == {name}
    (cost,) = [value for sample, _, value in shown if sample.endswith("cost_usd_total")]
    assert cost == 1


def test_an_owner_is_named_only_where_the_configuration_asks_for_it(world: World) -> None:
    world.fleet.resources = (app(owner="ada-lovelace"),)
    world.round(0)
    world.round(60)
    assert not any("ada-lovelace" in labels.values() for _, labels, _ in world.samples())
