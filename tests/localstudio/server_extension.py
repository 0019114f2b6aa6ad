"""Shows Studio's image terminals in ``GET api/terminals`` of a Classic JupyterServer.

That server loads it from a copy of this file, so it may import only packages that come with
jupyter_server 1.24 on Python 3.9, and nothing of this package. The terminals themselves run in
KernelGateway apps; the local Studio's gateway lists them. If the gateway does not answer, only the
server's own terminals are listed.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from jupyter_server.base.handlers import APIHandler
from tornado import httpclient, web


async def ask_gateway(method: str, name: str | None = None) -> httpclient.HTTPResponse:
    """A request about image terminals."""
    url = os.environ["LOCALSTUDIO_GATEWAY_URL"] + "/api/terminals"
    if name is not None:
        url += "/" + quote(name, safe="")
    headers = {"Authorization": "token " + os.environ["LOCALSTUDIO_GATEWAY_TOKEN"]}
    client = httpclient.AsyncHTTPClient()
    return await client.fetch(url, method=method, headers=headers, request_timeout=10)


class TerminalsHandler(APIHandler):
    """All terminals: the server's own (Studio calls them system terminals) and the images'."""

    auth_resource = "terminals"

    @web.authenticated
    async def get(self) -> None:
        """List them; an image terminal may come without ``last_activity``, as in Studio."""
        manager = self.settings.get("terminal_manager")
        models = list(manager.list()) if manager is not None else []
        try:
            models += json.loads((await ask_gateway("GET")).body)
        except (httpclient.HTTPClientError, OSError) as error:
            self.log.warning("The image terminals could not be listed: %s", error)
        self.finish(json.dumps(models))

    @web.authenticated
    async def post(self) -> None:
        """Start a system terminal."""
        data = self.get_json_body() or {}
        self.finish(json.dumps(self.settings["terminal_manager"].create(**data)))


class ImageTerminalHandler(APIHandler):
    """One image terminal."""

    auth_resource = "terminals"

    @web.authenticated
    async def get(self, name: str) -> None:
        """Its model."""
        self.finish(await self.ask("GET", name))

    @web.authenticated
    async def delete(self, name: str) -> None:
        """End it."""
        await self.ask("DELETE", name)
        self.set_status(204)
        self.finish()

    async def ask(self, method: str, name: str) -> bytes:
        """Passes it on; the gateway's refusals are passed back."""
        try:
            return (await ask_gateway(method, name)).body
        except httpclient.HTTPClientError as error:
            raise web.HTTPError(error.code, error.message) from None


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "localstudio_server_extension"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    web_app = server_app.web_app
    base = server_app.base_url.rstrip("/")
    web_app.add_handlers(
        ".*$",
        [
            (base + "/api/terminals", TerminalsHandler),
            (base + r"/api/terminals/(arn[:%].+)", ImageTerminalHandler),
        ],
    )
    # Rules are tried in the order in which they were added, and the server's own came first.
    rules = web_app.default_router.rules
    rules.insert(0, rules.pop(-2))
