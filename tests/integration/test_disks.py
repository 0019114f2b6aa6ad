"""Files on a disk that is full, read-only or elsewhere: a real one, in memory."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME
from sagemaker_autoshutdown.settings.file import SettingsFile
from tests.paths import ROOT
from tests.unit.costs.test_ledger import World

#: A namespace of its own lets anybody mount a disk in memory.
IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")

_WRITER = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from sagemaker_autoshutdown.costs.store import reads
from sagemaker_autoshutdown.model import Event, EventKind
from sagemaker_autoshutdown.settings.file import SettingsFile
from tests.unit.costs.test_ledger import HOST, World, after

disk = Path({folder!r})
world, settings = World(disk / "data"), SettingsFile(disk / "data" / "settings.json")

def fill():
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        for size in (4096, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                pass

def read_only(way):
    world.ledger.close()  # while a file is open for writing, nobody may
    subprocess.run(["mount", "-o", f"remount,{{way}}", str(disk)], check=True)

settings.write({{"idle_timeout": 60.0}}, {{}})
world.observe(60, world.app())
assert world.ledger.error == ""
{spoil}
for at in range(120, 2400, 60):
    world.ledger.add_event(HOST, Event(after(at), EventKind.SETTINGS, "x" * 2000))
    world.observe(at, world.app())
print(world.ledger.error)
try:
    settings.write({{"idle_timeout": 70.0}}, {{}})
except OSError as error:
    print(error.errno)
assert settings.read().settings == {{"idle_timeout": 60.0}}, "half a write is no write"
assert world.ledger.read(lambda db: reads.last_observed_at(db, HOST)), "it can be read all the same"
{mend}
settings.write({{"idle_timeout": 70.0}}, {{}})
world.observe(2400, world.app())
assert settings.read().settings == {{"idle_timeout": 70.0}}
assert (world.ledger.error, world.ledger.notice) == ("", "")
assert world.stretches() == [("a", 0, 2400, "use")], "what was seen meanwhile is recorded"
assert len(world.ledger.read(lambda db: reads.events(db, 100))) == 38
"""


@pytest.mark.parametrize(
    ("spoil", "mend", "said", "number"),
    [
        ("fill()", "(disk / 'ballast').unlink()", "disk is full", errno.ENOSPC),
        ("read_only('ro')", "read_only('rw')", "Read-only file system", errno.EROFS),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_loses_nothing_that_was_seen_meanwhile(
    tmp_path: Path, spoil: str, mend: str, said: str, number: int
) -> None:
    script = tmp_path / "writer.py"
    folder = tmp_path / "disk"
    folder.mkdir()
    script.write_text(_WRITER.format(root=str(ROOT), folder=str(folder), spoil=spoil, mend=mend))
    mounted = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" "$3"'
    shell = ["sh", "-c", mounted, "sh", str(folder), sys.executable, str(script)]
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "none", str(folder)], check=False
        ).returncode
    ):
        pytest.skip("a namespace in which anybody may mount a disk is not on this machine")
    done = subprocess.run([*IN_A_NAMESPACE, *shell], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    error, refused = done.stdout.splitlines()
    assert said in error
    assert "Check that there is space and that you may write there" in error
    assert int(refused) == number


def test_a_folder_that_is_a_link_keeps_what_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to("elsewhere")
    world, settings = World(tmp_path / "data"), SettingsFile(tmp_path / "data" / "settings.json")
    for at in (60, 120):
        world.observe(at, world.app())
        settings.write({"idle_timeout": float(at)}, {})
    # A second server that uses another path to the same folder.
    other = World(tmp_path / "elsewhere")
    other.observe(180, other.app())
    assert other.ledger.is_elsewhere
    world.ledger.close()
    other.observe(240, other.app())
    assert other.stretches() == [("a", 0, 240, "use")]
    other.ledger.close()
    assert (tmp_path / "data").is_symlink()
    assert (tmp_path / "elsewhere" / FILE_NAME).exists()
    assert SettingsFile(tmp_path / "elsewhere" / "settings.json").read().settings == {
        "idle_timeout": 120.0
    }


def test_a_link_that_leads_to_another_folder_meanwhile_is_followed(tmp_path: Path) -> None:
    """Otherwise two servers would write, each into a folder of its own."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "data").symlink_to("one")
    world = World(tmp_path / "data")
    world.observe(60, world.app())
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("two")
    other = World(tmp_path / "two")
    other.observe(120, other.app())
    world.observe(180, world.app())
    assert world.ledger.is_elsewhere
    other.ledger.close()
    world.observe(240, world.app())
    assert (world.ledger.error, world.ledger.is_elsewhere) == ("", False)
    assert (tmp_path / "two" / FILE_NAME).stat().st_size
    world.ledger.close()


def test_a_link_that_leads_nowhere_is_said_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("gone")
    world, settings = World(tmp_path / "data"), SettingsFile(tmp_path / "data" / "settings.json")
    world.observe(60, world.app())
    assert "can't be recorded" in world.ledger.error
    with pytest.raises(OSError, match="data"):
        settings.write({"idle_timeout": 60.0}, {})
    (tmp_path / "gone").mkdir()
    world.observe(120, world.app())
    settings.write({"idle_timeout": 60.0}, {})
    assert (world.ledger.error, world.stretches()) == ("", [("a", 0, 120, "use")])
    world.ledger.close()
