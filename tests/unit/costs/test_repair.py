"""A record with entries of the future from a wrong clock can be trimmed, and nothing else is
lost."""

from __future__ import annotations

import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.clock import utcnow
from sagemaker_autoshutdown.costs.store import reads
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME, read_ledger
from sagemaker_autoshutdown.costs.store.repair import repair
from sagemaker_autoshutdown.model import Event, EventKind, PriceSource, VolumePrice
from sagemaker_autoshutdown.settings.locks import Locked

from .test_ledger import HOST, World, after, world

__all__ = ["world"]

YEARS = 4 * 365 * 86_400


def with_a_future(world: World) -> Path:
    """A minute of the right clock, then some of one that is years ahead, then the right one
    again."""
    world.observe(60, world.app())
    for at in (YEARS, YEARS + 60, YEARS + 120):
        world.observe(at, world.app(), world.app(name="b", started=YEARS))
        world.ledger.add_event(HOST, Event(after(at), EventKind.SETTINGS, "in the future"))
    price = VolumePrice(Decimal("0.1"), PriceSource.LIST)
    world.ledger.set_volume(HOST, after(YEARS), 50, price)
    world.observe(180, world.app())
    assert "costs --repair" in world.ledger.error
    return world.folder / FILE_NAME


def test_a_record_in_the_future_is_taken_out_beside_a_running_server_and_a_copy_is_kept(
    world: World,
) -> None:
    path = with_a_future(world)
    before = path.read_bytes()
    # The server still has the file; it releases the lock while nothing is recorded.
    repaired = repair(path, after(200))
    assert repaired is not None
    assert (repaired.runs, repaired.events) == (1, 3)
    assert repaired.kept_as.name == "ledger-before-repair-2026-11-02.sqlite3"
    assert repaired.kept_as.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    world.observe(240, world.app())
    world.observe(300, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [
        ("a", 0, 60, "use"),
        ("a", 60, 200, "use?"),
        ("a", 200, 300, "use"),
    ]
    assert world.ledger.read(reads.volumes) == []
    assert world.ledger.read(lambda db: reads.events(db, 10)) == []
    assert {found.name for found in world.folder.iterdir()} == {
        FILE_NAME,
        "ledger.lock",
        "ledger-before-repair-2026-11-02.sqlite3",
    }


def test_a_record_without_a_future_is_left_as_it_is(world: World) -> None:
    world.observe(60, world.app())
    world.ledger.close()
    path = world.folder / FILE_NAME
    before = path.read_bytes()
    assert repair(path, after(90)) is None
    assert path.read_bytes() == before
    assert len(list(world.folder.iterdir())) == 2


def test_a_record_that_a_server_is_writing_is_not_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagemaker_autoshutdown.costs.store.repair.LOCK_WAIT", 0.05)
    world.observe(60, world.app())
    with pytest.raises(Locked):
        repair(world.folder / FILE_NAME, after(30))
    world.observe(120, world.app())
    assert world.stretches() == [("a", 0, 120, "use")]


def test_a_repair_that_fails_half_way_leaves_the_record_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_a_future(world)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("sagemaker_autoshutdown.costs.store.repair._trim", fail)
    with pytest.raises(sqlite3.OperationalError):
        repair(path, after(200))
    assert path.read_bytes() == before
    assert {found.name for found in world.folder.iterdir()} == {FILE_NAME, "ledger.lock"}


def test_the_command_repairs_the_record_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "share"))
    assert cli.main(["costs", "--repair"]) == 1
    assert "no record" in capsys.readouterr().err
    folder = tmp_path / "share" / "sagemaker_autoshutdown"
    made = World(folder)
    made.observe(0, made.app())
    made.observe(60, made.app())
    made.ledger.close()
    assert cli.main(["costs", "--repair"]) == 0
    said = capsys.readouterr().out
    # When this runs, the tests' time may or may not lie in the future.
    assert ("Removed" in said) == (after(60) > utcnow())
    assert ("Nothing was changed" in said) != ("Removed" in said)
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as db:
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
    assert read_ledger(folder / FILE_NAME, lambda db: reads.last_observed_at(db, HOST)) is not None
