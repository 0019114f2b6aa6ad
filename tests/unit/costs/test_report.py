"""The answers of ``GET costs`` and ``status`` about a ledger."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.billing.arithmetic import bill, clip
from sagemaker_autoshutdown.costs.billing.report import GroupBy, Outcome, Report
from sagemaker_autoshutdown.costs.microseconds import DAY, LONG_AGO, span_us, to_us
from sagemaker_autoshutdown.costs.observation import Observation, Use
from sagemaker_autoshutdown.costs.outcomes import outcomes
from sagemaker_autoshutdown.costs.query import report
from sagemaker_autoshutdown.costs.store import days, reads
from sagemaker_autoshutdown.costs.store.database import open_for_writing
from sagemaker_autoshutdown.costs.totals import RunningTotals, Summary
from sagemaker_autoshutdown.costs.what_if import combinations, replay
from sagemaker_autoshutdown.model import EventKind, Money, PriceSource, Reason, VolumePrice
from sagemaker_autoshutdown.settings.admin import Policy

from .test_ledger import HOST, T0, World, after
from .years import fill

CAP = timedelta(hours=10)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.ledger.close()


def ask(world: World, group_by: GroupBy, start: datetime = T0, hours: float = 48) -> Report:
    found = world.ledger.read(
        lambda db: report(
            db,
            start,
            start + timedelta(hours=hours),
            group_by,
            now=world.now,
            avoided_cap=span_us(CAP),
        )
    )
    assert found is not None
    return found


def rows(found: Report) -> dict[str, tuple[str, str]]:
    return {key: (str(money.in_use_usd), str(money.idle_usd)) for key, money in found.rows}


def a_day(world: World) -> None:
    """From noon: a and b on one instance, b an hour longer; a shut down when idle for 2 h.

    36 USD an hour. Observations are close enough to leave no gaps.
    """
    for minute in range(3, 309, 3):
        at = minute * 60
        apps = []
        if minute <= 300:
            idle = minute > 180
            apps.append(world.app(Use.IDLE if idle else Use.HELD, 180 * 60 if idle else 0))
        if minute == 300:
            world.shut_down(at, Reason.IDLE_TIMEOUT)
        if minute <= 240:
            apps.append(world.app(Use.HELD, name="b"))
        world.observe(at, *apps)
    world.now = after(18 * 3600)


def test_costs_by_each_group_add_up_to_one_and_the_same_bill(world: World) -> None:
    a_day(world)
    # a until 17:03, b until 16:03; idle from b's end on
    totals = {group: ask(world, group).total for group in GroupBy}
    assert len({(money.usd, money.in_use_usd, money.idle_usd) for money in totals.values()}) == 1
    assert totals[GroupBy.DAY].usd == Decimal(36) * 303 / 60
    for group in GroupBy:
        found = ask(world, group)
        assert sum((money.usd for _, money in found.rows), Decimal(0)) == found.total.usd
        assert sum((m.avoided_usd for _, m in found.rows), Decimal(0)) == found.total.avoided_usd


def test_an_apps_share_is_an_even_one_among_those_that_are_up(world: World) -> None:
    a_day(world)
    assert rows(ask(world, GroupBy.APP)) == {
        # 243 min shared by two, then a alone and idle for 60
        "a": ("72.900000", "36.000000"),
        "b": ("72.900000", "0.000000"),
    }
    assert rows(ask(world, GroupBy.STATE)) == {
        "idle": ("0.000000", "36.000000"),
        "in_use": ("145.800000", "0.000000"),
    }
    assert list(rows(ask(world, GroupBy.INSTANCE))) == ["d-1/ada/ml.t3.medium"]
    assert list(rows(ask(world, GroupBy.INSTANCE_TYPE))) == ["ml.t3.medium"]


def test_avoided_cost_is_by_itself_and_for_the_cap_at_most(world: World) -> None:
    a_day(world)
    found = ask(world, GroupBy.DAY)
    # from 17:03 for ten hours: seven of them on the first day
    avoided = {key: money.avoided_usd for key, money in found.rows}
    assert avoided == {
        "2026-11-02": Decimal(36) * 417 / 60,
        "2026-11-03": Decimal(36) * 183 / 60,
    }
    assert found.total.usd == Decimal(36) * 303 / 60
    # not more than the time that has passed
    world.now = after(6 * 3600)
    assert ask(world, GroupBy.STATE).total.avoided_usd == Decimal(36) * 57 / 60


def test_a_shutdown_tells_how_long_the_app_was_idle_and_what_it_saved_until_it_came_back(
    world: World,
) -> None:
    a_day(world)
    world.now = after(6 * 3600)
    outcome = outcome_of_the_only_shutdown(world)
    assert outcome.idle == timedelta(hours=2)
    # gone at 17:03, asked at 18:00, at 36 USD an hour
    assert outcome.avoided_usd == Decimal(36) * 57 / 60
    world.observe(6 * 3600, world.app(Use.HELD))
    world.now = after(9 * 3600)
    assert outcome_of_the_only_shutdown(world).avoided_usd == Decimal(36) * 57 / 60


@pytest.mark.parametrize("active_time", [0, 300])
def test_a_short_use_of_an_idle_app_does_not_vanish_between_two_idle_times(
    world: World, active_time: int
) -> None:
    # A document is saved at 0:20, 0:40 and 1:00, then nothing happens for two hours.
    for minute in range(1, 181):
        used = min((minute - 1) // 20, 3) * 20 * 60
        use = Use.RECENT if minute * 60 - used < active_time else Use.IDLE
        if minute == 180:
            world.shut_down(180 * 60, Reason.IDLE_TIMEOUT)
        world.observe(minute * 60, world.app(use, used))
    assert outcome_of_the_only_shutdown(world).idle == timedelta(hours=2, microseconds=-1)
    found = world.ledger.read(
        lambda db: replay(
            reads.timelines(db, to_us(T0), to_us(after(180 * 60))),
            (),
            Policy(warning_time=timedelta(minutes=1)),
            combinations([timedelta(minutes=10), timedelta(minutes=30)], []),
            to_us(T0),
            to_us(after(180 * 60)),
        )
    )
    assert found is not None
    shorter, longer = found.outcomes
    assert (shorter.shutdowns, shorter.interrupted) == (4, 3)
    assert (longer.shutdowns, longer.interrupted) == (1, 0)


def test_a_shutdown_that_the_user_asked_for_claims_no_saving(world: World) -> None:
    for minute in range(0, 30, 3):
        world.observe(minute * 60, world.app(Use.HELD))
    world.shut_down(27 * 60, Reason.USER_REQUEST)
    world.observe(30 * 60)
    world.now = after(6 * 3600)
    assert outcome_of_the_only_shutdown(world) == Outcome(None, None)


def outcome_of_the_only_shutdown(world: World) -> Outcome:
    def query(db: sqlite3.Connection) -> list[Outcome]:
        events = reads.events(db, 100)
        found = outcomes(db, events, now=world.now, avoided_cap=span_us(CAP))
        return [found[event.at] for event in events if event.kind is EventKind.SHUTDOWN]

    [outcome] = world.ledger.read(query) or []
    return outcome


def test_a_part_of_a_day_is_asked_for_to_the_second(world: World) -> None:
    a_day(world)
    found = ask(world, GroupBy.STATE, start=after(60), hours=1 / 3600)
    assert rows(found) == {"in_use": ("0.010000", "0.000000")}


def test_a_spaces_volume_is_its_own_line_and_in_no_sum(world: World) -> None:
    price = VolumePrice(Decimal("0.112"), PriceSource.LIST)
    world.ledger.set_volume(HOST, T0, 300, price)
    world.ledger.set_volume(HOST, T0, 300, price)
    a_day(world)
    world.now = after(48 * 3600)
    by_state = ask(world, GroupBy.STATE)
    assert dict(by_state.rows)["volume"].volume_usd == Decimal("2.24")  # 2 of 30 days
    assert by_state.total.volume_usd == Decimal("2.24")
    assert by_state.total.usd == Decimal(36) * 303 / 60
    by_day = ask(world, GroupBy.DAY)
    assert [str(money.volume_usd) for _, money in by_day.rows] == [
        "0.560000",
        "1.120000",
        "0.560000",
    ]


def test_csv_says_what_the_json_says_and_is_no_formula(world: World) -> None:
    a_day(world)
    world.observe(310 * 60, world.app(name='=HYPERLINK("x")', started=309 * 60))
    found = ask(world, GroupBy.APP)
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [line["key"] for line in lines] == ['\'=HYPERLINK("x")', "a", "b"]
    assert [Decimal(line["usd"]) for line in lines] == [money.usd for _, money in found.rows]
    assert {line["estimated"] for line in lines} == {"false"}


def test_csv_tells_unpriced_time_to_the_second_though_it_is_a_year() -> None:
    year = Money(unpriced_seconds=31_536_001.5)
    found = Report(T0, T0, GroupBy.DAY, (("2026-11-02", year),), year)
    (line,) = csv.DictReader(io.StringIO(found.to_csv()))
    assert line["unpriced_seconds"] == "31536001.5"


def test_a_time_of_which_nothing_is_known_cost_nothing(world: World) -> None:
    world.ledger.open()
    found = ask(world, GroupBy.DAY)
    assert (found.rows, found.total) == ((), Money())


# --- running totals -----------------------------------------------------------------------------


def totals(world: World, running: RunningTotals) -> Summary:
    found = world.ledger.read(lambda db: running.update(db, LONG_AGO, to_us(world.now)))
    assert found is not None
    return found


def test_totals_are_those_of_the_same_time_in_a_report(world: World) -> None:
    a_day(world)
    summary = totals(world, RunningTotals(HOST, span_us(CAP)))
    midnight = datetime(2026, 11, 3, tzinfo=timezone.utc)
    today = ask(world, GroupBy.INSTANCE, start=midnight, hours=6)
    month = ask(world, GroupBy.INSTANCE, start=T0.replace(day=1, hour=0), hours=300)
    assert summary.totals.today == today.total
    assert summary.totals.month == month.total
    assert summary.totals.last_30_days == month.total
    assert summary.instances["d-1/ada/ml.t3.medium"].month == month.total
    ((spent),) = summary.spent
    assert (spent.instance_type, spent.app_type) == ("ml.t3.medium", "KernelGateway")
    assert Decimal(f"{spent.in_use_usd + spent.idle_usd:.6f}") == month.total.usd
    # That counter waits for the next observation.
    assert Decimal(f"{spent.avoided_usd:.6f}") == Decimal(36) * 3 / 60


def test_totals_that_grow_observation_by_observation_are_those_that_are_added_up_anew(
    world: World,
) -> None:
    running = RunningTotals(HOST, span_us(CAP))
    summary = None
    start = 11 * 3600 + 40 * 60  # to twenty past midnight
    for minute in range(0, 40, 3):
        at = start + minute * 60
        world.now = after(at)
        # Idle since before midnight, which is known only later.
        use, since = (Use.HELD, None) if minute < 10 else (Use.RECENT, start + 600)
        if minute > 25:
            use = Use.IDLE
        observation = Observation(world.now, HOST, (world.app(use, since, started=start - 3600),))
        changed_since = world.ledger.record(observation)
        now = to_us(world.now)
        summary = world.ledger.read(
            lambda db, since=changed_since, now=now: running.update(db, since, now)  # type: ignore[misc]
        )
    assert summary is not None
    anew = totals(world, RunningTotals(HOST, span_us(CAP)))
    assert summary.totals == anew.totals
    assert summary.instances == anew.instances


def test_counters_wait_for_what_may_turn_out_to_be_idle(world: World) -> None:
    running = RunningTotals(HOST, span_us(CAP))
    seen = []

    def observe(at: float, use: Use, since: float | None) -> None:
        world.observe(at, world.app(use, since))
        ((spent),) = totals(world, running).spent
        seen.append((round(spent.in_use_usd, 2), round(spent.idle_usd, 2)))

    observe(100, Use.HELD, 0)
    observe(200, Use.RECENT, 110)
    observe(300, Use.RECENT, 110)
    observe(450, Use.IDLE, 110)
    observe(500, Use.HELD, 450)
    assert seen == [(1.0, 0), (1.1, 0), (1.1, 0), (1.1, 3.4), (1.6, 3.4)]


def test_a_new_day_that_could_not_be_read_is_read_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = RunningTotals(HOST, span_us(CAP))
    a_day(world)
    world.now = after(6 * 3600)
    totals(world, running)
    world.now = after(48 * 3600)
    nothing_new = to_us(world.now)
    with monkeypatch.context() as broken:
        answers: Iterator[list[days.DayCharge]] = iter([[]])  # there is no second one
        broken.setattr(days, "between", lambda *_: next(answers))
        with pytest.raises(StopIteration):
            world.ledger.read(lambda db: running.update(db, nothing_new, nothing_new))
    found = world.ledger.read(lambda db: running.update(db, nothing_new, nothing_new))
    assert found == totals(world, RunningTotals(HOST, span_us(CAP)))


def test_counters_go_on_where_they_were_after_a_restart(world: World) -> None:
    a_day(world)
    before = totals(world, RunningTotals(HOST, span_us(CAP))).spent
    world.restart()
    world.ledger.open()
    assert totals(world, RunningTotals(HOST, span_us(CAP))).spent == before


# --- kept sums of days --------------------------------------------------------------------------


def test_sums_of_days_say_what_the_stretches_say(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    fill(path, runs=400, stretches=2000)
    db, _ = open_for_writing(path)
    try:
        (until,) = db.execute("SELECT day FROM days_until").fetchone()
        whole = (until - 200) * DAY, until * DAY
        expected = sorted(days.add_up(bill(clip(reads.stretches(db, *whole), *whole))), key=repr)
        assert sorted(days.between(db, *whole), key=repr) == expected
        assert len(expected) > 500
    finally:
        db.close()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.integers(0, 20 * DAY), length=st.integers(1, 20 * DAY))
def test_any_time_is_billed_alike_with_and_without_kept_sums(
    year: Path, start: int, length: int
) -> None:
    db, _ = open_for_writing(year)
    try:
        (until,) = db.execute("SELECT day FROM days_until").fetchone()
        first = (until - 30) * DAY + start
        last = first + length
        billed: dict[tuple[str, bool], int] = {}
        for charge in days.between(db, first, last):
            key = (charge.instance, charge.idle)
            billed[key] = billed.get(key, 0) + charge.duration
        expected: dict[tuple[str, bool], int] = {}
        for one in bill(clip(reads.stretches(db, first, last), first, last)):
            key = (one.instance, one.idle)
            expected[key] = expected.get(key, 0) + one.end - one.start
        assert billed == expected
    finally:
        db.close()


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("year") / "ledger.sqlite3"
    fill(path, runs=400, stretches=2000)
    return path


def test_a_day_that_turns_out_otherwise_is_added_up_anew(world: World) -> None:
    """Idle since before midnight, which is known only later."""
    near_midnight = 12 * 3600 - 200
    world.observe(near_midnight, world.app(Use.HELD, started=near_midnight - 100))
    world.observe(near_midnight + 180, world.app(Use.RECENT, near_midnight + 20))
    world.observe(near_midnight + 360, world.app(Use.RECENT, near_midnight + 20))
    midnight = T0.replace(hour=0)  # a whole day is asked for: one whose sum is kept
    before = rows(ask(world, GroupBy.DAY, start=midnight))
    assert before["2026-11-02"] == ("3.000000", "0.000000")
    world.observe(near_midnight + 540, world.app(Use.IDLE, near_midnight + 20))
    assert rows(ask(world, GroupBy.DAY, start=midnight)) == {
        "2026-11-02": ("1.200000", "1.800000"),
        "2026-11-03": ("0.000000", "3.400000"),
    }
