"""Where Jupyter's kernels, sessions and terminals are read from.

In Classic the server's objects are SageMaker's own and undocumented. Its REST API is known to work,
so its handlers are asked. Elsewhere Jupyter's objects are read in process. A server whose
kernels run behind a gateway lists only kernels that this very process started, so there the gateway
is asked for all of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from jupyter_server.gateway.gateway_client import GatewayClient, gateway_request
from jupyter_server.utils import ensure_async, url_path_join
from tornado.escape import url_escape
from tornado.httpclient import HTTPRequest

from ..clock import to_iso
from ..threads import in_thread
from . import kernel_probe, own_api
from .kernel_probe import Answer, CpuMeter, Told
from .kernel_requests import KernelRequests, KernelUse, listen
from .other_kernels import OtherKernels
from .own_api import REQUEST_TIMEOUT, Refused, Unreadable, server_token
from .process_table import ProcFs, Readings
from .terminal_input import last_input

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

log = logging.getLogger(__name__)

Models = list[dict[str, Any]]

#: Seconds after which sessions are listed over REST although no name is missing. The call is
#: expensive, and only a session that waits for its kernel can be new.
SESSIONS_INTERVAL = 300.0

#: The handlers of all versions that answer with what the terminal manager lists.
JUPYTERS_TERMINALS = frozenset(
    {
        "jupyter_server.terminal.api_handlers.TerminalRootHandler",
        "jupyter_server_terminals.api_handlers.TerminalRootHandler",
    }
)


class Source(Protocol):
    """Jupyter's own models, unchanged."""

    @property
    def apps_are_here(self) -> bool:
        """Whether the apps are on this machine, and so are their processes."""
        ...

    async def kernels(self) -> Models:
        """All kernels of this server. Raises if they can't be listed completely."""
        ...

    async def other_kernels(self, *, search: bool) -> Models:
        """The kernels on this machine that this server did not start. Without ``search``, the known
        ones, without searching for new ones or checking that the known ones are still there. Raises
        nothing."""
        ...

    async def terminals(self) -> Models:
        """All terminals; none if the server has none. Raises if they can't be listed."""
        ...

    async def sessions(self, *, names_needed: bool) -> Models | None:
        """Sessions, or None if they were not read. Raises nothing: kernels count without them."""
        ...

    async def ask(self, kernels: Mapping[str, str]) -> Mapping[str, Told]:
        """Asks these kernels whether they are idle; ``kernels`` holds their states by their
        server's word. Kernels that can't be asked are left out. Takes as long as
        ``kernel_probe.ask``, and raises nothing."""
        ...

    def use_of(self, kernel_id: str) -> KernelUse | None:
        """The observed requests of a kernel; None if nobody listens to it. They outweigh the
        kernel's model."""
        ...

    def clock_jumped(self) -> None:
        """The wall clock was set: correct the remembered times."""
        ...

    def processes(self) -> Mapping[tuple[str, str], int]:
        """Process ids of kernels and terminals on this machine, by ``("kernel", id)`` or
        ``("terminal", name)``."""
        ...


class InProcessSource:
    """The server's own managers."""

    apps_are_here = True

    def __init__(self, serverapp: ServerApp, readings: Readings | None = None) -> None:
        self._serverapp = serverapp
        self._requests = KernelRequests()
        listen(serverapp.kernel_manager, self._requests)
        self._other_kernels = OtherKernels(self._requests, readings=readings)
        self._table = ProcFs()

    async def kernels(self) -> Models:
        if _gateway_enabled():
            return await _gateway_kernels()
        manager = self._serverapp.kernel_manager
        own = _models("kernels", await ensure_async(manager.list_kernels()))
        await asyncio.sleep(0)  # the loop's turn: that was the longest step
        own_ids = {str(model.get("id")) for model in own}
        for model in own:
            use = self._requests.use_of(str(model.get("id")))
            if use is not None and use.running and self._has_ended(str(model.get("id"))):
                # Nothing starts it again, so nobody else takes note.
                model["execution_state"] = "dead"
        # Messages of a kernel that was started meanwhile, or could not be listed, are not lost.
        there = {*own_ids, *manager.list_kernel_ids()}
        self._requests.forget_all_but(
            {*there, *(str(each["id"]) for each in self._other_kernels.models)}
        )
        return own

    async def other_kernels(self, *, search: bool) -> Models:
        if _gateway_enabled():
            return []
        if search:
            own = self._serverapp.kernel_manager.list_kernel_ids()
            await self._other_kernels.observe(set(map(str, own)))
        return self._other_kernels.models

    def close(self) -> None:
        """Stops listening to kernels that are not this server's."""
        self._other_kernels.close()

    def use_of(self, kernel_id: str) -> KernelUse | None:
        return self._requests.use_of(kernel_id)

    def clock_jumped(self) -> None:
        self._requests.clock_jumped()

    async def terminals(self) -> Models:
        manager = self._terminal_manager
        if manager is None:
            return []
        models = _models("terminals", await ensure_async(manager.list()))
        return [self._with_input(manager, model) for model in models]

    @staticmethod
    def _with_input(manager: Any, model: dict[str, Any]) -> dict[str, Any]:
        """The model, with ``last_input``: typing counts, output does not."""
        terminal = getattr(manager, "terminals", {}).get(model.get("name"))
        descriptor = getattr(getattr(terminal, "ptyproc", None), "fd", None)
        typed_at = last_input(descriptor) if isinstance(descriptor, int) else None
        clients = len(getattr(terminal, "clients", ()))
        typed = {} if typed_at is None else {"last_input": to_iso(typed_at)}
        return {**model, **typed, "connections": clients}

    async def sessions(self, *, names_needed: bool) -> Models | None:
        """Reads the session manager's own table: ``list_sessions`` builds every kernel's model
        anew, and with a gateway that fails it deletes sessions (jupyter_server 1.24)."""
        try:
            rows = self._serverapp.session_manager.cursor.execute(
                "SELECT session_id, path, name, type, kernel_id FROM session"
            ).fetchall()
        except Exception as error:
            log.debug("sessions can't be read: %s", error)
            return None
        return [
            {
                "id": row[0],
                "path": row[1],
                "name": row[2],
                "type": row[3],
                "kernel": {"id": row[4]} if row[4] else None,
            }
            for row in rows
        ]

    async def ask(self, kernels: Mapping[str, str]) -> Mapping[str, Told]:
        """Directly, unless the kernels are behind a gateway. A late answer is still heard."""
        if _gateway_enabled():
            return await _ask_all(kernels, _gateway_channels)
        connections, starting = {}, set()
        for kernel_id, claimed in kernels.items():
            if claimed == "busy":  # nobody listens to it, and this question may do harm
                continue
            use = self._requests.use_of(kernel_id)
            if use is not None and use.from_start and not use.has_started:
                starting.add(kernel_id)
            try:
                kernel = self._serverapp.kernel_manager.get_kernel(kernel_id)
                connections[kernel_id] = kernel.get_connection_info()
            except Exception as error:  # gone meanwhile, or not a server's
                log.debug("kernel %s is not this server's: %s", kernel_id, error)
        patience = kernel_probe.PATIENCE
        own, from_others = await asyncio.gather(
            in_thread(lambda: kernel_probe.ask_here(connections, patience, starting=starting)),
            self._other_kernels.ask(kernels, patience),
        )
        told = {**own, **from_others}
        for kernel_id, answer in told.items():
            if answer.answer is Answer.SILENT and self._is_stopped(kernel_id):
                told[kernel_id] = replace(answer, answer=Answer.IDLE)
            elif answer.answer is Answer.SILENT:
                self._requests.left_unanswered(kernel_id, answer.question_id)
            else:
                self._requests.answered(kernel_id)
        return told

    def processes(self) -> Mapping[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        if not _gateway_enabled():
            manager = self._serverapp.kernel_manager
            for kernel_id in manager.list_kernel_ids():
                pid = self._process_of(kernel_id)
                if pid is not None:
                    found["kernel", kernel_id] = pid
            for kernel_id, pid in self._other_kernels.processes.items():
                found["kernel", kernel_id] = pid
        terminals = getattr(self._terminal_manager, "terminals", {})
        for name, terminal in terminals.items():
            pid = getattr(getattr(terminal, "ptyproc", None), "pid", None)
            if isinstance(pid, int):
                found["terminal", name] = pid
        return found

    def _process_of(self, kernel_id: str) -> int | None:
        try:
            kernel: Any = self._serverapp.kernel_manager.get_kernel(kernel_id)
            pid = getattr(kernel.provisioner, "pid", None)
        except Exception as error:  # gone meanwhile, or not a local process
            log.debug("kernel %s has no process here: %s", kernel_id, error)
            return None
        return pid if isinstance(pid, int) else None

    def _has_ended(self, kernel_id: str) -> bool:
        pid = self._process_of(kernel_id)
        if pid is None or not sys.platform.startswith("linux"):
            return False
        process = self._table.one(pid)
        return process is None or process.ended

    def _is_stopped(self, kernel_id: str) -> bool:
        """Whether a signal has stopped it: it answers nothing, and does nothing."""
        pid = self._process_of(kernel_id)
        if pid is None or not sys.platform.startswith("linux"):
            return False
        process = self._table.one(pid)
        return process is not None and process.stopped

    @property
    def _terminal_manager(self) -> Any:
        return self._serverapp.web_app.settings.get("terminal_manager")


class RestSource:
    """The server's own REST API; for Classic, where kernels are in apps elsewhere, and system
    terminals on the free server."""

    apps_are_here = False

    def __init__(
        self, serverapp: ServerApp, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._serverapp = serverapp
        self._monotonic = monotonic
        self._sessions_at = float("-inf")
        #: Their processes are elsewhere, so only the kernels themselves can tell what these use.
        self._meters: dict[str, CpuMeter] = {}

    async def kernels(self) -> Models:
        if _gateway_enabled():
            found = await _gateway_kernels()
        else:
            found = _models("kernels", await own_api.get(self._serverapp, "api/kernels"))
        there = {str(model.get("id")) for model in found}
        self._meters = {each: meter for each, meter in self._meters.items() if each in there}
        return found

    async def other_kernels(self, *, search: bool) -> Models:
        """None: what runs on the free server is in no app."""
        return []

    async def terminals(self) -> Models:
        """Studio's own terminals come over REST only. Where Jupyter's handler would answer, its
        manager is asked directly, at a tenth of the cost."""
        manager = self._serverapp.web_app.settings.get("terminal_manager")
        path = "api/terminals"
        if manager is not None and own_api.handler_of(self._serverapp, path) in JUPYTERS_TERMINALS:
            return _models("terminals", await ensure_async(manager.list()))
        try:
            return _models("terminals", await own_api.get(self._serverapp, path))
        except Refused as error:
            if error.status == 404:  # terminals are switched off
                return []
            raise

    async def sessions(self, *, names_needed: bool) -> Models | None:
        if not names_needed and self._monotonic() - self._sessions_at < SESSIONS_INTERVAL:
            return None
        try:
            sessions = _models("sessions", await own_api.get(self._serverapp, "api/sessions"))
        except Exception as error:
            log.debug("sessions can't be read: %s", error)
            return None
        self._sessions_at = self._monotonic()
        return sessions

    async def ask(self, kernels: Mapping[str, str]) -> Mapping[str, Told]:
        """On their channels, as a browser does, or the gateway's own."""
        meters = {each: self._meters.setdefault(each, CpuMeter()) for each in kernels}
        return await _ask_all(kernels, self._channels, meters)

    def use_of(self, kernel_id: str) -> None:
        """None: to listen to kernels in apps elsewhere, one must be a client of theirs."""

    def clock_jumped(self) -> None:
        """Remembers nothing."""

    def _channels(self, kernel_id: str) -> HTTPRequest:
        if _gateway_enabled():
            return _gateway_channels(kernel_id)
        serverapp = self._serverapp
        scheme, token = "wss" if serverapp.certfile else "ws", server_token(serverapp)
        path = url_path_join("/", serverapp.base_url, _channels_of(kernel_id))
        return HTTPRequest(
            f"{scheme}://{self._host}:{serverapp.port}{path}",
            headers={"Authorization": f"token {token}"} if token else {},
            validate_cert=False,  # this process's own certificate
        )

    def processes(self) -> Mapping[tuple[str, str], int]:
        """None that is in an app."""
        return {}

    @property
    def _host(self) -> str:
        ip: str = self._serverapp.ip
        if ip in ("", "*", "0.0.0.0", "::"):  # noqa: S104
            return "127.0.0.1"
        return f"[{ip}]" if ":" in ip else ip


def _gateway_enabled() -> bool:
    return bool(GatewayClient.instance().gateway_enabled)


async def _gateway_kernels() -> Models:
    """All kernels on the gateway, with those that an earlier process of this server started."""
    client = GatewayClient.instance()
    fetch: Callable[..., Awaitable[Any]] = gateway_request
    request = fetch(
        url_path_join(str(client.url), client.kernels_endpoint),
        method="GET",
        request_timeout=REQUEST_TIMEOUT,
    )
    try:
        # It tries again by itself, for minutes.
        response = await asyncio.wait_for(request, REQUEST_TIMEOUT)
    except asyncio.TimeoutError:
        raise Unreadable(f"the gateway did not answer in {REQUEST_TIMEOUT:g} s") from None
    return _models("kernels", json.loads(response.body))


def _gateway_channels(kernel_id: str) -> HTTPRequest:
    client = GatewayClient.instance()
    channels = _channels_of(kernel_id).partition("api/kernels")[2]
    url = url_path_join(str(client.ws_url), client.kernels_endpoint, channels)
    return HTTPRequest(url, **client.load_connection_args())


def _channels_of(kernel_id: str) -> str:
    return f"api/kernels/{url_escape(kernel_id)}/channels?session_id={uuid.uuid4().hex}"


async def _ask_all(
    kernels: Mapping[str, str],
    channels: Callable[[str], HTTPRequest],
    meters: Mapping[str, CpuMeter] | None = None,
) -> Mapping[str, Told]:
    questions = (
        kernel_probe.ask(channels(each), kernel_probe.PATIENCE, (meters or {}).get(each), claimed)
        for each, claimed in kernels.items()
    )
    answers = await asyncio.gather(*questions)
    return dict(zip(kernels, answers))


def _models(what: str, models: Any) -> Models:
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise Unreadable(f"the list of {what} does not fit Jupyter's API")
    return models
