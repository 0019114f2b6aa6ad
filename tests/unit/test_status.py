"""The one picture that all views show."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from sagemaker_autoshutdown.model import (
    Action,
    App,
    AppStatus,
    AppType,
    Price,
    PriceSource,
    Reason,
    ShutdownFailure,
    ShutdownProgress,
    State,
    Verdict,
)
from sagemaker_autoshutdown.status import AppView, app_views, empty, instance_views, to_json

from ..virtual import CLASSIC, SPACE
from ..worlds import LIMIT, START, app, at, kernel


def verdict(found: App, state: State = State.IDLE) -> Verdict:
    return Verdict(
        found,
        Action.KEEP,
        state,
        Reason.NO_KERNELS,
        LIMIT,
        idle_since=START,
        is_idle=state is State.IDLE,
    )


def view(found: App, progress: ShutdownProgress | None = None, *, due: bool = False) -> AppView:
    decided = verdict(found)
    if due:
        decided = replace(decided, action=Action.SHUT_DOWN)
    (only,) = app_views([decided], [], {found.name: progress} if progress else {}, {})
    return only


FAILURE = ShutdownFailure("ThrottlingException", "slow", "wait", None, 3, at(hours=2), at(hours=3))


class TestApps:
    def test_a_shutdown_under_way_is_shown_before_sagemaker_says_so(self) -> None:
        shown = view(app(), ShutdownProgress(Reason.IDLE_TIMEOUT, at(hours=2)))
        assert (shown.state, shown.reason, shown.since, shown.error) == (
            State.SHUTTING_DOWN,
            Reason.IDLE_TIMEOUT,
            at(hours=2),
            None,
        )

    def test_f25_a_shutdown_that_fails_is_shown_with_what_is_wrong(self) -> None:
        shown = view(app(), ShutdownProgress(Reason.IDLE_TIMEOUT, at(hours=2), FAILURE), due=True)
        assert (shown.state, shown.reason, shown.error) == (
            State.FAILED,
            Reason.SHUTDOWN_FAILED,
            FAILURE,
        )

    def test_what_sagemaker_says_outweighs_what_was_tried(self) -> None:
        deleting = app(status=AppStatus.DELETING)
        assert view(deleting, ShutdownProgress(Reason.IDLE_TIMEOUT, START, FAILURE)).error is None

    def test_f20_sagemakers_own_reason_for_a_failed_app_is_shown(self) -> None:
        assert view(app(failure="the image is gone")).subject == "the image is gone"

    def test_work_that_could_be_anothers_is_marked(self) -> None:
        verdicts = [verdict(app("a")), verdict(app("b"))]
        mine, shared = kernel("idle", "a", id="1"), kernel("idle", "a", "b", id="2")
        views = app_views(verdicts, [mine, shared], {}, {})
        assert [(work.id, work.shared) for work in views[0].work] == [("1", False), ("2", True)]
        assert [work.id for work in views[1].work] == ["2"]


class TestInstances:
    @staticmethod
    def price(instance_type: str, app_type: AppType) -> Price:
        return Price(instance_type, Decimal("0.05"), PriceSource.LIST, "2026-09-01")

    def test_in_classic_the_apps_on_one_instance_type_are_one_bill(self) -> None:
        verdicts = [
            verdict(app("a")),
            verdict(app("b", run_started_at=at(hours=-1)), State.BUSY),
            verdict(app("g", instance_type="ml.g5.xlarge")),
        ]
        g5, t3 = instance_views(
            CLASSIC,
            verdicts,
            self.price,
            lambda *_: None,
        )
        assert (t3.app_names, t3.idle, t3.up_since) == (("a", "b"), False, at(hours=-1))
        assert (g5.app_names, g5.idle, g5.usd_per_hour) == (("g",), True, Decimal("0.05"))

    def test_in_a_space_the_app_is_the_instance(self) -> None:
        verdicts = [verdict(app("a")), verdict(app("b"))]
        views = instance_views(SPACE, verdicts, self.price, lambda *_: None)
        assert [one.app_names for one in views] == [("a",), ("b",)]

    @pytest.mark.parametrize(
        ("status", "billed"),
        [
            (AppStatus.PENDING, False),
            (AppStatus.IN_SERVICE, True),
            (AppStatus.DELETING, True),
            (AppStatus.DELETED, False),
            (AppStatus.FAILED, False),
        ],
    )
    def test_f19_f20_deleting_is_billed_and_failed_is_not(
        self, status: AppStatus, billed: bool
    ) -> None:
        views = instance_views(CLASSIC, [verdict(app(status=status))], self.price, lambda *_: None)
        assert bool(views) is billed


class TestJson:
    def test_times_are_utc_durations_are_seconds_and_money_is_text(self) -> None:
        eastern = timezone(timedelta(hours=-4))
        value = {
            "at": datetime(2026, 9, 1, 8, 0, 0, 5, tzinfo=eastern),
            "for": timedelta(hours=2),
            "usd": Decimal("1E-7"),
            "state": State.SHUTTING_DOWN,
            "all": (1, None, "x"),
        }
        assert to_json(value) == {
            "at": "2026-09-01T12:00:00.000005Z",
            "for": 7200.0,
            "usd": "0.0000001",
            "state": "shutting_down",
            "all": [1, None, "x"],
        }

    def test_a_whole_status_can_be_written(self) -> None:
        document = json.loads(json.dumps(to_json(empty(CLASSIC, START))))
        assert document["host"] == "classic"
        assert document["now"] == "2026-09-01T12:00:00Z"
        assert document["checked_at"] is None
