"""Loading into a server: inert elsewhere, harmless when it fails, at work by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPClientError, HTTPResponse

from sagemaker_autoshutdown import app, parts
from sagemaker_autoshutdown.api import served
from sagemaker_autoshutdown.errors import Unavailable
from sagemaker_autoshutdown.model import HostKind
from sagemaker_autoshutdown.monitor import Monitor
from tests.localstudio import user
from tests.localstudio.faults import Fault
from tests.localstudio.testing import QUICK, BlockingStudio, enter_app, running_studio

Fetch = Callable[..., Awaitable[Any]]
STATUS = ("sagemaker-autoshutdown", "api", "status")


@pytest.fixture
def traits() -> dict[str, Any]:
    """The admin's settings; tests change them before the server starts."""
    return {}


@pytest.fixture
def jp_server_config(tmp_path: Path, traits: dict[str, Any]) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"sagemaker_autoshutdown": True}},
        "SageMakerAutoShutdown": {
            "resource_metadata_file": str(tmp_path / "metadata.json"),
            "data_dir": str(tmp_path / "records"),
            **traits,
        },
    }


@pytest.fixture
def in_classic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingStudio]:
    """This process is the JupyterServer app of a user with one idle app."""
    with running_studio(tmp_path / "studio", timing=replace(QUICK, pending=0)) as studio:
        domain_id = studio.create_domain()
        studio.create_owner(user("ada"))
        enter_app(studio, "idle-one")
        for name, value in studio.aws_environment().items():
            monkeypatch.setenv(name, value)
        metadata = {
            "AppType": "JupyterServer",
            "DomainId": domain_id,
            "UserProfileName": "ada",
            "ResourceName": "default",
        }
        (tmp_path / "metadata.json").write_text(json.dumps(metadata))
        yield studio


@pytest.fixture
def monitor(jp_serverapp: ServerApp, jp_asyncio_loop: Any) -> Iterator[Monitor]:
    running: app.Running = jp_serverapp.web_app.settings[app.SETTINGS_KEY]
    found = jp_asyncio_loop.run_until_complete(running.served.get()).monitor
    yield found
    jp_asyncio_loop.run_until_complete(found.stop())
    close = getattr(found._costs, "close", None)
    if close is not None:
        close()


async def until(condition: Callable[[], object]) -> None:
    """Lets the server work until a condition is true."""

    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), 120)


async def test_off_sagemaker_it_loads_without_noise_and_does_nothing(
    monitor: Monitor, jp_serverapp: ServerApp, caplog: pytest.LogCaptureFixture
) -> None:
    status = monitor.status()
    assert (status.host, status.apps, status.problems) == (HostKind.NONE, (), ())
    assert "not on SageMaker" in status.message
    ours = [
        record
        for record in caplog.records
        if "sagemaker" in record.getMessage().lower() and record.levelno >= logging.WARNING
    ]
    assert ours == []
    assert not Path(monitor._config.data_dir).exists()


class TestOnWindows:
    @pytest.fixture(autouse=True)
    def without_what_only_unix_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr("os.sysconf")
        monkeypatch.delattr("os.getuid")
        monkeypatch.setitem(sys.modules, "fcntl", None)

    async def test_off_sagemaker_it_loads_on_a_laptop_that_is_no_unix(
        self, monitor: Monitor
    ) -> None:
        assert monitor.status().host == HostKind.NONE


class TestInClassic:
    @pytest.fixture
    def traits(self) -> dict[str, Any]:
        return {"idle_timeout": 1.0, "warning_time": 1.0, "poll_interval": 1.0}

    async def test_f7_it_starts_by_itself_and_shuts_down_what_is_idle(
        self, in_classic: BlockingStudio, monitor: Monitor, http_server: object
    ) -> None:
        await until(lambda: in_classic.calls("DeleteApp"))
        (call,) = in_classic.calls("DeleteApp")
        assert call.app_name == "idle-one"

    async def test_f22_loading_it_twice_changes_nothing(
        self, in_classic: BlockingStudio, monitor: Monitor, jp_serverapp: ServerApp
    ) -> None:
        rules = len(jp_serverapp.web_app.default_router.rules)
        tasks = len(asyncio.all_tasks())
        app.load(jp_serverapp)
        await asyncio.sleep(0)
        running = jp_serverapp.web_app.settings[app.SETTINGS_KEY]
        assert (await running.served.get()).monitor is monitor
        assert len(jp_serverapp.web_app.default_router.rules) == rules
        assert len(asyncio.all_tasks()) <= tasks + 1


class TestTheEndOfTheServer:
    @pytest.fixture
    def traits(self) -> dict[str, Any]:
        return {"idle_timeout": 1.0, "warning_time": 1.0, "poll_interval": 1.0}

    async def test_ends_the_loop_and_what_waits_for_a_shutdown(
        self,
        in_classic: BlockingStudio,
        monitor: Monitor,
        jp_serverapp: ServerApp,
        http_server: object,
    ) -> None:
        in_classic.fault(Fault("DeleteApp", hang=True))
        await until(lambda: monitor._shutdowns.progress())
        ours = {task for task in asyncio.all_tasks() if "sagemaker_autoshutdown" in repr(task)}
        assert ours
        await jp_serverapp.cleanup_extensions()
        assert [task for task in ours if not task.done()] == []
        in_classic.faults_off()


class TestSettingsThatMakeNoSense:
    @pytest.fixture
    def traits(self) -> dict[str, Any]:
        return {"idle_timeout": -5, "no_such_thing": 1}

    async def test_f7_leave_the_server_up_the_default_in_force_and_a_problem_in_the_status(
        self, monitor: Monitor, jp_fetch: Fetch
    ) -> None:
        assert (await jp_fetch("api", "status")).code == 200
        assert monitor.settings.policy.idle_timeout.total_seconds() == 7200
        problems = monitor.status().problems
        assert [problem.code for problem in problems] == ["bad_setting", "bad_setting"]
        assert "idle_timeout must be in seconds" in problems[0].message
        assert "no_such_thing is not a setting" in problems[1].message


class TestAnExtensionThatIsBroken:
    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(parts, "build", fail)

    async def test_leaves_the_server_up_and_says_so(
        self, jp_serverapp: ServerApp, jp_fetch: Fetch, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert (await jp_fetch("api", "status")).code == 200
        refused = await refusal(jp_fetch)
        assert refused.code == 503
        assert "server's log says why" in message(refused)
        del jp_serverapp.web_app.settings[app.SETTINGS_KEY]
        with caplog.at_level(logging.ERROR):
            jp_serverapp.log.propagate = True
            running = app.load(jp_serverapp)
            assert running is not None
            with pytest.raises(Unavailable):
                await running.served.get()
        assert "nothing is watched or shut down" in caplog.text


class TestWhileThePartsAreImported:
    """Which takes seconds on a busy machine."""

    @pytest.fixture
    def imported(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
        event = threading.Event()
        monkeypatch.setattr(app, "_import_parts", lambda: event.wait(120))
        yield event
        event.set()

    async def test_the_server_answers_and_who_asks_the_extension_waits(
        self, imported: threading.Event, jp_serverapp: ServerApp, jp_fetch: Fetch
    ) -> None:
        asked = asyncio.ensure_future(jp_fetch(*STATUS))
        assert (await jp_fetch("api", "status")).code == 200
        assert not asked.done()
        imported.set()
        assert json.loads((await asked).body)["host"] == "none"

    async def test_who_has_waited_long_is_told_to_try_again(
        self,
        imported: threading.Event,
        monkeypatch: pytest.MonkeyPatch,
        jp_serverapp: ServerApp,
        jp_fetch: Fetch,
    ) -> None:
        monkeypatch.setattr(served, "PATIENCE", 0.01)
        refused = await refusal(jp_fetch)
        assert refused.code == 503
        assert "still starting" in message(refused)

    async def test_a_server_that_ends_meanwhile_ends(
        self, imported: threading.Event, jp_serverapp: ServerApp, jp_fetch: Fetch
    ) -> None:
        assert (await jp_fetch("api", "status")).code == 200
        await asyncio.wait_for(jp_serverapp.cleanup_extensions(), 120)
        imported.set()
        running = jp_serverapp.web_app.settings[app.SETTINGS_KEY]
        assert running._starting.cancelled()


async def refusal(jp_fetch: Fetch) -> HTTPResponse:
    """How the extension refuses to show its status."""
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch(*STATUS)
    assert refused.value.response is not None
    return refused.value.response


def message(response: HTTPResponse) -> str:
    """The message of a refusal."""
    said: str = json.loads(response.body)["message"]
    return said


async def test_f14_no_setting_of_ours_is_taken_for_activity(
    monitor: Monitor, jp_serverapp: ServerApp
) -> None:
    """The server takes every setting of such a name for a time of activity."""
    ours = [key for key in jp_serverapp.web_app.settings if "autoshutdown" in str(key)]
    assert ours
    assert not [key for key in ours if key.endswith("_last_activity")]


def test_loading_pays_for_nothing_that_is_needed_later_only() -> None:
    """jupyter_server's own imports are not counted."""
    code = (
        "import sys, jupyter_server.serverapp; before = set(sys.modules);"
        "import sagemaker_autoshutdown.app;"
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package = "sagemaker_autoshutdown"
    routes = {"api", "api.handlers", "api.served", "app", "clock", "errors", "threads", "_version"}
    allowed = {package, *(f"{package}.{name}" for name in routes)}
    ours = {name for name in ran.stdout.split() if name.partition(".")[0] == package}
    assert ours - allowed == set()
    assert {"boto3", "botocore", "psutil", "sqlite3", "ctypes"}.isdisjoint(ran.stdout.split())
