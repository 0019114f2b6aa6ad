"""An installer's settings in /etc win over users' settings in Jupyter's configuration."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from traitlets.config import Config, LoggingConfigurable

from sagemaker_autoshutdown.settings import admin
from sagemaker_autoshutdown.settings.admin import load


class Server(LoggingConfigurable):
    """Any object that holds Jupyter's configuration."""


@pytest.fixture
def fixed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "settings.json"
    monkeypatch.setattr(admin, "FIXED_SETTINGS_FILE", str(file))
    return file


def server(**settings: object) -> Server:
    """A server whose user has set these values."""
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
    fixed_file: Path,
) -> None:
    assert not fixed_file.exists()
    assert load(server(idle_timeout=60))[1] == []


def test_a_broken_file_in_etc_does_not_hide_the_environments(
    fixed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    other = Path(f"{sys.prefix}{fixed_file}")
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"SageMakerAutoShutdown": {"dry_run": True}}))
    fixed_file.write_text("{")
    settings, [problem] = load(server(dry_run=False))
    assert settings.dry_run is True
    assert f"{fixed_file} can't be read" in problem
    fixed_file.write_text(json.dumps({"SageMakerAutoShutdown": {"dry_run": False}}))
    assert load(server())[0].dry_run is False


def test_no_variable_of_a_users_names_another_place_for_it(
    fixed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path(f"{tmp_path}{fixed_file}")
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text(json.dumps({"SageMakerAutoShutdown": {"idle_timeout": 999999}}))
    monkeypatch.setenv("SAGEMAKER_AUTOSHUTDOWN_ROOT", str(tmp_path))
    fixed_file.write_text(json.dumps({"SageMakerAutoShutdown": {"idle_timeout": 1800}}))
    assert load(server())[0].idle_timeout == 1800
