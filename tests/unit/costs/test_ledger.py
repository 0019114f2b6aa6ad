"""The ledger: the effect of observations on disk, and the handling of disk errors."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from sagemaker_autoshutdown.costs.billing.arithmetic import Tally, bill, money
from sagemaker_autoshutdown.costs.microseconds import FOR_EVER, SECOND, from_us, to_us
from sagemaker_autoshutdown.costs.observation import AppObservation, Observation, Use
from sagemaker_autoshutdown.costs.store import ledger as ledger_module
from sagemaker_autoshutdown.costs.store import reads, schema
from sagemaker_autoshutdown.costs.store.database import open_for_writing
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME, Ledger, read_ledger
from sagemaker_autoshutdown.errors import Unavailable
from sagemaker_autoshutdown.model import (
    App,
    AppStatus,
    AppType,
    Event,
    EventKind,
    Host,
    HostKind,
    Money,
    Price,
    PriceSource,
    Reason,
)

T0 = datetime(2026, 11, 2, 12, tzinfo=timezone.utc)
HOST = Host(HostKind.CLASSIC, "us-east-1", "d-1", "ada")
#: 36 USD an hour: a cent a second.
PRICE = Price("ml.t3.medium", Decimal(36), PriceSource.LIST, "2026-09-01")
GAP = timedelta(seconds=240)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class World:
    """Observes apps that come and go, in the loop's form."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = T0
        self.ledger = self.open()

    def open(self) -> Ledger:
        return Ledger(self.folder, gap=GAP, clock=lambda: self.now)

    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self.open()

    def app(
        self,
        use: Use = Use.HELD,
        since: float | None = None,
        *,
        name: str = "a",
        started: float = 0,
        instance_type: str = "ml.t3.medium",
        price: Price = PRICE,
    ) -> AppObservation:
        app = App(
            name,
            AppType.KERNEL_GATEWAY,
            AppStatus.IN_SERVICE,
            instance_type,
            after(started),
            after(started),
        )
        began = None if since is None else after(since)
        return AppObservation(app, f"d-1/ada/{instance_type}", use, began, price)

    def observe(self, seconds: float, *apps: AppObservation, closed: float | None = None) -> None:
        self.now = after(seconds)
        closed_since = None if closed is None else after(closed)
        self.ledger.record(Observation(self.now, HOST, apps, closed_since=closed_since))

    def shut_down(
        self, seconds: float, reason: Reason, name: str = "a", app_type: str = "KernelGateway"
    ) -> None:
        self.now = after(seconds)
        event = Event(self.now, EventKind.SHUTDOWN, "down", name, app_type, "ml.t3.medium", reason)
        self.ledger.add_event(HOST, event)

    def stretches(self) -> list[tuple[str, float, float, str]]:
        """Each as (app, from, to, state), in seconds since the beginning."""
        found = self.ledger.read(lambda db: reads.stretches(db, 0, FOR_EVER)) or []
        zero = to_us(T0)
        return [
            (
                one.app,
                (one.start - zero) / SECOND,
                (one.end - zero) / SECOND,
                ("idle" if one.idle else "use") + ("?" if one.estimated else ""),
            )
            for one in sorted(found, key=lambda one: (one.app, one.start))
        ]

    def closed(self) -> list[tuple[float, float, str, float | None]]:
        """Each as (from, to, state, no browser was connected since), in seconds."""
        rows = self.ledger.read(
            lambda db: db.execute(
                "SELECT started_at, ended_at, idle, closed_since FROM stretches ORDER BY started_at"
            ).fetchall()
        )
        zero = to_us(T0)
        return [
            (
                (start - zero) / SECOND,
                (end - zero) / SECOND,
                "idle" if idle else "use",
                None if since is None else (since - zero) / SECOND,
            )
            for start, end, idle, since in rows or []
        ]

    def money(self) -> Money:
        tally = Tally()
        for c in bill(self.ledger.read(lambda db: reads.stretches(db, 0, FOR_EVER)) or []):
            tally.add(c.end - c.start, c.idle, c.usd_per_hour, c.estimated)
        return money(tally)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.ledger.close()


# --- observations become stretches --------------------------------------------------------------


def test_a_run_is_counted_from_its_start_to_the_observation_at_which_it_is_gone(
    world: World,
) -> None:
    world.observe(30, world.app())
    world.observe(90, world.app())
    world.observe(150)
    world.observe(210)
    assert world.stretches() == [("a", 0, 150, "use")]


def test_time_between_observations_counts_as_the_earlier_one_saw_it(world: World) -> None:
    world.observe(60, world.app(Use.HELD))
    world.observe(120, world.app(Use.UNSEEN))
    world.observe(180, world.app(Use.HELD))
    assert world.stretches() == [("a", 0, 180, "use")]


def test_idle_counts_from_idle_since_once_that_is_long_enough_ago(world: World) -> None:
    world.observe(60, world.app(Use.HELD))
    world.observe(120, world.app(Use.RECENT, 80))
    world.observe(180, world.app(Use.RECENT, 80))
    assert world.stretches() == [("a", 0, 180, "use")]
    world.observe(420, world.app(Use.IDLE, 80))
    assert world.stretches() == [("a", 0, 80, "use"), ("a", 80, 420, "idle")]


def test_idle_is_never_counted_back_into_what_was_seen_busy(world: World) -> None:
    """A busy kernel is killed: the app then looks idle since long before."""
    for at in (60, 120, 180):
        world.observe(at, world.app(Use.HELD))
    world.observe(240, world.app(Use.IDLE, 0))
    assert world.stretches() == [("a", 0, 180, "use"), ("a", 180, 240, "idle")]


def test_what_could_not_be_seen_is_idle_if_it_turns_out_to_have_been(world: World) -> None:
    world.observe(60, world.app(Use.HELD))
    world.observe(120, world.app(Use.UNSEEN))
    world.observe(180, world.app(Use.UNSEEN))
    assert world.stretches() == [("a", 0, 180, "use")]
    world.observe(240, world.app(Use.IDLE, 60))
    assert world.stretches() == [("a", 0, 60, "use"), ("a", 60, 240, "idle")]


def test_use_that_ends_idle_time_counts_from_when_it_began(world: World) -> None:
    world.observe(100, world.app(Use.IDLE, 0))
    world.observe(160, world.app(Use.HELD, 130))
    world.observe(200, world.app(Use.HELD, 130))
    assert world.stretches() == [("a", 0, 130, "idle"), ("a", 130, 200, "use")]


# --- whether a browser was connected --------------------------------------------------------------


def test_a_closed_browser_is_recorded_from_when_it_was_closed_once_and_not_at_each_observation(
    world: World,
) -> None:
    world.observe(60, world.app())
    for at in range(120, 601, 60):
        world.observe(at, world.app(), closed=90)
    world.observe(660, world.app())
    world.observe(720, closed=700)
    assert world.closed() == [
        (0, 90, "use", None),
        (90, 600, "use", 90),
        (600, 700, "use", None),
        (700, 720, "use", 700),
    ]


def test_a_browser_that_turns_out_to_have_been_closed_changes_nothing_that_was_settled(
    world: World,
) -> None:
    """A broken websocket counts as closed after minutes. Earlier knowledge stays."""
    for at in (60, 120, 180):
        world.observe(at, world.app())
    world.observe(240, world.app(), closed=70)
    assert world.closed() == [(0, 180, "use", None), (180, 240, "use", 70)]


def test_time_that_turns_idle_afterwards_keeps_what_was_known_of_the_browser(
    world: World,
) -> None:
    world.observe(60, world.app(Use.HELD))
    world.observe(120, world.app(Use.RECENT, 80))
    world.observe(180, world.app(Use.RECENT, 80), closed=150)
    world.observe(420, world.app(Use.IDLE, 80), closed=150)
    assert world.closed() == [
        (0, 80, "use", None),
        (80, 150, "idle", None),
        (150, 420, "idle", 150),
    ]


def test_a_run_whose_end_nobody_saw_keeps_what_was_known_of_the_browser(world: World) -> None:
    world.observe(60, world.app())
    for at in (200, 400, 600):
        world.observe(at, world.app(), closed=100)
    world.observe(9000)
    assert world.closed() == [
        (0, 100, "use", None),
        (100, 360, "use", 100),
        (360, 600, "use", 100),
    ]


def test_an_app_that_is_being_deleted_goes_on_costing_as_before(world: World) -> None:
    world.observe(60, world.app(Use.IDLE, 0))
    world.observe(120, world.app(Use.AS_BEFORE))
    world.observe(180)
    assert world.stretches() == [("a", 0, 180, "idle")]


def test_an_observation_of_what_is_idle_since_yesterday_changes_nothing_of_yesterday(
    world: World,
) -> None:
    """Otherwise all of the past would be added up anew each time, for as long as it is idle."""
    for at in range(60, 601, 60):
        world.observe(at, world.app(Use.RECENT, 30))
    dirty = [
        world.ledger.record(Observation(after(at), HOST, (world.app(Use.IDLE, 30),)))
        for at in (660, 720, 780)
    ]
    assert dirty == [to_us(after(30)), to_us(after(660)), to_us(after(720))]


def test_neighbours_that_are_alike_are_one(world: World) -> None:
    for at in range(60, 6000, 60):
        world.observe(at, world.app(Use.HELD))
    for at in range(6000, 9000, 60):
        world.observe(at, world.app(Use.IDLE, 6000))
    assert len(world.stretches()) == 2


def test_a_name_that_is_used_again_is_another_run(world: World) -> None:
    world.observe(60, world.app())
    world.observe(120, world.app(started=100))
    runs = sorted(world.ledger.read(lambda db: reads.runs(db, 0, FOR_EVER)) or [])
    assert [(from_us(r.start), r.end and from_us(r.end)) for r in runs] == [
        (after(0), after(60)),
        (after(100), None),
    ]
    assert world.money().usd == Decimal("0.8")


def test_an_app_on_another_instance_type_is_another_run(world: World) -> None:
    world.observe(60, world.app())
    world.observe(120, world.app(instance_type="ml.g5.xlarge"))
    assert [one[1:3] for one in world.stretches()] == [(0, 60), (60, 120)]


def test_an_observation_that_is_recorded_twice_counts_once(world: World) -> None:
    world.observe(60, world.app())
    world.observe(120, world.app())
    world.observe(120, world.app())
    world.observe(60, world.app())  # the clock was set back
    assert world.stretches() == [("a", 0, 120, "use")]


def test_a_clock_that_was_put_back_is_said(world: World) -> None:
    world.observe(7200, world.app())
    world.observe(60, world.app())
    assert "2026-11-02T14:00:00Z" in world.ledger.error
    world.observe(7260, world.app())
    assert world.ledger.error == ""


def test_a_record_of_a_wrong_clock_ends_recording_until_it_is_moved_away_and_that_is_said(
    world: World, tmp_path: Path
) -> None:
    world.observe(10 * 365 * 86400, world.app())
    world.observe(60, world.app())
    assert "costs --repair" in world.ledger.error
    world.ledger.path.rename(tmp_path / "aside.sqlite3")
    world.observe(120, world.app())
    world.observe(180, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 180, "use")]


def test_a_clock_that_is_behind_is_said_once_and_not_at_every_observation(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.observe(7200, world.app())
    for at in range(60, 600, 60):
        world.observe(at, world.app())
    world.observe(7260, world.app())
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "The clock is behind the last record",
        "Costs and history are recorded again",
    ]


def test_time_that_passed_on_a_clock_that_was_set_only_is_not_billed(world: World) -> None:
    month = 30 * 86400
    for passed, ahead in ((60, 0), (120, 0), (180, 0), (240, month), (300, month)):
        world.now = after(passed + ahead)
        observation = Observation(world.now, HOST, (world.app(),), timedelta(seconds=ahead))
        world.ledger.record(observation)
    assert world.stretches() == [
        ("a", 0, 180, "use?"),
        ("a", month + 180, month + 300, "use"),
    ]


def test_time_in_which_nobody_could_look_is_billed_although_the_server_was_up(
    world: World,
) -> None:
    """SageMaker did not list the apps for an hour."""
    for passed in (60, 3660):
        world.now = after(passed)
        world.ledger.record(Observation(world.now, HOST, (world.app(),), timedelta(0)))
    assert world.money().usd == Decimal("36.6")


# --- while the server was down --------------------------------------------------------------------


def test_a_run_that_went_on_while_the_server_was_down_is_estimated(world: World) -> None:
    world.observe(60, world.app(Use.HELD))
    world.restart()
    world.observe(3600, world.app(Use.HELD))
    world.observe(3660, world.app(Use.HELD))
    assert world.stretches() == [
        ("a", 0, 60, "use"),
        ("a", 60, 3600, "use?"),
        ("a", 3600, 3660, "use"),
    ]


def test_a_quick_restart_leaves_no_gap(world: World) -> None:
    world.observe(60, world.app())
    world.restart()
    world.observe(120, world.app())
    assert world.stretches() == [("a", 0, 120, "use")]


def test_what_went_while_the_server_was_down_ends_when_it_was_last_seen(world: World) -> None:
    world.observe(60, world.app())
    world.restart()
    world.observe(86400)
    assert world.stretches() == [("a", 0, 60, "use?")]


def test_what_was_started_anew_while_the_server_was_down_is_not_counted_in_between(
    world: World,
) -> None:
    world.observe(60, world.app())
    world.restart()
    world.observe(86400, world.app(started=86000))
    assert world.stretches() == [("a", 0, 60, "use?"), ("a", 86000, 86400, "use?")]


def test_f27_an_app_that_was_shut_down_did_not_go_on_though_its_creation_time_says_so(
    world: World,
) -> None:
    """SageMaker keeps the metadata of an app that is started again within a day."""
    world.observe(60, world.app())
    world.shut_down(61, Reason.IDLE_TIMEOUT)
    world.restart()
    world.observe(7200, world.app(started=0))
    world.observe(7260, world.app(started=0))
    assert world.stretches() == [("a", 0, 60, "use?"), ("a", 7200, 7260, "use")]


def test_f19_a_deletion_that_hangs_while_the_server_restarts_goes_on_costing(world: World) -> None:
    world.observe(60, world.app())
    world.shut_down(61, Reason.IDLE_TIMEOUT)
    world.restart()
    observed = world.app(Use.AS_BEFORE)
    world.observe(900, replace(observed, app=replace(observed.app, status=AppStatus.DELETING)))
    assert world.stretches() == [("a", 0, 60, "use"), ("a", 60, 900, "use?")]
    world.observe(960)
    assert world.stretches()[-1] == ("a", 900, 960, "use")


def test_f27_a_run_whose_creation_time_is_that_of_an_earlier_one_bills_no_time_in_between(
    world: World,
) -> None:
    """Stopped by the user in Studio, and started again within a day while nobody looked."""
    world.observe(60, world.app())
    world.observe(120)
    world.restart()
    world.observe(7200, world.app(started=0))
    world.observe(7260, world.app(started=0))
    assert world.stretches() == [("a", 0, 120, "use"), ("a", 7200, 7260, "use")]


def test_f27_a_run_that_comes_back_between_observations_begins_at_the_one_that_missed_it(
    world: World,
) -> None:
    world.observe(60, world.app())
    world.observe(120)
    world.observe(180, world.app(started=0))
    assert world.stretches() == [("a", 0, 120, "use"), ("a", 120, 180, "use")]
    assert len(world.ledger.read(lambda db: reads.runs(db, 0, FOR_EVER)) or []) == 2


def test_a_quick_restart_of_an_app_does_not_bill_the_time_it_was_down(world: World) -> None:
    """A space's server ends with its app: nobody saw when."""
    world.observe(60, world.app())
    world.restart()
    world.observe(240, world.app(started=230))
    assert world.stretches() == [("a", 0, 60, "use?"), ("a", 230, 240, "use")]


def test_only_the_end_of_a_run_that_nobody_saw_end_is_estimated(world: World) -> None:
    for at in range(60, 7201, 60):
        world.observe(at, world.app())
    world.restart()
    world.observe(86400)
    assert world.stretches() == [("a", 0, 6960, "use"), ("a", 6960, 7200, "use?")]


def test_an_app_that_was_up_before_the_install_is_estimated_since_its_start(
    world: World,
) -> None:
    world.observe(7200, world.app(Use.IDLE, 3600))
    assert world.stretches() == [("a", 0, 3600, "use?"), ("a", 3600, 7200, "idle?")]


# --- apps that SageMaker lists without saying on what they run ------------------------------------


def unseen(world: World, **facts: object) -> AppObservation:
    observed = world.app(**facts)  # type: ignore[arg-type]
    app = replace(observed.app, unseen=True, instance_type="")
    return AppObservation(app, "", Use.UNSEEN, None, Price("", None, PriceSource.UNPRICED))


def test_an_app_that_can_not_be_described_goes_on_as_it_was_on_the_instance_it_was_on(
    world: World,
) -> None:
    world.observe(60, world.app())
    world.observe(120, unseen(world))
    world.observe(180, world.app())
    assert world.stretches() == [("a", 0, 180, "use")]
    assert world.money().usd == Decimal("1.8")


def test_a_new_app_that_can_not_be_described_yet_is_no_app_on_no_instance(world: World) -> None:
    world.observe(60, unseen(world))
    world.observe(120, unseen(world), world.app(name="b"))
    world.observe(180, world.app(started=100), world.app(name="b"))
    assert world.stretches() == [("a", 120, 180, "use"), ("b", 60, 180, "use")]


# --- prices ---------------------------------------------------------------------------------------


def test_a_price_is_kept_as_it_was_at_the_time(world: World) -> None:
    dearer = replace(PRICE, usd_per_hour=Decimal(72), source=PriceSource.API)
    world.observe(100, world.app())
    world.observe(200, world.app(price=dearer))
    world.observe(300, world.app(price=dearer))
    assert world.money().usd == Decimal("4.00")  # 200 s at 1 ct, 100 s at 2 ct


def test_a_price_that_becomes_known_counts_for_the_whole_run(world: World) -> None:
    unknown = Price("ml.t3.medium", None, PriceSource.UNPRICED)
    world.observe(100, world.app(price=unknown))
    assert (world.money().usd, world.money().unpriced_seconds) == (Decimal(0), 100)
    world.observe(200, world.app())
    assert (world.money().usd, world.money().unpriced_seconds) == (Decimal(2), 0)
    world.observe(300, world.app(price=unknown))  # lost at the moment
    assert (world.money().usd, world.money().unpriced_seconds) == (Decimal(3), 0)


# --- the file -------------------------------------------------------------------------------------


def test_history_is_for_its_owner_only(world: World) -> None:
    world.observe(60, world.app())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in world.folder.iterdir()}
    assert modes == {FILE_NAME: 0o600, "ledger.lock": 0o600}
    assert stat.S_IMODE(world.folder.stat().st_mode) == 0o700


def test_there_is_no_write_ahead_log_which_nfs_can_not_share(real_disk: None, world: World) -> None:
    world.observe(60, world.app())
    db = world.ledger._connect()
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # full


def test_a_second_server_on_the_same_home_counts_nothing_twice(world: World) -> None:
    world.observe(60, world.app())
    other = world.open()
    other.record(Observation(after(90), HOST, (world.app(),)))
    other.add_event(HOST, Event(after(90), EventKind.SETTINGS, "from the second"))
    assert "another server" in other.error
    world.observe(120, world.app())
    # It can read all the same.
    assert other.read(lambda db: len(reads.stretches(db, 0, FOR_EVER))) == 1
    assert world.stretches() == [("a", 0, 120, "use")]
    # And takes over when the first one is gone.
    world.ledger.close()
    other.record(Observation(after(180), HOST, (world.app(),)))
    assert other.error == ""
    world.ledger = other
    assert world.stretches() == [("a", 0, 180, "use")]
    events = other.read(lambda db: reads.events(db, 10)) or []
    assert [event.message for event in events] == ["from the second"]


def test_two_servers_never_both_write_after_their_folder_was_removed_and_made_anew(
    world: World,
) -> None:
    world.observe(60, world.app())
    shutil.rmtree(world.folder)
    other = world.open()
    other.record(Observation(after(90), HOST, (world.app(),)))
    assert other.error == ""
    world.observe(120, world.app())
    assert "another server" in world.ledger.error
    assert world.ledger.is_elsewhere
    # Its observations meanwhile are not lost, and counted once.
    other.record(Observation(after(150), HOST, (world.app(),)))
    other.close()
    world.observe(180, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 180, "use")]


def test_a_ledger_that_was_moved_away_is_not_written_to_where_another_took_its_place(
    world: World,
) -> None:
    world.observe(60, world.app())
    path = world.folder / FILE_NAME
    path.rename(path.with_name("mine.sqlite3"))
    with contextlib.closing(sqlite3.connect(path)):
        path.touch()
    world.observe(120, world.app())
    assert world.stretches() == [("a", 0, 120, "use")]
    assert read_ledger(path, lambda db: len(reads.stretches(db, 0, FOR_EVER))) == 1


def test_a_disk_that_fails_keeps_no_other_server_from_recording(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_a_bad_disk(path: Path) -> tuple[sqlite3.Connection, str]:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(ledger_module, "open_for_writing", on_a_bad_disk)
        world.observe(60, world.app())
    other = world.open()
    other.record(Observation(after(90), HOST, (world.app(),)))
    assert other.error == ""
    other.close()


def test_a_server_of_another_owner_on_the_same_home_is_recorded_when_its_turn_comes(
    world: World,
) -> None:
    """For example, a private and a shared space that mount one folder: neither sees the other's
    apps."""
    bob = Host(HostKind.CLASSIC, "us-east-1", "d-1", "bob")
    bobs = world.app(name="bobs")
    world.observe(60, world.app())
    other = world.open()
    for at in range(60, 600, 60):
        other.record(Observation(after(at), bob, (bobs,)))
        world.observe(at + 1, world.app())
    world.ledger.close()
    other.record(Observation(after(600), bob, (bobs,)))
    world.ledger = other
    assert other.error == ""
    assert world.stretches() == [("a", 0, 541, "use"), ("bobs", 0, 600, "use")]


def test_a_shutdown_that_is_recorded_late_is_not_taken_for_one_of_the_next_run(
    world: World,
) -> None:
    world.observe(60, world.app())
    world.observe(120)
    world.observe(180, world.app(started=150))
    world.shut_down(90, Reason.IDLE_TIMEOUT)
    runs = sorted(world.ledger.read(lambda db: reads.runs(db, 0, FOR_EVER)) or [])
    assert [run.ended_by for run in runs] == ["idle_timeout", ""]


def test_one_record_that_can_not_be_written_takes_no_other_with_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = World(tmp_path / "file" / "data")
    world.observe(60, world.app())
    event = Event(after(61), EventKind.SETTINGS, "before")
    world.ledger.add_event(HOST, event)
    world.ledger.add_event(HOST, replace(event, app_name=object()))  # type: ignore[arg-type]
    (tmp_path / "file").unlink()
    world.ledger.add_event(HOST, replace(event, message="after"))
    assert "lost" in world.ledger.error
    assert world.stretches() == [("a", 0, 60, "use")]
    events = world.ledger.read(lambda db: reads.events(db, 10)) or []
    assert [found.message for found in events] == ["after", "before"]
    world.observe(120, world.app())
    assert world.ledger.error == ""
    world.ledger.close()


def test_a_disk_that_takes_nothing_is_not_said_at_every_observation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_PENDING", 5)
    (tmp_path / "file").write_text("")
    world = World(tmp_path / "file" / "data")
    for at in range(60, 1200, 60):
        world.observe(at, world.app())
    assert len(caplog.records) == 2  # it can't be recorded; the oldest entries are dropped


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_f28_a_broken_ledger_is_put_aside_and_said(world: World, content: bytes) -> None:
    world.folder.mkdir()
    (world.folder / FILE_NAME).write_bytes(content)
    world.observe(60, world.app())
    (aside,) = world.folder.glob("ledger-broken-*.sqlite3")
    assert aside.name == "ledger-broken-2026-11-02.sqlite3"
    assert aside.read_bytes() == content
    assert aside.name in world.ledger.notice
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 60, "use")]


def test_a_ledger_that_breaks_while_it_is_in_use_is_put_aside(world: World) -> None:
    for at in range(60, 6000, 60):
        world.observe(at, world.app(name=f"app-{at}", started=at - 60))
    path = world.folder / FILE_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(size))
    world.observe(6060, world.app(started=6000))
    world.observe(6120, world.app(started=6000))
    assert "ledger-broken-2026-11-02.sqlite3" in world.ledger.notice
    assert world.stretches()[-1][2] == 6120


def test_two_that_break_on_one_day_are_both_kept(world: World) -> None:
    world.folder.mkdir()
    (world.folder / FILE_NAME).write_bytes(b"first" * 1000)
    world.observe(60, world.app())
    world.ledger.close()
    (world.folder / FILE_NAME).write_bytes(b"second" * 1000)
    world.restart()
    world.observe(120, world.app())
    assert len(list(world.folder.glob("ledger-broken-*.sqlite3"))) == 2


@pytest.mark.parametrize(
    ("limit", "said"),
    [("max_page_count = 1", "full"), ("query_only = 1", "readonly")],  # SQLite's error for the disk
)
def test_a_full_or_read_only_disk_stops_recording_and_what_was_seen_is_recorded_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str, said: str
) -> None:
    def on_a_bad_disk(path: Path) -> tuple[sqlite3.Connection, str]:
        connection, mended = open_for_writing(path)
        connection.execute(f"PRAGMA {limit}")
        return connection, mended

    world.observe(60, world.app())
    world.observe(120, world.app(), world.app(name="b", started=110))
    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(ledger_module, "open_for_writing", on_a_bad_disk)
        world.restart()
        for at in range(180, 2400, 60):
            world.now = after(at)
            world.ledger.add_event(HOST, Event(world.now, EventKind.SETTINGS, "x" * 9000))
            world.observe(at, world.app())
            assert said in world.ledger.error
    world.observe(2400, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 2400, "use"), ("b", 110, 180, "use")]
    assert len(world.ledger.read(lambda db: reads.events(db, 100)) or []) == 37


def test_a_folder_that_can_not_be_made_stops_recording_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = World(tmp_path / "file" / "data")
    world.observe(60, world.app())
    assert "can't be recorded" in world.ledger.error
    (tmp_path / "file").unlink()
    world.observe(120, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 120, "use")]
    world.ledger.close()


def test_a_ledger_that_somebody_removes_is_begun_anew(world: World) -> None:
    world.observe(60, world.app())
    (world.folder / FILE_NAME).unlink()
    world.observe(120, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 120, "use")]


def test_what_waits_for_the_disk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_PENDING", 5)
    (tmp_path / "file").write_text("")
    world = World(tmp_path / "file" / "data")
    for at in range(60, 1200, 60):
        world.observe(at, world.app())
    assert len(world.ledger._pending) == 5


# --- versions -------------------------------------------------------------------------------------


def test_an_older_ledger_is_brought_up_to_date_with_all_that_is_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe(60, world.app())
    step = "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT 'none';\nSELECT 1"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    world.restart()
    world.observe(120, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 120, "use")]
    assert world.ledger.read(lambda db: db.execute("SELECT note FROM runs").fetchall()) == [
        ("none",)
    ]


def test_a_ledger_of_the_first_version_goes_on_from_its_last_observation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data" / FILE_NAME
    path.parent.mkdir()
    with monkeypatch.context() as old, contextlib.closing(sqlite3.connect(path)) as db:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        db.isolation_level = None
        schema.migrate(db)
        db.execute("INSERT INTO prices VALUES (1, '', 'ml.t3.medium', '', '36', 'list', '', 0)")
        db.execute(
            "INSERT INTO runs VALUES (1, '', 'd-1', 'ada', 'KernelGateway', 'a', 'ml.t3.medium', "
            "'d-1/ada/ml.t3.medium', ?, ?, NULL, 0, ?, 1, '')",
            (to_us(T0), to_us(after(60)), to_us(after(60))),
        )
    world = World(path.parent)
    world.ledger.open()
    assert world.ledger.read(lambda db: reads.last_observed_at(db, HOST)) == to_us(after(60))
    world.observe(120, world.app())
    assert (world.ledger.error, world.stretches()) == ("", [("a", 60, 120, "use")])
    world.ledger.close()


def test_a_ledger_of_the_second_version_keeps_all_and_tells_how_long_its_deletions_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data" / FILE_NAME
    path.parent.mkdir()
    with monkeypatch.context() as old, contextlib.closing(sqlite3.connect(path)) as db:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        db.isolation_level = None
        schema.migrate(db)
        db.execute("INSERT INTO prices VALUES (1, '', 'ml.t3.medium', '', '36', 'list', '', 0)")
        run = "(?, '', 'd-1', 'ada', 'KernelGateway', 'a', 'ml.t3.medium', 'd-1/ada/ml.t3.medium',"
        for number, start, end, ended_by in (
            (1, T0, after(90), "idle_timeout"),
            (2, after(200), after(300), ""),
            (3, after(400), None, "user_request"),
        ):
            ended_at = None if end is None else to_us(end)
            seen_at = to_us(end or after(460))
            db.execute(
                f"INSERT INTO runs VALUES {run} ?, ?, ?, 0, ?, 1, ?)",  # noqa: S608
                (number, to_us(start), seen_at, ended_at, to_us(start), ended_by),
            )
            db.execute(
                "INSERT INTO stretches VALUES (?, ?, ?, ?, 0, 0, 1)",
                (number, number, to_us(start), seen_at),
            )
        for at, app in ((after(60), "a"), (after(70), "b"), (after(450), "a")):
            db.execute(
                "INSERT INTO events (at, kind, message, app_name, app_type, instance_type) "
                "VALUES (?, 'shutdown', '', ?, 'KernelGateway', '')",
                (to_us(at), app),
            )
        db.execute("INSERT INTO looks VALUES ('d-1', 'ada', ?)", (to_us(after(460)),))
    world = World(path.parent)
    world.observe(520, world.app(started=400))
    world.shut_down(530, Reason.IDLE_TIMEOUT)
    assert world.ledger.error == ""
    assert world.stretches() == [
        ("a", 0, 90, "use"),
        ("a", 200, 300, "use"),
        ("a", 400, 520, "use"),
    ]
    db = world.ledger._connect()
    assert db.execute("SELECT shutdown_at FROM runs ORDER BY id").fetchall() == [
        (to_us(after(60)),),
        (None,),
        (to_us(after(530)),),
    ]
    assert db.execute("SELECT owner FROM events ORDER BY at").fetchall() == [(None,)] * 3 + [
        ("ada",)
    ]
    world.ledger.close()


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe(60, world.app())
    before = schema.MIGRATIONS
    step = "ALTER TABLE runs ADD COLUMN note TEXT;\nSELECT nonsense FROM runs"
    monkeypatch.setattr(schema, "MIGRATIONS", (*before, step))
    world.restart()
    world.observe(120, world.app())
    assert world.ledger.error
    assert not list(world.folder.glob("ledger-broken-*"))
    monkeypatch.setattr(schema, "MIGRATIONS", before)
    world.restart()
    world.observe(180, world.app())
    assert (world.ledger.error, world.stretches()) == ("", [("a", 0, 180, "use")])


def test_a_ledger_of_a_later_version_is_left_alone(world: World) -> None:
    world.observe(60, world.app())
    world.ledger.close()
    with sqlite3.connect(world.folder / FILE_NAME) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("CREATE TABLE news (at INTEGER)")
    db.close()
    before = (world.folder / FILE_NAME).read_bytes()
    world.restart()
    world.observe(120, world.app())
    assert "version 99" in world.ledger.error
    assert (world.folder / FILE_NAME).read_bytes() == before
    assert not list(world.folder.glob("ledger-broken-*"))


# --- events ---------------------------------------------------------------------------------------


def test_events_come_back_as_they_were_newest_first_in_pages(world: World) -> None:
    for number in range(5):
        event = Event(
            after(number // 2),  # two at one moment
            EventKind.WARNING,
            f"number {number}",
            app_name="a" if number % 2 else "b",
            app_type="KernelGateway",
            instance_type="ml.t3.medium",
            reason=Reason.IDLE_TIMEOUT,
            shutdown_at=after(600),
        )
        world.ledger.add_event(HOST, event)
    world.restart()
    world.ledger.open()
    page = world.ledger.read(lambda db: reads.events(db, 3)) or []
    assert [event.message for event in page] == ["number 4", "number 3", "number 2"]
    rest = world.ledger.read(lambda db: reads.events(db, 3, before=page[-1].at)) or []
    assert [event.message for event in rest] == ["number 1", "number 0"]
    assert rest[-1] == Event(
        after(0),
        EventKind.WARNING,
        "number 0",
        "b",
        "KernelGateway",
        "ml.t3.medium",
        Reason.IDLE_TIMEOUT,
        after(600),
    )
    of_a = world.ledger.read(lambda db: reads.events(db, 9, app_name="a")) or []
    assert [event.message for event in of_a] == ["number 3", "number 1"]


def test_an_event_that_only_a_later_version_knows_is_shown_and_hides_no_other(
    world: World,
) -> None:
    for at in range(3):
        event = Event(after(at), EventKind.SHUTDOWN, f"number {at}", reason=Reason.IDLE_TIMEOUT)
        world.ledger.add_event(HOST, event)
    world.ledger._connect().execute(
        "UPDATE events SET kind = 'eclipse', reason = 'the_moon' WHERE message = 'number 1'"
    )
    found = world.ledger.read(lambda db: reads.events(db, 10)) or []
    assert [(event.kind, event.reason, event.message) for event in found] == [
        (EventKind.SHUTDOWN, Reason.IDLE_TIMEOUT, "number 2"),
        (EventKind.UNKNOWN, None, "number 1"),
        (EventKind.SHUTDOWN, Reason.IDLE_TIMEOUT, "number 0"),
    ]


def test_a_shutdown_of_ours_is_known_as_such_when_its_run_is_over(world: World) -> None:
    world.observe(60, world.app(Use.IDLE, 0))
    world.shut_down(61, Reason.IDLE_TIMEOUT)
    world.observe(120, world.app(Use.AS_BEFORE))
    world.observe(180)
    (run,) = world.ledger.read(lambda db: reads.runs(db, 0, FOR_EVER)) or []
    assert run.ended_by == "idle_timeout"


def keep_alive(
    world: World, seconds: float, until: float | None, app: str = "a", host: Host = HOST
) -> None:
    """A keep-alive is given; without ``until`` it is taken back."""
    kind = EventKind.KEEP_ALIVE_ENDED if until is None else EventKind.KEEP_ALIVE
    end = None if until is None else after(until)
    world.ledger.add_event(
        host, Event(after(seconds), kind, "", app, "KernelGateway", shutdown_at=end)
    )


def keep_alives(world: World) -> list[tuple[str, str, float, float]]:
    """Each as (owner, app, from, until), in seconds since the beginning."""
    holds = world.ledger.read(lambda db: reads.keep_alives(db, 0, FOR_EVER)) or []
    zero = to_us(T0)
    return [
        (hold.owner, hold.app, (hold.start - zero) / SECOND, (hold.end - zero) / SECOND)
        for hold in holds
    ]


def test_a_keep_alive_lasts_until_its_end_or_until_it_is_taken_back(world: World) -> None:
    world.observe(10, world.app())
    keep_alive(world, 10, 100)
    keep_alive(world, 50, 500)
    keep_alive(world, 90, None)
    keep_alive(world, 200, 300)
    assert keep_alives(world) == [
        ("ada", "a", 10, 50),
        ("ada", "a", 50, 90),
        ("ada", "a", 200, 300),
    ]


def test_a_keep_alive_ends_with_its_run_even_where_nobody_saw_that_end(world: World) -> None:
    world.observe(60, world.app())
    keep_alive(world, 70, 9000)
    world.observe(120)
    world.observe(180, world.app(started=150))
    keep_alive(world, 200, 9000)
    keep_alive(world, 181, 9000, "never seen")
    world.observe(5000, world.app(started=4000))
    assert keep_alives(world) == [("ada", "a", 70, 120)]
    keep_alive(world, 5010, 5060)
    assert keep_alives(world)[1:] == [("ada", "a", 5010, 5060)]


def test_a_keep_alive_belongs_to_its_owner_in_a_home_that_several_use(world: World) -> None:
    bob = replace(HOST, owner="bob")
    world.observe(60, world.app())
    bobs = replace(world.app(), instance="d-1/bob/ml.t3.medium")
    world.ledger.record(Observation(after(61), bob, (bobs,)))
    keep_alive(world, 70, 900)
    keep_alive(world, 80, None, host=bob)
    keep_alive(world, 90, 500, host=bob)
    assert sorted(keep_alives(world)) == [("ada", "a", 70, 900), ("bob", "a", 90, 500)]


def test_a_keep_alive_of_an_older_version_belongs_to_the_run_that_was_up(world: World) -> None:
    world.observe(60, world.app())
    keep_alive(world, 70, 9000)
    world.observe(120)
    db = world.ledger._connect()
    db.execute("UPDATE events SET domain_id = NULL, owner = NULL, run_started_at = NULL")
    assert keep_alives(world) == [("ada", "a", 70, 120)]


def test_a_reader_changes_nothing(world: World) -> None:
    world.observe(60, world.app())

    def write(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM stretches")

    with pytest.raises(Unavailable, match="readonly"):
        read_ledger(world.folder / FILE_NAME, write)
    assert len(world.stretches()) == 1


def test_reading_needs_no_server(world: World) -> None:
    path = world.folder / FILE_NAME
    assert read_ledger(path, lambda db: 1) is None
    world.observe(60, world.app())
    assert read_ledger(path, lambda db: len(reads.stretches(db, 0, FOR_EVER))) == 1
