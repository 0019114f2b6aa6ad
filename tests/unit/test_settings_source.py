"""The admin's settings from one place: which are accepted, which are refused, which apply
meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import AwsError, ErrorKind
from sagemaker_autoshutdown.settings import source as module
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from sagemaker_autoshutdown.settings.source import InvalidSettings, SettingsSource, parse
from sagemaker_autoshutdown.settings.user import Settings

START = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)


class Place:
    """The content of the source, or its error."""

    def __init__(self) -> None:
        self.content: Any = {}
        self.asked = 0

    def read(self) -> str:
        """As the edge reads it."""
        self.asked += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content if isinstance(self.content, str) else json.dumps(self.content)


class Server:
    """One server's life, from the admin's settings at its start."""

    def __init__(self, folder: Path, place: Place, **own: Any) -> None:
        self.now = START
        self.config = SageMakerAutoShutdown(
            settings_source="s3://bucket/limits.json", data_dir=str(folder), **own
        )
        self.settings = Settings.of(self.config, lambda: self.now)
        self.source = SettingsSource(self.config, place.read, lambda: self.now)
        self.settings.follow(self.source)
        self.changes: list[list[str]] = []
        self.settings.on_admin_change.append(lambda names: self.changes.append(list(names)))

    async def passes(self, seconds: float) -> None:
        """Time passes, and the loop runs once."""
        self.now += timedelta(seconds=seconds)
        self.settings.follow_again()
        if self.settings._following is not None:
            await self.settings._following


@pytest.fixture
def place() -> Place:
    """The content of the source."""
    return Place()


def run(work: Callable[[], Any]) -> Any:
    """Runs a coroutine to its end."""
    return asyncio.run(work())


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sagemaker_autoshutdown")


def test_what_stands_there_wins_over_what_the_server_was_started_with(
    place: Place, tmp_path: Path
) -> None:
    async def work() -> None:
        server = Server(tmp_path, place, idle_timeout=7200, warning_time=60)
        rules = [{"owner": f"team-{n}", "idle_timeout": 900} for n in range(500)]
        place.content = {"idle_timeout": 1800, "idle_timeout_rules": rules}
        await server.settings.read()
        assert server.settings.policy.idle_timeout == timedelta(minutes=30)
        assert len(server.settings.policy.rules) == 500
        assert server.settings.policy.warning_time == timedelta(minutes=1)

    run(work)


def test_a_change_is_in_force_after_minutes_and_said(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        server = Server(tmp_path, place)
        await server.settings.read()
        place.content = {"SageMakerAutoShutdown": {"idle_timeout": 600}}
        await server.passes(200)
        assert server.settings.policy.idle_timeout == timedelta(hours=2)
        await server.passes(101)
        assert server.settings.policy.idle_timeout == timedelta(minutes=10)
        assert server.changes == [[], ["idle_timeout"]]
        assert "changed idle_timeout=600" in caplog.text
        [note] = server.settings.admin_notes
        assert (
            note == "s3://bucket/limits.json sets idle_timeout (last read at 2026-03-02T09:05:01Z)."
        )
        # A removed setting returns to its value at the start of the server.
        place.content = {}
        await server.passes(300)
        assert server.settings.policy.idle_timeout == timedelta(hours=2)

    run(work)


def test_the_emergency_stop_stops_all_shutdowns_and_nothing_else(
    place: Place, tmp_path: Path
) -> None:
    async def work() -> None:
        server = Server(tmp_path, place)
        await server.settings.read()
        before = server.settings.policy
        place.content = {"stop_shutdowns": True}
        await server.passes(300)
        assert server.settings.policy.dry_run
        assert "Your administrator has stopped all shutdowns." in server.settings.admin_notes
        place.content = {"stop_shutdowns": False}
        await server.passes(300)
        assert server.settings.policy == before

    run(work)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        ({"idle_timeout": 0}, "in seconds"),
        ({"idle_timeout": 600, "warning_time": "soon"}, "warning_time"),
        ({"idle_timout": 600}, "idle_timout is not a setting"),
        ({"data_dir": "/elsewhere"}, "data_dir can't change while a server runs"),
        ({"settings_source": "s3://other/x"}, "settings_source can't change while a server runs"),
        ({"remote_write_url": "https://x"}, "remote_write_url can't change while"),
        ({"idle_timeout_rules": [{"idle_timeout": "1h"}]}, "idle_timeout in seconds"),
        ({"allow_user_settings": ["everything"]}, "has unknown names"),
        ({"min_idle_timeout": 600, "max_idle_timeout": 60}, "is above"),
        ({"idle_timeout": 10**400}, ""),
        ('{"idle_timeout": NaN}', "in seconds"),
        # To Python, true is 1: everything would be shut down a second after it was used.
        ({"idle_timeout": True}, "expected a float, not the bool"),
        ('{"stop_shutdowns": true, "stop_shutdowns": false}', "stop_shutdowns is given twice"),
        ('{"idle_timeout_rules": [{"owner": "a", "owner": "b"}]}', "owner is given twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"idle_timeout":' * 100_000, "nested too deeply"),
        ({"\udead": 1}, "\\udead is not a setting"),
        ({"idle_timeout_rules": ["x" * 900_000]}, "each rule of idle_timeout_rules must be a dict"),
    ],
)
def test_what_is_not_valid_changes_nothing_and_is_said(
    place: Place, tmp_path: Path, content: Any, says: str
) -> None:
    async def work() -> None:
        server = Server(tmp_path, place)
        place.content = {"idle_timeout": 1234}
        await server.settings.read()
        place.content = content
        await server.passes(300)
        assert server.settings.policy.idle_timeout == timedelta(seconds=1234)
        [problem] = server.settings.problems
        assert problem.code == "settings_source"
        assert says in problem.message
        assert "those read at 2026-03-02T09:00:00Z apply" in problem.message
        assert len(problem.message) < 2000
        place.content = {"idle_timeout": 1234}
        await server.passes(300)
        assert server.settings.problems == ()

    run(work)


def test_a_source_that_can_not_be_read_leaves_the_last_good_one_over_restarts(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        place.content = {"idle_timeout": 1234}
        await Server(tmp_path, place).settings.read()
        kept = tmp_path / module.FILE_NAME
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600

        place.content = AwsError(ErrorKind.ACCESS_DENIED, "s3:GetObject", "AccessDenied", "no")
        server = Server(tmp_path, place)
        await server.settings.read()
        assert server.settings.policy.idle_timeout == timedelta(seconds=1234)
        [problem] = server.settings.problems
        assert "allow the IAM action s3:GetObject" in problem.remedy
        for _ in range(5):
            await server.passes(300)
        assert place.asked == 7
        # One line for one outage.
        assert caplog.text.count("can't be used") == 1

        # Another source's settings do not apply here.
        other = Server(tmp_path, place)
        other.source.where = "ssm:/other"
        await other.settings.read()
        assert other.settings.policy.idle_timeout == timedelta(hours=2)

    run(work)


@pytest.mark.parametrize("content", ["", "{", '{"source": 1}', "[]", "\x00"])
def test_a_damaged_copy_keeps_no_server_from_starting(
    place: Place, tmp_path: Path, content: str
) -> None:
    async def work() -> None:
        (tmp_path / module.FILE_NAME).write_text(content)
        place.content = {"idle_timeout": 600}
        server = Server(tmp_path, place)
        await server.settings.read()
        assert server.settings.policy.idle_timeout == timedelta(minutes=10)

    run(work)


def test_a_source_that_never_answers_is_asked_by_one_thread_only(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    async def work() -> None:
        monkeypatch.setattr(module, "READ_TIMEOUT", 0.01)
        server = Server(tmp_path, place)
        begun = 0

        def hang() -> str:
            nonlocal begun
            begun += 1
            over.wait(120)
            return "{}"

        server.source._read = hang
        await server.settings.read()
        for _ in range(3):
            await server.passes(300)
        assert begun == 1
        assert "no answer in" in server.settings.problems[0].message
        over.set()

    run(work)


def test_a_file_that_windows_wrote_can_be_read() -> None:
    assert parse('\ufeff{"dry_run": true}') == {"dry_run": True}


def test_bounds_that_do_not_fit_what_the_server_was_started_with_are_no_change_each_time(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        server = Server(tmp_path, place, min_idle_timeout=3600)
        place.content = {"max_idle_timeout": 1800, "ignored_programs": "htop"}
        await server.settings.read()
        assert server.config.min_idle_timeout == server.config.max_idle_timeout == 1800
        assert server.config.ignored_programs == ["htop"]
        caplog.clear()
        await server.passes(300)
        assert caplog.text == ""
        assert server.changes == [[]]
        place.content = {}
        await server.passes(300)
        assert (server.config.min_idle_timeout, server.config.max_idle_timeout) == (3600, None)

    run(work)


def test_every_live_setting_can_stand_there_and_is_one(tmp_path: Path) -> None:
    defaults = SageMakerAutoShutdown()
    for name in module.live_names():
        assert parse(json.dumps({name: getattr(defaults, name)})) is not None
    with pytest.raises(InvalidSettings, match="poll_interval can't change while a server runs"):
        parse('{"poll_interval": 5}')
