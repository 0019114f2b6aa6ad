"""Saves in a remote IDE are seen in the IDE's history."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity.browser_requests import Use
from sagemaker_autoshutdown.activity.ide_saves import last_save

from ..worlds import START, at

VS_CODE = ".vscode-server/data/User/History"
CODE_SERVER = ".local/share/code-server/User/History"


def saved(home: Path, history: str, file: str, seconds: float) -> Path:
    folder = home / history / f"{abs(hash(file)):x}"
    folder.mkdir(parents=True, exist_ok=True)
    resource = f"vscode-remote://ssh-remote%2Bspace/home/sagemaker-user/{file}"
    (folder / "entries.json").write_text(json.dumps({"version": 1, "resource": resource}))
    moment = at(seconds=seconds).timestamp()
    os.utime(folder, (moment, moment))
    return folder


@pytest.mark.parametrize("history", [VS_CODE, CODE_SERVER, ".cursor-server/data/User/History"])
def test_the_file_that_was_saved_last_is_named_without_its_folders(
    tmp_path: Path, history: str
) -> None:
    saved(tmp_path, history, "src/my%20train.py", 60)
    saved(tmp_path, history, "notes.md", 30)
    assert last_save(at(hours=1), tmp_path) == Use("my train.py", at(seconds=60))


def test_a_save_in_the_future_does_not_hold_an_app_until_then(tmp_path: Path) -> None:
    saved(tmp_path, VS_CODE, "a.py", 7200)
    assert last_save(START + timedelta(hours=1), tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"resource": 1}'])
def test_a_list_that_can_not_be_read_hides_no_save(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path, VS_CODE, "a.py", 60)
    (folder / "entries.json").write_text(text)
    moment = at(seconds=60).timestamp()
    os.utime(folder, (moment, moment))
    assert last_save(at(hours=1), tmp_path) == Use("a file", at(seconds=60))


def test_without_an_ide_there_is_no_save(tmp_path: Path) -> None:
    assert last_save(at(hours=1), tmp_path) is None
    (tmp_path / ".vscode-server/data/User").mkdir(parents=True)
    (tmp_path / VS_CODE).touch()
    assert last_save(at(hours=1), tmp_path) is None
