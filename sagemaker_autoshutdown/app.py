"""The server extension: a server loads it at its start and ends it at its end.

Any error in here is logged and leaves the server as it was: an extension that shuts things down to
save money must never keep Studio from starting, nor delay it. So loading imports only the parts
that take requests; the others are built once the server is up.
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

#: The key of the running parts in the web app's settings. Never a name that ends in
#: ``_last_activity``: the server would count it as activity.
SETTINGS_KEY = "sagemaker_autoshutdown"
#: Seconds that the loop has for its end when the server stops.
STOP_TIMEOUT = 3.0
NOT_LOADED = (
    "sagemaker_autoshutdown: could not be loaded, so nothing is watched or shut down. The server "
    "is not affected."
)


class AutoShutdownExtension(ExtensionApp):
    """The class that Jupyter loads, and ends when the server stops.

    An ``ExtensionApp`` only for the end: jupyter_server (1.24 to 2.21) does not tell an extension
    that is a plain module when the server stops.
    """

    name = "sagemaker_autoshutdown"
    _running: Running | None = None

    def initialize(self, argv: list[str] | None = None) -> None:
        """Called when the server starts."""
        if self.serverapp is not None:
            self._running = load(self.serverapp)

    async def stop_extension(self) -> None:
        """Called when the server stops."""
        if self._running is not None:
            await self._running.stop()


def load(serverapp: ServerApp) -> Running | None:
    """Loads the extension into a server; returns what runs there then. Never raises; loading
    twice changes nothing."""
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
    """The extension in one server, from its start to its end."""

    def __init__(self, serverapp: ServerApp) -> None:
        self.served = ServedLater()
        self._serverapp = serverapp
        self._parts: Parts | None = None
        self._starting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Builds the parts and starts them. Called on the server's event loop."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            # Importing their modules takes longer than the event loop may be blocked, so a thread
            # does it.
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
        """Ends the loop and stops waiting for shutdowns under way, which AWS completes. Takes
        ``STOP_TIMEOUT`` seconds at most, so that the server can end whatever happens here.
        Pending records are written when the process ends."""
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
