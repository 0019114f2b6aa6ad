"""The server extension: what a server loads when it starts, and ends when it ends.

Whatever goes wrong in here is logged and leaves the server as it was: an extension that shuts
things down to save money must never be what keeps Studio from starting, nor what delays it. So
loading imports only what takes requests; the parts are put together once the server is up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jupyter_server.extension.application import ExtensionApp
from tornado.ioloop import IOLoop

from .api.handlers import add_handlers
from .api.served import ServedLater
from .threads import in_thread

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from .parts import Parts

#: Where what runs hangs in the web app's settings. Never a name that ends in
#: ``_last_activity``: the server would count it as activity.
SETTINGS_KEY = "sagemaker_autoshutdown"
#: Seconds that the loop has to end when the server does.
STOP_TIMEOUT = 3.0
NOT_LOADED = (
    "sagemaker_autoshutdown: could not be loaded, so nothing is watched or shut down. The server "
    "is not affected."
)


class AutoShutdownExtension(ExtensionApp):
    """What Jupyter loads, and ends when the server does.

    An ``ExtensionApp`` only for the latter: of an extension that is a plain module jupyter_server
    (1.24 to 2.21) tells nobody that the server ends.
    """

    name = "sagemaker_autoshutdown"
    _running: Running | None = None

    def initialize(self, argv: list[str] | None = None) -> None:
        """Called when the server starts."""
        if self.serverapp is not None:
            self._running = load(self.serverapp)

    async def stop_extension(self) -> None:
        """Called when the server ends."""
        if self._running is not None:
            await self._running.stop()


def load(serverapp: ServerApp) -> Running | None:
    """Load the extension into a server; gives what runs there then. Never raises; loading twice
    changes nothing."""
    if SETTINGS_KEY in serverapp.web_app.settings:
        return None
    try:
        running = Running(serverapp)
        serverapp.web_app.settings[SETTINGS_KEY] = running
        add_handlers(serverapp.web_app, running.served)
        IOLoop.current().add_callback(running.begin)
        return running
    except Exception:
        serverapp.log.exception(NOT_LOADED)
        return None


class Running:
    """What runs in one server, from its start to its end."""

    def __init__(self, serverapp: ServerApp) -> None:
        self.served = ServedLater()
        self._serverapp = serverapp
        self._parts: Parts | None = None
        self._starting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Put the parts together and start them. Called on the server's loop."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            # Their modules take longer to import than the loop may be held: a thread lets it go on.
            await in_thread(_import_parts)
            from . import parts as parts_module

            parts = self._parts = parts_module.build(self._serverapp)
        except Exception:
            self._serverapp.log.exception(NOT_LOADED)
            self.served.there_are_none()
            return
        self.served.there_are(parts.served)
        try:
            await parts_module.start(parts, self._serverapp)
        except Exception:
            self._serverapp.log.exception("sagemaker_autoshutdown: could not be started")

    async def stop(self) -> None:
        """End the loop and wait no longer for shutdowns under way, which AWS goes on with. Takes
        ``STOP_TIMEOUT`` seconds at most: the server is to end whatever happens here. What is to be
        written is written when the process ends."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._parts is None:
            return
        try:
            await asyncio.wait_for(self._parts.monitor.stop(), STOP_TIMEOUT)
        except Exception as error:
            self._serverapp.log.warning(
                "sagemaker_autoshutdown: the loop could not be stopped (%s)",
                str(error) or type(error).__name__,
            )


def _import_parts() -> None:
    from . import parts  # noqa: F401
