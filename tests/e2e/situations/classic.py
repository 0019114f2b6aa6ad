"""An app of Studio Classic: its kernels run in a Kernel Gateway, its server elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Server, options, until
from tests.localstudio import AppKey, Fault, ServerOptions
from tests.localstudio.kernels import JupyterClient
from tests.localstudio.scene import Scene
from tests.localstudio.terminals import Terminal
from tests.localstudio.testing import BlockingStudio, running_studio

from .world import SecondServer, Space


class Classic(Space):
    """The activity in one app of a user."""

    def __init__(
        self,
        studio: BlockingStudio,
        scene: Scene,
        options: ServerOptions,
        app: AppKey,
        app_python: str,
    ) -> None:
        super().__init__(studio, Server(studio, scene.target), scene.server, options)
        self.app = app
        self.app_name = app.name
        self._app_python = app_python
        # The gateway: jupyter_server 1.x loses messages until it has connected to it.
        self._gateway = studio.do(lambda running: running.gateway_client(app.owner))
        self._terminals: dict[str, Terminal] = {}
        self._ends.callback(studio.faults_off)

    def kernel(self, path: str = "a.ipynb") -> str:
        return self.studio.start_kernel(self.app, path=path)

    def kernels(self) -> list[dict[str, Any]]:
        return self.studio.kernels(self.app)

    def run(self, kernel: str, code: str, *, wait: bool = True) -> None:
        self.studio.execute(self.app, kernel, code, wait=wait)

    def terminal(self, *, tells_time: bool = True) -> str:
        """A terminal in the app; Studio does not always report when it was used."""
        terminal = self.studio.open_terminal(self.app, shows_activity=tells_time)
        self._terminals[terminal.name] = terminal
        return terminal.name

    def type(self, terminal: str, text: str) -> None:
        self.studio.type(self._terminals[terminal], f"{text}\n")

    def second_server(self, *arguments: str, env: dict[str, str] | None = None) -> SecondServer:
        """Its kernels run in an app's environment: that of Classic's server can't run any."""
        data = self.home / "data"
        spec = data / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True, exist_ok=True)
        command = [self._app_python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": command, "display_name": "Python 3"}))
        return super().second_server(*arguments, env={"JUPYTER_PATH": str(data), **(env or {})})

    def another_app(self) -> AppKey:
        """Another app of the user, on another instance, which the server knows."""
        app = self.studio.create_kernel_app(
            self.app.owner, instance_type="ml.g4dn.xlarge", name="b"
        )
        until(lambda: self.server.app(app.name), "the other app is in the status")
        return app

    def lose_answers(self, app_name: str, *, times: int = -1) -> None:
        """From now on, a client that connects to a kernel of the app waits in vain, this many
        times."""
        self.studio.fault(Fault("Gateway.Channels", app_name=app_name, times=times, hang=True))

    def assert_in_use(self) -> None:
        """Nor does anybody get a warning for it, once it was seen: its kernels are asked before."""
        self.server.wait_for_checks()
        super().assert_in_use()
        assert "warning" not in self.server.kinds(self.app_name)

    def _client(self) -> JupyterClient:
        return self._gateway


@contextmanager
def classic_app(
    folder: Path, server_python: str, app_python: str, **traits: Any
) -> Iterator[Classic]:
    """An app in which nothing is open yet."""
    with running_studio(folder, app_python=app_python) as studio:
        chosen = replace(options(**traits), python=server_python)
        scene = studio.classic(options=chosen)
        app = studio.create_kernel_app(scene.app.owner)
        world = Classic(studio, scene, chosen, app, app_python)
        until(lambda: world.status, "the app is in the status")
        try:
            yield world
        finally:
            world.close()
