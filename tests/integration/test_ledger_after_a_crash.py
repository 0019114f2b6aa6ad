"""What a server had recorded before it was killed is there for the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_autoshutdown.costs.microseconds import FOR_EVER, to_us
from sagemaker_autoshutdown.costs.store import reads
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME, read_ledger
from tests.paths import ROOT
from tests.unit.costs.test_ledger import World, after

_WRITER = """
import sys, os
sys.path.insert(0, {root!r})
from tests.unit.costs.test_ledger import World
from pathlib import Path
world = World(Path({folder!r}))
world.look(60, world.app())
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
    world.look(120, world.app())
    assert world.ledger.error == ""
    assert world.stretches() == [("a", 0, 120, "use")]
    world.ledger.close()


def test_what_a_server_left_half_written_can_be_read_before_the_next_one_starts(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "data")
    world.look(60, world.app())
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
