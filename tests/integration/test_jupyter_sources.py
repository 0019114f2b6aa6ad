"""Kernels, sessions and terminals of a real server: in process, over REST, behind a gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import ensure_async
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.routing import PathMatches, Rule
from tornado.testing import bind_unused_port

from sagemaker_autoshutdown.activity import jupyter as sources
from sagemaker_autoshutdown.activity import own_api
from sagemaker_autoshutdown.activity.jupyter import InProcessSource, RestSource
from sagemaker_autoshutdown.activity.own_api import Unreadable

# The server answers over HTTP, as well as in process.
pytestmark = pytest.mark.usefixtures("http_server", "app_of_its_own")

SOURCES = [InProcessSource, RestSource]


async def start_kernel(server: ServerApp) -> str:
    kernel_id = await server.kernel_manager.start_kernel(kernel_name="python3")
    return str(kernel_id)


@pytest.mark.parametrize("kind", SOURCES)
async def test_kernels_are_listed_with_and_without_a_session(
    jp_serverapp: ServerApp, kind: type[InProcessSource | RestSource]
) -> None:
    source = kind(jp_serverapp)
    assert await source.kernels() == []
    lone = await start_kernel(jp_serverapp)
    session = await jp_serverapp.session_manager.create_session(
        path="x/train.ipynb", name="train.ipynb", type="notebook", kernel_name="python3"
    )
    models = await source.kernels()
    assert {model["id"] for model in models} == {lone, session["kernel"]["id"]}
    assert all({"execution_state", "last_activity", "name"} <= set(model) for model in models)
    sessions = await source.sessions(names_needed=True)
    assert sessions is not None
    (found,) = sessions
    assert (found["path"], found["kernel"]["id"]) == ("x/train.ipynb", session["kernel"]["id"])


async def test_a_kernel_that_starts_during_a_check_is_heard_all_the_same(
    jp_serverapp: ServerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise forgotten facts about it would never be known again."""
    source = InProcessSource(jp_serverapp)
    started = []

    listed: Any = jp_serverapp.kernel_manager.list_kernels

    async def list_kernels() -> object:
        models = await ensure_async(listed())
        started.append(await start_kernel(jp_serverapp))
        return models

    monkeypatch.setattr(jp_serverapp.kernel_manager, "list_kernels", list_kernels)
    await source.kernels()
    assert source.use_of(started[0]) is not None


async def quiet_terminal(source: InProcessSource | RestSource) -> dict[str, Any]:
    """The terminal, once its shell has printed its prompt: output is activity, but not the
    test's."""
    manager = source._serverapp.web_app.settings["terminal_manager"]
    (shell,) = manager.terminals.values()
    for _ in range(1200):
        if shell.read_buffer:
            break
        await asyncio.sleep(0.1)
    (before,) = await source.terminals()
    for _ in range(60):
        await asyncio.sleep(0.5)
        (after,) = await source.terminals()
        if after["last_activity"] == before["last_activity"]:
            break
        before = after
    return after


@pytest.mark.parametrize("kind", SOURCES)
async def test_f14_looking_is_no_activity_of_the_server(
    jp_serverapp: ServerApp, kind: type[InProcessSource | RestSource]
) -> None:
    kernel_id = await start_kernel(jp_serverapp)
    # The kernel's messages while it starts are activity, but not the test's.
    jp_serverapp.kernel_manager.stop_watching_activity(kernel_id)
    jp_serverapp.web_app.settings["terminal_manager"].create()
    settings = jp_serverapp.web_app.settings
    source = kind(jp_serverapp)
    (before,) = await source.kernels()
    terminal_before = await quiet_terminal(source)
    times = {key: settings[key] for key in settings if str(key).endswith("_last_activity")}
    last = jp_serverapp.web_app.last_activity()
    for _ in range(3):
        await source.kernels()
        await source.terminals()
        await source.sessions(names_needed=True)
    assert {key: settings[key] for key in settings if str(key).endswith("_last_activity")} == times
    assert jp_serverapp.web_app.last_activity() == last
    (after,) = await source.kernels()
    assert after["id"] == kernel_id
    assert after["last_activity"] == before["last_activity"]
    assert (await source.terminals())[0]["last_activity"] == terminal_before["last_activity"]


@pytest.mark.parametrize("kind", SOURCES)
async def test_terminals_are_listed(
    jp_serverapp: ServerApp, kind: type[InProcessSource | RestSource]
) -> None:
    source = kind(jp_serverapp)
    assert await source.terminals() == []
    model = jp_serverapp.web_app.settings["terminal_manager"].create()
    assert [each["name"] for each in await source.terminals()] == [model["name"]]


async def test_in_classic_terminals_that_an_extension_lists_are_not_missed(
    jp_serverapp: ServerApp, jp_base_url: str
) -> None:
    """Studio may list its own terminals in place of Jupyter's."""
    image = "arn:aws:sagemaker:us-east-2:429704687514:image/datascience-1.0__1__ml.t3.medium"
    source = RestSource(jp_serverapp)
    jp_serverapp.web_app.settings["terminal_manager"].create()

    class Terminals(web.RequestHandler):
        def get(self) -> None:
            self.finish(json.dumps([{"name": image}]))

    assert [each["name"] for each in await source.terminals()] == ["1"]
    theirs = Rule(PathMatches(f"{jp_base_url}api/terminals"), Terminals)
    jp_serverapp.web_app.default_router.rules.insert(0, theirs)
    assert [each["name"] for each in await source.terminals()] == [image]


async def test_in_classic_jupyters_own_terminals_take_no_request(
    jp_serverapp: ServerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request takes ten times the CPU."""
    monkeypatch.setattr(own_api, "get", None)
    assert await RestSource(jp_serverapp).terminals() == []


class TestWithoutTerminals:
    @pytest.fixture
    def jp_server_config(self) -> dict[str, Any]:
        return {
            "ServerApp": {
                "terminals_enabled": False,
                "jpserver_extensions": {"jupyter_server_terminals": False},
            }
        }

    @pytest.mark.parametrize("kind", SOURCES)
    async def test_a_server_that_has_none_is_no_error(
        self, jp_serverapp: ServerApp, kind: type[InProcessSource | RestSource]
    ) -> None:
        assert await kind(jp_serverapp).terminals() == []


async def test_f18_kernels_and_terminals_of_this_machine_have_processes(
    jp_serverapp: ServerApp,
) -> None:
    source = InProcessSource(jp_serverapp)
    kernel_id = await start_kernel(jp_serverapp)
    name = jp_serverapp.web_app.settings["terminal_manager"].create()["name"]
    processes = source.processes()
    assert source.apps_are_here
    assert set(processes) == {("kernel", kernel_id), ("terminal", name)}
    assert all(pid > 0 for pid in processes.values())


async def test_in_classic_nothing_that_counts_runs_on_this_machine(
    jp_serverapp: ServerApp,
) -> None:
    await start_kernel(jp_serverapp)
    source = RestSource(jp_serverapp)
    assert (source.apps_are_here, source.processes()) == (False, {})


async def test_sessions_that_can_not_be_read_cost_names_only(jp_serverapp: ServerApp) -> None:
    jp_serverapp.session_manager.cursor.execute("DROP TABLE session")
    assert await InProcessSource(jp_serverapp).sessions(names_needed=True) is None
    assert await RestSource(jp_serverapp).sessions(names_needed=True) is None


async def test_sessions_are_asked_over_rest_only_for_names_or_now_and_then(
    jp_serverapp: ServerApp,
) -> None:
    now = [0.0]
    source = RestSource(jp_serverapp, monotonic=lambda: now[0])
    assert await source.sessions(names_needed=False) == []
    now[0] += sources.SESSIONS_INTERVAL - 1
    assert await source.sessions(names_needed=False) is None
    assert await source.sessions(names_needed=True) == []
    now[0] += sources.SESSIONS_INTERVAL
    assert await source.sessions(names_needed=False) == []


async def test_a_wrong_token_is_an_error_not_an_empty_list(
    jp_serverapp: ServerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_api, "server_token", lambda _: "wrong")
    with pytest.raises(Unreadable, match="HTTP 403"):
        await RestSource(jp_serverapp).kernels()


class OwnApi:
    """A server's REST API with prepared answers, and the source that asks it."""

    def __init__(self) -> None:
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.parts = ['[{"id":', ' "k"}]']
        self.left: list[str] = []
        own = self

        class Handler(web.RequestHandler):
            async def get(self) -> None:
                await own.hangs.wait()
                for part in own.parts:
                    self.write(part)
                    await self.flush()

            def on_connection_close(self) -> None:
                own.left.append(self.request.path)

        class Breaks(web.RequestHandler):
            def get(self) -> None:
                raise ZeroDivisionError

        web_app = web.Application([(r"/api/kernels", Handler), (r"/api/terminals", Breaks)])
        serverapp: Any = SimpleNamespace(base_url="/", web_app=web_app, token="")
        self.source = RestSource(serverapp)


async def test_an_answer_in_parts_is_read_to_its_end() -> None:
    assert await OwnApi().source.kernels() == [{"id": "k"}]


async def test_f13_a_server_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_api, "REQUEST_TIMEOUT", 0.2)
    own = OwnApi()
    own.hangs.clear()
    with pytest.raises(Unreadable, match=r"^/api/kernels: no answer in 0\.2 s$"):
        await own.source.kernels()
    assert own.left == ["/api/kernels"]
    own.hangs.set()
    assert await own.source.kernels() == [{"id": "k"}]


async def test_f13_a_server_that_breaks_or_answers_no_list_is_an_error() -> None:
    own = OwnApi()
    with pytest.raises(Unreadable, match=r"^/api/terminals: HTTP 500$"):
        await own.source.terminals()
    own.parts = ["<html>"]
    with pytest.raises(ValueError, match="Expecting value"):
        await own.source.kernels()


class Gateway:
    """A gateway with prepared answers."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = []
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.asked: list[str] = []

    def application(self) -> web.Application:
        gateway = self

        class Handler(web.RequestHandler):
            async def get(self) -> None:
                gateway.asked.append(self.request.path)
                await gateway.hangs.wait()
                self.set_status(gateway.status)
                body = gateway.body
                await self.finish(body if isinstance(body, str) else json.dumps(body))

        return web.Application([(r"/api/kernels", Handler)])


@pytest.mark.parametrize("kind", SOURCES)
class TestBehindAGateway:
    @pytest.fixture
    def gateway(self, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Gateway]:
        gateway = Gateway()

        async def start() -> HTTPServer:
            server = HTTPServer(gateway.application())
            socket, port = bind_unused_port()
            server.add_socket(socket)
            GatewayClient.clear_instance()
            GatewayClient.instance().url = f"http://127.0.0.1:{port}"
            return server

        server = jp_asyncio_loop.run_until_complete(start())
        yield gateway
        gateway.hangs.set()
        GatewayClient.clear_instance()
        server.stop()
        jp_asyncio_loop.run_until_complete(server.close_all_connections())

    async def test_f5_kernels_that_this_server_did_not_start_are_seen(
        self, kind: type[InProcessSource | RestSource], gateway: Gateway, jp_serverapp: ServerApp
    ) -> None:
        gateway.body = [
            {"id": "old", "last_activity": "2021-06-14T19:34:13Z", "execution_state": "busy"},
            {"id": "odd", "last_activity": ""},
        ]
        models = await kind(jp_serverapp).kernels()
        assert [model["id"] for model in models] == ["old", "odd"]
        assert models[0]["last_activity"] == "2021-06-14T19:34:13Z"

    @pytest.mark.parametrize("body", [{}, "<html>", ["x"], None, "null"])
    async def test_f13_what_is_no_list_of_models_is_an_error(
        self,
        kind: type[InProcessSource | RestSource],
        gateway: Gateway,
        jp_serverapp: ServerApp,
        body: object,
    ) -> None:
        gateway.body = body
        with pytest.raises((Unreadable, ValueError)):
            await kind(jp_serverapp).kernels()

    @pytest.mark.parametrize("status", [403, 404, 500, 503])
    async def test_f13_an_error_of_the_gateway_is_an_error(
        self,
        kind: type[InProcessSource | RestSource],
        gateway: Gateway,
        jp_serverapp: ServerApp,
        status: int,
    ) -> None:
        gateway.status, gateway.body = status, {"message": "no"}
        with pytest.raises(web.HTTPError):
            await kind(jp_serverapp).kernels()

    async def test_f13_a_gateway_that_does_not_answer_is_not_waited_for_for_ever(
        self,
        kind: type[InProcessSource | RestSource],
        gateway: Gateway,
        jp_serverapp: ServerApp,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sources, "REQUEST_TIMEOUT", 0.2)
        gateway.hangs.clear()
        with pytest.raises(Unreadable, match=r"did not answer in 0\.2 s"):
            await kind(jp_serverapp).kernels()
