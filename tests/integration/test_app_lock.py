"""One server acts for an app: the lock that decides which."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sagemaker_autoshutdown.hosts.app_lock import AppLock
from sagemaker_autoshutdown.model import Host, HostKind
from tests.paths import ROOT

SPACE = Host(HostKind.SPACE, "us-west-2", "d-1", "team-a", app_name="default")
OTHERS = [
    replace(SPACE, **changes)
    for changes in (
        {"kind": HostKind.CLASSIC},
        {"domain_id": "d-2"},
        {"owner": "team-b"},
        {"app_name": "other"},
    )
]

HOLD = """
import os, sys, time
from pathlib import Path
from sagemaker_autoshutdown.hosts.app_lock import AppLock
from sagemaker_autoshutdown.model import Host, HostKind
space = Host(HostKind.SPACE, "us-west-2", "d-1", "team-a", app_name="default")
lock = AppLock(space, Path({folder!r}))
assert lock.acquire()
{then}
print("held", flush=True)
time.sleep(1000)
"""


@contextmanager
def holding(folder: Path, then: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock of the space."""
    code = textwrap.dedent(HOLD).format(folder=str(folder), then=then)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_two_servers_on_one_app_do_not_both_act(tmp_path: Path) -> None:
    lock = AppLock(SPACE, tmp_path / "locks")
    with holding(tmp_path / "locks") as other:
        assert not lock.acquire()
        assert not lock.is_held
        assert lock.holder() == other.pid


@pytest.mark.parametrize("other", OTHERS)
def test_another_app_s_server_does_not_wait(tmp_path: Path, other: Host) -> None:
    with holding(tmp_path / "locks"):
        lock = AppLock(other, tmp_path / "locks")
        assert lock.acquire()
        lock.release()


def test_what_is_released_is_free_for_others_and_nothing_is_left_open(tmp_path: Path) -> None:
    lock = AppLock(SPACE, tmp_path / "locks")
    opened = open_files()
    for _ in range(2):
        assert lock.acquire()
    lock.release()
    assert not lock.is_held
    with holding(tmp_path / "locks"):
        pipes = open_files()
        assert not lock.acquire()
        assert open_files() == pipes
    assert open_files() == opened


def test_the_holder_s_number_is_not_mixed_with_a_longer_one_before_it(tmp_path: Path) -> None:
    lock = AppLock(SPACE, tmp_path / "locks")
    assert lock.acquire()
    lock.release()
    (file,) = (tmp_path / "locks").iterdir()
    file.write_text("9" * 12)
    assert lock.acquire()
    assert lock.holder() == os.getpid()
    lock.release()


def test_a_server_that_was_killed_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    lock = AppLock(SPACE, tmp_path / "locks")
    with holding(tmp_path / "locks") as other:
        other.kill()
        other.wait()
        assert lock.acquire()
    assert lock.holder() == os.getpid()
    lock.release()


def test_a_forked_child_that_outlives_its_server_does_not_keep_the_lock(tmp_path: Path) -> None:
    fork = """
child = os.fork()
if not child:
    time.sleep(1000)
Path({child!r}).write_text(str(child))
""".format(child=str(tmp_path / "child"))
    lock = AppLock(SPACE, tmp_path / "locks")
    with holding(tmp_path / "locks", fork) as other:
        child = int((tmp_path / "child").read_text())
        try:
            assert not lock.acquire()
            other.kill()
            other.wait()
            assert lock.acquire()
        finally:
            os.kill(child, 9)
            lock.release()


def test_a_folder_that_others_may_write_to_is_no_place_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="others may write"):
        AppLock(SPACE, folder).acquire()


def test_a_link_that_somebody_else_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        AppLock(SPACE, tmp_path / "locks").acquire()


def test_a_folder_that_belongs_to_somebody_else_is_no_place_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        AppLock(SPACE, tmp_path / "locks").acquire()


def test_a_file_is_not_created_elsewhere_through_a_link(tmp_path: Path) -> None:
    lock = AppLock(SPACE, tmp_path / "locks")
    assert lock.acquire()
    lock.release()
    (file,) = (tmp_path / "locks").iterdir()
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        lock.acquire()
    assert not (tmp_path / "elsewhere").exists()
