"""This server's own REST API, asked within its process.

The request takes the way of any other through the server's handlers, but comes over no connection:
that costs less than half, and needs no address, no certificate and no free socket.
"""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_path_join
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server.serverapp import ServerApp

#: Seconds for an answer.
REQUEST_TIMEOUT = 10.0


class Unreadable(Exception):
    """Kernels or terminals could not be read; the message tells the user what failed."""


class Refused(Unreadable):
    """The server answered with a status other than 200."""

    def __init__(self, path: str, status: int) -> None:
        super().__init__(f"{path}: HTTP {status}")
        self.status = status


def server_token(serverapp: ServerApp) -> str:
    """The server's own token: the identity provider's in jupyter_server 2, the app's in 1."""
    provider = getattr(serverapp, "identity_provider", None)
    token = getattr(provider, "token", None) or getattr(serverapp, "token", "")
    return str(token or "")


async def get(serverapp: ServerApp, path: str) -> Any:
    """The answer to a GET, read as JSON. Raises ``Unreadable``, and ``ValueError`` for an answer
    that is not JSON."""
    path = url_path_join("/", serverapp.base_url, path)
    answer = _Answer()
    serverapp.web_app.find_handler(_request(serverapp, path, answer)).execute()
    try:
        await asyncio.wait_for(answer.is_complete, REQUEST_TIMEOUT)
    except asyncio.TimeoutError:
        answer.close()
        raise Unreadable(f"{path}: no answer in {REQUEST_TIMEOUT:g} s") from None
    if answer.status != 200:
        raise Refused(path, answer.status)
    return json.loads(b"".join(answer.parts))


def handler_of(serverapp: ServerApp, path: str) -> str:
    """The class that answers a GET, with its module. Extensions may have put theirs first."""
    path = url_path_join("/", serverapp.base_url, path)
    found = serverapp.web_app.find_handler(_request(serverapp, path, _Answer()))
    handler = getattr(found, "handler_class", None)
    return f"{getattr(handler, '__module__', '')}.{getattr(handler, '__qualname__', '')}"


def _request(serverapp: ServerApp, path: str, answer: _Answer) -> HTTPServerRequest:
    token = server_token(serverapp)
    return HTTPServerRequest(
        headers=HTTPHeaders(
            {"Host": "127.0.0.1", **({"Authorization": f"token {token}"} if token else {})}
        ),
        connection=answer,
        start_line=RequestStartLine("GET", f"{path}?no_track_activity=1", "HTTP/1.1"),
    )


class _Answer(HTTPConnection):
    """Takes the answer in place of a client."""

    #: What a handler is told of the client.
    context = SimpleNamespace(remote_ip="127.0.0.1", protocol="http", address=("127.0.0.1", 0))

    def __init__(self) -> None:
        self.status = 0
        self.parts: list[bytes] = []
        self.is_complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_close: Callable[[], None] | None = None

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        if isinstance(start_line, ResponseStartLine):
            self.status = start_line.code
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        self.parts.append(bytes(chunk))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def finish(self) -> None:
        if not self.is_complete.done():
            self.is_complete.set_result(None)

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._on_close = callback

    def close(self) -> None:
        """Nobody waits for the answer any more."""
        if self._on_close is not None:
            self._on_close()
