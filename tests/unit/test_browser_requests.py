"""People's saves and requests in a browser, told from those of programs."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from jupyter_server.base.handlers import AuthenticatedFileHandler

from sagemaker_autoshutdown.activity import browser_requests
from sagemaker_autoshutdown.activity.browser_requests import BrowserRequests, split
from sagemaker_autoshutdown.activity.rhythms import MOST_KEYS, Periodic

from ..worlds import START, at


class Proxy:
    """A handler of jupyter-server-proxy, with the parts that are used."""


Proxy.__module__ = "jupyter_server_proxy.handlers"


class Listening:
    """Requests, and the activity that was recorded."""

    def __init__(self) -> None:
        self.now = START
        #: Seconds that the answer takes.
        self.answering = 0.0
        self.heard = BrowserRequests("/jupyterlab/default/", lambda: self.now)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        status: int = 200,
        cls: type = object,
        **headers: str,
    ) -> None:
        path, _, query = path.partition("?")
        request = SimpleNamespace(
            method=method,
            path=f"/jupyterlab/default{path}",
            body=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            arguments={name: [value.encode()] for name, value in parse_qsl(query)},
            request_time=lambda: self.answering,
        )
        handler: Any = cls() if cls is Proxy else SimpleNamespace()
        handler.request = request
        handler.get_status = lambda: status
        self.heard.hear(handler)
        for task in list(self.heard._tasks):
            await task

    async def save(self, path: str, *cells: dict[str, Any], minutes: float = 0) -> None:
        self.now = at(minutes=minutes)
        body = json.dumps({"content": {"cells": list(cells)}}).encode()
        await self.request("PUT", f"/api/contents/{path}", body)


def cell(source: str, *outputs: str, count: int | None = None) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Listening:
    async def at_once(function: Any) -> Any:
        return function()

    monkeypatch.setattr(browser_requests, "in_thread", at_once)
    return Listening()


async def test_a_text_that_is_saved_was_written_by_somebody(here: Listening) -> None:
    await here.request("PUT", "/api/contents/notes.md")
    assert here.heard.document == browser_requests.Use("notes.md", START)


async def test_a_save_that_only_new_output_explains_is_no_use(here: Listening) -> None:
    await here.save("a.ipynb", cell("train()"))
    await here.save("a.ipynb", cell("train()", "epoch 1", count=1), minutes=2)
    await here.save("a.ipynb", cell("train()", "epoch 1", "epoch 2", count=1), minutes=4)
    assert here.heard.document is not None
    assert here.heard.document.at == START


async def test_a_cell_that_was_edited_while_its_kernel_prints_is_use(here: Listening) -> None:
    await here.save("a.ipynb", cell("train()", "1"))
    await here.save("a.ipynb", cell("train()", "2"), cell("plot()"), minutes=2)
    assert here.heard.document is not None
    assert here.heard.document.at == at(minutes=2)


async def test_a_save_of_the_same_again_is_somebody_who_pressed_save(here: Listening) -> None:
    await here.save("a.ipynb", cell("x"))
    await here.save("a.ipynb", cell("x"), minutes=2)
    assert here.heard.document is not None
    assert here.heard.document.at == at(minutes=2)


async def test_a_checkpoint_is_made_where_a_person_saves(here: Listening) -> None:
    await here.request("POST", "/api/contents/a.ipynb/checkpoints")
    assert here.heard.document == browser_requests.Use("a.ipynb", START)


async def test_a_program_that_saves_the_same_again_and_again_is_no_use(here: Listening) -> None:
    for minute in range(0, 40, 2):
        await here.save("a.ipynb", cell("x"), minutes=minute)
        await here.request("PUT", "/api/contents/notes.md", b"the same")
    assert here.heard.document is not None
    assert here.heard.document.at <= at(minutes=8)
    await here.request("PUT", "/api/contents/notes.md", b"another")
    assert here.heard.document == browser_requests.Use("notes.md", at(minutes=38))


async def test_a_file_that_is_opened_or_downloaded_is_use(here: Listening) -> None:
    await here.request("GET", "/api/contents/a%20b.py?type=file&content=1&hash=1")
    assert here.heard.document == browser_requests.Use("a b.py", START, "opened")
    await here.request("GET", "/files/data/model.bin?_xsrf=x")
    assert here.heard.document == browser_requests.Use("data/model.bin", START, "downloaded")


async def test_a_page_that_opens_the_same_file_again_and_again_is_no_use(here: Listening) -> None:
    for minute in range(20):
        here.now = at(minutes=minute)
        await here.request("GET", "/files/plot.png")
        await here.request("GET", "/api/contents/a.csv?type=file&content=1")
    assert here.heard.document is not None
    assert here.heard.document.at <= at(minutes=4)


async def test_a_tab_that_is_loaded_again_and_opens_its_documents_is_no_use(
    here: Listening,
) -> None:
    for path in ("/lab", "/lab/api/workspaces/default", "/api/contents/a.py?type=file&content=1"):
        here.now += timedelta(seconds=2)
        await here.request("GET", path)
    assert here.heard.document is None
    here.now += timedelta(minutes=1)
    await here.request("GET", "/api/contents/b.py?type=file&content=1")
    assert here.heard.document == browser_requests.Use("b.py", here.now, "opened")


async def test_a_long_download_is_use_until_its_end(
    here: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AuthenticatedFileHandler:
        _finished = False

        def set_headers(self) -> None:
            """As Jupyter's does before it sends a file."""

        def get_status(self) -> int:
            return 200

    stream = SimpleNamespace(closed=lambda: False, writing=lambda: True)
    request = SimpleNamespace(
        method="GET",
        path="/jupyterlab/default/files/big.bin",
        connection=SimpleNamespace(stream=stream),
    )
    handler = AuthenticatedFileHandler()
    handler.request = request  # type: ignore[attr-defined]
    module = SimpleNamespace(AuthenticatedFileHandler=AuthenticatedFileHandler)
    monkeypatch.setitem(sys.modules, "jupyter_server.base.handlers", module)
    here.heard.observe()
    handler.set_headers()
    for minute in (10, 20):
        here.now = at(minutes=minute)
        stream._total_write_done_index = minute
        here.heard.observe()
        assert here.heard.document == browser_requests.Use("big.bin", here.now, "downloaded")
    # One that is paused in the browser keeps its connection.
    here.now = at(minutes=25)
    here.heard.observe()
    assert here.heard.document == browser_requests.Use("big.bin", at(minutes=20), "downloaded")
    stream.writing, handler._finished = lambda: False, True
    here.now = at(minutes=30)
    here.heard.observe()
    assert here.heard.document == browser_requests.Use("big.bin", at(minutes=20), "downloaded")


async def test_a_download_that_begins_before_the_first_check_is_use(
    here: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AuthenticatedFileHandler:
        _finished = False
        request: Any

        def set_headers(self) -> None:
            """As Jupyter's does before it sends a file."""

        def get_status(self) -> int:
            return 200

    module = SimpleNamespace(AuthenticatedFileHandler=AuthenticatedFileHandler)
    monkeypatch.setitem(sys.modules, "jupyter_server.base.handlers", module)
    here.heard.listen_to(SimpleNamespace(settings={"log_function": lambda handler: None}))
    handler = AuthenticatedFileHandler()
    stream = SimpleNamespace(closed=lambda: False, writing=lambda: True)
    handler.request = SimpleNamespace(
        method="GET",
        path="/jupyterlab/default/files/big.bin",
        connection=SimpleNamespace(stream=stream),
    )
    handler.set_headers()
    here.heard.observe()
    assert here.heard.document == browser_requests.Use("big.bin", START, "downloaded")


async def test_listening_to_downloads_hides_no_decorator_from_jupyter(here: Listening) -> None:
    """When it starts, it warns of handlers without the decorator that requires a login."""
    get = AuthenticatedFileHandler.get
    here.heard.observe()
    assert AuthenticatedFileHandler.get is get


async def test_reading_and_what_was_refused_are_no_use(here: Listening) -> None:
    await here.request("GET", "/api/contents/notes.md")
    await here.request("GET", "/api/contents?type=directory&content=1")
    await here.request("GET", "/api/contents/a.py?type=file&content=0")
    await here.request("GET", "/files/secret", status=403)
    await here.request("HEAD", "/files/a.py")
    await here.request("PUT", "/api/contents/notes.md", status=403)
    await here.request("POST", "/api/kernels")
    assert here.heard.document is None


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"content": null}', b'{"content": 1}'])
async def test_a_body_that_is_no_notebook_is_a_save_all_the_same(
    here: Listening, body: bytes
) -> None:
    assert split(body) is None
    await here.request("PUT", "/api/contents/a.ipynb", body)
    assert here.heard.document is not None


async def test_a_page_that_reloads_itself_is_no_use(here: Listening) -> None:
    """TensorBoard's requests, every 30 seconds."""
    for half_minutes in range(20):
        here.now = at(seconds=30 * half_minutes)
        await here.request("POST", "/proxy/6006/data/scalars", cls=Proxy)
    assert here.heard.web_app is not None
    assert here.heard.web_app.at <= at(seconds=90)


async def test_somebody_who_uses_an_app_behind_the_proxy_is_there(here: Listening) -> None:
    for seconds in (0, 7, 9, 30, 31, 70):
        here.now = at(seconds=seconds)
        await here.request("POST", "/proxy/8501/upload", cls=Proxy)
    assert here.heard.web_app is not None
    assert here.heard.web_app.at == at(seconds=70)
    here.now = at(seconds=90)
    await here.request("GET", "/proxy/8501/", cls=Proxy)
    assert here.heard.web_app.at == at(seconds=70)
    await here.request("GET", "/proxy/8501/page", cls=Proxy, Sec_Fetch_User="?1")
    assert here.heard.web_app.at == at(seconds=90)


@pytest.mark.parametrize(
    ("message", "is_use"),
    [
        (b"\x04\x01\x00\x00\x00\x00\x00a", True),  # a key in a remote desktop
        (b"\x05\x00\x00\x10\x00\x20", True),  # its pointer
        (b"\x03\x01" + bytes(8), False),  # its page asks for the picture
        (b"\x09" + bytes(12), False),  # VS Code's heartbeat
        (b"\x05" + bytes(12), False),  # its closing message
        (b"", False),
        ("3", False),  # Socket.IO's heartbeat
        ("x" * 17, True),
    ],
)
def test_what_people_send_over_a_websocket_is_told_from_heartbeats(
    here: Listening, message: str | bytes, is_use: bool
) -> None:
    handler = SimpleNamespace(request=SimpleNamespace(path="/desktop/websockify"))
    here.heard._web_message(handler, message)
    assert (here.heard.web_app is not None) is is_use


def test_what_recurs_at_a_fixed_interval_is_told_from_what_does_not() -> None:
    regular, irregular = Periodic(), Periodic()
    found = [regular.recurs("a", at(seconds=10 * n)) for n in range(6)]
    assert found == [False, False, False, True, True, True]
    times = [0, 3, 20, 22, 60, 61]
    assert not any(irregular.recurs("a", at(seconds=each)) for each in times)


@pytest.mark.parametrize(
    ("every", "at_once"),
    [
        *((every, 1) for every in (0.2, 0.5, 1.0, 1.5, 2.0, 2.1, 3.0, 30.0, 300.0)),
        *((every, 4) for every in (2.5, 3.0, 30.0, 300.0)),
    ],
)
def test_a_page_that_asks_again_and_again_is_told_at_any_pace(every: float, at_once: int) -> None:
    """A clock of its own, an answer that takes a moment, and one late request."""
    periodic = Periodic()
    last_use = 0.0
    for n in range(max(20, round(60 / every))):
        for k in range(at_once):
            moment = n * every + 0.02 * (n * 7 % 5) + 0.03 * k
            if not periodic.recurs("a", at(seconds=moment)):
                last_use = moment
    assert last_use < max(25.0, 4 * every)


def test_a_page_in_two_tabs_is_told() -> None:
    """Each asks at the same interval, at its own times."""
    periodic = Periodic()
    moments = sorted(9.0 * n + each for n in range(20) for each in (0, 3))
    found = [periodic.recurs("a", at(seconds=each)) for each in moments]
    assert all(found[6:])


async def test_two_intervals_of_a_page_are_told_apart_by_what_it_asks(here: Listening) -> None:
    moments = sorted([(5.0 * n, b"x") for n in range(60)] + [(7.0 * n, b"xyz") for n in range(40)])
    for seconds, body in moments:
        here.now = at(seconds=seconds)
        await here.request("POST", "/proxy/8050/_dash-update-component", body, cls=Proxy)
    assert here.heard.web_app is not None
    assert here.heard.web_app.at < at(seconds=30)


async def test_a_page_that_asks_at_a_fixed_interval_is_told_however_long_answers_take(
    here: Listening,
) -> None:
    for n in range(20):
        here.answering = (0.1, 2.3, 0.6, 1.7)[n % 4]
        here.now = at(seconds=6 * n + here.answering)
        await here.request("POST", "/proxy/8050/_dash-update-component", cls=Proxy)
    assert here.heard.web_app is not None
    assert here.heard.web_app.at < at(seconds=25)


@pytest.mark.parametrize(
    "intervals",
    [
        (2.1, 2.8, 3.0, 2.2, 3.4, 2.0, 2.9),
        (0.3, 0.4, 1.2, 0.2, 5.0, 0.7, 0.4),
        (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1),  # a slider that is dragged, and dragged again
        (0.1,) * 57,  # and for longer
        (60.0, 62.0, 60.5, 63.0, 61.0, 62.5),
        (2.1, 5.5, 0.7, 3.4),
    ],
)
def test_what_people_click_is_not_taken_for_a_program(intervals: tuple[float, ...]) -> None:
    periodic, now = Periodic(), 0.0
    for _ in range(4):
        for interval in intervals:
            now += interval
            assert not periodic.recurs("a", at(seconds=now))
        now += 37.0 * (1 + now % 1)


@pytest.mark.parametrize(
    "times",
    [
        [n * 30.0 + late for n in range(4) for late in (0.0, 1.5)],  # two requests in turn
        [0.0, 3.2, 6.0, 9.3, 12.0],
        [n + (0.4 if n == 25 else 0.0) for n in range(40)],
        [n * 0.3 + (3.0 if n >= 80 else 0.0) for n in range(100)],  # its server hung for a moment
        [n * 3.0 + (2.0 if n == 35 else 0.0) for n in range(40)],
    ],
)
def test_a_page_that_asks_a_little_late_is_still_a_program(times: list[float]) -> None:
    periodic = Periodic()
    found = [periodic.recurs("a", at(seconds=each)) for each in times]
    assert all(found[-min(15, len(found) // 4) :])


def test_somebody_who_goes_on_after_a_page_has_asked_is_seen() -> None:
    periodic = Periodic()
    assert [periodic.recurs("a", at(seconds=each)) for each in range(0, 50, 10)][-1]
    clicks = [periodic.recurs("a", at(seconds=each)) for each in (40.9, 41.8, 42.7)]
    assert not clicks[-1]


def test_a_page_that_goes_on_asking_is_remembered_among_many_others() -> None:
    periodic, found = Periodic(), []
    for n in range(20):
        found.append(periodic.recurs("a", at(seconds=10 * n)))
        for other in range(MOST_KEYS // 5):
            periodic.recurs((n, other), at(seconds=10 * n))
    assert all(found[3:])


def test_somebody_who_clicks_is_seen_beside_a_page_that_asks_every_second() -> None:
    periodic = Periodic()
    for second in range(60):
        is_program = periodic.recurs("a", at(seconds=second))
    assert is_program
    assert not periodic.recurs("a", at(seconds=59.4)) or not periodic.recurs("a", at(seconds=60))


def test_a_request_that_can_not_be_looked_at_is_answered_all_the_same() -> None:
    told: list[object] = []
    web_app = SimpleNamespace(settings={"log_function": told.append})
    BrowserRequests("/").listen_to(web_app)
    handler = SimpleNamespace()  # without a request
    web_app.settings["log_function"](handler)
    assert told == [handler]


def test_keys_that_are_remembered_are_bounded() -> None:
    periodic = Periodic()
    for number in range(2 * MOST_KEYS):
        periodic.recurs(number, START + timedelta(seconds=number))
    assert len(periodic._rhythms) == MOST_KEYS


@pytest.mark.parametrize("name", ["jupyter_server_ydoc", "jupyter_collaboration"])
def test_what_people_edit_together_is_use_and_their_cursors_are_not(
    here: Listening, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class YDocWebSocketHandler:
        request = SimpleNamespace(path="/api/collaboration/room/json:notebook:1")

        def on_message(self, message: bytes) -> int:
            return len(message)

    module = SimpleNamespace(YDocWebSocketHandler=YDocWebSocketHandler)
    monkeypatch.setitem(sys.modules, f"{name}.handlers", module)
    for _ in range(2):  # as every check does
        here.heard.observe()
    handler = YDocWebSocketHandler()
    # Both sides announce their state and presence; a page asks to save.
    for message in (b"\x00\x00\x01", b"\x00\x01\x05", b"\x01\x20cursor", b"\x02\x04save", b""):
        assert handler.on_message(message) == len(message)
    assert not here.heard.document
    assert handler.on_message(b"\x00\x02\x07written") == 10
    assert here.heard.document == browser_requests.Use("a shared document", START)
    used_at = []
    for minute in range(1, 30):  # printed by a thread of its kernel
        here.now = at(minutes=minute)
        handler.on_message(b"\x00\x02\x08printed")
        used_at.append(here.heard.document.at)
    assert max(used_at) <= at(minutes=3)


@pytest.mark.parametrize(
    ("method", "path", "label"),
    [
        ("POST", "/api/terminals", "a terminal"),
        ("DELETE", "/api/terminals/1", "a terminal"),
        ("POST", "/api/sessions", "a kernel"),
        ("POST", "/api/kernels/a/interrupt", "a kernel"),
        ("DELETE", "/api/kernels/a", "a kernel"),
    ],
)
async def test_a_terminal_or_kernel_that_is_gone_at_the_next_check_was_used(
    here: Listening, method: str, path: str, label: str
) -> None:
    await here.request("GET", path)
    await here.request(method, path, status=404)
    before = here.heard.web_app
    await here.request(method, path)
    after = here.heard.web_app
    assert before is None
    assert after is not None
    assert (after.label, after.at) == (label, START)


async def test_a_page_that_opens_its_terminals_again_is_nobody_at_work(here: Listening) -> None:
    await here.request("GET", "/lab")
    here.now = at(seconds=5)
    await here.request("POST", "/api/terminals")
    assert here.heard.web_app is None


async def test_a_program_that_opens_terminals_at_a_fixed_interval_is_no_person(
    here: Listening,
) -> None:
    for minute in range(10):
        here.now = at(minutes=minute)
        await here.request("POST", "/api/terminals")
    assert here.heard.web_app is not None
    assert here.heard.web_app.at < at(minutes=5)
