"""What a server tells the acting one, and what it makes of its answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.testing import bind_unused_port

from sagemaker_autoshutdown.activity.other_servers import OtherServer, OtherServers
from sagemaker_autoshutdown.api import forward
from sagemaker_autoshutdown.api.forward import Answer, Forwarder
from sagemaker_autoshutdown.errors import Unavailable
from sagemaker_autoshutdown.hosts.app_lock import AppLock

TOKEN = "the-acting-server's"  # noqa: S105
PATH = "sagemaker-autoshutdown/api/status"


def forwarder(acting: OtherServer | None, holder: int | None = 7) -> Forwarder:
    """Of a server that found this one for the lock's holder."""

    async def with_pid(pid: int) -> OtherServer | None:
        assert pid == holder is not None
        return acting

    lock = SimpleNamespace(is_held=False, holder=lambda: holder)
    servers = SimpleNamespace(with_pid=with_pid)
    return Forwarder(cast(AppLock, lock), cast(OtherServers, servers))


def request(
    method: str = "GET", uri: str = "/x", body: bytes = b"", **headers: str
) -> HTTPServerRequest:
    """A request of a user's browser."""
    sent = HTTPHeaders(Host="here")
    for name, value in headers.items():
        sent[name.replace("_", "-")] = value
    start = RequestStartLine(method, uri, "HTTP/1.1")
    return HTTPServerRequest(start_line=start, headers=sent, body=body)


async def passed_on(
    given: HTTPServerRequest,
    answer: Callable[[web.RequestHandler], Any] = lambda handler: handler.finish(),
    *,
    token: str = "",
    tls: ssl.SSLContext | None = None,
) -> tuple[Answer, HTTPServerRequest]:
    """The acting server's answer, and the request as it arrived there."""
    heard: list[HTTPServerRequest] = []

    class Acting(web.RequestHandler):
        def check_xsrf_cookie(self) -> None:
            """The test reads what it would check."""

        async def prepare(self) -> None:
            heard.append(self.request)
            done = answer(self)
            if done is not None:
                await done

    server = HTTPServer(web.Application([(".*", Acting)]), ssl_options=tls)
    listening, port = bind_unused_port()
    server.add_socket(listening)
    scheme = "https" if tls else "http"
    try:
        acting = OtherServer(7, port, f"{scheme}://127.0.0.1:{port}/lab/", token)
        return await forwarder(acting).forward(given, PATH), heard[0]
    finally:
        server.stop()
        await server.close_all_connections()
        assert len(heard) <= 1


@pytest.mark.parametrize("is_held", [True, False])
def test_the_acting_server_itself_asks_no_other(is_held: bool) -> None:
    lock = SimpleNamespace(is_held=is_held)
    made = Forwarder(cast(AppLock, lock), cast(OtherServers, None))
    assert made.is_needed is not is_held


@pytest.mark.parametrize(
    ("acting", "holder"),
    [(None, None), (None, 7), (OtherServer(7, 8888), 7)],
    ids=["nobody knows who", "it is gone", "it hides its address"],
)
async def test_a_server_that_can_not_be_asked_is_named(
    acting: OtherServer | None, holder: int | None
) -> None:
    with pytest.raises(Unavailable, match=rf"process {holder}\) looks after this app"):
        await forwarder(acting, holder).forward(request(), PATH)


async def test_a_token_takes_the_place_of_cookies() -> None:
    _, heard = await passed_on(request(Cookie="session=1", Authorization="token x"), token=TOKEN)
    assert heard.headers["Authorization"] == f"token {TOKEN}"
    assert "Cookie" not in heard.headers


async def test_a_server_without_a_token_gets_a_cookie_and_a_header_that_agree() -> None:
    """Jupyter refuses the request otherwise (XSRF). The user's own cookies are not for it."""
    sent = request("PUT", Cookie="session=1; _xsrf=2", X_XSRFToken="2", Authorization="token x")
    values = set()
    for _ in range(2):
        _, heard = await passed_on(sent)
        value = heard.headers["X-XSRFToken"]
        assert len(value) >= 32
        assert heard.headers["Cookie"] == f"_xsrf={value}"
        assert "Authorization" not in heard.headers
        values.add(value)
    assert len(values) == 2


async def test_a_request_keeps_its_method_its_body_and_what_it_says_about_it() -> None:
    sent = request("PUT", "/x", b'{"a": 1}', Content_Type="application/json", Accept="text/csv")
    _, heard = await passed_on(sent, token=TOKEN)
    assert (heard.method, heard.body, heard.path) == ("PUT", b'{"a": 1}', f"/lab/{PATH}")
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.headers["Accept"] == "text/csv"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
async def test_a_request_without_a_body_is_passed_on_without_one(method: str) -> None:
    _, heard = await passed_on(request(method))
    assert (heard.method, heard.body, heard.query) == (method, b"", "")


async def test_arguments_are_passed_on_but_for_secrets() -> None:
    _, heard = await passed_on(request(uri="/x?token=t&a=b+c&_xsrf=s&empty=&a=%26"))
    assert heard.query == "a=b+c&empty=&a=%26"


@pytest.mark.parametrize("status", [200, 204, 400, 404, 409, 500])
async def test_its_answers_and_its_refusals_are_passed_on_as_they_are(status: int) -> None:
    def answer(handler: web.RequestHandler) -> None:
        handler.set_status(status)
        handler.set_header("Content-Type", "text/x")
        handler.finish(None if status == 204 else b"words")

    told, _ = await passed_on(request(), answer)
    body = b"" if status == 204 else b"words"
    assert (told.status, told.body) == (status, body)
    if body:
        assert told.content_type == "text/x"


@pytest.mark.parametrize("status", [300, 301, 302, 399, 401, 403])
async def test_a_server_that_lets_nobody_in_has_not_answered(status: int) -> None:
    """The user is logged in here: this is no answer to him, and nobody follows it to a login
    page."""

    def answer(handler: web.RequestHandler) -> None:
        handler.set_status(status)
        handler.set_header("Location", "/login")
        handler.finish()

    with pytest.raises(Unavailable, match=rf"did not answer \({status}\)"):
        await passed_on(request(), answer)


async def test_a_server_that_hangs_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "TIMEOUT", 0.2)
    with pytest.raises(Unavailable, match="Timeout"):
        await asyncio.wait_for(passed_on(request(), lambda _: asyncio.sleep(20)), 15)


async def test_a_server_that_is_gone_is_not_our_error() -> None:
    listening, port = bind_unused_port()
    listening.close()
    gone = OtherServer(7, port, f"http://127.0.0.1:{port}/")
    with pytest.raises(Unavailable, match="Jupyter server on port"):
        await forwarder(gone).forward(request(), PATH)
