"""What an installer has fixed in /etc wins over what users write into Jupyter's configuration."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from traitlets.config import Config, LoggingConfigurable

from sagemaker_autoshutdown.config import FIXED_SETTINGS_FILE, load


class Server(LoggingConfigurable):
    """Whatever holds Jupyter's configuration."""


@pytest.fixture
def fixed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGEMAKER_AUTOSHUTDOWN_ROOT", str(tmp_path))
    file = tmp_path / FIXED_SETTINGS_FILE.lstrip("/")
    file.parent.mkdir(parents=True)
    return file


def server(**settings: object) -> Server:
    """A server whose user has set these."""
    return Server(config=Config(SageMakerAutoShutdown=settings), log=logging.getLogger("test"))


def test_a_users_jupyter_configuration_does_not_undo_what_the_admin_fixed(fixed_file: Path) -> None:
    fixed_file.write_text(json.dumps({"SageMakerAutoShutdown": {"idle_timeout": 1800}}))
    settings, problems = load(server(idle_timeout=999999, poll_interval=30))
    assert (settings.idle_timeout, settings.poll_interval) == (1800, 30)
    assert problems == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"SageMakerAutoShutdown": 7}', "{}"])
def test_a_broken_file_is_said_and_does_not_keep_the_extension_from_loading(
    fixed_file: Path, content: str
) -> None:
    fixed_file.write_text(content)
    settings, [problem] = load(server(idle_timeout=60))
    assert settings.idle_timeout == 60
    assert str(fixed_file) in problem


def test_without_such_a_file_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_AUTOSHUTDOWN_ROOT", str(tmp_path))
    assert load(server(idle_timeout=60))[1] == []
