"""The local Studio as a whole: wires the parts, for tests and demonstrations.

It has no rules of its own: `state` owns statuses, `runtime` processes, `gateway` kernels.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from tornado import httputil, web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from . import api, control, gateway, names, operations
from .control import Controls
from .doors import Doors
from .errors import ApiError, LocalStudioError
from .faults import Faults
from .gateway import Gateway
from .journal import Journal
from .kernels import JupyterClient, Result
from .operations import Backend
from .operations.apps import parameters_of
from .processes import ProcessInfo
from .runtime import Runtime, Target
from .servers import Launch, ServerOptions, aws_environment
from .state import Account, App, AppKey, NotebookInstance, Owner, Timing
from .terminals import Terminal

log = logging.getLogger(__name__)

POLL = 0.05


class LocalStudio:
    """A Studio on this machine: ``async with LocalStudio(work_dir) as studio: ...``.

    It answers on 127.0.0.1 only. All its processes end with it.
    """

    def __init__(
        self,
        work_dir: Path,
        *,
        timing: Timing | None = None,
        server: ServerOptions | None = None,
        port: int = 0,
        keep_creation_time: bool = True,
        app_python: str = sys.executable,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """`work_dir` holds homes and logs; `server` is how Jupyter servers are run by default,
        and `app_python` is the interpreter of KernelGateway apps and their kernels."""
        self.work_dir = work_dir.resolve()
        self.server_options = server or ServerOptions()
        self.app_python = app_python
        self.account = Account(timing or Timing(), keep_creation_time=keep_creation_time)
        self.journal = Journal()
        self.faults = Faults()
        self.control_token = secrets.token_urlsafe(24)
        self._clock = clock
        self._port = port

    async def __aenter__(self) -> LocalStudio:
        """Start to listen."""
        self.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        sockets = bind_sockets(self._port, "127.0.0.1")
        self._port = sockets[0].getsockname()[1]
        doors = Doors(self.endpoint_url)
        self.apps = Runtime(
            self.account,
            doors,
            self.work_dir,
            now=self.now,
            server_options=self.server_options,
            app_python=self.app_python,
        )
        self.backend = Backend(self.account, self.apps, self.now)
        self.gateway = Gateway(self.backend, self.apps, doors, self.journal, self.faults)
        self.controls = Controls(
            self.control_token,
            self.endpoint_url,
            self.backend,
            self.apps,
            self.journal,
            self.faults,
        )
        self._http = HTTPServer(
            _Application(
                [
                    *api.handlers(self.backend, self.journal, self.faults),
                    *gateway.handlers(self.gateway),
                    *control.handlers(self.controls),
                ],
                log_function=_log_nothing,
            )
        )
        self._http.add_sockets(sockets)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends everything that was started."""
        self._http.stop()
        # Otherwise, deliberately hanging requests would never end.
        self.faults.off()
        await self.apps.close()
        await self.gateway.close()
        await self._http.close_all_connections()

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._clock() if self._clock is not None else datetime.now(timezone.utc)

    # -- AWS

    @property
    def endpoint_url(self) -> str:
        """The value for AWS_ENDPOINT_URL_SAGEMAKER."""
        return f"http://127.0.0.1:{self._port}"

    def aws_environment(self) -> dict[str, str]:
        """Environment variables that make any process's boto3 talk to this studio only."""
        return aws_environment(self.endpoint_url, self.work_dir)

    def client(self, service: str = "sagemaker", **config: Any) -> Any:
        """A boto3 client of this studio. It blocks: not for the studio's own thread."""
        return make_client(self.endpoint_url, service, **config)

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Calls an operation directly, without HTTP: no faults, no journal."""
        return await operations.call(self.backend, operation, parameters)

    # -- setting a scene

    async def create_domain(self, name: str = "studio", **settings: Any) -> str:
        """Creates a domain; returns its id. `settings` are CreateDomain's parameters."""
        settings = {"AuthMode": "IAM", "DefaultUserSettings": {}, **settings}
        settings["DefaultUserSettings"] = {
            "ExecutionRole": names.ROLE_ARN,
            **settings["DefaultUserSettings"],
        }
        answer = await self.call("CreateDomain", DomainName=name, **settings)
        return str(answer["DomainId"])

    async def create_owner(
        self, owner: Owner, *, domain_id: str | None = None, **settings: Any
    ) -> Owner:
        """A user profile or a space (`state.user`, `state.space`) in the domain."""
        operation = "CreateSpace" if owner.kind == "space" else "CreateUserProfile"
        domain_id = self._domain(domain_id)
        await self.call(operation, DomainId=domain_id, **{owner.field: owner.name}, **settings)
        return owner

    async def create_app(
        self,
        owner: Owner,
        app_type: str,
        name: str = "default",
        *,
        domain_id: str | None = None,
        spec: dict[str, Any] | None = None,
        options: ServerOptions | None = None,
        wait: bool = True,
    ) -> AppKey:
        """Creates an app, in service on return unless `wait` is False.

        `options` say how the owner's servers are run, from now on.
        """
        key = AppKey(self._domain(domain_id), owner.kind, owner.name, app_type, name)
        if options is not None:
            self.set_options(owner, options, domain_id=key.domain_id)
        more = {"ResourceSpec": spec} if spec else {}
        await self.call("CreateApp", **parameters_of(key), **more)
        if wait:
            await self.wait_for(key, "InService")
        return key

    async def create_kernel_app(
        self,
        owner: Owner,
        image: str = names.DEFAULT_IMAGE.name,
        instance_type: str = names.DEFAULT_INSTANCE_TYPE,
        *,
        name: str | None = None,
        domain_id: str | None = None,
        wait: bool = True,
    ) -> AppKey:
        """Creates a KernelGateway app of an image, under Studio's name for it."""
        found = names.find_image(image)
        spec = {"InstanceType": instance_type, "SageMakerImageArn": found.arn}
        return await self.create_app(
            owner,
            "KernelGateway",
            name or names.app_name(found, instance_type),
            domain_id=domain_id,
            spec=spec,
            wait=wait,
        )

    async def create_notebook_instance(
        self,
        name: str,
        instance_type: str = names.DEFAULT_INSTANCE_TYPE,
        *,
        options: ServerOptions | None = None,
        wait: bool = True,
    ) -> str:
        """A notebook instance, in service on return unless `wait` is False."""
        if options is not None:
            self.apps.options[name] = options
        await self.call(
            "CreateNotebookInstance",
            NotebookInstanceName=name,
            InstanceType=instance_type,
            RoleArn=names.ROLE_ARN,
        )
        if wait:
            await self.wait_for(name, "InService")
        return name

    def set_options(
        self, owner: Owner, options: ServerOptions, *, domain_id: str | None = None
    ) -> None:
        """How the owner's Jupyter servers are run from now on, whoever starts them."""
        self.apps.options[self._domain(domain_id), owner] = options

    # -- statuses

    def status(self, target: Target) -> str:
        """The status of an app or notebook instance; ``Deleted`` if it is not in the list."""
        found = self._find(target)
        return found.status if found is not None else "Deleted"

    async def wait_for(self, target: Target, status: str, timeout: float = 300.0) -> None:
        """Waits for a status; LocalStudioError if it can't come any more, or not in time.

        An app that was in service, but is already gone when this checks, counts as in service.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while (found := self.status(target)) != status:
            if status == "InService" and isinstance(target, AppKey) and self._was_up(target):
                return
            if found == "Failed":
                failed = self._find(target)
                raise LocalStudioError(f"{target} failed: {failed and failed.failure_reason}")
            if loop.time() > end:
                raise LocalStudioError(f"{target} is {found}, not {status}, after {timeout} s")
            await asyncio.sleep(POLL)

    def _was_up(self, key: AppKey) -> bool:
        """Whether the last run of an app was in service, whatever its end."""
        seen = [each for each in self.account.transitions if each.what == key]
        last = max((each.run for each in seen), default=None)
        return any(each.run == last and each.status == "InService" for each in seen)

    def _find(self, target: Target) -> App | NotebookInstance | None:
        try:
            if isinstance(target, AppKey):
                return self.account.app(target, self.now())
            return self.account.notebook(target, self.now())
        except ApiError:
            return None

    # -- what runs

    def server(self, target: Target) -> Launch:
        """Where an app's own process answers: URL (with base URL), token, port."""
        return self.apps.launch_of(target)

    def pid(self, target: Target) -> int:
        """The process id of the app's own process."""
        _, process = self.apps.find(target).live
        return process.pid

    def log_file(self, target: Target) -> Path:
        """The output of the app's own process."""
        return self.apps.find(target).places.run / "log.txt"

    def processes(self, target: Target) -> list[ProcessInfo]:
        """All living processes of an app: server, kernels, terminals and their descendants."""
        return self.apps.processes(target)

    async def kill(self, target: Target) -> None:
        """Sends SIGKILL to the app's own process: a KernelGateway app fails, a server is down."""
        await self.apps.kill(target)

    async def restart_server(self, target: Target, options: ServerOptions | None = None) -> None:
        """Runs a server again that was killed (or runs): same port, token and home.

        With `options` its arguments and environment change, from then on.
        """
        await self.apps.restart(target, options)

    async def open_terminal(self, key: AppKey, *, shows_activity: bool = True) -> Terminal:
        """Open an image terminal in a KernelGateway app."""
        return await self.apps.open_terminal(key, shows_activity=shows_activity)

    # -- kernels

    def jupyter(self, target: Target) -> JupyterClient:
        """A client of the Jupyter server of an app or notebook instance."""
        launch = self.server(target)
        return JupyterClient(launch.url, launch.token)

    def gateway_client(self, owner: Owner, *, domain_id: str | None = None) -> JupyterClient:
        """A client of the owner's gateway: it sees the kernels of all the owner's apps."""
        connections = self.gateway.doors.connections(self._domain(domain_id), owner)
        return JupyterClient(connections.gateway_url + "/", connections.gateway_token)

    async def start_kernel(self, target: Target, *, path: str | None = None) -> str:
        """Starts a kernel in an app; returns its id.

        In Classic the JupyterServer starts it, if there is one, as it does for its user; else the
        gateway does. With `path` it is the kernel of a notebook, with a session (needs a server).
        """
        client, name = self._client_for(target), None
        running = self.apps.find(target)
        if running.is_gateway:
            if self.status(target) != "InService":
                raise LocalStudioError(f"{target} is not in service")
            name = names.kernelspec_name("python3", running.app.resource.image_arn or "")
            self.gateway.start_next_in(running.app)
        if path is not None:
            session = await client.start_session(path, name)
            return str(session["kernel"]["id"])
        model = await client.start_kernel(name)
        return str(model["id"])

    async def execute(
        self, target: Target, kernel_id: str, code: str, *, wait: bool = True
    ) -> Result:
        """Runs code in a kernel of an app; without `wait`, returns once the kernel is busy."""
        running = self.apps.find(target)
        if running.is_gateway and isinstance(target, AppKey):
            # Not through the server, which knows only kernels that it started itself.
            client = self.gateway_client(target.owner, domain_id=target.domain_id)
        else:
            client = self.jupyter(target)
        return await client.execute(kernel_id, code, wait=wait)

    async def kernels(self, target: Target) -> list[dict[str, Any]]:
        """The models of the kernels in an app."""
        running = self.apps.find(target)
        if not running.is_gateway or not isinstance(target, AppKey):
            return await self.jupyter(target).kernels()
        client = self.gateway_client(target.owner, domain_id=target.domain_id)
        return [model for model in await client.kernels() if model["app_name"] == target.name]

    def _client_for(self, target: Target) -> JupyterClient:
        if not isinstance(target, AppKey) or target.app_type != "KernelGateway":
            return self.jupyter(target)
        server = replace(target, app_type="JupyterServer", name="default")
        if self.status(server) == "InService":
            return self.jupyter(server)
        return self.gateway_client(target.owner, domain_id=target.domain_id)

    # -- telling

    def describe(self) -> dict[str, Any]:
        """The state as JSON: for the command line."""
        return self.controls.describe()

    def _domain(self, domain_id: str | None) -> str:
        """The given domain, or the only one."""
        if domain_id is not None:
            return domain_id
        if len(self.account.domains) != 1:
            count = len(self.account.domains)
            raise LocalStudioError(f"Say which domain: there are {count} of them")
        return next(iter(self.account.domains))


def make_client(endpoint_url: str, service: str = "sagemaker", **config: Any) -> Any:
    """A boto3 client of a local Studio; it tries once, unless `config` says otherwise."""
    session: Any = boto3.session.Session()
    return session.client(
        service,
        endpoint_url=endpoint_url,
        region_name=names.REGION,
        aws_access_key_id="LOCALSTUDIO",
        aws_secret_access_key="not-a-secret",  # noqa: S106
        config=Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 90, **config}),
    )


class _Application(web.Application):
    """All routes. A request must name this machine: a rebound name is refused."""

    def find_handler(
        self, request: httputil.HTTPServerRequest, **kwargs: Any
    ) -> web._HandlerDelegate:
        """Tornado's hook."""
        if request.host_name not in ("127.0.0.1", "localhost"):
            return self.get_handler_delegate(request, web.ErrorHandler, {"status_code": 403})
        return super().find_handler(request, **kwargs)


def _log_nothing(_: web.RequestHandler) -> None:
    """The journal holds the requests."""
