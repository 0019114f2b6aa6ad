"""Counters of cost: they never fall, and end up equal to the bill.

Prometheus takes a counter that falls for a new one and counts all of it once more. A server that
starts, is killed or moves to another instance type must not cause that.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.billing.arithmetic import bill, cost_of
from sagemaker_autoshutdown.costs.microseconds import FOR_EVER, LONG_AGO, span_us, to_us
from sagemaker_autoshutdown.costs.observation import AppObservation, Observation, Use
from sagemaker_autoshutdown.costs.store import database, reads
from sagemaker_autoshutdown.costs.totals import RunningTotals, Summary
from sagemaker_autoshutdown.errors import Unavailable
from sagemaker_autoshutdown.model import AppType, Host, HostKind, Reason

from .test_ledger import HOST, PRICE, World, after

CAP = timedelta(hours=10)
UNPRICED = replace(PRICE, usd_per_hour=None)
DEARER = replace(PRICE, usd_per_hour=Decimal(72))


class Counters:
    """A server's export each time, next to that of a server that has just started."""

    def __init__(self, world: World, host: Host = HOST) -> None:
        self.world = world
        self.host = host
        self.running = RunningTotals(host, span_us(CAP))
        self.highest: dict[tuple[str, str, str], float] = {}

    def read(self, running: RunningTotals, changed_since: int = LONG_AGO) -> Summary:
        now = to_us(self.world.now)
        found = self.world.ledger.read(lambda db: running.update(db, changed_since, now))
        assert found is not None
        return found

    def observe(
        self, seconds: float, *apps: AppObservation, closed: float | None = None
    ) -> dict[tuple[str, str, str], float]:
        """The export after an observation; fails if anything fell."""
        self.world.now = after(seconds)
        closed_since = None if closed is None else after(closed)
        changed_since = self.world.ledger.record(
            Observation(self.world.now, self.host, apps, closed_since=closed_since)
        )
        assert self.world.ledger.error == ""
        summary = self.read(self.running, changed_since)
        assert summary == self.read(RunningTotals(self.host, span_us(CAP)))
        found = {
            (one.instance_type, one.app_type, state): value
            for one in summary.spent
            for state, value in (
                ("in_use", one.in_use_usd),
                ("idle", one.idle_usd),
                ("avoided", one.avoided_usd),
            )
        }
        for key, value in self.highest.items():
            assert found.get(key, 0.0) >= value, f"{key} fell from {value} to {found.get(key)}"
        self.highest = found
        return found


@contextmanager
def a_world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "data")
        try:
            yield world
        finally:
            world.ledger.close()


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


def in_a_space(
    world: World, instance_type: str, use: Use = Use.HELD, **facts: float
) -> AppObservation:
    """A space's app, whose instance keeps its name on any type."""
    observed = world.app(use, name="default", instance_type=instance_type, **facts)  # type: ignore[arg-type]
    app = replace(observed.app, app_type=AppType.JUPYTER_LAB)
    return replace(observed, app=app, instance="d-1/ada/JupyterLab/default")


def billed(world: World) -> dict[tuple[str, str], float]:
    """The recorded cost, by instance type and state."""
    usd: dict[tuple[str, str], float] = {}
    for charge in bill(world.ledger.read(lambda db: reads.stretches(db, 0, FOR_EVER)) or []):
        if charge.usd_per_hour is not None:
            key = (charge.instance_type, "idle" if charge.idle else "in_use")
            amount = cost_of(charge.end - charge.start, charge.usd_per_hour)
            usd[key] = usd.get(key, 0.0) + float(amount)
    return usd


# --- any history ----------------------------------------------------------------------------------

seen = st.fixed_dictionaries(
    {
        "use": st.sampled_from([*Use, Use.HELD, Use.IDLE, Use.RECENT]),
        "ago": st.sampled_from([0, 1, 20, 70, 130, 290, 1000, 20_000]),
        "created": st.sampled_from([*[None] * 6, 0, 30, 500, 5000]),
        "price": st.sampled_from([PRICE, PRICE, DEARER, UNPRICED]),
        "unseen": st.sampled_from([*[False] * 6, True]),
        "instance_type": st.sampled_from([*["ml.m5.large"] * 4, "ml.g5.xlarge"]),
    }
)
steps = st.lists(
    st.fixed_dictionaries(
        {
            "passed": st.sampled_from([*[60] * 6, 20, 180, 300, 4000, 50_000, 100_000]),
            "apps": st.fixed_dictionaries({}, optional={"a": seen, "b": seen, "default": seen}),
            "restarts": st.sampled_from([False, False, True]),
            "shut_down": st.sampled_from([*[""] * 5, "a", "b", "default"]),
            "closed": st.sampled_from([*[None] * 3, 0, 30, 100, 301, 60_000]),
        }
    ),
    min_size=2,
    max_size=25,
)


def as_seen(world: World, at: float, name: str, facts: dict[str, object]) -> AppObservation:
    use = facts["use"]
    assert isinstance(use, Use)
    ago = facts["ago"]
    assert isinstance(ago, int)
    knows = use in (Use.HELD, Use.RECENT, Use.IDLE)
    if use is Use.RECENT:
        ago = min(ago, 290)
    created = facts["created"]
    options = {
        "since": at - ago if knows else None,
        "started": 0 if created is None else at - created,  # type: ignore[operator]
        "price": facts["price"],
    }
    if name == "default":
        observed = in_a_space(world, str(facts["instance_type"]), use, **options)  # type: ignore[arg-type]
    else:
        observed = world.app(use, name=name, **options)  # type: ignore[arg-type]
    if facts["unseen"]:
        app = replace(observed.app, unseen=True, instance_type="")
        observed = AppObservation(app, "", Use.UNSEEN, None, UNPRICED)
    return observed


@settings(max_examples=80, deadline=None)
@given(steps)
def test_no_history_of_observations_restarts_and_moves_makes_a_counter_fall(
    history: list[dict[str, object]],
) -> None:
    live_through(history, with_presence=True)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_whether_a_browser_is_connected_changes_no_counter(
    history: list[dict[str, object]],
) -> None:
    assert live_through(history, with_presence=True) == live_through(history, with_presence=False)


def live_through(
    history: list[dict[str, object]], *, with_presence: bool
) -> list[dict[tuple[str, str, str], float]]:
    """The export after each observation; fails if anything fell, or differs from the bill."""
    found = []
    with pytest.MonkeyPatch.context() as patch, a_world() as world:
        patch.setattr(database, "SYNCHRONOUS", "OFF")
        counters = Counters(world)
        at = 50_000.0
        for step in history:
            if step["restarts"]:
                world.restart()
                counters.running = RunningTotals(HOST, span_us(CAP))
            at += step["passed"]  # type: ignore[operator]
            apps: dict[str, dict[str, object]] = step["apps"]  # type: ignore[assignment]
            seen = [as_seen(world, at, name, facts) for name, facts in apps.items()]
            ago = step["closed"] if with_presence else None
            closed = None if ago is None else at - ago  # type: ignore[operator]
            found.append(counters.observe(at, *seen, closed=closed))
            name = str(step["shut_down"])
            app_type = "JupyterLab" if name == "default" else "KernelGateway"
            world.shut_down(at + 1, Reason.IDLE_TIMEOUT, name, app_type)
        found.append(counters.observe(at + 60))
        bill = billed(world)
        exported: dict[tuple[str, str], float] = {}
        for (instance_type, _, state), usd in counters.highest.items():
            if usd and state != "avoided":
                key = (instance_type, state)
                exported[key] = exported.get(key, 0.0) + usd
        assert exported == pytest.approx({key: usd for key, usd in bill.items() if usd})
    return found


# --- the ways it went wrong -----------------------------------------------------------------------


def test_a_short_use_stays_counted_once_a_longer_active_time_makes_it_recent(world: World) -> None:
    counters = Counters(world)
    counters.observe(100, world.app(Use.IDLE, since=100))
    counters.observe(200, world.app(Use.IDLE, since=199))
    counters.observe(300, world.app(Use.RECENT, since=199))


def test_a_space_that_changes_its_type_leaves_its_dollars_where_they_were(world: World) -> None:
    counters = Counters(world)
    counters.observe(100, in_a_space(world, "ml.m5.large"))
    counters.observe(200, in_a_space(world, "ml.m5.large"))
    found = counters.observe(300, in_a_space(world, "ml.g5.xlarge", started=250))
    assert found["ml.m5.large", "JupyterLab", "in_use"] == 2
    assert found["ml.g5.xlarge", "JupyterLab", "in_use"] == 0.5


def test_what_a_space_avoided_stays_with_the_type_that_was_shut_down(world: World) -> None:
    counters = Counters(world)
    counters.observe(100, in_a_space(world, "ml.m5.large"))
    world.shut_down(101, Reason.IDLE_TIMEOUT, "default", "JupyterLab")
    counters.observe(200)
    counters.observe(300)
    found = counters.observe(400, in_a_space(world, "ml.g5.xlarge", started=390))
    assert found["ml.m5.large", "JupyterLab", "avoided"] == 1.9
    assert found["ml.g5.xlarge", "JupyterLab", "avoided"] == 0


def test_what_may_turn_out_to_be_idle_is_not_exported_by_a_restart(world: World) -> None:
    counters = Counters(world)
    counters.observe(100, world.app(Use.HELD, 0))
    found = counters.observe(200, world.app(Use.RECENT, 110))
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 1.1
    world.restart()
    world.ledger.open()
    counters.running = RunningTotals(HOST, span_us(CAP))
    (spent,) = counters.read(counters.running).spent
    assert spent.in_use_usd == 1.1
    found = counters.observe(450, world.app(Use.IDLE, 110))
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 1.1
    assert found["ml.t3.medium", "KernelGateway", "idle"] == 3.4


def test_an_app_that_nobody_can_see_holds_back_no_other_instance(world: World) -> None:
    counters = Counters(world)
    for at in (100, 200, 300):
        g5 = world.app(Use.HELD, name="b", instance_type="ml.g5.xlarge")
        found = counters.observe(at, world.app(Use.UNSEEN), g5)
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 0
    assert found["ml.g5.xlarge", "KernelGateway", "in_use"] == 3


def test_work_of_one_app_is_in_use_whatever_another_on_its_instance_turns_out_to_be(
    world: World,
) -> None:
    counters = Counters(world)
    for at in (100, 200, 300):
        found = counters.observe(at, world.app(Use.UNSEEN), world.app(Use.HELD, name="b"))
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 3


def test_a_user_who_runs_one_short_cell_after_another_is_in_use_all_the_while(
    world: World,
) -> None:
    counters = Counters(world)
    for at in range(100, 1000, 100):
        found = counters.observe(at, world.app(Use.RECENT, at - 5))
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 8.95


def test_a_new_app_does_not_make_idle_time_of_its_instance_used_before_it_was_there(
    world: World,
) -> None:
    counters = Counters(world)
    counters.observe(100, world.app(Use.IDLE, 0))
    found = counters.observe(200, world.app(Use.IDLE, 0), world.app(name="b", started=50))
    assert found["ml.t3.medium", "KernelGateway", "idle"] == 1
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 1


def test_avoided_cost_is_not_exported_beyond_the_last_observation(world: World) -> None:
    """The instance may have been started again while nobody looked."""
    counters = Counters(world)
    counters.observe(100, world.app())
    world.shut_down(101, Reason.IDLE_TIMEOUT)
    counters.observe(200)
    counters.observe(300)
    world.restart()
    world.ledger.open()
    counters.running = RunningTotals(HOST, span_us(CAP))
    world.now = after(9000)
    (spent,) = counters.read(counters.running).spent
    assert spent.avoided_usd == 1
    found = counters.observe(9000, world.app(started=1000))
    assert found["ml.t3.medium", "KernelGateway", "avoided"] == 8


def test_another_owner_of_the_same_home_is_not_counted_as_this_one(world: World) -> None:
    """A home that was copied, or that a private and a shared space use in turn."""
    other = Host(HostKind.CLASSIC, "us-east-1", "d-1", "bob")
    bobs = replace(world.app(), instance="d-1/bob/ml.t3.medium")
    world.now = after(100)
    world.ledger.record(Observation(world.now, other, (bobs,)))
    counters = Counters(world)
    found = counters.observe(150, world.app(started=50))
    assert found["ml.t3.medium", "KernelGateway", "in_use"] == 1
    summary = world.ledger.read(
        lambda db: RunningTotals(HOST, span_us(CAP)).update(db, LONG_AGO, to_us(world.now))
    )
    assert summary is not None
    assert summary.totals.today.usd == 1
    assert list(summary.instances) == ["d-1/ada/ml.t3.medium"]


@pytest.mark.parametrize(
    "question", ["runs_version", "stretches", "last_observed_at", "volumes", "unsettled"]
)
def test_a_disk_that_fails_half_way_through_adding_up_makes_nothing_count_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    counters = Counters(world)
    counters.observe(60, world.app(Use.RECENT, since=50))
    world.now = after(120)
    changed_since = world.ledger.record(Observation(world.now, HOST, (world.app(),)))

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(reads, question, fail)
        with pytest.raises(Unavailable):
            counters.read(counters.running, changed_since)
    again = counters.read(counters.running, changed_since)
    assert again == counters.read(RunningTotals(HOST, span_us(CAP)))
