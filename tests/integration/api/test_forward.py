"""Requests that a server passes on to the acting server, and its answers."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado import web
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.testing import bind_unused_port

from sagemaker_autoshutdown.activity.other_servers import OtherServer, OtherServers
from sagemaker_autoshutdown.api.forward import Forwarder
from sagemaker_autoshutdown.hosts.app_lock import AppLock
from sagemaker_autoshutdown.monitor import Monitor
from tests.unit.test_forward import passed_on, request

from .conftest import Call

Asked = list[HTTPServerRequest]


@pytest.fixture
def asked(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, jp_asyncio_loop: Any
) -> Iterator[Asked]:
    """The requests to another server, which acts for the app instead of this one."""
    heard: Asked = []

    class Acting(web.RequestHandler):
        def check_xsrf_cookie(self) -> None:
            """As with a token."""

        def get(self) -> None:
            heard.append(self.request)
            self.finish({"events": []})

        def post(self) -> None:
            heard.append(self.request)
            self.set_status(204)
            self.finish()

    listening, port = bind_unused_port()

    async def serve() -> HTTPServer:
        server = HTTPServer(web.Application([(".*", Acting)]))
        server.add_sockets([listening])
        return server

    server = jp_asyncio_loop.run_until_complete(serve())
    acting = OtherServer(1, port, f"http://127.0.0.1:{port}/lab/", "the-acting-server's")

    async def with_pid(*_: object) -> OtherServer:
        return acting

    monkeypatch.setattr(Forwarder, "is_needed", True)
    monkeypatch.setattr(AppLock, "holder", lambda _: 1)
    monkeypatch.setattr(OtherServers, "with_pid", with_pid)
    yield heard
    server.stop()


async def test_an_answer_without_a_body_is_passed_on(asked: Asked, call: Call) -> None:
    """Otherwise nobody would learn that the page of a second server is closed."""
    assert (await call("POST", "page-closed", b"")).status == 204
    assert [request.path for request in asked] == ["/lab/sagemaker-autoshutdown/api/page-closed"]


async def test_a_token_in_the_address_is_not_given_to_another_server(
    asked: Asked, call: Call, jp_serverapp: Any
) -> None:
    """It would trust that token more than the header, and refuse the request."""
    token = jp_serverapp.identity_provider.token
    params = {"token": token, "limit": "5", "app_name": "a b"}
    assert (await call("GET", "history", params=params, headers={})).status == 200
    (request,) = asked
    assert token not in request.uri
    assert request.query == "limit=5&app_name=a+b"
    assert request.headers["Authorization"] == "token the-acting-server's"


async def test_tokens_go_by_no_proxy_that_others_have_configured(
    asked: Asked, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ByProxy(SimpleAsyncHTTPClient):
        """Another client, which an image may configure."""

        def fetch_impl(self, request: Any, callback: Any) -> None:
            proxied.append(request.url)
            super().fetch_impl(request, callback)

    proxied: list[str] = []
    before = AsyncHTTPClient._save_configuration()
    AsyncHTTPClient.configure(ByProxy)
    try:
        await call("GET", "history")
    finally:
        AsyncHTTPClient._restore_configuration(before)
    assert len(asked) == 1
    assert not [url for url in proxied if "/lab/" in url]


async def test_a_server_whose_certificate_names_no_address_is_asked(tmp_path: Path) -> None:
    """As a local server's seldom does."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=jupyter"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    told, _ = await passed_on(request(), tls=tls)
    assert told.status == 200
