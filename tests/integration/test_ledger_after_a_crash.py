"""A killed server's record is there for the next one."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sagemaker_autoshutdown.costs.microseconds import FOR_EVER, to_us
from sagemaker_autoshutdown.costs.store import reads
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME, read_ledger
from sagemaker_autoshutdown.settings.file import SettingsFile
from tests.paths import ROOT
from tests.unit.costs.test_ledger import World, after

#: Servers that are killed while they write. The project's figure is from 100.
KILLS = int(os.environ.get("SAGEMAKER_AUTOSHUTDOWN_KILLS", "4"))
#: Seconds for a server to start and write, on a busy machine.
PATIENCE = 60

_WRITER = """
import sys, os
sys.path.insert(0, {root!r})
from tests.unit.costs.test_ledger import World
from pathlib import Path
world = World(Path({folder!r}))
world.observe(60, world.app())
print("recorded", flush=True)
if {die_in_a_transaction}:
    world.ledger._connect().execute("BEGIN IMMEDIATE")
    world.ledger._connect().execute("UPDATE stretches SET ended_at = 0")
    world.ledger._connect().execute("PRAGMA cache_spill = 1")
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("die_in_a_transaction", [False, True])
def test_a_server_that_is_killed_loses_nothing_that_was_recorded(
    tmp_path: Path, die_in_a_transaction: bool
) -> None:
    root = str(ROOT)
    script = _WRITER.format(
        root=root, folder=str(tmp_path), die_in_a_transaction=die_in_a_transaction
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (-9, "recorded\n"), done.stderr
    world = World(tmp_path)
    # The dead one's lock went with it.
    world.observe(120, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 120, "use")]
    world.ledger.close()


def test_what_a_server_left_half_written_can_be_read_before_the_next_one_starts(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "data")
    world.observe(60, world.app())
    path = world.folder / FILE_NAME
    world.ledger.close()
    half_way = (
        "import os, sqlite3, sys;"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('PRAGMA cache_size = 1');"  # so that it writes before it is told to
        "db.execute('BEGIN IMMEDIATE');"
        "db.execute('UPDATE stretches SET ended_at = 1 << 50');"
        "db.executemany('INSERT INTO days_until VALUES (?)', [(n,) for n in range(20000)]);"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", half_way, str(path)], check=False)
    assert path.with_name(f"{FILE_NAME}-journal").stat().st_size > 0
    assert read_ledger(path, lambda db: [s.end for s in reads.stretches(db, 0, FOR_EVER)]) == [
        to_us(after(60))
    ]


_BUSY_WRITER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from sagemaker_autoshutdown.model import Event, EventKind
from sagemaker_autoshutdown.settings.file import SettingsFile
from tests.unit.costs.test_ledger import HOST, Use, World, after
folder = Path({folder!r})
world, settings = World(folder), SettingsFile(folder / "settings.json")
for at in range({start}, 1 << 40, 10):
    busy = at % 100 < 50
    world.observe(at, world.app(*((Use.HELD,) if busy else (Use.IDLE, at - at % 100 + 40))))
    world.ledger.add_event(HOST, Event(after(at), EventKind.SETTINGS, str(at)))
    settings.write({{"idle_timeout": float(at)}}, {{}})
    print(at, world.ledger.error, flush=True)
"""


def _killed_after(folder: Path, start: int, seconds: float) -> int:
    """A server that writes from ``start`` on until it is killed; returns the last entry that it
    reported, before it was killed in the middle of the next."""
    script = _BUSY_WRITER.format(root=str(ROOT), folder=str(folder), start=start)
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    try:
        ready, _, _ = select.select([writer.stdout], [], [], PATIENCE)
        assert ready, "it wrote nothing"
        time.sleep(seconds)  # a random moment
    finally:
        writer.send_signal(signal.SIGKILL)
        said, _ = writer.communicate()
    # The last one may have been cut off.
    lines = [line for line in said.splitlines(keepends=True) if line.endswith("\n")]
    assert lines, "it wrote nothing"
    assert all(line.partition(" ")[2] == "\n" for line in lines), lines
    return int(lines[-1].split()[0])


@pytest.mark.timeout(60 + KILLS * PATIENCE)
def test_servers_that_are_killed_at_any_moment_lose_nothing_and_bill_nothing_twice(
    tmp_path: Path,
) -> None:
    chance = random.Random(20261125)
    written = 0
    for number in range(KILLS):
        written = _killed_after(tmp_path, written + 10, chance.uniform(0, 0.3))
        world = World(tmp_path)
        world.ledger.open()
        assert (world.ledger.error, world.ledger.notice) == ("", ""), f"kill {number}"
        stretches = world.stretches()
        edges = [(start, end) for _, start, end, _ in stretches]
        assert edges[0][0] == 0
        assert all(one[1] == other[0] for one, other in zip(edges, edges[1:])), f"kill {number}"
        # The last one may have been written without a report.
        assert edges[-1][1] in (written, written + 10), f"kill {number}"
        newest = world.ledger.read(lambda db: reads.events(db, 1)) or []
        assert int(newest[0].message) in (written, written + 10), f"kill {number}"
        stored = SettingsFile(tmp_path / "settings.json").read()
        assert stored.settings["idle_timeout"] in (written, written + 10), f"kill {number}"
        assert stored.notes == ()
        written = int(edges[-1][1])
        world.ledger.close()
    print(f"{KILLS} kills: the record and the settings were whole after each, {written} s recorded")
    assert len(list(tmp_path.glob(".settings.json.*"))) <= 1
    assert not list(tmp_path.glob("*broken*"))
