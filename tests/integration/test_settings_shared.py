"""Several servers, and servers that are killed, on one file of settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sagemaker_autoshutdown.settings.file import SettingsFile


def settings_in(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["settings"]  # type: ignore[no-any-return]


_KILLED = """
import os, sys
from pathlib import Path
from sagemaker_autoshutdown.settings.file import SettingsFile
os.fsync = lambda descriptor: os.kill(os.getpid(), 9)
SettingsFile(Path(sys.argv[1])).write({"idle_timeout": 60.0}, {})
"""


def test_what_a_server_that_was_killed_left_half_written_does_not_pile_up(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    SettingsFile(path).write({"idle_timeout": 3600.0}, {})
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
        assert done.returncode == -9
    left = list(tmp_path.glob(".settings.json.*"))
    assert len(left) == 1, "the second one removed what the first one left"
    SettingsFile(path).write({"warning_time": 60.0}, {})
    assert list(tmp_path.glob(".settings.json.*")) == []
    assert settings_in(path) == {"idle_timeout": 3600.0, "warning_time": 60.0}


_MANY_WRITES = """
import sys
from pathlib import Path
from sagemaker_autoshutdown.settings.file import SettingsFile
file = SettingsFile(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(40):
    file.write({f"{sys.argv[2]}-{number}": 1.0}, {})
"""


def test_servers_that_write_within_the_same_milliseconds_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _MANY_WRITES, str(path), name], stdin=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=180)
        assert writer.returncode == 0
    assert len(settings_in(path)) == 3 * 40
