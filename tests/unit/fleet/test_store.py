"""The record: one step, once."""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sagemaker_autoshutdown.fleet.model import ReportKey, State
from sagemaker_autoshutdown.fleet.record import StoreError
from sagemaker_autoshutdown.fleet.store import FILE_NAME, VERSION, Store

from .scenes import NOON, SCOPE, app, stepped, sweep, volume


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / FILE_NAME


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def spent(store: Store) -> int:
    return sum(total.nano for total in store.totals())


def run_until(store: Store, *minutes: float) -> State:
    """Sweeps of one app, stored."""
    state = store.load(SCOPE)
    for each in minutes:
        step = stepped(state, sweep(each, app(), volume("s")))
        assert store.apply(step, state.sweep_id)
        state = step.state
    return state


def test_what_was_stored_is_what_is_loaded(store: Store) -> None:
    reports = {ReportKey("d-1", "user-profile", "ada", "classic"): NOON}
    step = stepped(store.load(SCOPE), sweep(0, app(), volume("s"), reports=reports))
    assert store.apply(step, "")
    assert store.load(SCOPE) == step.state
    following = stepped(step.state, sweep(5, volume("s")))
    assert store.apply(following, step.state.sweep_id)
    assert store.load(SCOPE) == following.state


def test_costs_survive_a_restart(path: Path) -> None:
    first = Store(path)
    run_until(first, 0, 60)
    first.close()
    second = Store(path)
    run_until(second, 120)
    assert spent(second) == 4 * 10**9  # an instance and a volume for two hours
    assert sum(cost.charge.nano for cost in second.costs("2026-09-01", "2026-09-02")) == 4 * 10**9
    assert not list(second.costs("2026-09-02", "2026-10-01"))
    second.close()


def test_a_step_that_is_stored_twice_adds_to_no_counter(store: Store) -> None:
    state = run_until(store, 0)
    step = stepped(state, sweep(60, app(), volume("s")))
    assert store.apply(step, state.sweep_id)
    assert not store.apply(step, state.sweep_id)
    assert spent(store) == 2 * 10**9


def test_of_two_sweepers_of_one_time_only_one_is_stored(path: Path, store: Store) -> None:
    run_until(store, 0)
    other = Store(path)
    steps = [
        (each, stepped(each.load(SCOPE), sweep(60, app(), volume("s")))) for each in (store, other)
    ]
    stored = [each.apply(step, f"{NOON:%Y-%m-%dT%H:%M:%SZ}") for each, step in steps]
    assert stored == [True, False]
    assert spent(other) == 2 * 10**9
    other.close()


def test_of_two_first_sweepers_only_one_is_stored(path: Path, store: Store) -> None:
    other = Store(path)
    step = stepped(State(SCOPE), sweep(0, app()))
    assert [store.apply(step, ""), other.apply(step, "")] == [True, False]
    other.close()


def test_a_step_from_an_older_state_is_refused(store: Store) -> None:
    old = run_until(store, 0)
    run_until(store, 60)
    late = stepped(old, sweep(90, app()))
    assert not store.apply(late, old.sweep_id)
    assert spent(store) == 2 * 10**9


def test_a_crash_in_the_middle_of_a_step_leaves_nothing_of_it(store: Store, path: Path) -> None:
    state = run_until(store, 0)
    step = stepped(state, sweep(60, app(), volume("s")))
    breaker = sqlite3.connect(path)
    breaker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON totals BEGIN SELECT RAISE(ABORT, 'x'); END"
    )
    breaker.commit()
    with pytest.raises(StoreError, match="can't be written"):
        store.apply(step, state.sweep_id)
    breaker.execute("DROP TRIGGER full")
    breaker.commit()
    breaker.close()
    assert store.load(SCOPE) == state
    assert not list(store.costs("2026-01-01", "2027-01-01"))
    assert store.apply(step, state.sweep_id)


def test_others_can_not_read_the_record(store: Store, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_record_of_a_newer_version_is_left_alone(path: Path, store: Store) -> None:
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()
    for read_only in (True, False):
        with pytest.raises(StoreError, match="newer version"):
            Store(path, read_only=read_only)


def flip(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def no_database(path: Path) -> None:
    path.write_text("something else, and long enough to be taken for no database at all" * 20)


def no_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = b"\xff" * 4096 * 2
    path.write_bytes(content)


def no_time(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE runs SET up_since = 'noon'")
    db.commit()
    db.close()


def no_cost(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE totals SET nano = 1.5")
    db.commit()
    db.close()


def no_text(path: Path) -> None:
    flip(path, b"ml.t3.medium", b"ml.t3.\xff\xfedium")


@pytest.mark.parametrize("damage", [no_database, no_page, no_time, no_cost, no_text])
def test_a_damaged_record_is_put_aside_and_a_new_one_begun(
    path: Path, damage: Callable[[Path], None]
) -> None:
    store = Store(path)
    assert store.put_aside is None
    run_until(store, 0, 60)
    store.close()
    damage(path)
    content = path.read_bytes()
    store = Store(path)
    assert store.put_aside is not None
    assert store.put_aside.read_bytes() == content
    assert re.fullmatch(r"fleet-broken-\d{4}-\d\d-\d\d\.sqlite3", store.put_aside.name)
    run_until(store, 0, 60)
    assert spent(store) == 2 * 10**9
    store.close()


def read_all(path: Path) -> None:
    with closing(Store(path, read_only=True)) as reader:
        reader.load(SCOPE)
        list(reader.totals())


@pytest.mark.parametrize("damage", [no_database, no_page, no_time, no_text])
def test_who_only_reads_names_a_damaged_record_and_leaves_it(
    path: Path, damage: Callable[[Path], None]
) -> None:
    store = Store(path)
    run_until(store, 0, 60)
    store.close()
    damage(path)
    content = path.read_bytes()
    with pytest.raises(StoreError, match=r"fleet\.sqlite3 can't be"):
        read_all(path)
    assert path.read_bytes() == content


def test_a_write_that_fails_at_its_very_end_leaves_the_record_usable(
    path: Path, store: Store
) -> None:
    """As on a full disk, or when somebody reads for too long."""
    state = run_until(store, 0)
    step = stepped(state, sweep(60, app(), volume("s")))
    store._db.execute("PRAGMA busy_timeout = 0")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM runs").fetchone()
    with pytest.raises(StoreError, match="can't be written"):
        store.apply(step, state.sweep_id)
    reader.close()
    assert store.apply(step, state.sweep_id)
    assert spent(store) == 2 * 10**9


def test_days_are_forgotten_after_a_year_and_totals_never(store: Store) -> None:
    state = run_until(store, 0, 60)
    step = stepped(state, sweep(500 * 24 * 60, unseen={}))
    assert store.apply(step, state.sweep_id)
    assert not list(store.costs("2026-01-01", "2027-01-01"))
    assert spent(store) == 2 * 10**9


def test_readers_read_while_somebody_writes(store: Store, path: Path) -> None:
    run_until(store, 0, 60)
    reader = Store(path, read_only=True)
    assert spent(reader) == 2 * 10**9
    run_until(store, 120)
    assert spent(reader) == 4 * 10**9
    reader.close()
