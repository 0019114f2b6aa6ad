"""The HTTP side of the switches, for other processes: faults, the journal and the state.

Under ``/_localstudio/``, with ``Authorization: Bearer`` and the studio's control token. In the same
process, `LocalStudio`'s methods do the same.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import asdict, dataclass
from typing import Any

from tornado import web

from . import names
from .errors import ApiError, LocalStudioError
from .faults import Faults, fault_from_json, override_from_json
from .journal import Journal
from .operations import Backend
from .operations.apps import parameters_of
from .runtime import Runtime, Target
from .state import App, AppKey, NotebookInstance


@dataclass(frozen=True)
class Controls:
    """The subject of the control API; its token opens it."""

    token: str
    endpoint_url: str
    backend: Backend
    runtime: Runtime
    journal: Journal
    faults: Faults

    def describe(self) -> dict[str, Any]:
        """The state as JSON."""
        account, now = self.backend.account, self.backend.now()
        found: list[App | NotebookInstance] = [*account.apps(now), *account.notebooks(now)]
        return {
            "endpoint_url": self.endpoint_url,
            "region": names.REGION,
            "account": names.ACCOUNT,
            "domains": sorted(account.domains),
            "running": [self._describe(each) for each in found],
        }

    def _describe(self, what: App | NotebookInstance) -> dict[str, Any]:
        if isinstance(what, App):
            target: Target = what.key
            about = {**parameters_of(what.key), "InstanceType": what.resource.instance_type}
        else:
            target = what.name
            about = {"NotebookInstanceName": what.name, "InstanceType": what.instance_type}
        about["Status"] = what.status
        try:
            launch = self.runtime.launch_of(target)
        except LocalStudioError:
            return about
        pids = [info.pid for info in self.runtime.processes(target)]
        return {**about, "url": launch.url, "token": launch.token, "pids": pids}


class ControlHandler(web.RequestHandler):
    """The base of all handlers of the control API."""

    def initialize(self, controls: Controls) -> None:
        """Tornado's hook."""
        self.controls = controls

    def prepare(self) -> None:
        """Admits only requests with the control token."""
        expected = f"Bearer {self.controls.token}"
        given = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise web.HTTPError(401, reason="The control token is missing or wrong")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors explain the problem."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, (ValueError, LocalStudioError, ApiError)):
            self.set_status(400)
            self.finish({"message": str(error)})
        else:
            self.finish({"message": self._reason})

    def body(self) -> dict[str, Any]:
        """The request's JSON object."""
        document = json.loads(self.request.body or b"{}")
        if not isinstance(document, dict):
            raise ValueError("the body must be a JSON object")
        return document

    def app(self, name: str) -> AppKey:
        """The one app of that name."""
        backend = self.controls.backend
        found = [app for app in backend.account.apps(backend.now()) if app.key.name == name]
        if len(found) != 1:
            raise ValueError(f"{len(found)} apps have the name {name!r}")
        return found[0].key


class JournalHandler(ControlHandler):
    """``journal``: requests to the API and the gateway."""

    def get(self) -> None:
        """All calls, or those of ``?operation=`` and ``?app_name=``."""
        calls = self.controls.journal.calls(
            self.get_query_argument("operation", None), self.get_query_argument("app_name", None)
        )
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps([asdict(call) for call in calls], default=str))


class FaultsHandler(ControlHandler):
    """``faults``: deliberate errors."""

    def get(self) -> None:
        """The active faults."""
        active = self.controls.faults.active()
        self.finish({str(number): asdict(fault) for number, fault in active.items()})

    def post(self) -> None:
        """Switches one on (`faults.Fault`)."""
        self.finish({"number": self.controls.faults.on(fault_from_json(self.body()))})

    def delete(self, number: str | None = None) -> None:
        """Switches one off, or all."""
        self.controls.faults.off(None if number is None else int(number))
        self.set_status(204)


class FaultHandler(FaultsHandler):
    """``faults/N``."""


class OverridesHandler(ControlHandler):
    """``kernel-overrides``: false reports of the gateway about kernels."""

    def post(self) -> None:
        """Adds one (`faults.KernelOverride`); ``DELETE faults`` ends all."""
        self.controls.faults.override_kernels(override_from_json(self.body()))
        self.set_status(204)


class StateHandler(ControlHandler):
    """``state``: everything that exists."""

    def get(self) -> None:
        """Apps and notebook instances with status, URL, token and processes."""
        self.finish(self.controls.describe())


class TerminalsHandler(ControlHandler):
    """``terminals``: image terminals."""

    async def post(self) -> None:
        """Opens one in ``app_name``; ``shows_activity`` false leaves its last activity out."""
        document = self.body()
        terminal = await self.controls.runtime.open_terminal(
            self.app(document["app_name"]), shows_activity=document.get("shows_activity", True)
        )
        self.finish(terminal.model)


class FailHandler(ControlHandler):
    """``fail``: an app that breaks."""

    async def post(self) -> None:
        """Ends the process of ``app_name``: its app fails, or its server is down."""
        await self.controls.runtime.kill(self.app(self.body()["app_name"]))
        self.set_status(204)


class RestartHandler(ControlHandler):
    """``restart``: brings a server up again."""

    async def post(self) -> None:
        """Runs the server of ``app_name`` again, after ``fail`` or while it runs."""
        await self.controls.runtime.restart(self.app(self.body()["app_name"]))
        self.set_status(204)


def handlers(controls: Controls) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The control API's routes."""
    routes: list[tuple[str, type[web.RequestHandler]]] = [
        ("journal", JournalHandler),
        ("faults", FaultsHandler),
        (r"faults/(\d+)", FaultHandler),
        ("kernel-overrides", OverridesHandler),
        ("state", StateHandler),
        ("terminals", TerminalsHandler),
        ("fail", FailHandler),
        ("restart", RestartHandler),
    ]
    return [(f"/_localstudio/{path}", handler, {"controls": controls}) for path, handler in routes]
