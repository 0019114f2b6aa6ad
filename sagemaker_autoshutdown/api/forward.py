"""Lets a server that does not act for the app answer with the acting server's answer.

Of several Jupyter servers on one app, one acts (see ``hosts.app_lock``). The others show its
picture and pass on users' requests, so that it does not matter which of them a user has open.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPServerRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from ..activity.other_servers import OtherServers
from ..errors import Unavailable
from ..hosts.app_lock import AppLock

#: Seconds for the other server's answer. None of our requests waits for AWS.
TIMEOUT = 10.0
#: Query arguments that authenticate a sender here. No other server may see them.
SECRETS = ("token", "_xsrf")


@dataclass(frozen=True)
class Answer:
    """The other server's answer."""

    status: int
    content_type: str
    body: bytes


class Forwarder:
    """Passes requests on to the server that holds the app's lock."""

    def __init__(self, lock: AppLock, servers: OtherServers) -> None:
        self._lock = lock
        self._servers = servers

    @property
    def is_needed(self) -> bool:
        """Whether another server acts for this app."""
        return not self._lock.is_held

    async def forward(self, request: HTTPServerRequest, path: str) -> Answer:
        """The acting server's answer to this request, whose sender was authenticated here.

        ``path`` is below the server's base URL. Raises ``Unavailable`` if the server can't be
        asked.
        """
        pid = self._lock.holder()
        server = None if pid is None else await self._servers.with_pid(pid)
        if server is None or not server.url:
            raise Unavailable(
                f"Another Jupyter server (process {pid}) looks after this app, and this one can't "
                "ask it. Open that server's page, or end it: this one then takes over."
            )
        # Without a token Jupyter requires a cookie and a header that agree (XSRF).
        xsrf = secrets.token_hex(16)
        headers = {"Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}
        if server.token:
            headers = {"Authorization": f"token {server.token}"}
        for name in ("Accept", "Content-Type"):
            if name in request.headers:
                headers[name] = request.headers[name]
        # This server's own token is not the other one's, which would trust it more than the header.
        given = parse_qsl(request.query, keep_blank_values=True)
        query = urlencode([(name, value) for name, value in given if name not in SECRETS])
        # Never through a proxy, which the client that others configured may use.
        client = SimpleAsyncHTTPClient(force_instance=True)
        try:
            answer = await client.fetch(
                HTTPRequest(
                    f"{server.url}{path}{'?' if query else ''}{query}",
                    method=request.method or "GET",
                    headers=headers,
                    body=request.body or None,
                    allow_nonstandard_methods=True,
                    follow_redirects=False,
                    request_timeout=TIMEOUT,
                    validate_cert=False,
                ),
                raise_error=False,
            )
        except Exception as error:
            raise Unavailable(
                f"The {server.label}, which looks after this app, could not be asked: {error}. "
                "Try again in a moment."
            ) from None
        finally:
            client.close()
        if answer.code in (401, 403) or 300 <= answer.code < 400:
            raise Unavailable(
                f"The {server.label}, which looks after this app, did not answer ({answer.code}). "
                "Open that server's page, or end it: this one then takes over."
            )
        return Answer(answer.code, answer.headers.get("Content-Type", ""), answer.body)
