"""The last check before a shutdown: each fact that it compares spares an app by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.fleet.acting.model import (
    EXCEPTION_TAG,
    Answer,
    Hold,
    Limits,
    Phase,
    Present,
    RunId,
    Verdict,
)
from sagemaker_autoshutdown.fleet.acting.steps import Check, last_check

from .scenes import NOON, SCOPE, app

MINUTE = timedelta(minutes=1)
RUN = RunId(SCOPE, app("CodeEditor").key, NOON)
NOW = NOON + 60 * MINUTE
VERDICT = Verdict(RUN, Answer.DUE, NOW, NOON, "rule", warning=15 * MINUTE, acts=True)
HOLD = Hold(
    RUN, Phase.ACTING, 4, NOON, NOW, "rule", told=True, mark="at=12 n=2", due_at=NOW, arn="arn"
)
PRESENT = Present("InService", NOON, NOW, "arn", {}, "at=12 n=2")


def check(
    present: Present | None = PRESENT, hold: Hold = HOLD, verdict: Verdict = VERDICT
) -> tuple[Check, datetime | None]:
    found = last_check(hold, verdict, present, Limits())
    return found.check, found.kept_until


def changed(**changes: Any) -> Present:
    return replace(PRESENT, **changes)


def test_what_is_as_it_was_marked_goes() -> None:
    """All others differ from this one in one thing."""
    assert check() == (Check.GO, None)


@pytest.mark.parametrize("seconds", [-86400, -1, 1, 2, 86400])
def test_an_app_that_was_created_at_another_time_is_another_run(seconds: int) -> None:
    """Even if it carries the mark: tags may outlive an app."""
    assert check(changed(created_at=NOON + timedelta(seconds=seconds)))[0] is Check.SPARE


def test_a_creation_time_that_was_rounded_is_the_same() -> None:
    assert check(changed(created_at=NOON + timedelta(milliseconds=999)))[0] is Check.GO


@pytest.mark.parametrize("status", ["Pending", "Failed", "Updating", "", "Unheard"])
def test_an_app_that_is_not_in_service_is_left_alone(status: str) -> None:
    assert check(changed(status=status))[0] is Check.SPARE


@pytest.mark.parametrize("status", ["Deleting", "Deleted", "Stopping", "Stopped"])
def test_an_app_on_its_way_out_needs_no_call(status: str) -> None:
    assert check(changed(status=status))[0] is Check.GONE


def test_an_app_that_is_not_there_is_gone() -> None:
    assert check(None)[0] is Check.GONE


@pytest.mark.parametrize("mark", ["", "at=12 n=1", "another"])
def test_an_app_without_the_very_mark_of_the_hold_is_spared(mark: str) -> None:
    assert check(changed(mark=mark))[0] is Check.SPARE


def test_an_app_whose_tags_can_not_be_read_is_not_shut_down() -> None:
    assert check(changed(tags=None))[0] is Check.UNSEEN


def test_an_app_is_not_shut_down_before_its_warning_is_over_on_sagemakers_clock() -> None:
    assert check(changed(at=NOW - timedelta(seconds=1)))[0] is Check.WAIT


def test_an_exception_that_a_user_sets_meanwhile_keeps_it_and_is_bounded() -> None:
    tags = {EXCEPTION_TAG: "keep-until:2099-01-01"}
    assert check(changed(tags=tags)) == (Check.KEEP, NOW + Limits().max_keep)


def test_a_keep_alive_that_the_extension_reports_keeps_it() -> None:
    until = NOW + 5 * MINUTE
    assert check(verdict=replace(VERDICT, kept_until=until)) == (Check.KEEP, until)


@pytest.mark.parametrize("value", ["keep-until:2026-08-31", "keep-until:", "keep", "forever"])
def test_an_exception_that_is_over_or_unreadable_keeps_nothing(value: str) -> None:
    assert check(changed(tags={EXCEPTION_TAG: value}))[0] is Check.GO


def test_what_has_been_kept_for_as_long_as_allowed_goes() -> None:
    kept = changed(tags={EXCEPTION_TAG: "keep-until:2099-01-01"})
    most = NOW - Limits().max_keep
    assert check(kept, replace(HOLD, kept_since=most))[0] is Check.GO
    last = replace(HOLD, kept_since=most + MINUTE)
    assert check(kept, last) == (Check.KEEP, NOW + MINUTE)
