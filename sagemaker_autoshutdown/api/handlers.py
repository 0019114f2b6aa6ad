"""The REST API: each handler parses a request, makes one call and writes the answer.

Jupyter decides who may call (``authenticated``, ``authorized``, XSRF). The monitor decides what is
shown and done. ``openapi.yaml`` describes every route, and a test compares them.

The server imports this module at its start, so modules that only an answer needs are imported with
the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from ..clock import utcnow
from ..errors import AutoShutdownError, InvalidRequest

if TYPE_CHECKING:
    from .forward import Forwarder
    from .served import Served, ServedLater

PREFIX = "sagemaker-autoshutdown/api"
#: Bytes. Valid bodies have a line or two.
MAX_BODY = 64 * 1024
METHODS = ("GET", "POST", "PUT", "DELETE")

Answer = Callable[..., Awaitable[Any]]


def answers(method: Answer) -> Answer:
    """Wraps a method that returns the answer, or raises an error, into one that sends it."""

    @wraps(method)
    async def answer(self: Handler, *args: str) -> None:
        try:
            self.served = await self.served_later.get()
            forwarder = self.served.forwarder
            if forwarder is not None and forwarder.is_needed:
                await self.answer_from_acting_server(forwarder)
                return
            body = await method(self, *args)
        except AutoShutdownError as error:
            self.set_status(error.status)
            body = {"message": str(error), "reason": None}
            if isinstance(error, InvalidRequest) and error.errors:
                body["errors"] = error.errors
        if isinstance(body, str):
            # Jupyter's own finish() always declares JSON, on 1.24 without a choice.
            self.set_header("Content-Type", "text/csv; charset=UTF-8")
            await web.RequestHandler.finish(self, body)
        else:
            await self.finish(body)

    return answer


def to_json(value: Any) -> Any:
    """The same form as the status."""
    from .. import status

    return status.to_json(value)


class Handler(APIHandler):
    """The base of all our handlers."""

    auth_resource = "sagemaker_autoshutdown"
    # Watching does not count as activity: a panel that polls would keep its own server up for ever.
    _track_activity = False

    served: Served

    def initialize(self, served_later: ServedLater) -> None:
        """Methods answer from ``served``."""
        self.served_later = served_later

    async def answer_from_acting_server(self, forwarder: Forwarder) -> None:
        """Sends the answer of the server that acts for this app."""
        path = self.request.path[self.request.path.index(PREFIX) :]
        answer = await forwarder.forward(self.request, path)
        self.set_status(answer.status)
        self.set_header("Content-Type", answer.content_type)
        # Tornado takes even an empty string for a body, which a 204 must not have.
        await web.RequestHandler.finish(self, answer.body or None)

    def write_error(self, status_code: int, **details: Any) -> None:
        """As Jupyter does; a 405 must also list the allowed methods (RFC 9110)."""
        if status_code == 405:
            methods = [name for name in METHODS if name.lower() in vars(type(self))]
            self.set_header("Allow", ", ".join([*methods, "OPTIONS"]))
        super().write_error(status_code, **details)

    def json_object(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        if len(self.request.body) > MAX_BODY:
            raise web.HTTPError(413, f"The body is over {MAX_BODY} bytes.")
        from . import requests

        return requests.json_object(self.request.body)

    def argument(self, name: str) -> str | None:
        """An argument of the query, or None."""
        return self.get_query_argument(name, None)


class StatusHandler(Handler):
    """``status``"""

    @web.authenticated
    @authorized
    @answers
    async def get(self) -> Any:
        """The whole picture."""
        monitor = self.served.monitor
        await monitor.refresh_marks()
        return to_json(monitor.status())


class CheckHandler(Handler):
    """``check``"""

    @web.authenticated
    @authorized
    @answers
    async def post(self) -> Any:
        """Checks now instead of at the next interval."""
        self.set_status(202)
        return {"check_in_seconds": self.served.checks.ask()}


class PageClosedHandler(Handler):
    """``page-closed``"""

    @web.authenticated
    @authorized
    @answers
    async def post(self) -> Any:
        """Somebody closed a page with the panel in it."""
        self.served.monitor.page_closed()
        self.set_status(204)
        return None


class SettingsHandler(Handler):
    """``settings``"""

    @web.authenticated
    @authorized
    @answers
    async def get(self) -> Any:
        """The settings in force."""
        return self.served.monitor.settings.describe()

    @web.authenticated
    @authorized
    @answers
    async def put(self) -> Any:
        """Changes any of the user's settings."""
        await self.served.commands.change_settings(self.json_object())
        return self.served.monitor.settings.describe()


class AppHandler(Handler):
    """``apps/{app_name}``"""

    @web.authenticated
    @authorized
    @answers
    async def delete(self, app_name: str) -> Any:
        """Shuts the app down now."""
        app = await self.served.commands.shut_down(app_name)
        self.set_status(202)
        return to_json(app)


class KeepAliveHandler(Handler):
    """``apps/{app_name}/keep-alive``"""

    @web.authenticated
    @authorized
    @answers
    async def put(self, app_name: str) -> Any:
        """Keeps the app up until a time."""
        from . import requests

        longest = self.served.monitor.settings.max_keep_alive
        until = requests.keep_alive_end(self.json_object(), utcnow(), longest)
        return to_json(await self.served.commands.keep_alive(app_name, until))

    @web.authenticated
    @authorized
    @answers
    async def delete(self, app_name: str) -> Any:
        """Takes a keep-alive back."""
        return to_json(await self.served.commands.end_keep_alive(app_name))


class HistoryHandler(Handler):
    """``history``"""

    @web.authenticated
    @authorized
    @answers
    async def get(self) -> Any:
        """Events, newest first."""
        from . import requests
        from .history import history_to_json, page

        before = self.argument("before")
        events, next_before = await page(
            self.served.tracker,
            limit=requests.event_limit(self.argument("limit")),
            before=None if before is None else requests.moment("before", before),
            app_name=requests.app_filter(self.argument("app_name")),
        )
        told = await history_to_json(self.served.tracker, events)
        return {"events": told, "next_before": to_json(next_before)}


class CostsHandler(Handler):
    """``costs``"""

    @web.authenticated
    @authorized
    @answers
    async def get(self) -> Any:
        """The cost of the instances, by group; as CSV on request."""
        from . import requests

        query = requests.costs_query(self.argument, self.request.headers.get("Accept"), utcnow())
        report = await self.served.tracker.costs(query.start, query.end, query.group_by)
        return report.to_csv() if query.as_csv else report.to_json(to_json)


#: Paths below the prefix, as regular expressions.
ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    ("status", StatusHandler),
    ("check", CheckHandler),
    ("page-closed", PageClosedHandler),
    ("settings", SettingsHandler),
    ("apps/([^/]+)", AppHandler),
    ("apps/([^/]+)/keep-alive", KeepAliveHandler),
    ("history", HistoryHandler),
    ("costs", CostsHandler),
)


def add_handlers(web_app: web.Application, served_later: ServedLater) -> None:
    """Serves the API under the server's base URL."""
    base_url = web_app.settings["base_url"]
    arguments = {"served_later": served_later}
    web_app.add_handlers(
        ".*$",
        [(url_path_join(base_url, PREFIX, path), handler, arguments) for path, handler in ROUTES],
    )
