"""The command line, against real Jupyter servers as Studio runs them."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown import text as wording
from sagemaker_autoshutdown.api import client
from sagemaker_autoshutdown.cli import _arguments, _server
from sagemaker_autoshutdown.clock import from_iso, utcnow
from sagemaker_autoshutdown.errors import Failed, NoServer
from tests import spec
from tests.localstudio.scene import Scene
from tests.localstudio.servers import ServerOptions
from tests.localstudio.testing import BlockingStudio, enter_app, running_studio

APP = "datascience-1-0-ml-t3-medium-1"
OTHER = "datascience-1-0-ml-g4dn-xlarge-1"


class Place:
    """A terminal inside Studio: the environment of a server's own app."""

    def __init__(self, studio: BlockingStudio, scene: Scene) -> None:
        self.studio = studio
        self.scene = scene

    @property
    def env(self) -> dict[str, str]:
        return dict(self.studio.server(self.scene.target).env)


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Studio Classic, with two apps, that checks once a second."""
    options = ServerOptions(
        frontend="server",
        args=(
            "--SageMakerAutoShutdown.poll_interval=1",
            "--SageMakerAutoShutdown.min_idle_timeout=600",
        ),
    )
    with running_studio(tmp_path_factory.mktemp("studio"), server=options) as studio:
        scene = studio.classic()
        for name, instance_type in ((APP, "ml.t3.medium"), (OTHER, "ml.g4dn.xlarge")):
            enter_app(studio, name, scene.owner, instance_type)
        studio.wait_for_call("ListApps", count=2)
        place = Place(studio, scene)
        yield place


@pytest.fixture
def inside(classic: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """This process is in a terminal there."""
    enter(classic, monkeypatch)
    return classic


def enter(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("JUPYTER", "AWS_")):
            monkeypatch.delenv(name)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)


class Terminal:
    """Runs command lines."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        try:
            code = cli.main(argv)
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, *argv: str) -> Any:
        code, out, err = self(*argv, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


# ---- with a server ------------------------------------------------------------------------------


def test_the_server_is_found_from_a_terminal_without_any_option(
    inside: Place, terminal: Terminal
) -> None:
    status = terminal.json("status")
    spec.check("Status", status)
    code, out, _ = terminal("status")
    assert code == 0
    assert APP in out
    assert "Studio Classic" in out
    assert inside.scene.server.token not in out


def test_settings_are_shown_changed_and_given_back(inside: Place, terminal: Terminal) -> None:
    settings = terminal.json("settings", "--idle-timeout", "1h30m", "--keep-terminals", "on")
    assert settings["idle_timeout"]["value"] == 5400
    assert settings["keep_terminals"]["value"] is True
    code, out, _ = terminal("settings")
    assert code == 0
    assert "1 h 30 min" in out
    settings = terminal.json("settings", "--idle-timeout", "default", "--keep-terminals", "default")
    assert settings["idle_timeout"]["source"] == settings["keep_terminals"]["source"] == "admin"


def test_what_the_admin_does_not_allow_is_refused_with_what_is(
    inside: Place, terminal: Terminal
) -> None:
    code, out, err = terminal("settings", "--idle-timeout", "5m")
    assert (code, out) == (1, "")
    assert "from 600 to" in err


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("explode",),
        ("settings", "--idle-timeout", "soon"),
        ("settings", "--idle-timeout", "-1"),
        ("settings", "--keep-terminals", "maybe"),
        ("keep-alive", APP, "--for", "1h", "--until", "18:00"),
        ("keep-alive", APP, "--until", "teatime"),
        ("shut-down",),
    ],
)
def test_a_wrong_command_line_is_told_as_one(terminal: Terminal, argv: tuple[str, ...]) -> None:
    code, out, err = terminal(*argv)
    assert (code, out) == (2, "")
    assert "usage:" in err
    assert "Traceback" not in err


def test_an_app_is_kept_alive_by_the_beginning_of_its_name_and_let_go(
    inside: Place, terminal: Terminal
) -> None:
    app = terminal.json("keep-alive", APP[:25], "--for", "2h")
    assert app["app_name"] == APP
    assert from_iso(app["kept_until"]) - utcnow() < timedelta(hours=2)
    code, out, _ = terminal("keep-alive", APP, "--until", f"{utcnow() + timedelta(hours=3):%FT%TZ}")
    assert code == 0
    assert "is kept alive; that ends in " in out
    assert "kept, in" in terminal("status")[1]
    code, out, _ = terminal("keep-alive", APP, "--end")
    assert (code, out) == (0, f"{APP} is not kept alive.\n")
    kinds = [event["kind"] for event in terminal.json("history", "--app", APP)["events"]]
    assert kinds[:3] == ["keep_alive_ended", "keep_alive", "keep_alive"]
    assert APP in terminal("history")[1]


def test_no_app_is_guessed(inside: Place, terminal: Terminal) -> None:
    for argv in (
        ("keep-alive",),
        ("keep-alive", "datascience"),
        ("shut-down", "datascience", "--yes"),
        ("shut-down", "nobody", "--yes"),
    ):
        code, out, err = terminal(*argv)
        assert (code, out) == (1, ""), argv
        assert APP in err, argv
        assert OTHER in err, argv
    assert not inside.studio.calls("DeleteApp")


def test_nothing_is_shut_down_without_a_yes(
    inside: Place, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = terminal("shut-down", OTHER)
    assert code == 2
    assert "--yes" in err
    monkeypatch.setattr("sys.stdin", type("Tty", (), {"isatty": lambda self: True})())
    for answer in ("", "n", "nope"):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        code, out, _ = terminal("shut-down", OTHER)
        assert (code, out) == (1, "Nothing was done.\n")
    assert not inside.studio.calls("DeleteApp")


def test_an_app_is_shut_down(inside: Place, terminal: Terminal) -> None:
    name = "going-ml-t3-medium-1"
    enter_app(inside.studio, name, inside.scene.owner)
    inside.studio.wait_for_call("ListApps", count=len(inside.studio.calls("ListApps")) + 2)
    code, out, _ = terminal("shut-down", name, "--yes")
    assert (code, out) == (0, f"{name} is being shut down.\n")
    inside.studio.wait_for_call("DeleteApp", name)


def test_a_wrong_token_is_refused_with_what_to_do(inside: Place, terminal: Terminal) -> None:
    code, out, err = terminal("status", "--url", inside.scene.server.url, "--token", "wrong")
    assert (code, out) == (1, "")
    assert "--token" in err


def test_the_environment_of_a_terminal_names_the_server(
    inside: Place, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    url = inside.scene.server.url
    monkeypatch.setenv("JUPYTER_SERVER_URL", url.replace("127.0.0.1", "localhost"))
    found = client.find(None, None)
    assert (found.url, found.token) == (url, inside.scene.server.token)
    # It has outlived that server, and another runs now.
    monkeypatch.setenv("JUPYTER_SERVER_URL", "http://localhost:1/jupyter/default/")
    assert client.find(None, None).url == url
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(inside.studio.studio.work_dir / "nothing"))
    monkeypatch.setenv("JUPYTER_SERVER_URL", url)
    monkeypatch.setenv("JUPYTER_TOKEN", inside.scene.server.token)
    assert terminal("status")[0] == 0


def test_a_reader_that_has_seen_enough_is_no_error(
    inside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", closed)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", None)
        assert cli.main(["status"]) == 141


# ---- without a token, as in a space -------------------------------------------------------------


def test_a_server_without_token_takes_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    options = ServerOptions(frontend="server", token="")
    with running_studio(tmp_path, server=options) as studio:
        place = Place(studio, studio.jupyterlab_space())
        studio.wait_for_call("DescribeApp")
        enter(place, monkeypatch)
        assert client.find(None, None).token == ""
        assert terminal.json("settings", "--idle-timeout", "1h")["idle_timeout"]["user"] == 3600
        end = time.monotonic() + 120
        while not terminal.json("status")["apps"]:  # until its first check
            assert time.monotonic() < end
        assert terminal.json("keep-alive")["app_name"] == "default"
        assert terminal.json("keep-alive", "--end")["kept_until"] is None


# ---- without a server ---------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who runs no server; returns the runtime directory."""
    for name in ("JUPYTER_SERVER_URL", "JUPYTER_TOKEN", "JUPYTERHUB_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def info_file(folder: Path, pid: int, port: int, **more: Any) -> None:
    info = {"url": "", "hostname": "localhost", "port": port, "base_url": "/", "token": "t"}
    (folder / f"jpserver-{pid}.json").write_text(json.dumps({**info, "pid": pid, **more}))


def test_where_no_server_runs_that_is_said(nowhere: Path, terminal: Terminal) -> None:
    # A file of a killed server, and one that is being written.
    info_file(nowhere, pid=2**22 + 1, port=8888)
    (nowhere / "jpserver-1.json").write_text("{")
    (nowhere / "jpserver-2.json").write_text("[]")
    code, out, err = terminal("status")
    assert (code, out) == (3, "")
    assert "No running Jupyter server" in err
    assert "--url" in err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/passwd", "localhost:8888"])
def test_a_server_that_can_not_be_reached_is_said(
    nowhere: Path, terminal: Terminal, url: str
) -> None:
    code, out, err = terminal("status", "--url", url)
    assert (code, out) == (3, "")
    assert url in err


class _Site(http.server.BaseHTTPRequestHandler):
    """Gives prepared answers, and records the callers."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site() -> Iterator[tuple[str, type[_Site]]]:
    """A program that is not a server of ours."""
    handler = type("Site", (_Site,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_without_the_extension_is_said(
    nowhere: Path, terminal: Terminal, site: tuple[str, type[_Site]]
) -> None:
    url, handler = site
    handler.answer = (404, {}, b'{"message": "Not Found"}')
    info_file(nowhere, os.getpid(), int(url.rsplit(":", 1)[1].strip("/")))
    for argv in (["status"], ["status", "--url", url]):
        code, _, err = terminal(*argv)
        assert code == 3
        assert "not loaded" in err
        assert "jupyter server extension list" in err


def test_a_login_page_is_not_taken_for_an_answer(
    nowhere: Path, terminal: Terminal, site: tuple[str, type[_Site]]
) -> None:
    url, handler = site
    handler.answer = (200, {}, b"<html>")
    code, _, err = terminal("status", "--url", url)
    assert code == 3
    assert "is not the address of a Jupyter server" in err


def test_the_token_goes_nowhere_else(
    nowhere: Path, terminal: Terminal, site: tuple[str, type[_Site]]
) -> None:
    url, handler = site
    handler.answer = (302, {"Location": f"{url}login"}, b"")
    code, _, err = terminal("status", "--url", url, "--token", "secret")
    assert code == 1
    assert "secret" not in err
    assert handler.asked == [("/sagemaker-autoshutdown/api/status", "token secret")]


def test_a_proxy_for_the_outer_world_is_not_asked_for_this_machines_server(
    nowhere: Path,
    terminal: Terminal,
    site: tuple[str, type[_Site]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, handler = site
    handler.answer = (404, {}, b"{}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    monkeypatch.delenv("no_proxy", raising=False)
    terminal("status", "--url", url)
    assert handler.asked


def test_several_servers_are_not_chosen_from_by_chance(
    nowhere: Path, site: tuple[str, type[_Site]]
) -> None:
    url, handler = site
    handler.answer = (200, {}, b"{}")
    port = int(url.rsplit(":", 1)[1].strip("/"))
    info_file(nowhere, os.getpid(), port)
    info_file(nowhere, os.getppid(), port, base_url="/other/")
    with pytest.raises(NoServer, match=f"Several .*{url}, {url}other/.*--url"):
        client.find(None, None)


# ---- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1.5h", 5400),
        ("7200", 7200),
        (" 2H ", 7200),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert _arguments.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "-1", "-1h", "1h 30m", "nan", "inf", "2h2", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="90s, 30m, 2h"):
        _arguments.duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (5400, "1 h 30 min"),
        (90061, "1 d 1 h"),
        (-60, "1 min"),
    ],
)
def test_durations_are_written_in_two_units(seconds: float, text: str) -> None:
    assert wording.span(seconds) == text


def test_a_time_of_day_is_the_next_one() -> None:
    now = datetime(2026, 9, 1, 12, 0, tzinfo=timezone.utc)
    here = now.astimezone()
    for offset in (timedelta(hours=1), timedelta(hours=-1)):
        wanted = (here + offset).replace(second=0, microsecond=0)
        until = _arguments.until(f"{wanted:%H:%M}", now)
        assert timedelta(0) < until - now <= timedelta(days=1)
        assert until.astimezone().strftime("%H:%M") == f"{wanted:%H:%M}"
    assert _arguments.until("2026-09-01T18:00:00Z", now) == now + timedelta(hours=6)
    assert _arguments.until("2026-09-01 18:00+02:00", now) == now + timedelta(hours=4)
    assert (
        f"{_arguments.until('2026-09-02T18:00', now).astimezone():%F %T}" == "2026-09-02 18:00:00"
    )


def test_a_notebooks_name_can_not_write_over_the_terminal() -> None:
    assert wording.clean("a\x1b[2Jb\rc\u202ed") == "a?[2Jb?c?d"
    assert "\x1b" not in wording.table(("A",), [("\x1b[31m",)])


def test_choosing_an_app_prefers_the_exact_name() -> None:
    apps = [{"app_name": "app"}, {"app_name": "app-2"}]
    assert _server.choose_app(apps, "app") is apps[0]
    assert _server.choose_app(apps, "app-") is apps[1]
    assert _server.choose_app(apps[:1], None) is apps[0]
    with pytest.raises(Failed, match="No apps are running"):
        _server.choose_app([], None)
