"""Finds the running Jupyter server and calls its REST API.

From a terminal inside Studio, the server's own info file holds its address and token. Few modules
are imported, so that a command answers at once.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from jupyter_core.paths import jupyter_runtime_dir

from ..errors import Failed, NoServer
from ..text import clean

PREFIX = "sagemaker-autoshutdown/api/"
TIMEOUT = 30
_ANY_ADDRESS = {"", "*", "0.0.0.0", "::", "localhost"}  # noqa: S104 - compared, not bound
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Server:
    """A Jupyter server. ``url`` includes its base URL and ends in a slash."""

    url: str
    token: str = ""


class Refused(Failed):
    """The server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(clean(message))
        self.status = status


def running(environ: Mapping[str, str] = os.environ) -> list[Server]:
    """This user's running servers, found by their info files and the environment."""
    servers = []
    for info in _info_files():
        if info.get("sock"):
            continue  # a Unix socket: not a server of SageMaker
        scheme = "https" if info.get("secure") else "http"
        host = info.get("hostname") or ""
        host = "127.0.0.1" if host in _ANY_ADDRESS else host
        host = f"[{host}]" if ":" in host else host
        base_url = "/" + str(info.get("base_url") or "/").strip("/") + "/"
        url = f"{scheme}://{host}:{info['port']}{base_url.replace('//', '/')}"
        servers.append(Server(url, str(info.get("token") or "")))
    hub_url, hub_token = environ.get("JUPYTERHUB_SERVICE_URL"), environ.get("JUPYTERHUB_API_TOKEN")
    if hub_url and hub_token:
        servers.append(Server(_loopback(hub_url), hub_token))
    return servers


def _info_files() -> Iterator[dict[str, Any]]:
    """The info files of running servers, as ``jupyter server list`` shows them.

    Read here, because importing jupyter_server for that takes more than a second.
    """
    for path in sorted(Path(jupyter_runtime_dir()).glob("jpserver-*.json")):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            if info["port"] is not None and _runs(int(info["pid"])):
                yield info
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written now, or left over


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def find(url: str | None, token: str | None, environ: Mapping[str, str] = os.environ) -> Server:
    """The server to call. Raises ``NoServer``, which says what to do."""
    named = url or environ.get("JUPYTER_SERVER_URL")
    known = running(environ)
    if named:
        if urlsplit(named).scheme not in ("http", "https"):
            raise NoServer(f"{clean(named)} is not the address of a Jupyter server (http://...).")
        wanted = _loopback(named)
        match = next((server for server in known if _same(server.url, wanted)), None)
        # A terminal may have outlived the server that its environment names.
        if url or match or not known:
            found = match.token if match else ""
            return Server(wanted, token or found or environ.get("JUPYTER_TOKEN") or "")
    if not known:
        raise NoServer(
            "No running Jupyter server of this user was found. Run this in a terminal of Studio "
            "(in Classic: a system terminal) as the user that the server runs as, or name the "
            "server with --url and --token."
        )
    loaded = [server for server in known if _is_loaded(Client(server))]
    if len(loaded) == 1:
        return Server(loaded[0].url, token or loaded[0].token)
    urls = ", ".join(sorted(server.url for server in loaded or known))
    if loaded:
        raise NoServer(f"Several Jupyter servers have the extension: {urls}. Choose with --url.")
    raise NoServer(_not_loaded(urls))


class Client:
    """Calls the REST API of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        handlers: list[Any] = [_NoRedirect()]
        if urlsplit(server.url).hostname in _LOOPBACK:
            # A proxy for the outer world can't reach this machine's own server, and a server's
            # certificate seldom names the loopback address.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            handlers += [ProxyHandler({}), HTTPSHandler(context=context)]
        self._opener = build_opener(*handlers)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, object] | None = None,
    ) -> Any:
        """The JSON answer of ``path`` (below the API's prefix).

        Raises ``Refused`` with the server's own words, or ``NoServer``.
        """
        given = {key: value for key, value in (query or {}).items() if value is not None}
        url = self.server.url + PREFIX + path + (f"?{urlencode(given)}" if given else "")
        request = Request(url, method=method, headers=self._headers())  # noqa: S310 - see find()
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return _json(answer.read(), self.server)
        except HTTPError as error:
            with error:
                raise self._refused(error.code, error.read(), path) from None
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise NoServer(
                f"The Jupyter server at {self.server.url} could not be reached: {reason}."
            ) from None

    def get(self, path: str, **query: object) -> Any:
        """``GET``."""
        return self.call("GET", path, query=query)

    def _headers(self) -> dict[str, str]:
        if self.server.token:
            return {"Authorization": f"token {self.server.token}"}
        # As in a Studio space. Jupyter then requires a cookie and a header that agree, which only a
        # page of its own, or a program like this one, can send.
        xsrf = secrets.token_hex(16)
        return {"Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}

    def _refused(self, status: int, body: bytes, path: str) -> Failed:
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = ""
        if status == 404 and not path.startswith("apps/"):
            return NoServer(_not_loaded(self.server.url))
        # A redirect leads to a login page.
        if status in (401, 403) or 300 <= status < 400:
            return Refused(
                status,
                f"The Jupyter server at {self.server.url} did not let this user in ({status} "
                f"{message}). Give its token with --token or $JUPYTER_TOKEN.",
            )
        return Refused(status, message or f"The server answered with status {status}.")


class _NoRedirect(HTTPRedirectHandler):
    """Sends the token to the named server only."""

    def redirect_request(self, *_: Any) -> None:
        """Follows no redirect: reports it as an error."""


def _json(body: bytes, server: Server) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        # A login page, for example.
        raise NoServer(
            f"{server.url} is not the address of a Jupyter server with a token."
        ) from None


def _is_loaded(client: Client) -> bool:
    try:
        client.get("status")
    except NoServer:
        return False
    except Failed:
        return True
    return True


def _loopback(url: str) -> str:
    """The URL by which this machine reaches the server, ending in a slash."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = "127.0.0.1" if host in _ANY_ADDRESS else host
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/"


def _same(one: str, other: str) -> bool:
    return urlsplit(one)[:3] == urlsplit(other)[:3]


def _not_loaded(urls: str) -> str:
    return (
        f"The extension is not loaded by the Jupyter server at {urls}. See `jupyter server "
        "extension list` in the server's environment, restart the server, and run `jupyter "
        "sagemaker-autoshutdown doctor`."
    )
