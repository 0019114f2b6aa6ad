"""The parts that the handlers call. Handlers take requests at once; the parts may follow a little
later.

This module owns how long a request waits for them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Unavailable

if TYPE_CHECKING:
    from ..monitor import Monitor
    from ..monitor.commands import Commands
    from .checks import RequestedChecks
    from .forward import Forwarder
    from .history import Tracker

#: Seconds that a request waits for the parts. They take a fraction of one on an idle machine.
PATIENCE = 10.0


class Served(NamedTuple):
    """The parts that the handlers call."""

    monitor: Monitor
    commands: Commands
    tracker: Tracker
    checks: RequestedChecks
    #: Leads to the server that acts for this app, if that can be another one. The other parts
    #: belong to this server.
    forwarder: Forwarder | None


class ServedLater:
    """The parts once they exist, or the reason why they don't."""

    def __init__(self) -> None:
        self._served: Served | None = None
        self._failed = False
        self._waiting: list[asyncio.Future[None]] = []

    def there_are(self, served: Served) -> None:
        """Answers requests from now on."""
        self._served = served
        self._wake()

    def there_are_none(self) -> None:
        """The parts could not be built: tells everyone who asks."""
        self._failed = True
        self._wake()

    async def get(self) -> Served:
        """The parts; raises ``Unavailable`` if there are none, or not soon enough."""
        if self._served is None and not self._failed:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(woken)
            await asyncio.wait({woken}, timeout=PATIENCE)
        if self._failed:
            raise Unavailable(
                "The extension could not be loaded, so nothing is watched or shut down. The "
                "server's log says why."
            )
        if self._served is None:
            raise Unavailable("The extension is still starting. Try again in a few seconds.")
        return self._served

    def _wake(self) -> None:
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
        self._waiting.clear()
