"""``fleet run``: rounds at their planned times, and ``/metrics``. Wiring, no logic."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import signal
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from ..clock import utcnow
from ..threads import in_thread
from .acting.notify import notifier
from .acting.protocols import Unavailable
from .acting.sqlite import SqliteAudit, SqliteHolds
from .config import Config
from .metrics import FleetMetrics
from .record import StoreError
from .service import Fleet, Recorder, next_round
from .stopper import Stopper
from .store import Store


class _Handler(web.RequestHandler):
    """Lets in whoever has the token, where there is one; without it only this machine listens."""

    def initialize(self, token: str) -> None:
        self._token = token

    def prepare(self) -> None:
        given = self.request.headers.get("Authorization", "")
        wanted = f"Bearer {self._token}"
        if self._token and not hmac.compare_digest(given.encode(), wanted.encode()):
            raise web.HTTPError(401)


class _Metrics(_Handler):
    def initialize(self, token: str, registry: CollectorRegistry) -> None:  # type: ignore[override]
        super().initialize(token)
        self._registry = registry

    async def get(self) -> None:
        """Everything, out of memory."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(await in_thread(lambda: generate_latest(self._registry)))


class Server:
    """Runs until it is told to stop.

    ``told`` is called after each round with the failures' messages.
    """

    def __init__(
        self, fleet: Fleet, store: Store, told: Callable[[list[str]], None] = lambda lines: None
    ) -> None:
        self._config: Config = fleet.config
        metrics = FleetMetrics(self._config.by_owner)
        metrics.show_totals(store.totals())
        self._holds = SqliteHolds(store)
        self._recorder = Recorder(fleet, store, metrics, utcnow, self._stopper(fleet, store))
        self._registry = CollectorRegistry()
        self._registry.register(metrics)
        self._told = told
        self._stop = asyncio.Event()
        self.url = ""

    async def run(self, ready: Callable[[str], None] = lambda url: None) -> None:
        """Listens, and makes rounds at their times, the first at once. Raises ``OSError`` where
        the address can't be listened on."""
        host, _, port = self._config.listen.rpartition(":")
        sockets = bind_sockets(int(port), host.strip("[]"))
        shown = f"[{host.strip('[]')}]" if ":" in host.strip("[]") else host
        self.url = f"http://{shown}:{sockets[0].getsockname()[1]}/metrics"
        arguments = {"token": self._config.token, "registry": self._registry}
        http = HTTPServer(web.Application([("/metrics", _Metrics, arguments)], log_function=_quiet))
        http.add_sockets(sockets)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._stop.set)
        try:
            ready(self.url)
            await self._rounds()
        finally:
            http.stop()
            await http.close_all_connections()

    def _stopper(self, fleet: Fleet, store: Store) -> Stopper | None:
        rules = self._config.rules
        if not rules.rules:
            return None
        return Stopper(
            rules,
            self._holds,
            SqliteAudit(store),
            notifier(self._config.notify),
            utcnow,
            self._config.cloudtrail,
            fleet.log,
        )

    def stop(self) -> None:
        """Ends it after the round that is under way."""
        self._stop.set()

    async def _rounds(self) -> None:
        interval = self._config.interval
        while not self._stop.is_set():
            try:
                failures = await in_thread(self._recorder.round)
                self._holds.forget(utcnow())
                self._told([f"{failure.name}: {failure.message}" for failure in failures])
            except (StoreError, Unavailable) as error:
                # What was spent meanwhile is charged when it can be written again.
                self._told([str(error)])
            left = next_round(utcnow(), interval).total_seconds()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), left)


def _quiet(handler: web.RequestHandler) -> None:
    """A scrape every few seconds is no news."""
