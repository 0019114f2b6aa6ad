"""A damaged ledger heals or is put aside: at once, in few words, and never by a crash."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from sagemaker_autoshutdown.costs.billing.report import GroupBy
from sagemaker_autoshutdown.costs.observation import Use
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME
from sagemaker_autoshutdown.costs.tracker import CostTracker
from sagemaker_autoshutdown.errors import Unavailable
from sagemaker_autoshutdown.model import Event, EventKind, PriceSource, Reason, VolumePrice
from sagemaker_autoshutdown.prices.book import PriceBook

from .test_ledger import HOST, World, after, world
from .test_tracker import app, kernel, verdicts

__all__ = ["world"]

#: Files that are damaged at random. The project's figure is from 500.
DAMAGES = int(os.environ.get("SAGEMAKER_AUTOSHUTDOWN_DAMAGES", "60"))
#: Slightly more than a day: some daily sums are kept.
DAY = 86_400
MOST_LINES = 5


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with something in each of its tables."""
    world = World(tmp_path_factory.mktemp("sound"))
    for at in range(60, DAY + 3600, 900):
        use, since = (Use.HELD, None) if at % 7200 < 3600 else (Use.IDLE, at - 300)
        apps = [world.app(use, since), world.app(name=f"b-{at // 9000}", started=at // 9000 * 9000)]
        world.observe(at, *apps)
        if at % 5400 < 900:
            world.ledger.add_event(
                HOST,
                Event(after(at), EventKind.WARNING, "soon", "a", shutdown_at=after(at + 600)),
            )
    world.ledger.set_volume(HOST, after(60), 50, VolumePrice(Decimal("0.1"), PriceSource.LIST))
    world.shut_down(DAY + 3500, Reason.IDLE_TIMEOUT, "a")
    world.ledger.close()
    return world.folder / FILE_NAME


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return _copy(sound, tmp_path / "data")


def _copy(sound: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(sound, folder / FILE_NAME))


NOW = after(DAY + 3600)


@contextlib.contextmanager
def _tracker(path: Path, seconds: float = 0) -> Iterator[CostTracker]:
    now = NOW + timedelta(seconds=seconds)
    tracker = CostTracker(
        HOST,
        path.parent,
        PriceBook("us-east-1"),
        gap=timedelta(seconds=1200),
        avoided_cost_cap=timedelta(days=1),
        clock=lambda: now,
        log=logging.getLogger("ours"),
    )
    tracker.start()
    try:
        yield tracker
    finally:
        tracker.close()


def _observe(tracker: CostTracker, seconds: float) -> None:
    now = NOW + timedelta(seconds=seconds)
    tracker.observe(verdicts(now, app(), work=(kernel("busy", now),)), now)
    tracker.on_event(Event(now, EventKind.SETTINGS, "changed"))
    tracker.flush()


async def _ask_all(tracker: CostTracker) -> int:
    """Calls the API's queries; returns how often the ledger could not be read at that time."""
    unavailable = 0
    questions: list[Callable[[], object]] = [lambda: tracker.read(50)]
    for group in GroupBy:
        questions.append(lambda group=group: tracker.costs(after(0), NOW, group))  # type: ignore[misc]
    for question in questions:
        try:
            await question()  # type: ignore[misc]
        except Unavailable:
            unavailable += 1
    return unavailable


def live_through(path: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """A server that finds this ledger, and its successor; with their logs."""
    caplog.clear()
    with _tracker(path) as tracker:
        asyncio.run(_ask_all(tracker))
        _observe(tracker, 60)
        _observe(tracker, 120)
        asyncio.run(_ask_all(tracker))
        _observe(tracker, 180)
    with _tracker(path, 240) as tracker:
        _observe(tracker, 240)
        _observe(tracker, 300)
        assert asyncio.run(_ask_all(tracker)) == 0, "what heals, heals at once"
        assert tracker.recording_error == ""
        totals = tracker.totals()
        assert totals is not None
        assert totals.today.usd > 0
        messages = [event.message for event in asyncio.run(tracker.read(2))]
        assert messages == ["changed"] * 2
    return [record.getMessage() for record in caplog.records]


# --- each way of being damaged --------------------------------------------------------------------


def _edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            db.execute(statement)


def is_put_aside(path: Path) -> bool:
    return bool(list(path.parent.glob("ledger-broken-*")))


def test_a_schema_that_is_no_text_is_put_aside_once_and_in_one_line(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's message is then not UTF-8, and Python raises no sqlite3 error for that."""
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b"CREATE TABLE runs", b"CREATE\xff\xfeABLE runs"))
    (line,) = live_through(damaged, caplog)
    assert "put aside" in line
    assert len(list(damaged.parent.glob("ledger-broken-*"))) == 1


def test_a_column_that_is_gone_is_damage_and_not_a_full_disk(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b"held_until INTEGER", b"helt_until INTEGER"))
    (line,) = live_through(damaged, caplog)
    assert "put aside" in line


def test_what_is_read_as_a_disk_that_can_not_be_written_is_put_aside_where_it_is_the_header(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(damaged.read_bytes())
    content[18] = 9
    damaged.write_bytes(content)
    (line,) = live_through(damaged, caplog)
    assert "header" in line


@pytest.mark.parametrize("number", [0, 1, 99, -5])
def test_a_version_that_its_tables_belie_is_put_right(
    damaged: Path, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    _edit(damaged, f"PRAGMA user_version = {number}")
    (line,) = live_through(damaged, caplog)
    assert f"was {number}, but it is 3" in line
    assert not is_put_aside(damaged)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE days SET apps = '[\"a'",
        "UPDATE days SET usd_per_hour = 'many'",
        "UPDATE days_until SET day = day + 4096",
        "UPDATE days_until SET day = day - 1",
        "DELETE FROM days_until",
    ],
)
def test_sums_of_days_that_were_damaged_are_made_anew_and_nothing_is_counted_twice(
    sound: Path, damaged: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    def spent(path: Path) -> object:
        with _tracker(path) as tracker:
            return asyncio.run(tracker.costs(after(0), NOW, GroupBy.DAY))

    _edit(damaged, statement)
    assert spent(damaged) == spent(_copy(sound, damaged.parent / "untouched"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "daily sums" in line
    assert not is_put_aside(damaged)
    assert live_through(damaged, caplog) == []


def test_an_index_that_lost_a_row_is_made_anew(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the run that is up would not be found, but begun again and billed twice."""
    _edit(
        damaged,
        "CREATE TABLE parked AS SELECT * FROM sqlite_master WHERE name = 'runs_open'",
        "DELETE FROM sqlite_master WHERE name = 'runs_open'",
    )
    _edit(
        damaged,
        "INSERT INTO runs SELECT id + 1000, region, domain_id, owner, app_type, 'c', "
        "instance_type, instance, started_at, seen_at, NULL, idle, held_until, price_id, '', NULL "
        "FROM runs LIMIT 1",
        "INSERT INTO sqlite_master SELECT * FROM parked",
        "DROP TABLE parked",
    )
    (line,) = live_through(damaged, caplog)
    assert "indexes" in line
    assert not is_put_aside(damaged)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE prices SET usd_per_hour = '1e999999'",
        "UPDATE prices SET usd_per_hour = 'NaN'",
        "UPDATE runs SET seen_at = 'yesterday'",
        "UPDATE runs SET domain_id = x'00ff' WHERE id = 1",
        "UPDATE stretches SET ended_at = 1 << 60 WHERE id = 3",
        "UPDATE stretches SET idle = 2 WHERE id = 3",
        "UPDATE stretches SET run_id = 999999 WHERE id = 3",
        "UPDATE events SET at = -1 WHERE id = 1",
        "UPDATE events SET shutdown_at = 'soon' WHERE id = 1",
        "UPDATE volumes SET usd_per_gb_month = ''",
        "UPDATE volumes SET gigabytes = 1 << 40",
        "UPDATE looks SET at = 0.5",
    ],
)
def test_a_value_that_can_not_be_is_damage(
    damaged: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    _edit(damaged, statement)
    (line,) = live_through(damaged, caplog)
    assert "put aside" in line


def test_a_write_ahead_log_that_somebody_left_is_put_aside_too_and_replayed_into_no_new_ledger(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = sqlite3.connect(damaged, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("UPDATE events SET message = 'from another life'")
    wal = damaged.with_name(f"{FILE_NAME}-wal")
    log, content = wal.read_bytes(), damaged.read_bytes()
    other.close()
    damaged.write_bytes(content.replace(b"CREATE TABLE runs", b"CREATE\xff\xfeABLE runs"))
    wal.write_bytes(log[: len(log) // 2])
    (line,) = live_through(damaged, caplog)
    assert "put aside" in line
    assert not wal.exists()


def test_a_ledger_that_another_program_left_in_a_write_ahead_log_is_whole(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = sqlite3.connect(damaged, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("UPDATE events SET message = 'edited'")
    kept = {
        path: path.read_bytes() for path in damaged.parent.iterdir() if path.name != "ledger.lock"
    }
    other.close()
    for path, content in kept.items():
        path.write_bytes(content)  # as after a kill
    with _tracker(damaged) as tracker:
        assert {event.message for event in asyncio.run(tracker.read(50))} >= {"edited"}
    assert live_through(damaged, caplog) == []


def test_text_that_is_no_utf_8_is_shown_as_far_as_it_is(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _edit(damaged, "UPDATE events SET message = CAST(x'736f6fff6e' AS TEXT)")
    assert live_through(damaged, caplog) == []
    with _tracker(damaged) as tracker:
        assert "soo\ufffdn" in {event.message for event in asyncio.run(tracker.read(50))}


def test_damage_that_shows_while_the_server_runs_is_put_aside_by_a_reader_too(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with _tracker(damaged) as tracker:
        tracker.flush()
        _edit(damaged, "UPDATE events SET at = at + (1 << 60)")
        assert asyncio.run(_ask_all(tracker)) == 1
        assert asyncio.run(_ask_all(tracker)) == 0
        assert "put aside" in tracker.recording_error
        _observe(tracker, 60)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "put aside" in line


def test_a_reading_that_is_at_fault_itself_puts_no_sound_ledger_aside(world: World) -> None:
    world.observe(60, world.app())

    def slip(db: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.ledger.read(slip)
    assert not is_put_aside(world.folder / FILE_NAME)


def test_a_disk_on_which_a_new_ledger_is_broken_too_is_not_filled_with_broken_ones(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sagemaker_autoshutdown.costs.store import database, ledger

    def spoiled(path: Path) -> tuple[sqlite3.Connection, str]:
        path.touch()
        raise database.Broken("a bit fell over")

    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(ledger, "open_for_writing", spoiled)
        for at in range(60, 1200, 60):
            world.observe(at, world.app())
    assert len(list(world.folder.glob("ledger-broken-*"))) == 1
    assert len(caplog.records) == 2
    assert "Check the disk" in world.ledger.error
    world.observe(1200, world.app())
    assert (world.ledger.error, world.stretches()) == ("", [("a", 0, 1200, "use")])


# --- at random ------------------------------------------------------------------------------------


def _flip_bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 1, 4, 64])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _flip_in_the_schema(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(4096)] ^= 1 << chance.randrange(8)


def _overwrite(content: bytearray, chance: random.Random) -> None:
    length = chance.choice([1, 8, 100, 4096])
    start = chance.randrange(len(content))
    content[start : start + length] = chance.randbytes(len(content[start : start + length]))


def _zero_a_page(content: bytearray, chance: random.Random) -> None:
    page = chance.randrange(len(content) // 4096)
    content[page * 4096 : (page + 1) * 4096] = bytes(4096)


def _swap_pages(content: bytearray, chance: random.Random) -> None:
    one, two = (chance.randrange(len(content) // 4096) * 4096 for _ in range(2))
    first, second = content[one : one + 4096], content[two : two + 4096]
    content[one : one + 4096], content[two : two + 4096] = second, first


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _spoil_text(content: bytearray, chance: random.Random) -> None:
    words = [b"KernelGateway", b"idle_timeout", b"warning", b"d-1", b"CREATE", b"INTEGER", b"list"]
    word = chance.choice(words)
    spoiled = bytearray(word)
    spoiled[chance.randrange(len(word))] = chance.randrange(256)
    content[:] = content.replace(word, bytes(spoiled), chance.choice([1, 3, -1]))


KINDS = (
    _flip_bits,
    _flip_in_the_schema,
    _overwrite,
    _zero_a_page,
    _swap_pages,
    _cut,
    _spoil_text,
)


@pytest.mark.timeout(60 + DAMAGES * 2)
def test_whatever_happens_to_the_file_it_heals_or_is_put_aside_and_little_is_said(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put_aside = healed = 0
    for seed in range(DAMAGES):
        chance = random.Random(seed)
        kind = KINDS[seed % len(KINDS)]
        path = _copy(sound, tmp_path / str(seed))
        content = bytearray(path.read_bytes())
        kind(content, chance)
        path.write_bytes(content)
        try:
            lines = live_through(path, caplog)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {kind.__name__}: {caplog.text}") from error
        assert len(lines) <= MOST_LINES, f"seed {seed}, {kind.__name__}: {lines}"
        put_aside += is_put_aside(path)
        healed += not is_put_aside(path)
        shutil.rmtree(path.parent)
    print(f"{DAMAGES} damages: {put_aside} put aside, {healed} healed or harmless")
    assert put_aside
    assert healed
