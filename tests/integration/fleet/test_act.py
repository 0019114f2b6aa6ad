"""``fleet run`` with rules, against the local Studio: apps are marked, get a warning, and are
gone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio import Fault
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio

from .conftest import Run, document, fill

#: Seconds: between sweeps, of the warning, and to wait on a busy machine.
WARNING, BOUND = 4, 300

CONFIG = """
interval = "1s"
listen = "127.0.0.1:0"
data_dir = "record"
[prices]
price_list_api = false
[act]
enabled = ["seen"]
warning = "{warning}s"
[act.limits]
share = 1.0
[act.notify]
webhook_file = "webhook"
[[rules]]
name = "quiet"
which = {{ domain = "d-fleet0000001" }}
[[rules]]
name = "editors"
which = {{ app_type = "CodeEditor" }}
when = {{ up_for = "1s" }}
"""


@pytest.fixture
def messages() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook's URL, and the messages that it got."""
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path, messages: tuple[str, list[dict[str, Any]]]) -> Path:
    """A configuration that acts on Code Editors, except those of the second domain."""
    (tmp_path / "webhook").write_text(messages[0])
    path = tmp_path / "fleet.toml"
    path.write_text(CONFIG.format(warning=WARNING))
    return path


@contextmanager
def running(config: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """``fleet run``, until the end of the block."""
    command = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet", "run", "--config"]
    process = subprocess.Popen(
        [*command, str(config)], env=dict(environment), stdout=subprocess.DEVNULL
    )
    try:
        yield
        assert process.poll() is None, "fleet run ended by itself"
    finally:
        process.terminate()
        process.wait(180)


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition, with a bound."""
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end, f"not within {BOUND} s: {what}"
        time.sleep(0.2)


def up(studio: BlockingStudio) -> set[AppKey]:
    return studio.do(
        lambda s: {app.key for app in s.account.apps(s.now()) if app.status == "InService"}
    )


def tags(studio: BlockingStudio, key: AppKey) -> dict[str, str]:
    return studio.do(lambda s: dict(s.account.tags.get(key.arn, {})))


def test_what_a_rule_finds_is_marked_told_of_and_gone_and_nothing_else_is_touched(
    studio: BlockingStudio,
    run: Run,
    environment: dict[str, str],
    config: Path,
    messages: tuple[str, list[dict[str, Any]]],
) -> None:
    made = fill(studio, apps=60)
    editors = {key for key in made.apps if key.app_type == "CodeEditor"}
    due = {key for key in editors if key.domain_id != "d-fleet0000001"}
    kept = min(due)
    due.remove(kept)
    assert due
    assert editors - due - {kept}, "the fleet has some in the domain that is left alone"
    studio.do(
        lambda s: s.account.tags.update(
            {kept.arn: {"sagemaker-autoshutdown": "keep-until:2099-01-01"}}
        )
    )
    planned = document(run("plan", "--config", str(config), "--json"))
    assert planned["due"] == [], "nobody has watched it for a second yet"

    def stopped() -> set[str]:
        notices = (notice for each in messages[1] for notice in each["notices"])
        return {notice["space"] for notice in notices if notice["event"] == "stopped"}

    with running(config, environment):
        until(lambda: all(tags(studio, key).get(MARK_TAG) for key in due), "the marks")
        assert due <= up(studio), "marked, and still there"
        until(lambda: not due & up(studio), "their end")
        until(lambda: stopped() == {key.owner_name for key in due}, "the messages of their end")
    assert up(studio) == set(made.apps) - due
    assert MARK_TAG not in tags(studio, kept)
    calls = [call for call in studio.calls() if call.operation == "DeleteApp"]
    assert len(calls) == len(due), "one call for each"
    events = document(run("history", "--config", str(config), "--json"))["events"]
    of: dict[str, set[str]] = {}
    for event in events:
        of.setdefault(event["event"], set()).add(f"{event['domain']}/{event['owner_name']}")
    names = {f"{key.domain_id}/{key.owner_name}" for key in due}
    assert of == {
        "marked": names,
        "stopped": names,
        "kept": {f"{kept.domain_id}/{kept.owner_name}"},
    }
    assert {(e["rule"], e["class"]) for e in events} == {("editors", "seen")}
    times = {(e["app_name"], e["owner_name"], e["event"]): e["at"] for e in events}
    for (app, owner, what), at in times.items():
        if what == "stopped":
            assert at > times[app, owner, "marked"]
    told = {(n["event"], n["space"]) for each in messages[1] for n in each["notices"]}
    assert told == {(what, key.owner_name) for key in due for what in ("marked", "stopped")}


def test_without_enabled_classes_it_only_says_what_it_would_do(
    studio: BlockingStudio, run: Run, environment: dict[str, str], config: Path
) -> None:
    config.write_text(config.read_text().replace('enabled = ["seen"]', ""))
    made = fill(studio, apps=40)

    def due() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = document(run("plan", "--config", str(config), "--json"))["due"]
        return rows

    def events() -> set[str]:
        done = document(run("history", "--config", str(config), "--json"))
        return {event["event"] for event in done["events"]}

    with running(config, environment):
        until(lambda: bool(due()), "a verdict")
        rows = due()
        until(lambda: bool(events()), "a note")
    assert {row["now"] for row in rows} == {"nothing: dry run"}
    assert up(studio) == set(made.apps)
    assert {call.operation for call in studio.calls()}.isdisjoint({"AddTags", "DeleteApp"})
    assert events() == {"noted"}


def test_an_app_whose_tags_may_not_be_read_is_left_alone_and_the_missing_right_is_told(
    studio: BlockingStudio, run: Run, environment: dict[str, str], config: Path
) -> None:
    made = fill(studio, apps=40)
    studio.do(lambda s: s.faults.on(Fault("ListTags", code="AccessDeniedException")))

    def events() -> list[dict[str, Any]]:
        done = run("history", "--config", str(config), "--json")
        return document(done)["events"] if done.returncode == 0 else []

    with running(config, environment):
        until(lambda: any(event["event"] == "failed" for event in events()), "a failure")
    assert up(studio) == set(made.apps)
    assert any("tags" in event["why"] for event in events())


def test_the_policies_name_every_call_that_is_made_and_tag_nothing_but_the_mark(
    run: Run, config: Path
) -> None:
    act = document(run("policy", "act", "--config", str(config)))
    actions = {action for each in act["Statement"] for action in each["Action"]}
    assert {"sagemaker:DeleteApp", "sagemaker:AddTags", "sagemaker:ListTags"} <= actions
    (mark,) = (each for each in act["Statement"] if "sagemaker:AddTags" in each["Action"])
    assert mark["Condition"] == {"ForAllValues:StringEquals": {"aws:TagKeys": [MARK_TAG]}}
    read = document(run("policy", "read", "--config", str(config)))
    seen = {action for each in read["Statement"] for action in each["Action"]}
    assert not seen & actions
    assert "tag:GetResources" in seen
