"""Drives a local Studio from blocking code: tests, boto3, an interpreter.

    with running_studio(tmp_path) as studio:
        scene = studio.classic()
        app = studio.create_kernel_app(scene.owner)
        studio.client().delete_app(**studio.parameters(app))
        studio.wait_for(app, "Deleted")

The studio runs in a thread with an event loop of its own; each method here hands its work to that
loop and waits. `BlockingStudio.run` does so for anything else of `LocalStudio`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from . import names, scene
from .errors import LocalStudioError
from .faults import Fault, KernelOverride
from .journal import Call
from .kernels import Result
from .operations.apps import parameters_of
from .processes import ProcessInfo
from .runtime import Target
from .scene import Scene
from .servers import Launch, ServerOptions
from .state import App, AppKey, Owner, Resource, Timing, user
from .studio import LocalStudio
from .terminals import Terminal

T = TypeVar("T")

#: For tests: fast, and a server without a user interface.
QUICK = Timing(pending=0.1, deleting=0.1, stopping=0.1, until_stop=0.1, grace=1.0)
#: No step of a scene takes longer than this, in seconds.
LIMIT = 400.0


class BlockingStudio:
    """`LocalStudio` for blocking code; its methods mean the same."""

    def __init__(self, studio: LocalStudio, loop: asyncio.AbstractEventLoop) -> None:
        self.studio = studio
        self._loop = loop

    def run(self, work: Callable[[LocalStudio], Awaitable[T]], timeout: float = LIMIT) -> T:
        """Do something in the studio's own thread: ``studio.run(lambda s: s.kill(app))``."""

        async def in_loop() -> T:
            return await work(self.studio)

        doing = asyncio.run_coroutine_threadsafe(in_loop(), self._loop)
        try:
            return doing.result(timeout)
        finally:
            doing.cancel()  # if it goes on after its time

    def do(self, work: Callable[[LocalStudio], T]) -> T:
        """Like `run`, for a plain function."""

        async def in_loop(studio: LocalStudio) -> T:
            return work(studio)

        return self.run(in_loop)

    # -- AWS

    @property
    def endpoint_url(self) -> str:
        """The value for AWS_ENDPOINT_URL_SAGEMAKER."""
        return self.studio.endpoint_url

    def client(self, service: str = "sagemaker", **config: Any) -> Any:
        """A boto3 client of this studio."""
        return self.studio.client(service, **config)

    def aws_environment(self) -> dict[str, str]:
        """Environment variables that make any process's boto3 talk to this studio only."""
        return self.studio.aws_environment()

    @staticmethod
    def parameters(key: AppKey) -> dict[str, Any]:
        """The parameters that name an app in API calls."""
        return parameters_of(key)

    # -- scenes

    def classic(self, **options: Any) -> Scene:
        """Studio Classic with a JupyterServer (`scene.classic`)."""
        return self.run(lambda studio: scene.classic(studio, **options))

    def jupyterlab_space(self, **options: Any) -> Scene:
        """A JupyterLab space (`scene.jupyterlab_space`)."""
        return self.run(lambda studio: scene.jupyterlab_space(studio, **options))

    def notebook_instance(self, **options: Any) -> Scene:
        """A notebook instance (`scene.notebook_instance`)."""
        return self.run(lambda studio: scene.notebook_instance(studio, **options))

    def create_domain(self, name: str = "studio", **settings: Any) -> str:
        """Creates a domain; returns its id."""
        return self.run(lambda studio: studio.create_domain(name, **settings))

    def create_owner(self, owner: Owner, **settings: Any) -> Owner:
        """A user profile or a space."""
        return self.run(lambda studio: studio.create_owner(owner, **settings))

    def create_app(self, owner: Owner, app_type: str, name: str = "default", **more: Any) -> AppKey:
        """An app."""
        return self.run(lambda studio: studio.create_app(owner, app_type, name, **more))

    def create_kernel_app(
        self,
        owner: Owner,
        image: str = names.DEFAULT_IMAGE.name,
        instance_type: str = names.DEFAULT_INSTANCE_TYPE,
        **more: Any,
    ) -> AppKey:
        """A KernelGateway app."""
        return self.run(
            lambda studio: studio.create_kernel_app(owner, image, instance_type, **more)
        )

    # -- statuses

    def status(self, target: Target) -> str:
        """The status of an app or notebook instance."""
        return self.do(lambda studio: studio.status(target))

    def describe(self, key: AppKey) -> App:
        """An app with all the account's facts about it."""
        return self.do(lambda studio: studio.account.app(key, studio.now()))

    def wait_for(self, target: Target, status: str, timeout: float = 300.0) -> None:
        """Wait for a status."""
        self.run(lambda studio: studio.wait_for(target, status, timeout), timeout + 10)

    # -- what runs

    def server(self, target: Target) -> Launch:
        """Where an app's own process answers."""
        return self.do(lambda studio: studio.server(target))

    def pid(self, target: Target) -> int:
        """The process id of the app's own process."""
        return self.do(lambda studio: studio.pid(target))

    def log(self, target: Target) -> str:
        """The output of the app's own process."""
        path = self.do(lambda studio: studio.log_file(target))
        return path.read_text(errors="replace")

    def processes(self, target: Target) -> list[ProcessInfo]:
        """All processes of an app that live."""
        return self.do(lambda studio: studio.processes(target))

    def kill(self, target: Target) -> None:
        """SIGKILL to the app's own process."""
        self.run(lambda studio: studio.kill(target))

    def restart_server(self, target: Target, options: ServerOptions | None = None) -> None:
        """Run a server again, with other options if they are given."""
        self.run(lambda studio: studio.restart_server(target, options))

    def open_terminal(self, key: AppKey, *, shows_activity: bool = True) -> Terminal:
        """Open an image terminal."""
        return self.run(lambda studio: studio.open_terminal(key, shows_activity=shows_activity))

    def type(self, terminal: Terminal, text: str) -> None:
        """Type into an image terminal."""
        self.do(lambda _: terminal.write(text))

    def date_settings_back(self, by: timedelta) -> None:
        """Moves all changes of settings this far into the past."""

        def age(studio: LocalStudio) -> None:
            account = studio.account
            for domain in list(account.domains.values()):
                account.domains[domain.id] = replace(domain, modified_at=domain.modified_at - by)
            for profile in list(account.profiles.values()):
                account.change_profile(replace(profile, modified_at=profile.modified_at - by))

        self.do(age)

    # -- kernels

    def start_kernel(self, target: Target, *, path: str | None = None) -> str:
        """Starts a kernel in an app; returns its id."""
        return self.run(lambda studio: studio.start_kernel(target, path=path))

    def execute(self, target: Target, kernel_id: str, code: str, *, wait: bool = True) -> Result:
        """Run code in a kernel."""
        return self.run(lambda studio: studio.execute(target, kernel_id, code, wait=wait))

    def kernels(self, target: Target) -> list[dict[str, Any]]:
        """The models of the kernels in an app."""
        return self.run(lambda studio: studio.kernels(target))

    def request(self, target: Target, method: str, path: str, document: Any = None) -> Any:
        """A REST call of an app's Jupyter server; returns the JSON answer."""
        return self.run(lambda studio: studio.jupyter(target).request(method, path, document))

    # -- faults and the journal

    def fault(self, fault: Fault) -> int:
        """Switch a fault on."""
        return self.do(lambda studio: studio.faults.on(fault))

    def faults_off(self, number: int | None = None) -> None:
        """Switch a fault off, or all."""
        self.do(lambda studio: studio.faults.off(number))

    def override_kernels(self, override: KernelOverride) -> None:
        """Makes the gateway report something else about kernels."""
        self.do(lambda studio: studio.faults.override_kernels(override))

    def calls(self, operation: str | None = None, app_name: str | None = None) -> list[Call]:
        """The recorded requests."""
        return self.do(lambda studio: studio.journal.calls(operation, app_name))

    def wait_for_call(
        self, operation: str, app_name: str | None = None, *, count: int = 1, timeout: float = 300.0
    ) -> Call:
        """Waits until an operation was called this often; returns the last of those calls."""
        end = time.monotonic() + timeout
        while len(calls := self.calls(operation, app_name)) < count:
            if time.monotonic() > end:
                raise LocalStudioError(
                    f"{operation} was asked {len(calls)} times, not {count}, in {timeout} s"
                )
            time.sleep(0.02)
        return calls[count - 1]


@contextmanager
def running_studio(
    work_dir: Path,
    *,
    timing: Timing = QUICK,
    server: ServerOptions | None = None,
    keep_creation_time: bool = True,
    app_python: str = sys.executable,
) -> Iterator[BlockingStudio]:
    """A local Studio in a thread, until the block ends."""
    studio = LocalStudio(
        work_dir,
        timing=timing,
        server=server or ServerOptions(frontend="server"),
        keep_creation_time=keep_creation_time,
        app_python=app_python,
    )
    thread = _StudioThread(studio)
    thread.start()
    try:
        yield thread.wait_until_up()
    finally:
        thread.end()


def enter_app(
    studio: BlockingStudio,
    name: str,
    owner: Owner | None = None,
    instance_type: str = "ml.t3.medium",
    app_type: str = "KernelGateway",
) -> AppKey:
    """An app that is in service for the API, without a process."""
    owner = owner or user("ada")
    domain_id = studio.do(lambda s: next(iter(s.account.domains)))
    key = AppKey(domain_id, owner.kind, owner.name, app_type, name)

    def enter() -> App:
        account, now = studio.studio.account, studio.studio.now()
        app = account.create_app(key, Resource(instance_type), now)
        account.app_is_up(key, app.run, now)
        return app

    studio.do(lambda _: enter())
    return key


class _StudioThread(threading.Thread):
    """Runs a studio until it is told to end."""

    def __init__(self, studio: LocalStudio) -> None:
        super().__init__(name="localstudio", daemon=True)
        self.studio = studio
        self.up = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """The thread itself."""
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.error = error
            self.up.set()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        async with self.studio:
            self.up.set()
            await self.over.wait()

    def wait_until_up(self) -> BlockingStudio:
        """Returns the studio once it listens."""
        self.up.wait()
        if self.error is not None:
            raise self.error
        return BlockingStudio(self.studio, self.loop)

    def end(self) -> None:
        """Ends the studio and everything that it started."""
        if self.is_alive():
            self.loop.call_soon_threadsafe(self.over.set)
        self.join(LIMIT)
        if self.error is not None:
            raise self.error
