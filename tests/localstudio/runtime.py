"""Starts and ends the processes of apps and notebook instances, and tells the account.

This module owns the processes; `state` decides what may run, and when a status changes. Each run of
an app is a `Running`, which keeps its folders, its process and its terminals.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Union

from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from . import servers
from .doors import Doors
from .errors import LocalStudioError
from .processes import Process, ProcessInfo, free_port
from .servers import Connections, Launch, Places, ServerOptions
from .state import Account, App, AppKey, NotebookInstance, Owner
from .terminals import Terminal

log = logging.getLogger(__name__)

#: An app, or the name of a notebook instance.
Target = Union[AppKey, str]
#: How long a process may take until it answers, in seconds.
START_LIMIT = 180.0
POLL = 0.05
#: Another process may have taken the port that was free a moment ago.
ATTEMPTS = 3


@dataclass
class Running:
    """One run of an app or notebook instance, with its present parts."""

    what: App | NotebookInstance
    places: Places
    launch: Launch | None = None
    process: Process | None = None
    #: Whether its end is wanted, so that its process may end.
    ending: bool = False
    terminals: dict[str, Terminal] = field(default_factory=dict)
    terminal_count: int = 0
    #: Set when the attempt to start it is over, in any way.
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_gateway(self) -> bool:
        """Whether it is a KernelGateway app."""
        return isinstance(self.what, App) and self.what.key.app_type == "KernelGateway"

    @property
    def app(self) -> App:
        """The app of this run; LocalStudioError for a notebook instance."""
        if not isinstance(self.what, App):
            raise LocalStudioError(f"{self.what.name} is no app")
        return self.what

    @property
    def live(self) -> tuple[Launch, Process]:
        """Its process and its address; LocalStudioError before it was started."""
        if self.launch is None or self.process is None:
            raise LocalStudioError(f"No process runs for {self.target}")
        return self.launch, self.process

    @property
    def target(self) -> Target:
        """The app or notebook instance of this run."""
        return self.what.key if isinstance(self.what, App) else self.what.name


class Runtime:
    """The runs of all apps and notebook instances."""

    def __init__(
        self,
        account: Account,
        doors: Doors,
        work_dir: Path,
        *,
        now: Callable[[], datetime],
        server_options: ServerOptions,
        app_python: str,
    ) -> None:
        """`server_options` is how Jupyter servers are run unless `options` says otherwise;
        `app_python` is the interpreter of KernelGateway apps."""
        self.account = account
        self.doors = doors
        self.work_dir = work_dir
        self.now = now
        self.server_options = server_options
        self.app_python = app_python
        self.options: dict[tuple[str, Owner] | str, ServerOptions] = {}
        self.client = SimpleAsyncHTTPClient(force_instance=True, max_clients=1000)
        self._running: dict[Target, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what the operations ask for

    def start(self, what: App | NotebookInstance) -> None:
        """Starts what the account has just entered as Pending."""
        running = Running(what, self._places(what))
        previous = self._running.get(running.target)
        self._running[running.target] = running
        self._spawn(self._bring_up(running, previous))

    def stop(self, what: App | NotebookInstance) -> None:
        """Ends what the account has just entered as Deleting or Stopping."""
        target = what.key if isinstance(what, App) else what.name
        running = self._running.get(target)
        if running is None:
            self._is_down(what)
        else:
            running.ending = True
            self._spawn(self._bring_down(running))

    # -- what tests and the gateway ask for

    def find(self, target: Target) -> Running:
        """The run under that name; LocalStudioError if there is none."""
        running = self._running.get(target)
        if running is None or running.process is None:
            raise LocalStudioError(f"No process runs for {target}")
        return running

    def launch_of(self, target: Target) -> Launch:
        """Its address."""
        launch, _ = self.find(target).live
        return launch

    def gateways_of(self, domain_id: str, owner: Owner) -> list[Running]:
        """The KernelGateway apps of an owner that have a process."""
        return [
            running
            for target, running in self._running.items()
            if isinstance(target, AppKey)
            and running.is_gateway
            and running.process is not None
            and (target.domain_id, target.owner) == (domain_id, owner)
        ]

    def processes(self, target: Target) -> list[ProcessInfo]:
        """All processes of an app: servers, kernels, terminals and their descendants."""
        running = self._running.get(target)
        if running is None:
            return []
        trees = [running.process] if running.process is not None else []
        trees += [terminal.process for terminal in running.terminals.values()]
        return [info for process in trees for info in process.tree()]

    async def kill(self, target: Target, number: int = signal.SIGKILL) -> None:
        """Kills the app's own process; the app keeps its entry.

        A KernelGateway app fails; a server can be brought up again with `restart`.
        """
        _, process = self.find(target).live
        process.send_signal(number)
        await process.gone.wait()

    async def restart(self, target: Target, options: ServerOptions | None = None) -> None:
        """Run a server's command again, as its container would: same port, token and files."""
        running = self.find(target)
        launch, process = running.live
        await process.stop(self.account.timing.grace)
        if options is not None:
            self._set_options(running.what, replace(options, token=launch.token))
            running.launch = self._launch(running, launch.port)
        await self._run(running)

    async def open_terminal(self, key: AppKey, *, shows_activity: bool = True) -> Terminal:
        """Open an image terminal in a KernelGateway app."""
        running = self.find(key)
        if not running.is_gateway:
            raise LocalStudioError(f"{key} has no image terminals; only KernelGateway apps have")
        launch, _ = running.live
        running.terminal_count += 1
        resource = running.app.resource
        name = f"{resource.image_arn}__{running.terminal_count}__{resource.instance_type}"
        env = {k: v for k, v in launch.env.items() if k != "KG_AUTH_TOKEN"}
        terminal = await Terminal.start(
            name,
            env=env,
            cwd=running.places.home,
            log_path=running.places.run / "terminals.log",
            shows_activity=shows_activity,
        )
        running.terminals[name] = terminal
        self._spawn(self._forget_terminal(running, terminal))
        return terminal

    def terminals_of(self, domain_id: str, owner: Owner) -> list[tuple[Running, Terminal]]:
        """All image terminals of an owner."""
        return [
            (running, terminal)
            for running in self.gateways_of(domain_id, owner)
            for terminal in running.terminals.values()
        ]

    async def close(self) -> None:
        """Ends everything at once."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(running, 0.0) for running in self._running.values()))
        # Requests to them end by that; closing the client would leave them open.
        while self.client.active:
            await asyncio.sleep(0.01)
        self.client.close()

    # -- bringing up and down

    async def _bring_up(self, running: Running, previous: Running | None) -> None:
        if previous is not None:
            # The remains of a failed run.
            await self._end(previous, 0.0)
        try:
            await self._run(running)
        except LocalStudioError as error:
            if not running.ending:
                log.warning("%s", error)
                self._failed(running.what, str(error))
            return
        finally:
            running.tried.set()
        self._is_up(running.what)

    async def _run(self, running: Running) -> None:
        """Starts its process and waits until it answers."""
        for attempt in range(1, ATTEMPTS + 1):
            if running.launch is None:
                running.launch = self._launch(running, free_port())
            running.places.make()
            running.process = await Process.start(
                running.launch.command,
                env=running.launch.env,
                cwd=running.launch.cwd,
                log_path=running.places.run / "log.txt",
            )
            if running.ending:
                await running.process.stop(0.0)
            if await self._answers(running.process, running.launch):
                self._spawn(self._watch(running, running.process))
                return
            await running.process.stop(0.0)
            if running.ending or attempt == ATTEMPTS or not _port_was_taken(running.process):
                break
            running.launch = None
        _, process = running.live
        raise LocalStudioError(f"{running.target} did not come up: {process.log_tail().strip()}")

    async def _answers(self, process: Process, launch: Launch) -> bool:
        """Wait until it answers; False if it ended or takes too long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + START_LIMIT
        request = HTTPRequest(
            f"{launch.url}api/kernels"
            if "kernel_gateway" in launch.command
            else f"{launch.url}api/status?no_track_activity=1",
            headers={"Authorization": f"token {launch.token}"} if launch.token else {},
            request_timeout=10,
        )
        while loop.time() < end and not process.gone.is_set():
            with contextlib.suppress(Exception):
                response = await self.client.fetch(request, raise_error=False)
                if response.code == 200:
                    return True
            await asyncio.sleep(POLL)
        return False

    async def _watch(self, running: Running, process: Process) -> None:
        """An app whose gateway ends has failed; a server's container outlives the server."""
        await process.gone.wait()
        if not running.ending and running.is_gateway and running.process is process:
            await self._end(running, 0.0)
            self._failed(running.what, f"The process ended with code {process.exit_code}")

    async def _bring_down(self, running: Running) -> None:
        timing = self.account.timing
        # The caller, if only the app itself, gets the answer before it ends.
        await asyncio.sleep(timing.until_stop)
        await self._end(running, timing.grace)
        if self._running.get(running.target) is running:
            del self._running[running.target]
        self._is_down(running.what)

    async def _end(self, running: Running, grace: float) -> None:
        running.ending = True
        await asyncio.gather(*(terminal.close() for terminal in running.terminals.values()))
        if running.process is not None:
            await running.process.stop(grace)
        await running.tried.wait()

    async def _forget_terminal(self, running: Running, terminal: Terminal) -> None:
        await terminal.process.gone.wait()
        await terminal.close()
        running.terminals.pop(terminal.name, None)

    def _set_options(self, what: App | NotebookInstance, options: ServerOptions) -> None:
        if isinstance(what, NotebookInstance):
            self.options[what.name] = options
        else:
            self.options[what.key.domain_id, what.key.owner] = options

    def _launch(self, running: Running, port: int) -> Launch:
        what = running.what
        running.places.make()
        if isinstance(what, NotebookInstance):
            connections = Connections(self.doors.endpoint_url)
            options = self.options.get(what.name, self.server_options)
        else:
            key = what.key
            connections = self.doors.connections(key.domain_id, key.owner)
            if running.is_gateway:
                return servers.kernel_gateway(
                    what, self.app_python, connections, running.places, port
                )
            options = self.options.get((key.domain_id, key.owner), self.server_options)
        return servers.jupyter_server(what, options, connections, running.places, port)

    def _places(self, what: App | NotebookInstance) -> Places:
        root = self.work_dir
        if isinstance(what, NotebookInstance):
            owner, run = Path("notebook-instance", what.name), f"{what.name}-{what.run}"
        else:
            key = what.key
            owner = Path(key.domain_id, key.owner_kind, key.owner_name)
            run = f"{key.app_type}-{key.name}-{what.run}"
        return Places(root / "homes" / owner, root / "runs" / owner / run)

    # -- telling the account

    def _is_up(self, what: App | NotebookInstance) -> None:
        account, now = self.account, self.now()
        if isinstance(what, App):
            account.app_is_up(what.key, what.run, now)
        else:
            account.notebook_is_up(what.name, what.run, now)

    def _is_down(self, what: App | NotebookInstance) -> None:
        account, now = self.account, self.now()
        if isinstance(what, App):
            account.app_is_down(what.key, what.run, now)
        else:
            account.notebook_is_down(what.name, what.run, now)

    def _failed(self, what: App | NotebookInstance, reason: str) -> None:
        account, now = self.account, self.now()
        if isinstance(what, App):
            account.app_failed(what.key, what.run, reason, now)
        else:
            account.notebook_failed(what.name, what.run, reason, now)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("A task of the local Studio failed", exc_info=task.exception())


def _port_was_taken(process: Process) -> bool:
    """Jupyter Server says the former, Kernel Gateway the latter."""
    tail = process.log_tail()
    return "already in use" in tail or "no available port" in tail
