"""``fleet run``: rounds at their planned times, and ``/metrics``. Wiring, no logic."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import signal
from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from ..clock import utcnow
from ..threads import in_thread
from .acting.notify import notifier
from .acting.protocols import Unavailable
from .acting.sqlite import SqliteAudit, SqliteHolds
from .config import LOOPBACK, Config
from .metrics import FleetMetrics
from .recorder import Recorder, next_round
from .service import Fleet
from .stopper import Stopper
from .store import Store

log = logging.getLogger(__name__)

#: Seconds that a round under way may take after the end was asked for. Each sweep is stored as a
#: whole, so an abandoned round loses nothing.
GRACE = 5.0
#: A scrape is a short request.
_LIMITS = {"max_body_size": 65_536, "idle_connection_timeout": 120.0, "body_timeout": 20.0}


class _Handler(web.RequestHandler):
    """Lets in callers with the token, if there is one; without one only this machine listens.

    Then only a request that names this machine is answered. Otherwise a page in a browser here
    could give its own name this address, and read everything that its user may.
    """

    def initialize(self, token: str) -> None:
        self._token = token

    def prepare(self) -> None:
        if not self._token:
            if _host_of(self.request.host) not in LOOPBACK:
                raise web.HTTPError(403)
            return
        given = self.request.headers.get("Authorization", "")
        wanted = f"Bearer {self._token}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            self.set_header("WWW-Authenticate", "Bearer")
            self.set_status(401)
            self.finish("The token of token_file is missing or wrong.\n")

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")


def _host_of(address: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{address}").hostname or ""
    return ""


class _Metrics(_Handler):
    def initialize(self, token: str, registry: CollectorRegistry) -> None:  # type: ignore[override]
        super().initialize(token)
        self._registry = registry

    async def get(self) -> None:
        """Everything, from memory."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(await in_thread(lambda: generate_latest(self._registry)))


class CanNotListen(Exception):
    """The address can't be listened on. The message says why."""


class Server:
    """Runs until it is stopped."""

    def __init__(self, fleet: Fleet, store: Store) -> None:
        self._config: Config = fleet.config
        metrics = FleetMetrics(self._config.by_owner)
        metrics.show_totals(store.totals())
        self._holds = SqliteHolds(store)
        self._recorder = Recorder(fleet, store, metrics, utcnow, self._stopper(fleet, store))
        self._registry = CollectorRegistry()
        self._registry.register(metrics)
        self._stop = asyncio.Event()
        self.url = ""

    async def run(self, ready: Callable[[str], None] = lambda url: None) -> None:
        """Listens, and makes rounds at their times, the first at once. Raises
        :class:`CanNotListen`."""
        host, _, port = self._config.listen.rpartition(":")
        try:
            sockets = bind_sockets(int(port), host.strip("[]"))
        except OSError as error:
            raise CanNotListen(f"{self._config.listen} can't be listened on: {error}") from None
        shown = f"[{host.strip('[]')}]" if ":" in host.strip("[]") else host
        self.url = f"http://{shown}:{sockets[0].getsockname()[1]}/metrics"
        arguments = {"token": self._config.token, "registry": self._registry}
        http = HTTPServer(
            web.Application([("/metrics", _Metrics, arguments)], log_function=_quiet), **_LIMITS
        )
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
        """Ends it, at the latest ``GRACE`` seconds later."""
        self._stop.set()

    async def _rounds(self) -> None:
        stop = asyncio.ensure_future(self._stop.wait())
        while not stop.done():
            round_ = asyncio.ensure_future(in_thread(self._round))
            await asyncio.wait({stop, round_}, return_when=asyncio.FIRST_COMPLETED)
            if not round_.done():
                await asyncio.wait({round_}, timeout=GRACE)
                round_.cancel()
                return
            left = next_round(utcnow(), self._config.interval).total_seconds()
            await asyncio.wait({stop}, timeout=left)

    def _round(self) -> None:
        try:
            self._recorder.round()
            with contextlib.suppress(Unavailable):  # the round has logged it
                self._holds.forget(utcnow())
        except Exception:  # a defect of ours must not end the watch
            if self._stop.is_set():
                return  # the record was closed meanwhile
            log.exception("A round failed, and will be tried again. Please report this.")


def _quiet(handler: web.RequestHandler) -> None:
    """A scrape every few seconds is not worth logging."""
