"""A second Jupyter server on an app: its user's view and commands."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.localstudio.errors import LocalStudioError

from .conftest import until
from .situations.world import SecondServer, space

API = "sagemaker-autoshutdown/api"


def test_whichever_server_a_user_has_open_shows_and_does_the_same(tmp_path: Path) -> None:
    with space(tmp_path) as here:
        other = here.second_server()
        here.run(here.kernel("train.ipynb"), "1")
        labels = {item["label"] for item in here.status["work"]}
        until(lambda: {item["label"] for item in app(other)["work"]} == labels, "the same picture")

        other.ask("PUT", f"{API}/settings", {"idle_timeout": 1234})
        assert here.server.get("settings")["idle_timeout"]["user"] == 1234
        other.ask("PUT", f"{API}/apps/default/keep-alive", {"seconds": 600})
        assert here.status["kept_until"]
        # The first one's refusals are passed on in its words.
        with pytest.raises(LocalStudioError, match=r"HTTP 400.*must be a number of seconds"):
            other.ask("PUT", f"{API}/settings", {"idle_timeout": "soon"})


def test_a_second_server_takes_over_with_what_was_set_when_the_first_one_is_killed(
    tmp_path: Path,
) -> None:
    with space(tmp_path) as here:
        other = here.second_server()
        other.ask("PUT", f"{API}/settings", {"idle_timeout": 1234})
        pid = here.studio.pid(here.server.target)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(LocalStudioError, match=r"HTTP 503.*looks after this app"):
                other.get(f"{API}/status")
        finally:
            os.kill(pid, signal.SIGKILL)
        until(lambda: answers(other), "the second server acts")
        assert other.get(f"{API}/settings")["idle_timeout"]["user"] == 1234


def app(other: SecondServer) -> dict[str, list[dict[str, str]]]:
    """The app as the second server shows it."""
    found: dict[str, list[dict[str, str]]] = other.get(f"{API}/status")["apps"][0]
    return found


def answers(other: SecondServer) -> bool:
    """Whether the second server shows the app by itself."""
    try:
        return bool(other.get(f"{API}/status")["apps"])
    except LocalStudioError:
        return False
