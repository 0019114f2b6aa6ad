"""Talks to kernels as a notebook does: REST, and messages over the kernel's websocket.

A small client of any Jupyter server or gateway; knows nothing of apps.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from tornado import websocket
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from .errors import LocalStudioError

#: Seconds that a server may take to answer on a busy machine.
LIMIT = 90.0


@dataclass(frozen=True)
class Result:
    """The result of a cell."""

    status: str
    #: Its output and its result, as plain text.
    text: str


class JupyterClient:
    """A client of a Jupyter server or gateway at ``url`` (with its base URL and a last slash)."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate."""
        return {"Authorization": f"token {self.token}"} if self.token else {}

    async def request(self, method: str, path: str, document: Any = None) -> Any:
        """One REST call; returns the JSON answer, None for an empty one.

        Raises `LocalStudioError` with the answer if that is an error.
        """
        client = SimpleAsyncHTTPClient(force_instance=True)
        request = HTTPRequest(
            self.url + path,
            method=method,
            headers={**self.headers, "Content-Type": "application/json"},
            body=None if document is None else json.dumps(document),
            allow_nonstandard_methods=True,
            connect_timeout=LIMIT,
            request_timeout=LIMIT,
        )
        try:
            response = await client.fetch(request)
        except (HTTPClientError, OSError) as error:
            answer = getattr(error, "response", None)
            body = answer.body.decode(errors="replace") if answer is not None else ""
            raise LocalStudioError(f"{method} {path}: {error} {body}") from error
        finally:
            client.close()
        return json.loads(response.body) if response.body else None

    async def start_kernel(self, name: str | None = None, **more: Any) -> dict[str, Any]:
        """Starts a kernel; returns its model."""
        model: dict[str, Any] = await self.request("POST", "api/kernels", {"name": name, **more})
        return model

    async def start_session(self, path: str, name: str | None = None) -> dict[str, Any]:
        """Starts a kernel as a notebook of that path does; returns the session's model."""
        document = {
            "path": path,
            "name": path.rsplit("/", 1)[-1],
            "type": "notebook",
            "kernel": {"name": name},
        }
        model: dict[str, Any] = await self.request("POST", "api/sessions", document)
        return model

    async def kernels(self) -> list[dict[str, Any]]:
        """The models of all kernels."""
        models: list[dict[str, Any]] = await self.request("GET", "api/kernels")
        return models

    async def execute(self, kernel_id: str, code: str, *, wait: bool = True) -> Result:
        """Runs code in a kernel.

        With `wait`, returns when it is done; else as soon as the kernel is busy with it, and the
        cell runs on with nobody connected.
        """
        # A busy server may close a connection that is new. JupyterLab connects again.
        with suppress(_NotBegunError):
            return await self._execute(kernel_id, code, wait)
        return await self._execute(kernel_id, code, wait)

    async def _execute(self, kernel_id: str, code: str, wait: bool) -> Result:
        session = uuid.uuid4().hex
        url = f"{self.url}api/kernels/{quote(kernel_id)}/channels?session_id={session}"
        request = HTTPRequest(url.replace("http", "ws", 1), headers=self.headers)
        async with connected(request) as connection:
            message = execute_request(code, session)
            await connection.write_message(json.dumps(message))
            return await _follow(connection, message["header"]["msg_id"], wait)


@asynccontextmanager
async def connected(
    request: HTTPRequest, **options: Any
) -> AsyncIterator[websocket.WebSocketClientConnection]:
    """A websocket that is closed, with its socket, once the block ends in any way.

    `options` are those of tornado's ``websocket_connect``.
    """
    connection = await connect(request, **options)
    try:
        yield connection
    finally:
        await close(connection)


async def connect(request: HTTPRequest, **options: Any) -> websocket.WebSocketClientConnection:
    """A websocket for callers that call `close`. If this is cancelled, nothing stays open."""
    # The default is less than a server on a busy machine may take to answer.
    request.connect_timeout = request.request_timeout = LIMIT
    connecting = asyncio.ensure_future(websocket.websocket_connect(request, **options))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # It may open later.
        connecting.add_done_callback(_drop)
        raise


async def close(connection: websocket.WebSocketClientConnection) -> None:
    """Close a websocket and wait until its socket is closed.

    Tornado's ``close`` alone only begins that; an event loop that ends before the other side has
    answered leaves the socket open. Tornado gives that answer five seconds.
    """
    stream = connection.protocol.stream if connection.protocol is not None else None
    connection.close()
    while stream is not None and not stream.closed():
        await asyncio.sleep(0.01)


def _drop(connecting: asyncio.Future[websocket.WebSocketClientConnection]) -> None:
    """Closes a websocket that nobody waits for any more, without a closing handshake."""
    if connecting.cancelled() or connecting.exception() is not None:
        return
    connection = connecting.result()
    stream = connection.protocol.stream if connection.protocol is not None else None
    connection.close()
    if stream is not None:
        stream.close()


def execute_request(code: str, session: str) -> dict[str, Any]:
    """An execute_request message of Jupyter's protocol, in the websocket's JSON form."""
    return {
        "channel": "shell",
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "localstudio",
            "session": session,
            "date": datetime.now(timezone.utc).isoformat(),
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        },
        "buffers": [],
    }


class _NotBegunError(LocalStudioError):
    """The connection was closed before the kernel said anything about the cell."""


async def _follow(
    connection: websocket.WebSocketClientConnection, message_id: str, wait: bool
) -> Result:
    """Reads the kernel's messages until the cell has begun, or is done."""
    text, status = "", "busy"
    begun = replied = idle = False
    while not (replied and idle):
        raw = await connection.read_message()
        if raw is None:
            error = LocalStudioError if begun else _NotBegunError
            raise error("The kernel's connection was closed")
        message = json.loads(raw)
        if message.get("parent_header", {}).get("msg_id") != message_id:
            continue
        begun = True
        content, kind = message["content"], message["header"]["msg_type"]
        if kind == "status" and content["execution_state"] == "busy" and not wait:
            break
        if kind == "status" and content["execution_state"] == "idle":
            idle = True
        elif kind == "execute_reply":
            replied, status = True, content["status"]
        elif kind == "stream":
            text += content["text"]
        elif kind in ("execute_result", "display_data"):
            text += content["data"].get("text/plain", "")
        elif kind == "error":
            text += f"{content['ename']}: {content['evalue']}"
    return Result(status, text)
