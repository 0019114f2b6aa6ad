"""The facade: observations in, totals out, never in the way."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from traitlets.config import Config, LoggingConfigurable

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.costs import setup
from sagemaker_autoshutdown.costs import totals as totals_module
from sagemaker_autoshutdown.costs import tracker as tracker_module
from sagemaker_autoshutdown.costs.billing.report import GroupBy
from sagemaker_autoshutdown.costs.microseconds import to_us
from sagemaker_autoshutdown.costs.observation import Use, observation_of
from sagemaker_autoshutdown.costs.store import days
from sagemaker_autoshutdown.costs.store.ledger import Ledger
from sagemaker_autoshutdown.costs.tracker import CostTracker
from sagemaker_autoshutdown.decide import AppMemory, decide
from sagemaker_autoshutdown.errors import Unavailable
from sagemaker_autoshutdown.listeners import Check
from sagemaker_autoshutdown.model import (
    App,
    AppStatus,
    AppType,
    Event,
    EventKind,
    Holds,
    Host,
    HostKind,
    Presence,
    Price,
    PriceSource,
    Reason,
    Snapshot,
    Verdict,
    Work,
    WorkKind,
)
from sagemaker_autoshutdown.prices.book import PriceBook
from sagemaker_autoshutdown.prices.price_list import PriceListCache
from sagemaker_autoshutdown.settings import admin as config_module
from sagemaker_autoshutdown.settings.admin import Policy

from .test_ledger import HOST, T0, after

SPACE = Host(HostKind.SPACE, "us-east-1", "d-1", "team", app_name="default")


def app(
    name: str = "a",
    status: AppStatus = AppStatus.IN_SERVICE,
    instance_type: str = "ml.t3.medium",
) -> App:
    return App(name, AppType.KERNEL_GATEWAY, status, instance_type, T0, T0)


def verdicts(
    now: datetime,
    *apps: App,
    work: tuple[Work, ...] = (),
    apps_error: str = "",
    activity_error: str = "",
) -> tuple[Verdict, ...]:
    """In the loop's form: from the decision itself."""
    snapshot = Snapshot(apps, work, apps_error, activity_error)
    return decide(snapshot, Policy(), "ada", Holds(), {}, now).verdicts


def kernel(state: str, last_activity: datetime, apps: tuple[str, ...] = ("a",)) -> Work:
    return Work(
        WorkKind.KERNEL, "k", "x.ipynb", state, last_activity, last_activity, frozenset(apps)
    )


Make = Callable[..., CostTracker]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made = []

    def build(host: Host = HOST, **options: object) -> CostTracker:
        defaults = {
            "gap": timedelta(seconds=240),
            "avoided_cost_cap": timedelta(days=1),
            "clock": lambda: after(3600),
        }
        tracker = CostTracker(
            host,
            tmp_path / "data",
            **{"prices": PriceBook("us-east-1"), **defaults, **options},  # type: ignore[arg-type]
        )
        made.append(tracker)
        tracker.start()
        return tracker

    yield build
    for tracker in made:
        tracker.close(60)


# --- verdicts become an observation -----------------------------------------------------------


def uses(found: tuple[Verdict, ...], now: datetime) -> dict[str, tuple[Use, datetime | None]]:
    observation = observation_of(HOST, found, now, PriceBook("us-east-1").price)
    assert observation is not None
    return {one.app.name: (one.use, one.since) for one in observation.apps}


def test_an_app_is_idle_for_cost_once_it_was_not_used_for_active_time() -> None:
    used = after(1000)
    just = verdicts(after(1299), app(), work=(kernel("idle", used),))
    assert uses(just, after(1299)) == {"a": (Use.RECENT, used)}
    long = verdicts(after(1300), app(), work=(kernel("idle", used),))
    assert uses(long, after(1300)) == {"a": (Use.IDLE, used)}


def test_a_busy_app_is_held_and_an_unseen_one_is_not_idle() -> None:
    busy = verdicts(after(5000), app(), work=(kernel("busy", after(10)),))
    assert uses(busy, after(5000)) == {"a": (Use.HELD, after(10))}
    unseen = verdicts(after(5000), app(), activity_error="no answer")
    assert uses(unseen, after(5000)) == {"a": (Use.UNSEEN, None)}


async def test_the_record_keeps_since_when_no_browser_was_connected(make: Make) -> None:
    tracker = make()
    for seconds, presence in ((60, Presence(True)), (120, Presence(True, after(90)))):
        now = after(seconds)
        tracker.on_check(Check(now, None, verdicts(now, app()), True, presence))
    found = await tracker._ask(
        lambda db: db.execute("SELECT started_at, closed_since FROM stretches").fetchall()
    )
    assert found == [(to_us(T0), None), (to_us(after(90)), to_us(after(90)))]


def test_f20_only_what_is_up_is_billed_and_deleting_is() -> None:
    found = verdicts(
        after(5000),
        app("starting", AppStatus.PENDING),
        app("failed", AppStatus.FAILED),
        app("going", AppStatus.DELETING),
    )
    assert uses(found, after(5000)) == {"going": (Use.AS_BEFORE, None)}


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize("state", ["busy", "recent", "idle", "unseen"])
def test_status_and_ledger_agree_on_what_is_idle_while_an_app_is_being_deleted(
    tmp_path: Path, state: str, asked_for: bool
) -> None:
    used = {"busy": T0, "recent": T0, "idle": T0 - timedelta(hours=1), "unseen": T0}[state]
    work = (kernel("busy" if state == "busy" else "idle", used),)
    memory: Mapping[str, AppMemory] = {}
    ledger = Ledger(tmp_path, gap=timedelta(seconds=240), clock=lambda: T0)
    for seconds in range(0, 1200, 60):
        now = after(seconds)
        status = AppStatus.IN_SERVICE if seconds <= 120 else AppStatus.DELETING
        up = replace(app(status=status), run_started_at=T0 - timedelta(hours=2))
        requested = frozenset({"a"}) if asked_for and seconds == 120 else frozenset()
        error = "down" if state == "unseen" else ""
        decision = decide(
            Snapshot((up,), work, "", error), Policy(), "ada", Holds({}, requested), memory, now
        )
        memory = decision.memory
        observation = observation_of(HOST, decision.verdicts, now, PriceBook("us-east-1").price)
        assert observation is not None
        ledger.record(observation)
        ((idle,),) = ledger.read(lambda db: db.execute("SELECT idle FROM runs").fetchall()) or []
        assert decision.verdicts[0].is_idle == bool(idle), f"after {seconds} s"
    assert decision.verdicts[0].is_idle == (state == "idle")
    ledger.close()


def test_apps_that_sagemaker_did_not_list_are_no_observation_at_all() -> None:
    found = verdicts(after(5000), app(), apps_error="AccessDenied")
    assert observation_of(HOST, found, after(5000), PriceBook("").price) is None


# --- the tracker ------------------------------------------------------------------------------


def test_totals_are_unknown_until_the_ledger_is_read_and_then_follow_each_observation(
    make: Make,
) -> None:
    tracker = make()
    for seconds in range(60, 3601, 60):
        tracker.observe(verdicts(after(seconds), app()), after(seconds))
    tracker.flush()
    totals = tracker.totals()
    assert totals is not None
    assert totals.today.usd == Decimal("0.05")
    assert totals.today.idle_usd == Decimal("0.05")
    cost = tracker.instance_cost(HOST.billing_key(app()))
    assert cost == totals
    other = tracker.instance_cost(HOST.billing_key(app("z", instance_type="ml.g5.xlarge")))
    assert other is not None
    assert other.month.usd == 0


def test_a_price_is_there_before_anything_is_recorded(make: Make) -> None:
    tracker = make()
    tracker.flush()
    price = tracker.price("ml.t3.medium", AppType.KERNEL_GATEWAY)
    assert (price.usd_per_hour, price.source) == (Decimal("0.05"), PriceSource.LIST)


def test_status_and_a_scrape_ask_aws_for_no_price_but_an_observation_does(
    make: Make, tmp_path: Path
) -> None:
    asked = []

    def fetch(attributes: object) -> Iterator[str]:
        asked.append(attributes)
        return iter(())

    listed = PriceListCache("us-east-1", fetch, tmp_path / "prices.json")
    tracker = make(prices=PriceBook("us-east-1", price_list=lambda: listed))
    tracker.flush()
    tracker.price("ml.t3.medium", AppType.KERNEL_GATEWAY)
    listed.join(60)
    assert asked == []
    tracker.observe(verdicts(after(60), app()), after(60))
    listed.join(60)
    assert asked


async def history_and_costs(tracker: CostTracker) -> None:
    for number in range(3):
        event = Event(after(number), EventKind.WARNING, f"{number}", "a")
        tracker.on_event(event)
    tracker.observe(verdicts(after(600), app()), after(600))
    events = await tracker.read(2, None, "a")
    assert [event.message for event in events] == ["2", "1"]
    assert [event.message for event in await tracker.read(2, events[-1].at)] == ["0"]
    found = await tracker.costs(T0, after(600), GroupBy.APP)
    assert [key for key, _ in found.rows] == ["a"]
    empty = await tracker.costs(after(-100), after(-50), GroupBy.APP)
    assert empty.rows == ()


def test_history_and_costs_are_read_in_the_ledgers_own_thread(make: Make) -> None:
    asyncio.run(history_and_costs(make()))


def test_f21_a_disk_that_hangs_holds_up_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "READ_TIMEOUT", 0.1)
    tracker = make()
    tracker.flush()
    release = threading.Event()
    tracker._jobs.put(lambda ledger: release.wait(300))
    started = time.perf_counter()
    for seconds in range(60, 6000, 60):
        tracker.observe(verdicts(after(seconds), app()), after(seconds))
        tracker.on_event(Event(after(seconds), EventKind.SETTINGS, ""))
        tracker.totals()
    assert time.perf_counter() - started < 60
    with pytest.raises(Unavailable, match="try again later"):
        asyncio.run(tracker.read(1))
    release.set()
    tracker.flush()
    monkeypatch.undo()
    assert asyncio.run(tracker.read(1))


def test_what_was_handed_over_is_written_before_the_server_stops(make: Make) -> None:
    first = make()
    for seconds in range(60, 600, 60):
        first.observe(verdicts(after(seconds), app()), after(seconds))
    first.close(60)
    second = make()
    second.flush()
    totals = second.totals()
    assert totals is not None
    assert totals.today.usd == Decimal("0.0075")  # nine minutes
    with pytest.raises(Unavailable):
        asyncio.run(first.read(1))


def test_a_ledger_that_was_put_aside_is_said_and_a_broken_one_is_not_added_to(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.sqlite3").write_bytes(b"rubbish" * 1000)
    tracker = make()
    tracker.observe(verdicts(after(600), app()), after(600))
    tracker.flush()
    assert "ledger-broken-" in tracker.recording_error
    assert tracker.totals() is not None


def test_the_size_of_a_spaces_volume_is_asked_for_in_a_thread_once_a_day(make: Make) -> None:
    asked = []

    def ask() -> int:
        asked.append(threading.current_thread())
        return 100

    lab = replace(app("default"), app_type=AppType.JUPYTER_LAB)
    now = T0
    tracker = make(SPACE, ask_volume=ask, clock=lambda: now)
    for hours in (0, 1, 23.9, 24):
        now = after(hours * 3600)
        tracker.observe(verdicts(now, lab), now)
        deadline = time.monotonic() + 60
        while any(thread.is_alive() for thread in asked) and time.monotonic() < deadline:
            asked[-1].join(0.01)
    tracker.flush()
    assert len(asked) == 2
    assert threading.current_thread() not in asked
    found = asyncio.run(tracker.costs(T0, now, GroupBy.STATE))
    assert round(found.total.volume_usd, 4) == round(Decimal("11.2") / 30, 4)  # a day of a month


def test_a_volume_whose_size_could_not_be_told_is_asked_for_again_within_the_hour(
    make: Make,
) -> None:
    asked = []
    tracker = make(SPACE, ask_volume=lambda: asked.append(threading.current_thread()))
    for minutes in (0, 30, 59, 61):
        now = after(minutes * 60)
        tracker.observe(verdicts(now, replace(app(), app_type=AppType.JUPYTER_LAB)), now)
        for thread in asked:
            thread.join(60)
    assert len(asked) == 2


def test_what_is_spent_is_not_exported_before_an_observation_of_this_server_is_recorded(
    make: Make,
) -> None:
    first = make()
    first.observe(verdicts(after(60), app()), after(60))
    first.flush()
    assert len(first.spent()) == 1
    second = make()
    second.observe(verdicts(after(120), app()), after(120))
    second.flush()
    assert "another server" in second.recording_error
    assert second.totals() is not None
    assert second.spent() == ()  # the first one exports it
    assert (first.is_elsewhere, second.is_elsewhere) == (False, True)
    first.close(60)
    second.flush()
    assert second.spent() == ()
    second.observe(verdicts(after(180), app()), after(180))
    second.flush()
    assert len(second.spent()) == 1
    assert not second.is_elsewhere


def test_what_another_server_found_out_later_is_in_the_totals_of_the_next_one(
    make: Make, tmp_path: Path
) -> None:
    """The other server may change earlier sums: time that was idle after all."""

    def seen(seconds: float) -> tuple[Verdict, ...]:
        return verdicts(after(seconds), app(), work=(kernel("idle", after(30)),))

    first = make()
    for seconds in range(60, 241, 60):
        first.observe(seen(seconds), after(seconds))
    first.flush()
    second = make()
    second.observe(seen(270), after(270))
    second.flush()
    assert "another server" in second.recording_error
    first.observe(seen(400), after(400))  # not used for active_time by now: idle since 30
    first.close(60)
    second.observe(seen(430), after(430))
    second.close(60)
    totals = second.totals()
    assert totals is not None
    assert totals.today.in_use_usd == Decimal("0.000417")  # 30 s
    third = make(clock=lambda: after(430))
    third.flush()
    assert third.totals() == totals


def test_the_thread_outlives_a_job_and_a_reading_that_fail(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(totals_module.RunningTotals, "update", Mock(side_effect=ValueError("odd")))
        tracker = make()
        tracker.observe(verdicts(after(60), app()), after(60))
        tracker.flush()
        assert tracker.totals() is None
    tracker._jobs.put(Mock(side_effect=RuntimeError("a job")))
    tracker.observe(verdicts(after(120), app()), after(120))
    tracker.flush()
    totals = tracker.totals()
    assert totals is not None
    assert round(totals.today.usd, 6) == Decimal("0.001667")
    assert "odd" in caplog.text


def test_a_thread_that_can_not_even_begin_is_said_and_keeps_nobody_waiting(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a Python without sqlite3."""
    monkeypatch.setitem(sys.modules, "sagemaker_autoshutdown.costs.store.ledger", None)
    tracker = make()
    thread = tracker._thread
    assert thread is not None
    thread.join(60)
    assert "not recorded" in tracker.recording_error
    tracker.observe(verdicts(after(60), app()), after(60))
    assert tracker._jobs.empty()
    with pytest.raises(Unavailable):
        asyncio.run(tracker.read(1))
    price = tracker.price("ml.t3.medium", AppType.KERNEL_GATEWAY)
    assert price.source is PriceSource.LIST


MIDNIGHT = 43200


@pytest.mark.parametrize("fails_at", [MIDNIGHT, MIDNIGHT + 300])
@pytest.mark.parametrize("question", [1, 2])
def test_totals_that_could_not_be_read_are_whole_once_they_can_be(
    make: Make, monkeypatch: pytest.MonkeyPatch, fails_at: int, question: int
) -> None:
    midnight = MIDNIGHT
    used = after(midnight - 30)
    now = used
    left = 0
    real = days.between

    def between(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise sqlite3.OperationalError("disk I/O error")
        return real(*args)

    monkeypatch.setattr(days, "between", between)
    tracker = make(clock=lambda: now)

    def observe(seconds: float, state: str = "idle") -> None:
        nonlocal now, left
        now = after(seconds)
        if seconds == fails_at:
            left = question
        tracker.observe(verdicts(now, app(), work=(kernel(state, used),)), now)
        tracker.flush()

    for seconds in range(midnight - 600, midnight + 1, 60):
        observe(seconds, "busy" if seconds <= midnight - 60 else "idle")
    observe(midnight + 200)
    observe(midnight + 300)  # idle since yesterday, as is known now
    observe(midnight + 360)
    assert left < 0
    shown = tracker.totals()
    tracker.close(60)
    anew = make(clock=lambda: now)
    anew.flush()
    assert shown == anew.totals()


def test_today_is_today_although_nothing_is_recorded(make: Make, tmp_path: Path) -> None:
    now = after(3600)
    tracker = make(clock=lambda: now)
    tracker.observe(verdicts(now, app()), now)
    tracker.flush()
    totals = tracker.totals()
    assert totals is not None
    assert totals.today.usd == Decimal("0.05")
    second = make(clock=lambda: now)  # records nothing: the first one does
    second.flush()
    now = after(86400)
    second.observe(verdicts(now, app()), now)
    second.flush()
    totals = second.totals()
    assert totals is not None
    assert (totals.today.usd, totals.month.usd) == (Decimal(0), Decimal("0.05"))


def test_today_is_today_although_nobody_can_look(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "NEW_DAY_WITHIN", 0.001)
    now = after(3600)
    tracker = make(clock=lambda: now)
    tracker.observe(verdicts(now, app()), now)
    tracker.flush()
    before = tracker.totals()
    assert before is not None
    assert before.today.usd
    now = after(86400)
    deadline = time.monotonic() + 60
    while tracker.totals() == before and time.monotonic() < deadline:
        tracker._thread.join(0.01)  # type: ignore[union-attr]
    totals = tracker.totals()
    assert totals is not None
    assert (totals.today.usd, totals.month.usd) == (Decimal(0), before.month.usd)


def test_a_clock_that_is_set_forward_is_told_from_time_that_passed(make: Make) -> None:
    passed = 0.0
    tracker = make(monotonic=lambda: passed, clock=lambda: after(90_000))
    for at, since_boot in ((60, 1), (120, 61), (90_000, 121)):
        passed = since_boot
        tracker.observe(verdicts(after(at), app()), after(at))
    tracker.flush()
    found = asyncio.run(tracker.costs(T0, after(90_000), GroupBy.STATE))
    assert found.total.usd == Decimal("0.0025")  # three minutes of 5 ct an hour


def test_a_fault_of_the_admins_prices_is_a_problem_that_says_what_to_do(
    make: Make, tmp_path: Path
) -> None:
    tracker = make(prices=PriceBook("us-east-1", own_file=str(tmp_path / "none.csv")))
    tracker.flush()
    (problem,) = tracker.problems
    assert problem.code == "bad_prices"
    assert "none.csv" in problem.message
    assert "restart" in problem.remedy
    assert tracker.problems == (problem,)  # the same at each observation: nothing has changed


def test_shutdowns_by_us_show_as_avoided_cost(make: Make) -> None:
    now = after(7200)
    tracker = make(clock=lambda: now)
    for seconds in range(60, 3600, 60):
        tracker.observe(verdicts(after(seconds), app()), after(seconds))
    tracker.on_event(
        Event(
            after(3590),
            EventKind.SHUTDOWN,
            "",
            "a",
            "KernelGateway",
            "ml.t3.medium",
            Reason.IDLE_TIMEOUT,
        )
    )
    tracker.observe((), after(3600))
    tracker.observe((), now)
    tracker.flush()
    totals = tracker.totals()
    assert totals is not None
    assert (totals.today.usd, totals.today.avoided_usd) == (Decimal("0.05"), Decimal("0.05"))
    (spent,) = tracker.spent()
    assert round(spent.avoided_usd, 6) == 0.05


def test_costs_and_totals_agree_between_two_observations(make: Make) -> None:
    """Growing amounts grow at the same moments in both."""
    now = after(3600)
    asked = []

    def ask() -> int:
        asked.append(threading.current_thread())
        return 1000

    tracker = make(SPACE, ask_volume=ask, clock=lambda: now)
    tracker.observe(verdicts(after(3000), app()), after(3000))
    event = Event(
        after(3010), EventKind.SHUTDOWN, "", "a", "KernelGateway", "", Reason.IDLE_TIMEOUT
    )
    tracker.on_event(event)
    tracker.observe((), after(3060))
    deadline = time.monotonic() + 60
    while not asked and time.monotonic() < deadline:
        time.sleep(0.001)
    asked[0].join(60)
    tracker.observe((), after(3600))
    tracker.flush()
    now = after(3659)
    totals = tracker.totals()
    report = asyncio.run(tracker.costs(T0.replace(day=1), now, GroupBy.DAY))
    assert totals is not None
    assert totals.month.avoided_usd > 0
    assert totals.month.volume_usd > 0
    assert (report.total.usd, report.total.avoided_usd, report.total.volume_usd) == (
        totals.month.usd,
        totals.month.avoided_usd,
        totals.month.volume_usd,
    )


def test_a_price_that_comes_late_is_the_price_of_the_whole_run(make: Make, tmp_path: Path) -> None:
    tracker = make()
    strange = app(instance_type="ml.z9.mega")
    tracker.observe(verdicts(after(60), strange), after(60))
    tracker.flush()
    totals = tracker.totals()
    assert totals is not None
    assert totals.today.unpriced_seconds == 60
    known = Price("ml.z9.mega", Decimal(36), PriceSource.API, "2026-11-01")
    tracker._prices.price = lambda instance_type, app_type: known  # type: ignore[method-assign]
    tracker.observe(verdicts(after(120), strange), after(120))
    tracker.flush()
    totals = tracker.totals()
    assert totals is not None
    assert (totals.today.usd, totals.today.unpriced_seconds) == (Decimal("1.2"), 0)


# --- put together out of the settings -----------------------------------------------------------


def settings(**traits: object) -> config_module.SageMakerAutoShutdown:
    config = Config()
    for name, value in traits.items():
        config.SageMakerAutoShutdown[name] = value
    loaded, problems = config_module.load(LoggingConfigurable(config=config))
    assert problems == []
    return loaded


def test_the_price_list_is_asked_only_where_the_admin_and_the_region_allow(
    tmp_path: Path,
) -> None:
    log = logging.getLogger(__name__)

    def has_api(region: str, **traits: object) -> bool:
        book = setup.price_book(region, settings(**traits), tmp_path, log)
        book.load()
        return book._price_list is not None

    assert has_api("us-east-2")
    assert not has_api("us-east-2", price_list_api=False)
    assert not has_api("cn-north-1")


def test_questions_to_the_price_list_are_counted_with_their_outcome() -> None:
    told = []

    def fails(attributes: object) -> Iterator[str]:
        yield "{}"
        raise AwsError(ErrorKind.ACCESS_DENIED, "pricing:GetProducts", "AccessDenied", "")

    counted = setup._counted(fails, lambda *call: told.append(call))
    with pytest.raises(AwsError):
        list(counted({}))
    list(setup._counted(lambda _: iter(()), lambda *call: told.append(call))({}))
    assert told == [("pricing:GetProducts", "AccessDenied"), ("pricing:GetProducts", "ok")]


def test_a_volume_whose_size_can_not_be_known_is_left_out() -> None:
    class Denied(Aws):
        def call_blocking(self, *_: object) -> dict[str, object]:
            raise AwsError(ErrorKind.ACCESS_DENIED, "sagemaker:DescribeSpace", "AccessDenied", "")

    class Answers(Aws):
        def call_blocking(self, *_: object) -> dict[str, object]:
            return {
                "VolumeSizeInGB": 5,
                "SpaceSettings": {
                    "SpaceStorageSettings": {"EbsStorageSettings": {"EbsVolumeSizeInGb": 50}}
                },
            }

    log = logging.getLogger(__name__)
    notebook = Host(HostKind.NOTEBOOK_INSTANCE, "us-east-1", app_name="nb")
    for host, answer, gigabytes in (
        (SPACE, Denied(""), None),
        (SPACE, Answers(""), 50),
        (notebook, Denied(""), None),
        (notebook, Answers(""), 5),
    ):
        ask = setup._volume_size(host, answer, log)
        assert ask is not None
        assert ask() == gigabytes
    assert setup._volume_size(HOST, Answers(""), log) is None


def test_a_notebook_instances_volume_is_in_the_sums_at_its_own_price(make: Make) -> None:
    notebook = Host(HostKind.NOTEBOOK_INSTANCE, "eu-west-1", app_name="nb")
    machine = replace(app("nb"), app_type=AppType.NOTEBOOK_INSTANCE)
    now = T0
    tracker = make(
        notebook, ask_volume=lambda: 100, clock=lambda: now, prices=PriceBook("eu-west-1")
    )
    tracker.observe(verdicts(now, machine), now)
    for thread in threading.enumerate():
        if "volume" in thread.name:
            thread.join(60)
    now = after(24 * 3600)
    tracker.observe(verdicts(now, machine), now)
    tracker.flush()
    found = asyncio.run(tracker.costs(T0, now, GroupBy.STATE))
    assert round(found.total.volume_usd, 4) == round(Decimal("15.4") / 30, 4)
    totals = tracker.totals()
    assert totals is not None
    assert round(totals.month.volume_usd, 4) == round(Decimal("15.4") / 30, 4)
