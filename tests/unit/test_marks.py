"""A fleet's mark on this server's own apps: read if the role may, shown, and never in the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sagemaker_autoshutdown.hosts.marks import MARK_TAG, mark_of, mark_text
from sagemaker_autoshutdown.model import Host, Mark, State
from sagemaker_autoshutdown.status import to_json

from ..virtual import (
    BROKEN,
    CLASSIC,
    NOTEBOOK_INSTANCE,
    SPACE,
    SageMakerApp,
    Server,
    kernel_model,
    server,
)
from ..virtual import DENIED as DENIED_DELETION
from ..worlds import START, at

DUE = at(hours=3)
TAG = mark_text(DUE, "gpus", 3, "idle for 2 h")
MARK = Mark(DUE, "gpus", "idle for 2 h")


@pytest.fixture(params=[CLASSIC, SPACE, NOTEBOOK_INSTANCE], ids=lambda host: host.kind.value)
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of each host, whose app carries the mark."""
    host: Host = request.param
    with server(tmp_path / "data", host) as made:
        name = "a" if host is CLASSIC else host.app_name
        made.sagemaker.apps = [SageMakerApp(name)]
        made.sagemaker.tags = {name: {"team": "blue", MARK_TAG: TAG}}
        made.start()
        yield made


def name_of(one: Server) -> str:
    return one.sagemaker.apps[0].name


def watch(one: Server, minutes: float) -> None:
    """Runs until then, with a panel that asks for the status once a minute."""
    until = minutes * 60
    while one.loop.time() < until:
        one.do(one.monitor.refresh_marks())
        one.run(seconds=min(until, one.loop.time() + 60))


def test_what_a_fleet_says_is_shown_and_changes_nothing_that_is_decided(one: Server) -> None:
    watch(one, minutes=20)
    view = one.app(name_of(one))
    assert view.mark == MARK
    assert to_json(view)["mark"] == {
        "shutdown_at": to_json(DUE),
        "rule": "gpus",
        "why": "idle for 2 h",
    }
    assert (view.state, view.shutdown_at) == (State.IDLE, at(hours=2))


def test_a_mark_that_is_set_and_taken_off_again_is_told_within_five_checks(one: Server) -> None:
    name = name_of(one)
    one.sagemaker.tags = {name: {"team": "blue"}}
    watch(one, minutes=12)
    assert one.app(name).mark is None
    changes = one.notebook.changes
    one.sagemaker.tags = {name: {MARK_TAG: TAG}}
    watch(one, minutes=18)
    assert one.app(name).mark == MARK
    assert one.notebook.changes == changes + 1, "the panel is told"
    one.sagemaker.tags = {name: {}}
    watch(one, minutes=24)
    assert one.app(name).mark is None


def test_tags_are_read_every_five_minutes_at_most_and_an_arn_once_in_a_run(one: Server) -> None:
    one.run(seconds=5)
    watch(one, minutes=60.5)
    assert len(one.sagemaker.of("ListTags")) in (12, 13)
    if one.host is CLASSIC:
        assert len(one.sagemaker.of("DescribeApp")) == 1


def test_while_nobody_looks_no_tags_are_read(one: Server) -> None:
    one.run(hours=1)
    assert one.sagemaker.of("ListTags") == []


def test_who_looks_once_sees_the_mark_at_once(one: Server) -> None:
    one.run(minutes=30)
    one.do(one.monitor.refresh_marks())
    assert one.app(name_of(one)).mark == MARK


def test_a_role_that_may_not_read_tags_is_no_problem_and_asked_again_after_an_hour(
    one: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one.jupyter.kernel_models = [kernel_model(name_of(one), "busy")]
    one.sagemaker.errors["ListTags"] = DENIED_DELETION
    watch(one, minutes=59)
    assert len(one.sagemaker.of("ListTags")) == 1
    assert one.app(name_of(one)).mark is None
    assert not one.problems()
    assert "mark" in caplog.text
    watch(one, minutes=67)
    assert len(one.sagemaker.of("ListTags")) == 2
    one.sagemaker.errors.clear()
    watch(one, minutes=135)
    assert one.app(name_of(one)).mark == MARK
    assert caplog.text.count("fleet's mark") == 1
    one.sagemaker.errors["ListTags"] = DENIED_DELETION
    watch(one, minutes=141)
    assert one.app(name_of(one)).mark is None
    assert caplog.text.count("fleet's mark") == 2


def test_an_answer_that_fails_or_hangs_holds_up_no_check_and_forgets_no_mark(one: Server) -> None:
    watch(one, minutes=2)
    one.sagemaker.errors["ListTags"] = BROKEN
    watch(one, minutes=8)
    assert one.app(name_of(one)).mark == MARK
    one.sagemaker.errors["ListTags"] = 50.0
    checks = len(one.notebook.checks)
    watch(one, minutes=28)
    assert len(one.notebook.checks) >= checks + 20
    assert one.app(name_of(one)).mark == MARK


def test_no_reading_begins_before_the_one_before_it_has_ended(tmp_path: Path) -> None:
    with server(tmp_path / "data") as one:
        one.sagemaker.apps = [SageMakerApp(name) for name in "abcdefghij"]
        one.sagemaker.tags = {"a": {MARK_TAG: TAG}}
        one.sagemaker.errors["ListTags"] = 50.0
        one.start().run(seconds=5)
        watch(one, minutes=60)
        asked = [call.at for call in one.sagemaker.of("ListTags")]
        assert len(asked) > 40
        assert min(b - a for a, b in zip(asked, asked[1:])) >= timedelta(seconds=50)


def test_an_app_that_starts_is_read_at_once_and_one_that_is_gone_is_forgotten(one: Server) -> None:
    name = name_of(one)
    one.sagemaker.apps = [SageMakerApp(name, status="Pending")]
    watch(one, minutes=1.5)
    one.sagemaker.apps = [SageMakerApp(name)]
    watch(one, minutes=3.5)
    assert one.app(name).mark == MARK
    one.sagemaker.apps = [SageMakerApp(name, created_at=at(minutes=4))]
    watch(one, minutes=12)
    assert one.app(name).mark == MARK
    marks = one.monitor._marks
    assert marks is not None
    assert (len(marks._arns), len(marks._marks)) == (1, 1)


def test_the_server_s_end_does_not_wait_for_an_answer(one: Server) -> None:
    one.sagemaker.errors["ListTags"] = 50.0
    one.run(seconds=5)
    one.do(one.monitor.refresh_marks())
    assert one.loop.time() == pytest.approx(6, abs=0.1), "nor does who looks"
    one.do(one.monitor.stop())
    assert one.loop.time() < 10


def test_what_an_earlier_run_was_marked_with_is_not_shown(tmp_path: Path) -> None:
    """A name is reused."""
    with server(tmp_path / "data") as one:
        one.sagemaker.apps = [SageMakerApp("a", created_at=DUE + timedelta(minutes=1))]
        one.sagemaker.tags = {"a": {MARK_TAG: TAG}}
        one.clock_error = timedelta(hours=4)
        one.start()
        watch(one, minutes=2)
        assert one.app("a").mark is None


def test_the_mark_of_a_fleet_that_was_taken_away_does_not_announce_a_shutdown_for_ever(
    one: Server,
) -> None:
    name = name_of(one)
    one.jupyter.kernel_models = [kernel_model(name, "busy")]
    one.sagemaker.apps = [SageMakerApp(name, created_at=at(days=-2))]
    one.sagemaker.tags = {name: {MARK_TAG: mark_text(at(hours=-23), "gpus", 3, "up for 9 h")}}
    watch(one, minutes=59)
    assert one.app(name).mark is not None, "the fleet may be about to sweep again"
    watch(one, minutes=61)
    assert one.app(name).mark is None


@pytest.mark.parametrize(
    "text", ["", "at= rule=x n=1 why=y", "at=tomorrow rule=r n=1 why=y", "keep", "at=2026-01-01Z"]
)
def test_a_value_that_is_no_mark_is_none(text: str) -> None:
    assert mark_of(text) is None


def test_a_mark_that_was_cut_to_a_tags_length_is_still_one() -> None:
    text = mark_text(START, "r" * 40, 7, "up for a long time " * 40)
    assert len(text) <= 256
    found = mark_of(text)
    assert found is not None
    assert (found.shutdown_at, found.rule) == (START, "r" * 40)
    assert found.why.startswith("up for a long time")


def test_a_mark_is_what_a_tag_can_hold_and_differs_from_every_other_mark_of_its_run() -> None:
    due = START + timedelta(microseconds=1)
    assert mark_text(due, "r", 1, "up for 9 h") == mark_text(START, "r", 1, "up for 9 h")
    assert mark_text(due, "r", 1, "up for 9 h") != mark_text(START, "r", 2, "up for 9 h")
    cut = 256 - len(mark_text(due, "r", 1, "x")) + 1
    # A store may drop the blanks at the end, and a changed mark is not acted on.
    assert not mark_text(due, "r", 1, "x" * (cut - 1) + " why").endswith(" ")
