"""One JupyterLab space with a real server, and the actions of a person or a program in it.

``classic`` does the same in an app of Studio Classic.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tornado import websocket
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from tests.e2e.conftest import Server, options, until
from tests.localstudio import LocalStudio, ServerOptions
from tests.localstudio.kernels import JupyterClient, close, connect, connected, execute_request
from tests.localstudio.processes import free_port
from tests.localstudio.servers import Launch
from tests.localstudio.testing import BlockingStudio, running_studio
from tests.nvml import COMPILER, DEVICES, build_library

#: Seconds without use after which the space is shut down, once a situation stands. A terminal's
#: time is exact to 8 s only.
LIMIT = 10.0
#: Seconds that a space in use must survive.
WATCHED = 2 * LIMIT + 5
#: Seconds in which an idle space must be gone, on a busy machine.
GONE_IN = 120.0


class LackingError(Exception):
    """This machine lacks something that a line needs; the message says what."""

    def __str__(self) -> str:
        return f"not on this machine: {super().__str__()}"


class Space:
    """The activity in a space. Everything that begins here ends with the test."""

    #: The app under test.
    app_name = "default"

    def __init__(
        self, studio: BlockingStudio, server: Server, launch: Launch, options: ServerOptions
    ) -> None:
        self.studio = studio
        self.server = server
        self.launch = launch
        self.options = options
        #: The interpreter of its environment.
        self.interpreter = options.python
        self.home = Path(launch.env["HOME"])
        self._ends = ExitStack()
        self._repeats = False
        #: The user's settings under which the situation is judged.
        self.limit: dict[str, float] = {"idle_timeout": LIMIT}

    # -- kernels

    def kernel(self, path: str = "a.ipynb") -> str:
        """A notebook's kernel."""
        return self.studio.start_kernel(self.server.target, path=path)

    def kernels(self) -> list[dict[str, Any]]:
        """The models of all kernels."""
        return self.studio.kernels(self.server.target)

    def run(self, kernel: str, code: str, *, wait: bool = True) -> None:
        """Runs a cell. If it is not waited for, it has begun when this returns."""
        self.studio.execute(self.server.target, kernel, code, wait=wait)

    def send(
        self, kernel: str, kind: str, content: dict[str, Any], *, channel: str = "shell"
    ) -> None:
        """A message to a kernel, as a browser sends it. It was answered with a status, or is in
        the queue, when this returns."""
        message = execute_request("", uuid.uuid4().hex)
        message["header"]["msg_type"] = kind
        message["channel"] = channel
        message["content"] = content

        async def send(studio: LocalStudio) -> None:
            async with connected(self._websocket(f"api/kernels/{kernel}/channels")) as connection:
                await connection.write_message(json.dumps(message))
                with contextlib.suppress(asyncio.TimeoutError):
                    while True:
                        raw = await asyncio.wait_for(connection.read_message(), 2)
                        if raw is None or message["header"]["msg_id"] in str(raw):
                            break

        self.studio.run(send)

    def configure(self, code: str) -> None:
        """Restarts the server with this in its configuration."""
        config = Path(self.launch.env["JUPYTER_CONFIG_DIR"]) / "jupyter_server_config.py"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f"{code}\n")
        self._begin_anew()

    def give_gpu(self, device: str) -> None:
        """Restarts the server on a machine with a GPU: its utilization, the memory used, MIG,
        and the ids of processes."""
        (self.home / "devices").write_text(f"{device}\n")
        if shutil.which(COMPILER) is None:
            raise LackingError(f"a C compiler ({COMPILER})")
        library = build_library(self.home)
        env = {"LD_LIBRARY_PATH": str(library.parent), DEVICES: str(self.home / "devices")}
        self.options = replace(self.options, env=env)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.studio.restart_server(self.server.target, self.options)
        until(lambda: self.status, "the server is back")

    # -- terminals

    def terminal(self) -> str:
        """A terminal."""
        return str(self.request("POST", "api/terminals")["name"])

    def type(self, terminal: str, text: str) -> None:
        """Types a line, as a browser sends it. It has been run, or has begun, when this returns."""
        mark = f"typed{uuid.uuid4().hex[:6]}"
        line = f"echo {mark[:3]}''{mark[3:]}; {text}\r"

        async def send(studio: LocalStudio) -> None:
            async with connected(self._websocket(f"terminals/websocket/{terminal}")) as connection:
                await connection.read_message()
                await connection.write_message(json.dumps(["stdin", line]))
                while (message := await connection.read_message()) is not None:
                    if mark in str(message):
                        break

        self.studio.run(send)

    def look_at(self, terminal: str) -> None:
        """Connect to a terminal and leave again."""

        async def look(studio: LocalStudio) -> None:
            async with connected(self._websocket(f"terminals/websocket/{terminal}")) as connection:
                await connection.read_message()

        self.studio.run(look)

    # -- the server's API, and connections that stay

    def request(self, method: str, path: str, document: Any = None) -> Any:
        """A REST call of the server; returns the JSON answer."""
        return self.studio.request(self.server.target, method, path, document)

    def get(self, path: str) -> None:
        """GET of something on the server that is not JSON."""
        self._fetch("GET", path)

    def post(self, path: str) -> None:
        """POST to something on the server that is not JSON."""
        self._fetch("POST", path)

    def _fetch(self, method: str, path: str) -> None:
        request = HTTPRequest(
            f"{self.launch.url}{path}",
            method=method,
            headers={"Authorization": f"token {self.launch.token}"},
            body=b"" if method == "POST" else None,
        )

        async def fetch(studio: LocalStudio) -> None:
            await AsyncHTTPClient().fetch(request)

        self.studio.run(fetch)

    def keep_open(self, path: str) -> Callable[[], None]:
        """A websocket of the server that stays open; returns a function that closes it."""
        _, end = self._open(path)
        return end

    def socket(self, path: str) -> Callable[[bytes], None]:
        """A websocket of the server; returns a function that sends a binary message."""
        connection, _ = self._open(path)

        def send(message: bytes) -> None:
            async def write(studio: LocalStudio) -> None:
                await connection.write_message(message, binary=True)

            self.studio.run(write)

        return send

    def _open(self, path: str) -> tuple[websocket.WebSocketClientConnection, Callable[[], None]]:
        """A websocket, and what closes it; it ends with the test at the latest."""
        connection = self.studio.run(lambda _: connect(self._websocket(path)))

        def end() -> None:
            self.studio.run(lambda _: close(connection))

        self._ends.callback(end)
        return connection, end

    def _websocket(self, path: str) -> HTTPRequest:
        client = self._client()
        url = f"{client.url}{path}?{urlencode({'session_id': uuid.uuid4().hex})}"
        return HTTPRequest(url.replace("http", "ws", 1), headers=client.headers)

    def _client(self) -> JupyterClient:
        """The server that has the kernels."""
        return JupyterClient(self.launch.url, self.launch.token)

    # -- programs

    def start(self, *command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A program in the app that nobody started in a terminal."""
        with (self.home / f"program-{uuid.uuid4().hex[:6]}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self.launch.env, **(env or {})},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._ends.callback(_end, process)
        return process

    def python(self, code: str, name: str = "program.py") -> list[str]:
        """A Python program of that name in the home; returns its command line."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
        return [self.interpreter, str(file)]

    def short_folder(self) -> str:
        """A folder with a short path, which is removed at the end."""
        return self._ends.enter_context(tempfile.TemporaryDirectory())

    def second_server(self, *arguments: str, env: dict[str, str] | None = None) -> SecondServer:
        """Another Jupyter server in the app, as somebody starts it; it answers when this
        returns."""
        port, token = free_port(), uuid.uuid4().hex
        process = self.start(
            *(self.interpreter, "-m", "jupyter_server", "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.home}"),
            *(each for each in self.launch.command if each.startswith("--SageMakerAutoShutdown")),
            *arguments,
            env={"JUPYTER_TOKEN": token, **(env or {})},
        )
        return SecondServer(self.studio, process, f"http://127.0.0.1:{port}/", token)

    def again_and_again(self, do: Callable[[], None], every: float) -> None:
        """Does something at once, and again until the test ends."""
        do()
        self._repeats = True
        over = threading.Event()

        def repeat() -> None:
            while not over.wait(every):
                with contextlib.suppress(Exception):  # the space is gone
                    do()

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()

        def end() -> None:
            over.set()
            thread.join()

        self._ends.callback(end)

    def close(self) -> None:
        """Ends everything that was begun."""
        self._ends.close()

    # -- the judgement

    @property
    def status(self) -> dict[str, Any]:
        """The app in the status."""
        return self.server.app(self.app_name)

    @property
    def is_shut_down(self) -> bool:
        """Whether its shutdown was asked for."""
        return bool(self.studio.calls("DeleteApp", self.app_name))

    def assert_in_use(self) -> None:
        """Asserts that it is not shut down although its limit passes twice."""
        watched = WATCHED
        if self._repeats and self.limit == {"idle_timeout": LIMIT}:
            # On a busy machine one time may come long after the other.
            self.limit = {"idle_timeout": 3 * LIMIT}
            watched = 3 * WATCHED
        self.set_limit()
        end = time.monotonic() + watched
        told = ""
        while time.monotonic() < end:
            assert not self.is_shut_down, f"shut down while in use: {told}"
            told = self._told()
            time.sleep(0.5)

    def assert_idle(self) -> None:
        """Asserts that it is shut down."""
        self.set_limit()
        end = time.monotonic() + GONE_IN
        while not self.is_shut_down:
            assert time.monotonic() < end, f"never shut down: {self._told()}"
            time.sleep(0.5)

    def set_limit(self) -> None:
        """The limit under which the situation is judged."""
        settings = {**self.limit, "warning_time": 1}
        self.request("PUT", "sagemaker-autoshutdown/api/settings", settings)

    def _told(self) -> str:
        with contextlib.suppress(Exception):
            return json.dumps(self.status, indent=1)
        return "(the server is gone)"


class SecondServer:
    """Another Jupyter server on the same app."""

    def __init__(
        self, studio: BlockingStudio, process: subprocess.Popen[bytes], url: str, token: str
    ) -> None:
        self._studio = studio
        self.process = process
        self.client = JupyterClient(url, token)
        until(self._answers, "the second server answers")

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            self._studio.run(lambda _: self.client.request("GET", "api/status"))
            return True
        return False

    def get(self, path: str) -> Any:
        """GET of its API."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """Another call of its API."""
        return self._studio.run(lambda _: self.client.request(method, path, document), 90)

    def kernel(self) -> str:
        """A kernel in it."""
        return str(self._studio.run(lambda _: self.client.start_kernel())["id"])

    def run(self, kernel: str, code: str, *, wait: bool = True) -> None:
        """Run a cell in it."""
        self._studio.run(lambda _: self.client.execute(kernel, code, wait=wait))

    def type(self, text: str) -> None:
        """Type a line into a new terminal of this server."""
        name = self.ask("POST", "api/terminals")["name"]
        query = urlencode({"token": self.client.token})
        url = f"{self.client.url}terminals/websocket/{name}?{query}".replace("http", "ws", 1)

        async def send(studio: LocalStudio) -> None:
            async with connected(HTTPRequest(url)) as connection:
                await connection.read_message()
                await connection.write_message(json.dumps(["stdin", f"{text}\r"]))
                await connection.read_message()

        self._studio.run(send)

    def hang(self) -> None:
        """It no longer answers, though it lives."""
        os.kill(self.process.pid, signal.SIGSTOP)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGCONT, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
    process.wait(120)


@contextmanager
def space(folder: Path, python: str = sys.executable, **traits: Any) -> Iterator[Space]:
    """A space in which nothing is open yet, whose server runs with an interpreter."""
    with running_studio(folder) as studio:
        chosen = replace(options(**traits), python=python)
        scene = studio.jupyterlab_space(options=chosen)
        world = Space(studio, Server(studio, scene.target), scene.server, chosen)
        until(lambda: world.status, "the app is in the status")
        try:
            yield world
        finally:
            world.close()
