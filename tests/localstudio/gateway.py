"""The gateway: one URL per user profile or space in front of all its KernelGateway apps.

To the JupyterServer it looks like Studio's own gateway: kernelspecs are named after images, kernel
models name the app and the instance type, and a kernel runs in an app with its image. This module
owns the routing; `runtime` owns the apps' processes. AWS does not document which app is taken if
several fit. Here it is the one that the request names (members ``app_name`` and ``instance_type``,
or KERNEL_APP_NAME and KERNEL_INSTANCE_TYPE in ``env``), else the newest in service; if there is
none, one is created on the default instance type.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tornado import web, websocket
from tornado.httpclient import HTTPRequest, HTTPResponse

from . import names, operations
from .doors import Door, Doors
from .errors import ApiError
from .faults import Fault, Faults, drop_connection
from .journal import Journal
from .kernels import connected
from .operations.apps import parameters_of
from .runtime import Running, Runtime
from .state import App, AppKey, Owner

log = logging.getLogger(__name__)

#: How long a kernel may wait for its app to come up, in seconds.
APP_LIMIT = 180.0
BACKEND_LIMIT = 90.0
POLL = 0.05


@dataclass(frozen=True)
class Route:
    """The place that a request asks for."""

    image_arn: str
    app_name: str | None = None
    instance_type: str | None = None

    def fits(self, app: App) -> bool:
        """Whether the app can run the kernel."""
        return (
            app.resource.image_arn == self.image_arn
            and self.app_name in (None, app.key.name)
            and self.instance_type in (None, app.resource.instance_type)
        )


class Gateway:
    """Routes kernels to apps."""

    def __init__(
        self,
        backend: operations.Backend,
        runtime: Runtime,
        doors: Doors,
        journal: Journal,
        faults: Faults,
    ) -> None:
        self.backend = backend
        self.runtime = runtime
        self.doors = doors
        self.journal = journal
        self.faults = faults
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Kernel → the kernelspec's name in the request.
        self._asked_for: dict[str, str] = {}
        #: Owner → the app in which the next kernel starts, whatever the request says.
        self._next_app: dict[tuple[str, Owner], str] = {}

    def start_next_in(self, app: App) -> None:
        """Starts the owner's next kernel in this app: stands for the choice made in Studio."""
        self._next_app[app.key.domain_id, app.key.owner] = app.key.name

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something until it ends or the gateway does."""
        self.wait_for(asyncio.create_task(work))

    def wait_for(self, task: asyncio.Task[Any]) -> None:
        """Does not end before this task has."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends background tasks; tasks that wait for gone apps end by themselves."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=BACKEND_LIMIT)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- kernels

    async def kernels(self, door: Door) -> list[dict[str, Any]]:
        """The models of all kernels in all apps; kernels of a gone app are gone, too."""
        lists = await asyncio.gather(*(self._kernels_of(each) for each in self._apps(door)))
        return [model for models in lists for model in models]

    async def app_of(self, door: Door, kernel_id: str) -> tuple[Running, dict[str, Any]]:
        """The app of a kernel, and its model; 404 if there is none."""
        for running in self._apps(door):
            for model in await self._kernels_of(running):
                if model["id"] == kernel_id:
                    return running, model
        raise web.HTTPError(404, reason=f"Kernel does not exist: {kernel_id}")

    async def start(self, door: Door, request: dict[str, Any]) -> dict[str, Any]:
        """Starts a kernel in the requested place."""
        name = request.get("name") or names.DEFAULT_IMAGE.kernelspec
        kernel, image_arn = names.split_kernelspec(name)
        if image_arn is None:
            raise web.HTTPError(404, reason=f"No such kernelspec: {name}")
        env = request.get("env") or {}
        chosen = self._next_app.pop((door.domain_id, door.owner), None)
        route = Route(
            image_arn,
            chosen or request.get("app_name") or env.get("KERNEL_APP_NAME"),
            request.get("instance_type") or env.get("KERNEL_INSTANCE_TYPE"),
        )
        running = await self._place(door, route)
        response = await self.ask(
            running, "POST", "api/kernels", json.dumps({"name": kernel, "env": env})
        )
        if response.code >= 400:
            raise web.HTTPError(response.code, reason=response.reason)
        model: dict[str, Any] = json.loads(response.body)
        self._asked_for[model["id"]] = name
        return self._studio_model(running, model)

    async def ask(
        self, running: Running, method: str, path: str, body: str | None = None
    ) -> HTTPResponse:
        """A request to the app's own Kernel Gateway."""
        launch, _ = running.live
        request = HTTPRequest(
            launch.url + path,
            method=method,
            headers={"Authorization": f"token {launch.token}"},
            body=body,
            allow_nonstandard_methods=True,
            request_timeout=BACKEND_LIMIT,
        )
        try:
            return await self.runtime.client.fetch(request, raise_error=False)
        except OSError as error:
            raise web.HTTPError(503, reason=f"The app does not answer: {error}") from None

    def kernelspecs(self, door: Door) -> dict[str, Any]:
        """The kernelspecs of all images, in the form of ``GET api/kernelspecs``."""
        arns = {image.arn for image in names.IMAGES}
        apps = [app for app in self.backend.account.apps(self.backend.now()) if _is_of(door, app)]
        arns |= {app.resource.image_arn for app in apps if app.resource.image_arn is not None}
        specs = [self.kernelspec(arn) for arn in sorted(arns)]
        return {
            "default": names.DEFAULT_IMAGE.kernelspec,
            "kernelspecs": {spec["name"]: spec for spec in specs},
        }

    @staticmethod
    def kernelspec(image_arn: str) -> dict[str, Any]:
        """The one kernelspec of an image."""
        image = names.find_image(image_arn)
        return {
            "name": image.kernelspec,
            "spec": {
                "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "env": {},
                "display_name": f"Python 3 ({image.display_name})",
                "language": "python",
                "interrupt_mode": "signal",
                "metadata": {"sme_metadata": {"display_name": image.display_name}},
            },
            "resources": {},
        }

    # -- placing

    def _apps(self, door: Door, status: str = "InService") -> list[Running]:
        """The owner's KernelGateway apps that can answer."""
        now = self.backend.now()
        keys = {app.key for app in self.backend.account.apps(now) if app.status == status}
        return [
            running
            for running in self.runtime.gateways_of(door.domain_id, door.owner)
            if running.target in keys
        ]

    async def _place(self, door: Door, route: Route) -> Running:
        """The app for a kernel; created if there is none, awaited if it is starting."""
        loop = asyncio.get_running_loop()
        end = loop.time() + APP_LIMIT
        while True:
            fitting = [
                app
                for app in self.backend.account.apps(self.backend.now())
                if _is_of(door, app) and route.fits(app)
            ]
            ready = [app for app in fitting if app.status == "InService"]
            if ready:
                newest = max(ready, key=lambda app: app.in_service_at or app.since)
                return self.runtime.find(newest.key)
            pending = [app for app in fitting if app.status == "Pending"]
            if route.app_name is not None:
                if pending:
                    raise web.HTTPError(503, reason=f"App {route.app_name} is not up yet")
                raise web.HTTPError(404, reason=f"No app {route.app_name} in service")
            if not pending:
                await self._create(door, route)
            if loop.time() > end:
                raise web.HTTPError(504, reason="The app did not come up in time")
            await asyncio.sleep(POLL)

    async def _create(self, door: Door, route: Route) -> None:
        image = names.find_image(route.image_arn)
        instance_type = route.instance_type or names.DEFAULT_INSTANCE_TYPE
        key = AppKey(
            door.domain_id,
            door.owner.kind,
            door.owner.name,
            "KernelGateway",
            names.app_name(image, instance_type),
        )
        try:
            spec = {"InstanceType": instance_type, "SageMakerImageArn": image.arn}
            await operations.call(
                self.backend, "CreateApp", {**parameters_of(key), "ResourceSpec": spec}
            )
        except ApiError as error:
            raise web.HTTPError(503, reason=error.code, log_message=error.message) from None

    async def _kernels_of(self, running: Running) -> list[dict[str, Any]]:
        """The app's kernels; none if its process has just gone."""
        process = running.process
        try:
            response = await self.ask(running, "GET", "api/kernels")
        except web.HTTPError:
            if process is None or process.gone.is_set() or running.ending:
                return []
            raise
        if response.code != 200:
            if running.ending:
                return []
            raise web.HTTPError(503, reason=f"The app answers {response.code}")
        return [self._studio_model(running, model) for model in json.loads(response.body)]

    def _studio_model(self, running: Running, model: dict[str, Any]) -> dict[str, Any]:
        """A kernel's model with Studio's additions."""
        app = running.app
        name = self._asked_for.get(model["id"]) or names.kernelspec_name(
            model["name"], app.resource.image_arn or ""
        )
        shown = {
            **model,
            "name": name,
            "instance_type": app.resource.instance_type,
            "app_name": app.key.name,
        }
        return self.faults.shown(shown)


def _is_of(door: Door, app: App) -> bool:
    return (
        app.key.app_type == "KernelGateway"
        and app.key.domain_id == door.domain_id
        and app.key.owner == door.owner
    )


class GatewayHandler(web.RequestHandler):
    """The base of all handlers of the gateway: the token, the faults, errors in JSON."""

    def initialize(self, gateway: Gateway) -> None:
        """Tornado's hook."""
        self.gateway = gateway
        self.call: int | None = None

    def enter(self, door_id: str) -> Door:
        """The door, for an admitted caller."""
        return self.gateway.doors.find(door_id, self.request.headers.get("Authorization"))

    async def begin(self, operation: str, app_name: str | None = None, **about: Any) -> bool:
        """Records the request and applies the faults; True if a fault has answered it."""
        if app_name is not None:
            about["AppName"] = app_name
        self.call = self.gateway.journal.arrived(f"Gateway.{operation}", about)
        fault = await self.gateway.faults.meet(f"Gateway.{operation}", app_name)
        if fault is None:
            return False
        self._fail(fault)
        return True

    def _fail(self, fault: Fault) -> None:
        if fault.drop:
            drop_connection(self)
            self.on_finish()
            return
        self.set_status(fault.status or (500 if fault.code else 200))
        self.set_header("Content-Type", "application/json")
        reason = {"reason": fault.code or "", "message": fault.message}
        self.finish(fault.body if fault.body is not None else json.dumps(reason))

    def on_finish(self) -> None:
        """Tornado's hook."""
        if self.call is not None:
            status = self.get_status()
            self.gateway.journal.ended(self.call, "ok" if status < 400 else str(status))
            self.call = None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors in the Kernel Gateway's form."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"reason": self._reason, "message": self._reason}))

    def reply(self, document: Any, status: int = 200) -> None:
        """A JSON answer."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(document))

    def json_body(self) -> dict[str, Any]:
        """The request's body; 400 if it is not a JSON object."""
        try:
            document = json.loads(self.request.body or b"{}")
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise web.HTTPError(400, reason="The body must be a JSON object")
        return document


class KernelsHandler(GatewayHandler):
    """``api/kernels``."""

    async def get(self, door_id: str) -> None:
        """All kernels of the owner."""
        door = self.enter(door_id)
        if not await self.begin("ListKernels"):
            self.reply(await self.gateway.kernels(door))

    async def post(self, door_id: str) -> None:
        """Start one."""
        door, request = self.enter(door_id), self.json_body()
        if not await self.begin("StartKernel", request.get("app_name"), name=request.get("name")):
            self.reply(await self.gateway.start(door, request), 201)


class KernelHandler(GatewayHandler):
    """``api/kernels/ID``."""

    async def get(self, door_id: str, kernel_id: str) -> None:
        """The kernel's model."""
        _, model = await self.gateway.app_of(self.enter(door_id), kernel_id)
        if not await self.begin("GetKernel", model.get("app_name"), kernel_id=kernel_id):
            self.reply(model)

    async def delete(self, door_id: str, kernel_id: str) -> None:
        """End it."""
        running, model = await self.gateway.app_of(self.enter(door_id), kernel_id)
        if not await self.begin("DeleteKernel", model.get("app_name"), kernel_id=kernel_id):
            response = await self.gateway.ask(running, "DELETE", f"api/kernels/{kernel_id}")
            self.set_status(response.code)
            self.finish()


class KernelActionHandler(GatewayHandler):
    """``api/kernels/ID/interrupt`` and ``.../restart``."""

    async def post(self, door_id: str, kernel_id: str, action: str) -> None:
        """Do it."""
        running, model = await self.gateway.app_of(self.enter(door_id), kernel_id)
        operation = f"{action.capitalize()}Kernel"
        if await self.begin(operation, model.get("app_name"), kernel_id=kernel_id):
            return
        path = f"api/kernels/{kernel_id}/{action}"
        response = await self.gateway.ask(running, "POST", path, "{}")
        self.set_status(response.code)
        if action == "restart" and response.code == 200:
            _, model = await self.gateway.app_of(self.enter(door_id), kernel_id)
            self.reply(model)
        else:
            self.finish()


class KernelSpecsHandler(GatewayHandler):
    """``api/kernelspecs``."""

    async def get(self, door_id: str) -> None:
        """The kernelspecs of all images."""
        door = self.enter(door_id)
        if not await self.begin("ListKernelSpecs"):
            self.reply(self.gateway.kernelspecs(door))


class KernelSpecHandler(GatewayHandler):
    """``api/kernelspecs/NAME``."""

    async def get(self, door_id: str, name: str) -> None:
        """One kernelspec."""
        door, name = self.enter(door_id), unquote(name)
        if await self.begin("GetKernelSpec", name=name):
            return
        _, image_arn = names.split_kernelspec(name)
        spec = names.kernelspec_name("python3", image_arn or "")
        if spec not in self.gateway.kernelspecs(door)["kernelspecs"]:
            raise web.HTTPError(404, reason="No such kernelspec")
        self.reply(self.gateway.kernelspec(image_arn or ""))


class TerminalsHandler(GatewayHandler):
    """``api/terminals``: the image terminals of the owner."""

    async def get(self, door_id: str) -> None:
        """All of them."""
        door = self.enter(door_id)
        terminals = self.gateway.runtime.terminals_of(door.domain_id, door.owner)
        if not await self.begin("ListTerminals"):
            self.reply([terminal.model for _, terminal in terminals])


class TerminalHandler(GatewayHandler):
    """``api/terminals/NAME``."""

    async def get(self, door_id: str, name: str) -> None:
        """Its model."""
        self.reply(self._find(door_id, name).model)

    async def delete(self, door_id: str, name: str) -> None:
        """End it."""
        await self._find(door_id, name).close()
        self.set_status(204)
        self.finish()

    def _find(self, door_id: str, name: str) -> Any:
        door, name = self.enter(door_id), unquote(name)
        for _, terminal in self.gateway.runtime.terminals_of(door.domain_id, door.owner):
            if terminal.name == name:
                return terminal
        raise web.HTTPError(404, reason=f"Terminal not found: {name}")


class ChannelsHandler(websocket.WebSocketHandler):
    """``api/kernels/ID/channels``: passes messages on, in both directions, as they are."""

    def initialize(self, gateway: Gateway) -> None:
        """Tornado's hook."""
        self.gateway = gateway
        self.backend: websocket.WebSocketClientConnection | None = None

    def check_origin(self, origin: str) -> bool:
        """No browser talks to the gateway: pages of any origin are refused."""
        return False

    async def get(self, door_id: str, kernel_id: str) -> None:
        """Finds the kernel before the upgrade, so that 404 is still possible."""
        gateway = self.gateway
        door = gateway.doors.find(door_id, self.request.headers.get("Authorization"))
        running, model = await gateway.app_of(door, kernel_id)
        fault = await gateway.faults.meet("Gateway.Channels", model.get("app_name"))
        if fault is not None:
            raise web.HTTPError(fault.status or 500)
        launch, _ = running.live
        query = f"?{self.request.query}" if self.request.query else ""
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        request = HTTPRequest(
            f"ws://127.0.0.1:{launch.port}/api/kernels/{kernel_id}/channels{query}",
            headers={"Authorization": f"token {launch.token}"},
        )
        # Whichever side ends first, the connection to the kernel's own gateway ends with this call,
        # which lasts as long as the client is there.
        call = asyncio.current_task()
        assert call is not None
        self.gateway.wait_for(call)
        async with connected(
            request,
            subprotocols=[each.strip() for each in offered.split(",")] if offered else None,
            max_message_size=2**30,
        ) as self.backend:
            await super().get(door_id, kernel_id)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """The subprotocol chosen by the kernel's own gateway."""
        return self.backend.selected_subprotocol if self.backend is not None else None

    async def open(self, *args: str, **kwargs: str) -> None:
        """Passes the kernel's messages on, until there are no more."""
        if self.backend is not None:
            self.gateway.background(self._pump(self.backend))

    async def _pump(self, backend: websocket.WebSocketClientConnection) -> None:
        while (message := await backend.read_message()) is not None:
            try:
                await self.write_message(message, binary=isinstance(message, bytes))
            except websocket.WebSocketClosedError:
                break
        self.close()

    async def on_message(self, message: str | bytes) -> None:
        """Passes the client's messages on."""
        if self.backend is not None:
            try:
                await self.backend.write_message(message, binary=isinstance(message, bytes))
            except websocket.WebSocketClosedError:
                self.close()

    @property
    def max_message_size(self) -> int:
        """Outputs can be large; this is Jupyter's own limit."""
        return 10 * 1024 * 1024


def handlers(gateway: Gateway) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The gateway's routes."""
    door, kernel = r"/gateway/([0-9a-f]+)", r"([\w-]+)"
    routes: list[tuple[str, type[web.RequestHandler]]] = [
        (rf"{door}/api/kernels", KernelsHandler),
        (rf"{door}/api/kernels/{kernel}", KernelHandler),
        (rf"{door}/api/kernels/{kernel}/(interrupt|restart)", KernelActionHandler),
        (rf"{door}/api/kernels/{kernel}/channels", ChannelsHandler),
        (rf"{door}/api/kernelspecs", KernelSpecsHandler),
        (rf"{door}/api/kernelspecs/(.+)", KernelSpecHandler),
        (rf"{door}/api/terminals", TerminalsHandler),
        (rf"{door}/api/terminals/(.+)", TerminalHandler),
    ]
    return [(pattern, handler, {"gateway": gateway}) for pattern, handler in routes]
