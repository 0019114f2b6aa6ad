"""A local Studio for a module, and for each test a user whose server has the extension."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.clock import from_iso
from tests.localstudio import AppKey, Owner, ServerOptions, user
from tests.localstudio.runtime import Target
from tests.localstudio.testing import BlockingStudio, running_studio

API = "sagemaker-autoshutdown/api"

#: Limits of seconds in place of hours, in the same proportions. The idle limit is long until a test
#: has set its scene, which takes many seconds: see `Server.limit`.
QUICK_TRAITS: dict[str, Any] = {
    "idle_timeout": 3600,
    "warning_time": 1,
    "poll_interval": 1,
    "active_time": 1,
    "price_list_api": False,
}
INSTANCE_TYPES = ("ml.t3.medium", "ml.g4dn.xlarge")
SILENT_CELL = "import time; time.sleep(1000)"


def until(condition: Callable[[], Any], what: str, timeout: float = 300.0) -> Any:
    """Waits until a condition is true; returns its result."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, f"not in {timeout} s: {what}"
        time.sleep(0.05)
    return found


def lives(pid: int) -> bool:
    """Whether there is such a process, zombies aside."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def options(**traits: Any) -> ServerOptions:
    """A server with the extension and these settings of the admin."""
    named = {**QUICK_TRAITS, **traits}
    arguments = [f"--SageMakerAutoShutdown.{name}={value}" for name, value in named.items()]
    return ServerOptions(frontend="server", args=tuple(arguments))


@dataclass
class Server:
    """A Jupyter server with the extension, seen through its REST API."""

    studio: BlockingStudio
    target: Target

    def get(self, path: str) -> Any:
        """GET of our API."""
        return self.studio.request(self.target, "GET", f"{API}/{path}")

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """Another call of our API."""
        return self.studio.request(self.target, method, f"{API}/{path}", document)

    def app(self, name: str) -> dict[str, Any]:
        """One app of the status; empty until it is known."""
        apps: list[dict[str, Any]] = self.get("status")["apps"]
        return next((app for app in apps if app["app_name"] == name), {})

    def states(self) -> dict[str, str]:
        """The apps' states."""
        return {app["app_name"]: app["state"] for app in self.get("status")["apps"]}

    def limit(self, idle_timeout: float, warning_time: float = 1) -> None:
        """Sets the limit, as a user does; apps that become overdue get a warning first."""
        document = {"idle_timeout": idle_timeout, "warning_time": warning_time}
        self.ask("PUT", "settings", document)

    def wait_for_checks(self, times: int = 2) -> None:
        """Waits until it has checked this many times."""
        for _ in range(times):
            before = self.get("status")["checked_at"]
            until(lambda: self.get("status")["checked_at"] != before, "another check")  # noqa: B023

    def events(self, app_name: str = "") -> list[dict[str, Any]]:
        """The events of the audit trail, oldest first."""
        query = f"?app_name={app_name}" if app_name else ""
        events: list[dict[str, Any]] = self.get(f"history{query}")["events"]
        return events[::-1]

    def kinds(self, app_name: str) -> list[str]:
        """The kinds of an app's events, oldest first."""
        return [event["kind"] for event in self.events(app_name)]

    def log(self) -> str:
        """The server's output."""
        return self.studio.log(self.target)


@dataclass
class Classic(Server):
    """A user of Studio Classic."""

    owner: Owner

    def start_apps(self, *names: str, instance_types: Sequence[str] = ()) -> list[AppKey]:
        """KernelGateway apps, four to an instance, in service and known to the server."""
        instance_types = instance_types or [INSTANCE_TYPES[n // 4] for n in range(len(names))]
        apps = [
            self.studio.create_kernel_app(self.owner, instance_type=kind, name=name, wait=False)
            for name, kind in zip(names, instance_types)
        ]
        for app in apps:
            self.studio.wait_for(app, "InService")
        until(lambda: set(names) <= self._in_service(), "all apps in service, by the status")
        return apps

    def _in_service(self) -> set[str]:
        """The names of the apps that the server takes for being in service."""
        apps = self.get("status")["apps"]
        return {app["app_name"] for app in apps if app["status"] == "InService"}

    def deletions(self, app: AppKey) -> int:
        """How often SageMaker was asked to delete it."""
        calls = self.studio.calls("DeleteApp", app.name)
        return len([call for call in calls if call.parameters["UserProfileName"] == app.owner_name])

    def delay(self, app: AppKey) -> timedelta:
        """The time from the announced deadline to the arrival of the first DeleteApp."""
        deadline = [each for each in self.events(app.name) if each["kind"] == "warning"][-1]
        call = self.studio.calls("DeleteApp", app.name)[0]
        return call.at - from_iso(deadline["shutdown_at"])


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingStudio]:
    with running_studio(tmp_path_factory.mktemp("studio")) as studio:
        studio.create_domain()
        yield studio


@pytest.fixture(autouse=True)
def no_faults(studio: BlockingStudio) -> Iterator[None]:
    yield
    studio.faults_off()


@pytest.fixture
def alice(studio: BlockingStudio, request: pytest.FixtureRequest) -> Iterator[Owner]:
    """A user profile of the test's own; everything of hers ends with the test."""
    owner = studio.create_owner(user(f"alice-{os.urandom(3).hex()}"))
    yield owner
    studio.faults_off()
    for app in studio.do(lambda s: s.account.apps(s.now())):
        if app.key.owner == owner and app.status in ("Pending", "InService"):
            client = studio.client()
            # Its server may have deleted it meanwhile.
            with contextlib.suppress(client.exceptions.ResourceNotFound):
                client.delete_app(**studio.parameters(app.key))
            studio.wait_for(app.key, "Deleted")


@pytest.fixture
def serve(studio: BlockingStudio, alice: Owner) -> Callable[..., Classic]:
    """Starts alice's JupyterServer: ``serve(idle_timeout=2)``."""

    def start(**traits: Any) -> Classic:
        target = studio.create_app(alice, "JupyterServer", options=options(**traits))
        return Classic(studio, target, alice)

    return start
