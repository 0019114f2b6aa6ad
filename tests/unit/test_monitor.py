"""The loop: it checks on time, acts on time, and survives errors.

Everything runs in virtual time, including the loop's own sleeps.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import AwsError, ErrorKind
from sagemaker_autoshutdown.errors import Conflict, InvalidRequest, UnknownApp
from sagemaker_autoshutdown.model import (
    AppStatus,
    EventKind,
    Host,
    HostKind,
    Problem,
    Reason,
    State,
)

from ..virtual import (
    BROKEN,
    CLASSIC,
    DENIED,
    NOTEBOOK_INSTANCE,
    SPACE,
    SageMakerApp,
    Server,
    failing,
    kernel_model,
    server,
)
from ..worlds import START, at

#: The calls by which each host asks SageMaker for its apps.
LISTINGS = ("ListApps", "DescribeApp", "DescribeNotebookInstance")
WARNINGS = (EventKind.WARNING, EventKind.WARNING_OVER)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that are not started yet, with idle apps ``a`` and ``b`` by default."""
    made: list[AbstractContextManager[Server]] = []

    def make_one(*names: str, **traits: Any) -> Server:
        context = server(tmp_path / "data", **traits)
        one = context.__enter__()
        made.append(context)
        one.sagemaker.apps = [SageMakerApp(name) for name in names or ("a", "b")]
        return one

    yield make_one
    for context in made:
        context.__exit__(None, None, None)


def deleted(server: Server) -> list[str]:
    return [name for name, _ in server.sagemaker.deletions]


class TestDeadlines:
    """``exact deadlines``: for any poll interval."""

    def test_it_is_met_to_the_millisecond(self, make: Callable[..., Server]) -> None:
        one = make("a", poll_interval=47, idle_timeout=1234.5).start()
        one.run(hours=1)
        ((name, when),) = one.sagemaker.deletions
        assert name == "a"
        assert timedelta(0) <= when - at(seconds=1234.5) < timedelta(milliseconds=10)

    def test_the_world_is_looked_at_just_before(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(hours=1, minutes=59, seconds=59)
        one.jupyter.kernel_models = [kernel_model("a", "busy")]
        one.run(hours=3)
        assert deleted(one) == []
        assert one.app("a").state is State.BUSY

    @pytest.mark.parametrize("host", [SPACE, NOTEBOOK_INSTANCE], ids=lambda host: host.kind.value)
    def test_a_server_that_runs_in_its_own_app_is_shut_down_too(
        self, make: Callable[..., Server], host: Host
    ) -> None:
        one = make(host.app_name, host=host).start()
        one.run(hours=2, minutes=1)
        assert one.sagemaker.deletions == [(host.app_name, at(hours=2))]

    def test_the_last_answer_about_its_own_app_will_do_until_something_is_due(
        self, make: Callable[..., Server]
    ) -> None:
        # Two minutes after an answer that would otherwise be good for five.
        one = make(NOTEBOOK_INSTANCE.app_name, host=NOTEBOOK_INSTANCE, idle_timeout=7320).start()
        one.run(hours=1)
        asked = one.sagemaker.of("DescribeNotebookInstance")
        assert len(asked) <= 13
        one.run(hours=1, minutes=51, seconds=59)
        one.sagemaker.apps[0].status = "Stopping"
        one.run(hours=1, minutes=52, seconds=1)
        # It is seen at the moment of the warning, and nobody is warned.
        (app,) = one.status.apps
        assert app.state is State.SHUTTING_DOWN
        one.run(hours=2, minutes=3)
        assert one.sagemaker.deletions == []

    def test_a_stop_after_the_warning_is_seen_at_the_next_check(
        self, make: Callable[..., Server]
    ) -> None:
        one = make(NOTEBOOK_INSTANCE.app_name, host=NOTEBOOK_INSTANCE, idle_timeout=7320).start()
        one.run(hours=1, minutes=54, seconds=30)
        one.sagemaker.apps[0].status = "Stopping"
        one.run(hours=1, minutes=55, seconds=1)
        (app,) = one.status.apps
        assert app.state is State.SHUTTING_DOWN

    def test_the_next_check_is_told_before_it_comes(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=10, seconds=30)
        assert (one.status.checked_at, one.status.next_check_at) == (at(minutes=10), at(minutes=11))
        one.run(hours=1, minutes=59, seconds=40)
        assert one.status.next_check_at == at(hours=2)

    def test_a_lasting_condition_does_not_make_it_spin(self, make: Callable[..., Server]) -> None:
        one = make("a", "b", dry_run=True).start()
        one.sagemaker.errors["DeleteApp"] = BROKEN
        one.run(hours=12)
        assert one.jupyter.observations < 12 * 60 + 20


class TestHowOftenSageMakerIsAsked:
    """Every fifth check, and whenever there is a reason."""

    @pytest.fixture(params=[CLASSIC, SPACE, NOTEBOOK_INSTANCE], ids=lambda host: host.kind.value)
    def one(self, request: pytest.FixtureRequest, make: Callable[..., Server]) -> Server:
        """A server of each host whose app is in service."""
        host: Host = request.param
        return make(host.app_name or "a", host=host)

    @staticmethod
    def listings(one: Server) -> int:
        """How often SageMaker was asked for the apps."""
        asked = (one.sagemaker.of(operation) for operation in LISTINGS)
        return sum(map(len, asked))

    def test_a_thousand_servers_do_not_ask_a_thousand_times_a_minute(self, one: Server) -> None:
        one.start().run(minutes=14.5)
        assert one.jupyter.observations == 15
        assert self.listings(one) == 3

    def test_a_new_app_is_seen_with_its_first_kernel(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=31)
        one.sagemaker.apps.append(SageMakerApp("new", created_at=one.now()))
        one.jupyter.kernel_models = [kernel_model("new", "busy")]
        one.run(minutes=32, seconds=1)
        assert one.app("new").state is State.BUSY

    def test_a_new_app_is_seen_with_its_first_terminal(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=31)
        one.sagemaker.apps.append(SageMakerApp("new", created_at=one.now()))
        one.jupyter.terminal_models = [{"name": "arn:x", "last_activity": None}]
        one.run(minutes=32, seconds=1)
        assert one.app("new").run_started_at >= at(minutes=30)

    def test_an_app_that_goes_with_its_kernels_is_not_shown_for_longer(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b")
        one.jupyter.kernel_models = [kernel_model("a", "busy"), kernel_model("b", "busy")]
        one.start().run(minutes=31)
        del one.jupyter.kernel_models[1], one.sagemaker.apps[1]
        one.run(minutes=32, seconds=1)
        assert [app.app_name for app in one.status.apps] == ["a"]

    def test_an_app_without_kernels_is_seen_five_checks_later(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", poll_interval=30).start()
        one.run(minutes=30, seconds=1)
        one.sagemaker.apps.append(SageMakerApp("new", created_at=one.now()))
        one.run(minutes=32, seconds=31)
        assert one.app("new").run_started_at >= at(minutes=30)

    def test_who_opens_the_panel_sees_what_is_there(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=30, seconds=1)
        one.sagemaker.apps.append(SageMakerApp("new", created_at=one.now()))
        one.monitor.check_afresh()
        one.run(minutes=30, seconds=2)
        assert one.app("new").run_started_at >= at(minutes=30)

    def test_with_no_app_yet_the_first_is_seen_at_the_next_check(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a")
        one.sagemaker.apps.clear()
        one.start().run(minutes=30, seconds=1)
        one.sagemaker.apps.append(SageMakerApp("new", created_at=one.now()))
        one.run(minutes=31, seconds=1)
        assert one.app("new").run_started_at >= at(minutes=30)

    def test_an_app_that_is_not_in_service_is_followed_at_every_check(self, one: Server) -> None:
        one.sagemaker.apps[0].status = "Pending"
        one.start()
        for minute, status in enumerate(("Resting", "Deleting", "InService")):
            one.run(minutes=minute, seconds=1)
            one.sagemaker.apps[0].status = status
        one.run(minutes=7, seconds=30)
        assert self.listings(one) == 4

    def test_what_became_of_a_shutdown_is_followed_at_every_check(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=1)
        one.do(one.commands.shut_down("a"))
        one.sagemaker.apps.clear()
        one.run(minutes=2, seconds=1)
        assert one.status.apps == ()

    def test_an_app_that_could_not_be_shut_down_because_it_is_gone_goes_from_the_list(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b").start()
        one.run(minutes=1)
        one.sagemaker.errors["DeleteApp"] = failing(ErrorKind.NOT_FOUND, "ResourceNotFound")
        del one.sagemaker.apps[0]
        one.do(one.commands.shut_down("a"))
        one.run(minutes=2, seconds=1)
        assert [app.app_name for app in one.status.apps] == ["b"]

    def test_after_a_failure_it_is_asked_at_the_next_check(self, one: Server) -> None:
        one.start().run(minutes=4, seconds=30)
        one.sagemaker.errors = dict.fromkeys(LISTINGS, DENIED)
        one.run(minutes=5, seconds=30)
        assert [app.state for app in one.status.apps] == [State.UNKNOWN]
        one.sagemaker.errors = {}
        one.run(minutes=6, seconds=30)
        assert [app.state for app in one.status.apps] == [State.IDLE]

    def test_a_failure_is_not_covered_by_an_answer_that_came_before_it(self, one: Server) -> None:
        one.start().run(hours=1, minutes=51, seconds=30)
        assert [app.state for app in one.status.apps] == [State.WARNED]
        one.sagemaker.errors = dict.fromkeys(LISTINGS, DENIED)
        for minute in (52, 53, 54):
            one.run(hours=1, minutes=minute, seconds=30)
            assert [app.state for app in one.status.apps] == [State.UNKNOWN]

    def test_kernels_that_could_not_be_read_did_not_go(self, one: Server) -> None:
        one.jupyter.kernel_models = [kernel_model(one.sagemaker.apps[0].name)]
        one.start().run(minutes=1)
        one.jupyter.kernel_models = RuntimeError("no answer")
        one.run(minutes=4, seconds=30)
        assert self.listings(one) == 1

    def test_a_clock_that_was_set_back_does_not_make_an_answer_good_for_longer(
        self, one: Server
    ) -> None:
        one.start().run(minutes=1)
        one.clock_error = timedelta(hours=-5)
        one.run(minutes=2, seconds=30)
        assert self.listings(one) == 2


class TestEachAppOnItsOwn:
    def test_f3_a_delete_that_fails_keeps_no_other_app_from_being_deleted(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b", "c").start()
        one.sagemaker.errors["DeleteApp", "a"] = BROKEN
        one.run(hours=2, seconds=20)
        assert sorted(deleted(one)) == ["a", "b", "c"]
        app = one.app("a")
        assert (app.state, app.reason) == (State.FAILED, Reason.SHUTDOWN_FAILED)
        assert app.error is not None
        assert (app.error.code, app.error.attempts) == ("ValidationException", 1)
        assert app.error.since == at(hours=2)
        (failure,) = one.told(EventKind.FAILURE)
        assert "ValidationException: it did not work" in failure.message

        del one.sagemaker.errors["DeleteApp", "a"]
        one.run(hours=2, minutes=1)
        assert deleted(one).count("a") == 2
        assert one.app("a").error is None

    def test_a_delete_that_hangs_delays_no_other(self, make: Callable[..., Server]) -> None:
        one = make("a", "b")
        one.sagemaker.errors["DeleteApp", "a"] = 1e9
        one.sagemaker.apps[0].created_at = at(seconds=-10)
        one.start().run(hours=2, seconds=30)
        assert one.sagemaker.deletions == [("a", at(seconds=7190)), ("b", at(hours=2))]
        assert one.app("a").state is State.SHUTTING_DOWN

    def test_one_that_hangs_is_told_and_tried_again(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = 1e9
        one.run(hours=2, minutes=1, seconds=1)
        error = one.app("a").error
        assert error is not None
        assert error.code == "Timeout"
        one.sagemaker.errors.clear()
        one.run(hours=2, minutes=2)
        assert one.app("a").status is AppStatus.DELETING

    def test_f19_what_is_being_deleted_for_long_is_shown_and_not_deleted_again(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.deleting = timedelta(minutes=20)
        one.run(hours=2, minutes=19)
        assert deleted(one) == ["a"]
        assert (one.app("a").state, one.app("a").status) == (
            State.SHUTTING_DOWN,
            AppStatus.DELETING,
        )
        assert one.status.instances[0].app_names == ("a",)
        assert one.told(EventKind.GONE) == []
        one.run(hours=2, minutes=22)
        assert deleted(one) == ["a"]
        assert [event.app_name for event in one.told(EventKind.GONE)] == ["a"]
        assert one.status.apps == ()

    def test_a_delete_that_was_lost_by_aws_is_asked_for_again(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.forgetful = True
        one.run(hours=2, minutes=4)
        assert deleted(one) == ["a"]
        one.run(hours=2, minutes=7)
        assert deleted(one) == ["a", "a"]

    @pytest.mark.parametrize("answer", ["accepted", "not found"])
    def test_a_deletion_that_comes_to_nothing_is_tried_later_and_later_and_says_why(
        self, make: Callable[..., Server], answer: str
    ) -> None:
        one = make("a", "b").start()
        one.sagemaker.forgetful = True
        if answer == "not found":
            error = failing(ErrorKind.NOT_FOUND, "ResourceNotFound")
            one.sagemaker.errors["DeleteApp"] = error
        one.run(hours=2, minutes=6, seconds=10)
        view = one.app("a")
        assert (view.state, view.reason) == (State.FAILED, Reason.SHUTDOWN_FAILED)
        assert view.error is not None
        assert view.error.attempts == 1
        assert view.error.retry_at is not None
        assert "in service" in view.error.message
        assert ("can't find it" in view.error.message) == (answer == "not found")
        one.run(days=1, hours=2)
        assert 15 < deleted(one).count("a") < 40
        # Once it does go, no trace of the failure is left.
        one.sagemaker.forgetful = False
        one.sagemaker.errors.clear()
        one.run(days=1, hours=4)
        assert {app.app_name: app.error for app in one.status.apps}.get("a") is None
        assert [event.kind for event in one.told()][-1] is EventKind.GONE

    def test_a_deletion_that_came_to_nothing_is_forgotten_when_the_app_is_used(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.forgetful = True
        one.run(hours=2, minutes=3)
        one.jupyter.kernel_models = [kernel_model("a", "busy")]
        one.run(hours=9)
        assert deleted(one) == ["a"]
        assert (one.app("a").state, one.app("a").error) == (State.BUSY, None)

    def test_an_app_that_was_started_again_at_once_is_not_said_to_be_going(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        # It is gone and back before the next observation.
        one.sagemaker.forgetful = True
        one.run(hours=2, seconds=1)
        assert deleted(one) == ["a"]
        one.sagemaker.apps = [SageMakerApp("a", created_at=one.now())]
        one.run(hours=2, minutes=1, seconds=30)
        assert one.app("a").state is State.ACTIVE

    def test_f20_a_failed_app_is_shown_and_not_touched(self, make: Callable[..., Server]) -> None:
        one = make("a", "b")
        one.sagemaker.apps[0].status = "Failed"
        one.start().run(days=2)
        assert deleted(one) == ["b"]
        assert (one.app("a").state, one.app("a").reason) == (State.FAILED, Reason.APP_FAILED)
        assert one.status.instances == ()

    def test_a_status_that_sagemaker_invents_tomorrow_holds_that_app_only(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b").start()
        one.run(minutes=5)
        one.sagemaker.apps[0].status = "Hibernating"
        one.run(hours=3)
        assert deleted(one) == ["b"]
        assert "check_failed" not in one.problems()
        assert one.app("a").state is State.UNKNOWN
        assert "Hibernating" in one.app("a").subject
        # It was not a new run: it gets a warning, and its two hours do not start again.
        one.sagemaker.apps[0].status = "InService"
        one.run(hours=3, minutes=12)
        assert deleted(one) == ["b", "a"]

    def test_settings_that_could_not_be_saved_are_once_they_can(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.data_dir.parent.mkdir(parents=True, exist_ok=True)
        one.data_dir.write_text("in the way")
        one.do(one.commands.change_settings({"idle_timeout": 3600}))
        one.run(minutes=5)
        assert "settings_not_saved" in one.problems()
        one.data_dir.unlink()
        one.run(minutes=7)
        assert "settings_not_saved" not in one.problems()
        assert (one.data_dir / "settings.json").exists()


class TestWhatAwsAnswers:
    def test_f25_access_denied_names_the_missing_action_and_backs_off_for_long(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = DENIED
        one.run(hours=2, seconds=1)
        error = one.app("a").error
        assert error is not None
        assert error.iam_action == "sagemaker:DeleteApp"
        assert "sagemaker:DeleteApp" in error.remedy
        assert error.retry_at == at(hours=2, minutes=8)
        one.run(hours=14)
        gaps = [
            later - earlier
            for (_, earlier), (_, later) in zip(
                one.sagemaker.deletions, one.sagemaker.deletions[1:]
            )
        ]
        assert gaps[:3] == [timedelta(minutes=minutes) for minutes in (8, 16, 32)]
        assert set(gaps[3:]) == {timedelta(hours=1)}
        error = one.app("a").error
        assert error is not None
        assert (error.since, error.attempts) == (at(hours=2), len(one.sagemaker.deletions))

    def test_other_errors_are_retried_after_30_s_then_later_and_later(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = BROKEN
        one.run(hours=2, minutes=4)
        assert [when for _, when in one.sagemaker.deletions] == [
            at(hours=2, seconds=seconds) for seconds in (0, 30, 90, 210)
        ]

    def test_throttling_is_no_users_business_but_is_retried(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = failing(ErrorKind.THROTTLED, "ThrottlingException")
        one.run(hours=2, seconds=1)
        error = one.app("a").error
        assert error is not None
        assert error.iam_action is None
        assert "limits the rate" in error.remedy
        one.sagemaker.errors.clear()
        one.run(hours=2, minutes=1)
        assert one.app("a").status is AppStatus.DELETING

    def test_an_app_that_is_not_found_is_gone_as_wanted(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = failing(ErrorKind.NOT_FOUND, "ResourceNotFound")
        one.run(hours=2, seconds=1)
        assert one.told(EventKind.FAILURE) == []
        one.sagemaker.apps.clear()
        one.run(hours=2, minutes=2)
        assert [event.kind for event in one.told()][-2:] == [EventKind.SHUTDOWN, EventKind.GONE]

    def test_an_app_in_use_is_tried_again_until_it_is_not(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = failing(ErrorKind.IN_USE, "ResourceInUse")
        one.run(hours=2, seconds=1)
        one.sagemaker.apps[0].status = "Deleting"  # by somebody else
        one.run(hours=2, minutes=2)
        assert deleted(one) == ["a"]
        assert (one.app("a").state, one.app("a").error) == (State.SHUTTING_DOWN, None)

    def test_errors_that_differ_in_a_request_id_only_are_one_outage(
        self, make: Callable[..., Server], caplog: pytest.LogCaptureFixture
    ) -> None:
        one = make("a").start()
        shown: set[str] = set()
        for minute in range(1, 60):
            one.sagemaker.errors["ListApps"] = AwsError(
                ErrorKind.OTHER,
                "sagemaker:ListApps",
                "InternalFailure",
                f"failed (request id: {uuid.UUID(int=minute)}, extended 0x7f00{minute:06x})",
            )
            one.run(minutes=minute, seconds=5)
            shown.update(problem.message for problem in one.status.problems)
        assert caplog.text.count("InternalFailure") == 1
        assert len(shown) == 1

    def test_while_apps_can_not_be_listed_nothing_is_deleted_and_that_is_said(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b").start()
        one.run(minutes=5, seconds=1)
        one.sagemaker.errors["ListApps"] = failing(
            ErrorKind.ACCESS_DENIED, "AccessDeniedException", "ListApps"
        )
        one.run(hours=5)
        assert deleted(one) == []
        problem = one.problems()["access_denied"]
        assert problem.iam_action == "sagemaker:ListApps"
        assert problem.since == at(minutes=10)
        assert [app.state for app in one.status.apps] == [State.UNKNOWN, State.UNKNOWN]

        del one.sagemaker.errors["ListApps"]
        one.run(hours=5, minutes=9, seconds=30)
        assert one.problems() == {}
        # Apps that became overdue unseen get a warning first.
        assert deleted(one) == []
        one.run(hours=5, minutes=12)
        assert deleted(one) == ["a", "b"]

    def test_what_is_wrong_with_the_admins_prices_is_in_the_status(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        fault = Problem("bad_prices", "price_file: line 2", "Correct it.", at())
        one.notebook.problems = (fault,)
        assert one.problems() == {"bad_prices": fault}

    def test_a_failure_is_not_forgotten_while_apps_can_not_be_seen(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=1, seconds=1)
        one.sagemaker.errors["DeleteApp"] = DENIED
        one.do(one.commands.shut_down("a"))
        one.run(minutes=2, seconds=1)
        one.sagemaker.errors["ListApps"] = BROKEN
        one.run(minutes=4, seconds=1)
        del one.sagemaker.errors["ListApps"]
        one.run(minutes=6, seconds=1)
        error = one.app("a").error
        assert error is not None
        assert (error.attempts, deleted(one)) == (1, ["a"])


class TestUnseen:
    def test_f13_kernels_that_can_not_be_listed_are_unknown_and_never_shut_down(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b")
        one.jupyter.kernel_models = OSError("the gateway is away")
        one.start().run(days=3)
        assert deleted(one) == []
        assert {app.reason for app in one.status.apps} == {Reason.ACTIVITY_UNSEEN}
        problem = one.problems()["activity_unseen"]
        assert "the gateway is away" in problem.message
        assert one.overdue()
        one.jupyter.kernel_models = []
        one.run(days=3, minutes=2)
        assert (one.problems(), one.overdue()) == ({}, False)

    def test_kernels_that_are_never_answered_for_do_not_stop_the_loop(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a")
        one.jupyter.hangs = True
        one.start().run(hours=1)
        assert one.jupyter.observations > 10
        assert one.app("a").reason is Reason.ACTIVITY_UNSEEN

    def test_f6_the_loop_outlives_what_goes_wrong_in_a_check_and_says_so(
        self, make: Callable[..., Server], caplog: pytest.LogCaptureFixture
    ) -> None:
        one = make("a").start()
        one.run(minutes=4, seconds=1)
        one.sagemaker.errors["ListApps"] = ZeroDivisionError("a bug")
        one.run(minutes=7, seconds=30)
        problem = one.problems()["check_failed"]
        assert "ZeroDivisionError" in problem.message
        assert problem.since == at(minutes=5)
        assert not one.overdue()
        one.run(minutes=10)
        assert one.overdue()
        assert caplog.text.count("Traceback") == 1
        one.sagemaker.errors.clear()
        one.run(minutes=12)
        assert (one.problems(), one.overdue()) == ({}, False)
        one.run(hours=3)
        assert deleted(one) == ["a"]

    def test_f7_a_server_that_restarts_goes_on_by_itself_with_the_settings_that_were_made(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b").start()
        one.run(minutes=1)
        one.do(one.commands.change_settings({"idle_timeout": 1800}))
        one.do(one.commands.keep_alive("b", at(hours=4)))
        one.kill()
        one.run(minutes=2)
        one.start().run(hours=1)
        assert deleted(one) == ["a"]
        one.run(hours=5)
        assert one.sagemaker.deletions[1] == ("b", at(hours=4))

    def test_f7_without_any_settings_the_admins_default_applies(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", idle_timeout=3600).start()
        one.run(hours=2)
        assert one.sagemaker.deletions == [("a", at(hours=1))]

    def test_f28_a_broken_settings_file_is_put_aside_and_the_default_applies(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a")
        one.data_dir.mkdir()
        (one.data_dir / "settings.json").write_text("")
        one.start().run(hours=3)
        assert one.sagemaker.deletions == [("a", at(hours=2))]
        assert len(list(one.data_dir.glob("settings.json.broken-*"))) == 1
        assert not (one.data_dir / "settings.json").exists()

    def test_a_shutdown_that_was_cut_off_is_made_good_after_the_restart(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = 20.0
        one.run(hours=2, seconds=10)
        one.kill()
        one.sagemaker.errors.clear()
        one.start().run(hours=2, minutes=11)
        # Overdue when first seen: a warning first, then the shutdown.
        assert [when for _, when in one.sagemaker.deletions] == [
            at(hours=2),
            at(hours=2, minutes=10, seconds=10),
        ]

    def test_f16_a_busy_kernel_of_an_earlier_server_process_is_kept(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a")
        one.jupyter.kernel_models = [kernel_model("a", "busy")]
        one.start().run(hours=1)
        one.kill()
        one.start().run(hours=9)
        assert deleted(one) == []


class TestWorkDuringAnOutage:
    def test_work_that_ends_while_sagemaker_can_not_be_asked_is_followed_by_the_full_limit(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=5)
        one.sagemaker.errors["ListApps"] = BROKEN
        one.run(minutes=30)
        one.jupyter.kernel_models = [kernel_model(state="busy")]
        one.run(hours=5)
        one.jupyter.kernel_models = []
        one.run(hours=6)
        del one.sagemaker.errors["ListApps"]
        one.run(hours=6, minutes=58)
        assert deleted(one) == []
        one.run(hours=7, minutes=2)
        assert deleted(one) == ["a"]

    def test_a_kernel_used_meanwhile_counts_as_well(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=5)
        one.sagemaker.errors["ListApps"] = BROKEN
        one.run(hours=4)
        one.jupyter.kernel_models = [kernel_model(last=at(hours=4))]
        one.run(hours=4, minutes=2)
        one.jupyter.kernel_models = []
        one.run(hours=5)
        del one.sagemaker.errors["ListApps"]
        one.run(hours=5, minutes=59)
        assert deleted(one) == []
        one.run(hours=6, minutes=1)
        assert deleted(one) == ["a"]


class TestWarnings:
    def test_each_deadline_is_warned_of_once(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(hours=3)
        (warning,) = one.told(*WARNINGS)
        assert (warning.at, warning.shutdown_at) == (at(hours=1, minutes=50), at(hours=2))

    def test_activity_takes_it_back_and_the_next_deadline_is_warned_of_anew(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(hours=1, minutes=52, seconds=1)
        one.jupyter.kernel_models = [kernel_model(last=at(hours=1, minutes=52))]
        one.run(hours=4)
        assert [(event.kind, event.at) for event in one.told(*WARNINGS)] == [
            (EventKind.WARNING, at(hours=1, minutes=50)),
            (EventKind.WARNING_OVER, at(hours=1, minutes=53)),
            (EventKind.WARNING, at(hours=3, minutes=42)),
        ]
        assert one.sagemaker.deletions == [("a", at(hours=3, minutes=52))]

    def test_an_error_between_does_not_warn_twice(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(hours=1, minutes=52)
        one.jupyter.kernel_models = OSError("away for a while")
        one.run(hours=1, minutes=55)
        one.jupyter.kernel_models = []
        one.run(hours=3)
        assert [event.kind for event in one.told(*WARNINGS)] == [EventKind.WARNING]

    def test_retries_are_not_warned_of(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = BROKEN
        one.run(hours=6)
        assert [event.kind for event in one.told(*WARNINGS)] == [EventKind.WARNING]

    def test_an_app_that_ends_by_itself_is_not_said_to_be_spared(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(hours=1, minutes=55)
        one.sagemaker.apps.clear()
        one.run(hours=3)
        assert [event.kind for event in one.told(*WARNINGS)] == [EventKind.WARNING]

    def test_dry_run_says_once_what_it_would_do(self, make: Callable[..., Server]) -> None:
        one = make("a", dry_run=True).start()
        one.run(hours=9)
        assert deleted(one) == []
        assert [event.reason for event in one.told(*WARNINGS)] == [Reason.IDLE_TIMEOUT]
        with pytest.raises(Conflict, match="Dry run"):
            one.do(one.commands.shut_down("a"))

    def test_listeners_hear_of_changes_and_not_of_time_that_passes(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=10)
        before = one.notebook.changes
        one.run(hours=1, minutes=45)
        assert one.notebook.changes == before
        one.run(hours=1, minutes=51)
        assert one.notebook.changes == before + 1


class TestUsers:
    def test_a_keep_alive_holds_to_its_end_and_not_longer(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(hours=1, minutes=55, seconds=1)
        view = one.do(one.commands.keep_alive("a", at(hours=5)))
        assert (view.state, view.kept_until, view.shutdown_at) == (
            State.KEPT,
            at(hours=5),
            at(hours=5),
        )
        one.run(hours=6)
        assert one.sagemaker.deletions == [("a", at(hours=5))]
        assert [event.kind for event in one.told()][:4] == [
            EventKind.WARNING,
            EventKind.KEEP_ALIVE,
            EventKind.WARNING_OVER,
            EventKind.WARNING,
        ]

    def test_ending_it_brings_a_warning_before_the_end(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(hours=1)
        one.do(one.commands.keep_alive("a", at(hours=20)))
        one.run(hours=3)
        view = one.do(one.commands.end_keep_alive("a"))
        assert view.shutdown_at == at(hours=3, minutes=10)
        one.run(hours=3, seconds=1)
        assert one.app("a").state is State.WARNED
        one.do(one.commands.end_keep_alive("a"))
        assert len(one.told(EventKind.KEEP_ALIVE_ENDED)) == 1
        one.run(hours=4)
        assert one.sagemaker.deletions == [("a", at(hours=3, minutes=10))]

    def test_a_keep_alive_is_for_this_run_of_the_app(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=1)
        one.do(one.commands.keep_alive("a", at(hours=20)))
        one.sagemaker.apps.clear()
        one.run(minutes=3)
        one.sagemaker.apps = [SageMakerApp("a", created_at=one.now())]
        one.run(minutes=6)
        assert one.app("a").kept_until is None

    @pytest.mark.parametrize("hours", [-1, 0, 24.1, 1e5])
    def test_a_keep_alive_in_the_past_or_too_long_is_refused(
        self, make: Callable[..., Server], hours: float
    ) -> None:
        one = make("a").start()
        one.run(minutes=1)
        with pytest.raises(InvalidRequest) as refused:
            one.do(one.commands.keep_alive("a", one.now() + timedelta(hours=hours)))
        assert "at most 86400 seconds" in refused.value.errors["until"]
        assert one.app("a").kept_until is None

    def test_none_is_given_where_the_admin_allows_none(self, make: Callable[..., Server]) -> None:
        one = make("a", max_keep_alive=0).start()
        one.run(minutes=1)
        with pytest.raises(Conflict):
            one.do(one.commands.keep_alive("a", at(hours=1)))

    def test_a_shutdown_on_request_does_not_wait_for_the_next_check(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b")
        one.jupyter.kernel_models = [kernel_model("a", "busy")]
        one.start().run(minutes=1, seconds=5)
        view = one.do(one.commands.shut_down("a"))
        assert view.state is State.SHUTTING_DOWN
        one.run(minutes=1, seconds=6)
        assert one.sagemaker.deletions == [("a", at(minutes=1, seconds=5))]
        (event,) = one.told(EventKind.SHUTDOWN)
        assert event.reason is Reason.USER_REQUEST
        with pytest.raises(Conflict, match="already"):
            one.do(one.commands.shut_down("a"))
        with pytest.raises(Conflict, match="already"):
            one.do(one.commands.keep_alive("a", at(hours=1)))

    def test_it_ends_a_keep_alive(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=1)
        one.do(one.commands.keep_alive("a", at(hours=20)))
        one.do(one.commands.shut_down("a"))
        assert one.monitor.settings.kept_until({"a": START}) == {}
        one.run(minutes=2)
        assert deleted(one) == ["a"]

    def test_a_keep_alive_takes_back_a_request_that_has_failed_so_far(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = DENIED
        one.run(minutes=1)
        one.do(one.commands.shut_down("a"))
        one.run(minutes=2)
        one.sagemaker.errors.clear()
        assert one.do(one.commands.keep_alive("a", at(hours=20))).state is State.KEPT
        one.run(hours=19)
        assert deleted(one) == ["a"]

    def test_a_request_is_retried_at_once_when_it_is_made_again(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = DENIED
        one.run(hours=2, minutes=1)
        del one.sagemaker.errors["DeleteApp"]
        one.do(one.commands.shut_down("a"))
        one.run(hours=2, minutes=1, seconds=1)
        assert deleted(one) == ["a", "a"]
        assert one.app("a").state is State.SHUTTING_DOWN

    def test_a_request_is_for_the_run_that_the_user_saw(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = DENIED
        one.run(minutes=1)
        one.do(one.commands.shut_down("a"))
        one.run(minutes=2)
        one.sagemaker.errors.clear()
        one.sagemaker.apps = [SageMakerApp("a", created_at=at(minutes=2))]
        one.run(minutes=30)
        assert deleted(one) == ["a"]

    def test_what_is_not_there_or_on_its_way_out_is_told_apart(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=1)
        for work in (
            one.commands.shut_down("z"),
            one.commands.keep_alive("z", at(hours=1)),
            one.commands.end_keep_alive("z"),
        ):
            with pytest.raises(UnknownApp, match="'z'"):
                one.do(work)
        one.sagemaker.apps[0].status = "Pending"
        one.run(minutes=6)
        with pytest.raises(Conflict, match="Pending"):
            one.do(one.commands.keep_alive("a", at(hours=1)))

    def test_apps_that_can_not_be_seen_are_not_shut_down_on_request_either(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=1)
        one.sagemaker.errors["ListApps"] = DENIED
        one.run(minutes=6)
        with pytest.raises(Conflict, match="Try again later"):
            one.do(one.commands.shut_down("a"))

    def test_settings_apply_at_once_and_are_told(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=30)
        one.do(one.commands.change_settings({"idle_timeout": 1200}))
        assert one.app("a").shutdown_at == at(minutes=40)
        assert [event.message for event in one.told(EventKind.SETTINGS)] == [
            "the user's settings were changed: idle_timeout"
        ]
        one.run(hours=1)
        assert one.sagemaker.deletions == [("a", at(minutes=40))]

    def test_settings_that_change_nothing_are_no_event(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.do(one.commands.change_settings({"idle_timeout": None}))
        assert one.told(EventKind.SETTINGS) == []


class TestOneAdminForAll:
    """Settings that servers read from one place while they run."""

    def test_a_shorter_limit_is_in_force_without_a_restart(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", settings_source="ssm:/limits", idle_timeout=86400).start()
        one.run(hours=1)
        one.admin_document = '{"idle_timeout": 7200}'
        one.run(hours=1, minutes=7)
        told = [event.message for event in one.told(EventKind.SETTINGS)]
        assert told == ["the administrator's settings were changed: idle_timeout"]
        one.run(hours=2, minutes=1)
        assert deleted(one) == ["a"]
        assert any("ssm:/limits sets idle_timeout" in note for note in one.status.notes)

    def test_an_emergency_stop_stops_what_is_due_and_what_users_ask_for(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", "b", settings_source="ssm:/limits", idle_timeout=7200).start()
        one.run(hours=1, minutes=50)
        one.admin_document = '{"stop_shutdowns": true}'
        one.run(hours=8)
        assert deleted(one) == []
        assert "Your administrator has stopped all shutdowns." in one.status.notes
        with pytest.raises(Conflict, match="nothing is shut down"):
            one.do(one.commands.shut_down("a"))
        one.admin_document = "{}"
        one.run(hours=9)
        assert sorted(deleted(one)) == ["a", "b"]

    def test_a_stop_holds_from_a_servers_first_observation_on(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a", settings_source="ssm:/limits", idle_timeout=600)
        one.admin_document = '{"stop_shutdowns": true}'
        one.start().run(minutes=30)
        one.admin_document = "{"
        one.kill()
        one.start().run(hours=5)
        assert deleted(one) == []
        assert "settings_source" in one.problems()


class TestClocks:
    @pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone is the process's own")
    def test_f26_the_machines_time_zone_changes_nothing(
        self, make: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TZ", "America/Los_Angeles")
        time.tzset()
        try:
            one = make("a").start()
            one.run(minutes=30, seconds=1)
            # Jupyter writes UTC, with a Z or without.
            one.jupyter.kernel_models = [
                kernel_model(last_activity="2026-09-01T12:29:00.000000Z"),
                kernel_model(id="other", last_activity="2026-09-01T12:30:00"),
            ]
            one.run(hours=4)
            assert one.sagemaker.deletions == [("a", at(hours=2, minutes=30))]
            (warning, *_) = one.told()
            assert "2026-09-01T14:30:00Z" in warning.message
        finally:
            monkeypatch.undo()
            time.tzset()

    @pytest.mark.parametrize("hours", [1, 24 * 400])
    def test_a_clock_set_back_delays_by_no_more_than_the_limit(
        self, make: Callable[..., Server], hours: int
    ) -> None:
        one = make("a").start()
        one.jupyter.kernel_models = [kernel_model()]
        one.run(hours=1)
        one.clock_error = -timedelta(hours=hours)
        observations = one.jupyter.observations
        one.run(hours=1, minutes=5)
        assert 4 <= one.jupyter.observations - observations <= 7
        one.run(hours=3, minutes=5)
        assert deleted(one) == ["a"]

    def test_a_clock_set_forward_makes_nothing_overdue(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(minutes=30)
        one.jupyter.kernel_models = [kernel_model(last=at(minutes=30))]
        one.run(hours=1)
        one.clock_error = timedelta(days=1)
        one.run(hours=2, minutes=29)
        assert deleted(one) == []
        one.run(hours=2, minutes=31)
        assert deleted(one) == ["a"]
        # Users had a full warning by the new clock.
        (warning,) = one.told(EventKind.WARNING)
        assert (warning.shutdown_at or START) - warning.at >= timedelta(minutes=10)

    def test_a_kernel_that_hangs_in_starting_does_not_hang_for_longer_by_a_clock_set_forward(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.run(minutes=30)
        one.jupyter.kernel_models = [kernel_model(state="starting", last=at(minutes=30))]
        one.run(minutes=40)
        one.clock_error = timedelta(days=1)
        one.run(hours=2, minutes=29)
        assert deleted(one) == []
        one.run(hours=2, minutes=32)
        assert deleted(one) == ["a"]

    def test_a_machine_that_slept_warns_anew(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.run(hours=1, minutes=55)
        # The monotonic clock stands still while a machine sleeps.
        one.clock_error = timedelta(hours=8)
        one.run(hours=2, minutes=4)
        assert deleted(one) == []
        assert one.app("a").state is State.WARNED
        one.run(hours=2, minutes=7)
        assert deleted(one) == ["a"]


class TestLife:
    def test_f22_starting_twice_is_one_loop(self, make: Callable[..., Server]) -> None:
        one = make("a").start()
        one.monitor.start()
        one.do(_call(one.monitor.start))
        one.run(minutes=10, seconds=30)
        assert one.jupyter.observations == 11

    def test_f14_the_products_own_looking_is_no_activity(self, make: Callable[..., Server]) -> None:
        one = make("a")
        one.jupyter.kernel_models = [kernel_model(connections=3)]
        one.start()
        for minutes in range(1, 130):
            one.run(minutes=minutes)
            assert one.status.apps is not None
        assert one.sagemaker.deletions == [("a", at(hours=2))]

    def test_off_sagemaker_nothing_is_asked(self, make: Callable[..., Server]) -> None:
        one = make(host=Host(HostKind.NONE, message="not on SageMaker")).start()
        one.run(hours=9)
        assert (one.sagemaker.asked, one.jupyter.observations) == ([], 0)
        assert (one.status.host, one.status.message) == (HostKind.NONE, "not on SageMaker")
        assert not one.status.check_overdue

    def test_stopping_ends_the_loop_and_what_it_waits_for(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a").start()
        one.sagemaker.errors["DeleteApp"] = 1e9
        one.run(hours=2, seconds=1)
        one.do(one.monitor.stop())
        assert asyncio.all_tasks(one.loop) == set()
        one.do(one.monitor.stop())

    def test_f27_a_run_that_began_again_starts_its_clock_anew(
        self, make: Callable[..., Server]
    ) -> None:
        one = make("a")
        one.jupyter.kernel_models = [kernel_model()]
        one.start().run(hours=2, minutes=1)
        assert deleted(one) == ["a"]
        one.run(hours=2, minutes=5)
        # SageMaker keeps the name and the creation time of an app that is started again.
        one.sagemaker.apps = [SageMakerApp("a", status="Pending")]
        one.run(hours=2, minutes=8, seconds=1)
        one.sagemaker.apps[0].status = "InService"
        one.run(hours=4, minutes=7)
        assert deleted(one) == ["a"]
        one.run(hours=4, minutes=10)
        assert one.sagemaker.deletions[1] == ("a", at(hours=4, minutes=9))

    def test_each_check_tells_how_long_it_took(self, make: Callable[..., Server]) -> None:
        one = make("a")
        one.sagemaker.errors["ListApps"] = 0.25
        one.start()
        one.run(minutes=2)
        assert [check.duration for check in one.notebook.checks] == [
            timedelta(seconds=0.25),
            timedelta(0),
        ]


async def _call(function: Callable[[], None]) -> None:
    function()
