"""When an app is shut down, and when it is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sagemaker_autoshutdown.model import Action, AppStatus, Holds, Reason, State, WorkKind
from sagemaker_autoshutdown.settings.admin import Policy, Rule

from ..worlds import LIMIT, START, WARNING, World, app, at, kernel, terminal


def test_f1_an_app_without_kernels_is_shut_down() -> None:
    world = World()
    assert world.one(at(minutes=30)).reason is Reason.NO_KERNELS
    warned = world.one(at(hours=1, minutes=50))
    assert (warned.action, warned.state) == (Action.KEEP, State.WARNED)
    due = world.one(at(hours=2))
    assert (due.action, due.reason) == (Action.SHUT_DOWN, Reason.IDLE_TIMEOUT)


@pytest.mark.parametrize("state", ["starting", "restarting", "autorestarting"])
def test_f2_a_kernel_that_hangs_while_starting_does_not_hold_its_app_for_ever(state: str) -> None:
    world = World(work=(kernel(state, state_since=at(hours=1), last_activity=at(hours=5)),))
    assert world.one(at(hours=1, minutes=2)).action is Action.KEEP
    assert world.one(at(hours=2, minutes=59)).action is Action.KEEP
    assert world.one(at(hours=3)).action is Action.SHUT_DOWN


def test_kernels_that_answer_only_after_the_deadline_leave_users_a_full_warning() -> None:
    world = World(work=(kernel(),))
    world.observe(START)
    world.unasked = frozenset({"app"})
    held_back = world.one(at(hours=2) - WARNING)
    assert held_back.state is State.IDLE
    assert held_back.shutdown_at == at(hours=2)
    world.unasked = frozenset()
    warned = world.one(at(hours=2, minutes=1))
    assert (warned.action, warned.state) == (Action.KEEP, State.WARNED)
    assert warned.shutdown_at == at(hours=2, minutes=1) + WARNING
    assert world.one(warned.shutdown_at).action is Action.SHUT_DOWN


def test_kernels_that_answer_before_the_deadline_put_it_off_for_nobody() -> None:
    world = World(work=(kernel(),))
    world.observe(START)
    world.unasked = frozenset({"app"})
    world.observe(at(hours=2) - WARNING)
    world.unasked = frozenset()
    warned = world.one(at(hours=2) - WARNING + timedelta(seconds=5))
    assert (warned.state, warned.shutdown_at) == (State.WARNED, at(hours=2))
    assert world.one(at(hours=2)).action is Action.SHUT_DOWN


def test_f3_what_is_decided_of_one_app_does_not_depend_on_another() -> None:
    busy, idle = app("busy"), app("idle")
    world = World(apps=(busy, idle), work=(kernel("busy", "busy"),))
    world.observe(START)
    verdicts = world.observe(at(hours=3))
    assert verdicts["busy"].action is Action.KEEP
    assert verdicts["idle"].action is Action.SHUT_DOWN


def test_f4_a_kept_terminal_holds_its_app_beside_an_idle_notebook() -> None:
    world = World(work=(kernel(), terminal()), policy=Policy(keep_terminals=True))
    verdict = world.one(at(days=9))
    assert (verdict.state, verdict.reason) == (State.BUSY, Reason.TERMINAL_KEPT)
    assert verdict.subject == "terminal 1"


def test_f4_a_terminal_that_is_not_kept_counts_by_its_last_use() -> None:
    world = World(work=(kernel(), terminal(last_activity=at(hours=1))))
    world.observe(START)
    assert world.one(at(hours=2)).shutdown_at == at(hours=3)


def test_a_terminal_without_last_activity_counts_from_when_it_was_first_seen() -> None:
    world = World(work=(terminal(last_activity=None, state_since=at(hours=1)),))
    world.observe(at(hours=1))
    assert world.one(at(hours=1)).shutdown_at == at(hours=3)


def test_f5_a_kernel_older_than_the_install_is_warned_of_first_and_then_shut_down() -> None:
    world = World(work=(kernel(last_activity=START - timedelta(days=9)),))
    first_observation = at(hours=5)
    verdict = world.one(first_observation)
    assert (verdict.action, verdict.state) == (Action.KEEP, State.WARNED)
    assert verdict.shutdown_at == first_observation + WARNING
    assert world.one(first_observation + WARNING - timedelta(seconds=1)).action is Action.KEEP
    assert world.one(first_observation + WARNING).action is Action.SHUT_DOWN


def test_f13_what_could_not_be_seen_is_not_shut_down() -> None:
    world = World(activity_error="the kernels API answered 500")
    world.observe(START)
    verdict = world.one(at(days=9))
    assert (verdict.action, verdict.state, verdict.reason) == (
        Action.KEEP,
        State.UNKNOWN,
        Reason.ACTIVITY_UNSEEN,
    )


def test_apps_that_sagemaker_did_not_list_are_not_shut_down_even_on_request() -> None:
    world = World(apps_error="ThrottlingException", holds=Holds({}, frozenset({"app"})))
    assert world.one(at(days=9)).reason is Reason.APPS_UNSEEN


def test_a_deadline_that_passed_unseen_is_warned_of_anew() -> None:
    world = World()
    world.observe(START)
    world.activity_error = "down"
    world.observe(at(hours=2, minutes=1))
    world.activity_error = ""
    seen_again = at(hours=3)
    verdict = world.one(seen_again)
    assert verdict.action is Action.KEEP
    assert verdict.shutdown_at == seen_again + WARNING


def test_a_glitch_before_the_deadline_does_not_put_it_off() -> None:
    world = World()
    world.observe(START)
    world.activity_error = "down"
    world.observe(at(hours=1, minutes=59))
    world.activity_error = ""
    assert world.one(at(hours=2)).action is Action.SHUT_DOWN


def test_f15_an_open_tab_does_not_hold_an_idle_kernel() -> None:
    world = World(work=(kernel(connections=2),))
    world.observe(START)
    assert world.one(at(hours=2)).action is Action.SHUT_DOWN


def test_f15_an_open_tab_holds_it_where_the_setting_says_so() -> None:
    world = World(work=(kernel(connections=2),), policy=Policy(ignore_connections=False))
    verdict = world.one(at(days=9))
    assert (verdict.state, verdict.reason) == (State.BUSY, Reason.CONNECTED)


def test_f16_a_cell_that_runs_silently_for_days_is_never_interrupted() -> None:
    world = World(work=(kernel("busy"),))
    for hours in (1, 5, 48, 500):
        verdict = world.one(at(hours=hours))
        assert (verdict.action, verdict.state) == (Action.KEEP, State.BUSY)
        assert verdict.reason is Reason.KERNEL_BUSY
        assert verdict.shutdown_at is None


def test_f16_the_full_limit_follows_long_work() -> None:
    world = World(work=(kernel("busy"),))
    world.observe(at(hours=9))
    # Jupyter moved its clock only at the start of the cell.
    world.work = (kernel("idle"),)
    assert world.one(at(hours=9, minutes=1)).shutdown_at == at(hours=11)


@pytest.mark.parametrize("state", ["unknown", "", "hibernating"])
def test_a_state_that_is_not_known_counts_as_busy(state: str) -> None:
    world = World(work=(kernel(state),))
    verdict = world.one(at(days=9))
    assert (verdict.state, verdict.reason) == (State.BUSY, Reason.KERNEL_STATE_UNKNOWN)


@pytest.mark.parametrize("state", ["dead", "terminating"])
def test_a_kernel_that_is_over_counts_as_idle(state: str) -> None:
    world = World(work=(kernel(state),))
    world.observe(START)
    assert world.one(at(hours=2)).action is Action.SHUT_DOWN


def test_f17_a_crashed_kernel_that_says_busy_is_given_up_after_the_admins_cap() -> None:
    world = World(work=(kernel("busy"),), policy=Policy(max_busy_time=timedelta(hours=8)))
    verdict = world.one(at(hours=7))
    assert (verdict.state, verdict.since, verdict.next_at) == (State.BUSY, START, at(hours=8))
    world.observe(at(hours=8) - timedelta(seconds=1))
    verdict = world.one(at(hours=8))
    assert verdict.state is not State.BUSY
    assert verdict.shutdown_at is not None
    warned = world.one(verdict.shutdown_at - WARNING)
    assert (warned.state, warned.reason) == (State.WARNED, Reason.BUSY_TOO_LONG)
    due = world.one(verdict.shutdown_at)
    assert (due.action, due.reason) == (Action.SHUT_DOWN, Reason.BUSY_TOO_LONG)


def test_f17_a_cell_that_still_prints_is_not_given_up() -> None:
    world = World(policy=Policy(max_busy_time=timedelta(hours=8)))
    for hours in range(48):
        world.work = (kernel("busy", last_activity=at(hours=hours)),)
        assert world.one(at(hours=hours)).action is Action.KEEP


def test_a_job_that_has_left_its_terminal_holds_its_app_and_is_told_of() -> None:
    job = kernel("", kind=WorkKind.PROCESS, label="python train.py", hold=Reason.DETACHED_JOB)
    verdict = World(work=(job,)).one(at(days=9))
    assert (verdict.action, verdict.state) == (Action.KEEP, State.BUSY)
    assert (verdict.reason, verdict.subject) == (Reason.DETACHED_JOB, "python train.py")
    assert verdict.since == START


def test_f18_a_background_job_holds_its_app_whatever_its_kernel_or_terminal_says() -> None:
    job = Reason.BACKGROUND_JOB
    for item in (kernel("idle", hold=job), terminal(hold=job)):
        world = World(work=(item,))
        verdict = world.one(at(days=9))
        assert (verdict.state, verdict.reason) == (State.BUSY, Reason.BACKGROUND_JOB)


def test_f19_an_app_that_is_being_deleted_is_not_deleted_again() -> None:
    world = World(apps=(app(status=AppStatus.DELETING, status_since=at(hours=1)),))
    verdict = world.one(at(days=9))
    assert (verdict.action, verdict.state) == (Action.KEEP, State.SHUTTING_DOWN)
    assert verdict.since == at(hours=1)


def test_f20_a_failed_app_is_shown_and_left_alone() -> None:
    world = World(apps=(app(status=AppStatus.FAILED),))
    verdict = world.one(at(days=9))
    assert (verdict.action, verdict.state, verdict.reason) == (
        Action.KEEP,
        State.FAILED,
        Reason.APP_FAILED,
    )


def test_f27_activity_older_than_the_run_does_not_count() -> None:
    young = app(run_started_at=at(hours=5))
    world = World(apps=(young,), work=(kernel(last_activity=START),))
    verdict = world.one(at(hours=5, minutes=1))
    assert verdict.idle_since == at(hours=5)
    assert verdict.shutdown_at == at(hours=7)


def test_f27_a_new_run_of_the_same_name_forgets_the_last_one() -> None:
    world = World()
    world.observe(at(hours=2))
    world.apps = (app(run_started_at=at(hours=3)),)
    assert world.one(at(hours=3)).shutdown_at == at(hours=5)


def test_a_kernel_that_was_shut_down_by_hand_leaves_its_activity_behind() -> None:
    world = World(work=(kernel(last_activity=at(hours=1)),))
    world.observe(at(hours=1))
    world.work = ()
    assert world.one(at(hours=1, minutes=1)).shutdown_at == at(hours=3)


def test_a_clock_that_is_ahead_on_another_machine_does_not_put_a_shutdown_off() -> None:
    world = World(work=(kernel(last_activity=at(days=99)),))
    verdict = world.one(at(hours=1))
    assert verdict.idle_since == at(hours=1)


def test_a_lowered_limit_is_warned_of_first() -> None:
    world = World()
    world.observe(START)
    world.policy = Policy(user_idle_timeout=timedelta(minutes=20))
    lowered = at(hours=1)
    verdict = world.one(lowered)
    assert (verdict.action, verdict.shutdown_at) == (Action.KEEP, lowered + WARNING)


def test_a_limit_shorter_than_the_warning_is_not_stretched_to_it() -> None:
    world = World(policy=Policy(idle_timeout=timedelta(seconds=20)))
    assert world.one(START).shutdown_at == at(seconds=20)


def test_a_running_kernel_that_could_be_in_several_apps_holds_each_of_them() -> None:
    world = World(apps=(app("a"), app("b"), app("c")), work=(kernel("busy", "a", "b"),))
    verdicts = world.observe(at(hours=1))
    assert [verdicts[name].state for name in "abc"] == [State.BUSY, State.BUSY, State.IDLE]


def test_a_session_that_waits_for_its_kernel_counts_once_not_for_ever() -> None:
    waiting = kernel("", kind=WorkKind.SESSION, last_activity=None, state_since=at(hours=1))
    world = World(work=(waiting,))
    world.observe(at(hours=1))
    assert world.one(at(hours=3)).action is Action.SHUT_DOWN


def test_an_app_is_called_active_for_a_while_after_its_last_activity() -> None:
    world = World(work=(kernel(),))
    first = world.one(at(minutes=1))
    assert (first.state, first.next_at) == (State.ACTIVE, at(minutes=5))
    later = world.one(at(minutes=5))
    assert (later.state, later.reason) == (State.IDLE, Reason.NO_RECENT_ACTIVITY)
    assert later.next_at == at(hours=1, minutes=50)


def test_an_app_is_idle_once_it_was_not_used_for_active_time_kept_or_warned_or_not() -> None:
    for world in (
        World(),
        World(holds=Holds({"app": at(hours=4)})),
        World(policy=Policy(idle_timeout=timedelta(minutes=6))),
        World(policy=Policy(idle_timeout=timedelta(minutes=1), dry_run=True)),
    ):
        assert not world.one(at(seconds=1)).is_idle
        before = world.one(at(minutes=4))
        assert (before.is_idle, before.next_at) == (False, at(minutes=5))
        assert world.one(at(minutes=5)).is_idle


class TestKeepAlive:
    """A user's keep-alive."""

    def kept(self, **until: float) -> World:
        world = World()
        world.observe(START)
        world.holds = Holds({"app": at(**until)})
        return world

    def test_nothing_is_shut_down_before_its_end(self) -> None:
        world = self.kept(hours=4)
        assert world.one(at(hours=3)).state is State.KEPT
        assert world.one(at(hours=3, minutes=59)).action is Action.KEEP

    def test_its_end_is_warned_of_and_then_kept_to(self) -> None:
        world = self.kept(hours=4)
        world.observe(at(hours=3))
        assert world.one(at(hours=3, minutes=50)).state is State.WARNED
        assert world.one(at(hours=4)).action is Action.SHUT_DOWN

    def test_taking_it_back_is_warned_of_before_the_app_goes(self) -> None:
        world = self.kept(hours=9)
        world.observe(at(hours=5))
        world.holds = Holds()
        verdict = world.one(at(hours=5, minutes=1))
        assert (verdict.action, verdict.shutdown_at) == (
            Action.KEEP,
            at(hours=5, minutes=1) + WARNING,
        )

    def test_a_short_one_does_not_bring_the_deadline_forward(self) -> None:
        world = self.kept(minutes=30)
        assert world.one(at(minutes=20)).shutdown_at == at(hours=2)
        assert world.one(at(minutes=40)).shutdown_at == at(hours=2)


def test_a_users_request_outweighs_a_running_cell() -> None:
    world = World(work=(kernel("busy"),), holds=Holds({}, frozenset({"app"})))
    verdict = world.one(at(minutes=1))
    assert (verdict.action, verdict.reason) == (Action.SHUT_DOWN, Reason.USER_REQUEST)


def test_dry_run_shuts_nothing_down_at_a_users_request_either() -> None:
    world = World(policy=Policy(dry_run=True), holds=Holds({}, frozenset({"app"})))
    verdict = world.one(at(minutes=1))
    assert (verdict.action, verdict.reason) == (Action.KEEP, Reason.DRY_RUN)


def test_dry_run_shuts_nothing_down_and_says_what_it_would_do() -> None:
    world = World(policy=Policy(dry_run=True))
    world.observe(START)
    verdict = world.one(at(hours=2))
    assert (verdict.action, verdict.reason) == (Action.KEEP, Reason.DRY_RUN)


class TestRules:
    """Limits by instance type, owner and app type."""

    GPU = Rule(timedelta(minutes=30), instance_type="ml.g*")
    INTERNS = Rule(timedelta(minutes=45), owner="ali*")

    def deadline(self, policy: Policy, instance_type: str = "ml.g5.xlarge") -> timedelta:
        world = World(apps=(app(instance_type=instance_type),), policy=policy)
        shutdown_at = world.one(START).shutdown_at
        assert shutdown_at is not None
        return shutdown_at - START

    def test_the_first_that_matches_wins(self) -> None:
        policy = Policy(rules=(self.GPU, self.INTERNS))
        assert self.deadline(policy) == timedelta(minutes=30)
        assert self.deadline(policy, "ml.t3.medium") == timedelta(minutes=45)

    def test_none_that_matches_leaves_the_general_limit(self) -> None:
        other = replace(self.INTERNS, owner="bob")
        assert self.deadline(Policy(rules=(other,))) == LIMIT

    def test_a_user_can_shorten_a_rules_limit_but_not_lengthen_it(self) -> None:
        for minutes, expected in ((10, 10), (300, 30)):
            policy = Policy(rules=(self.GPU,), user_idle_timeout=timedelta(minutes=minutes))
            assert self.deadline(policy) == timedelta(minutes=expected)

    def test_the_app_type_is_matched(self) -> None:
        rule = Rule(timedelta(minutes=1), app_type="JupyterLab")
        assert self.deadline(Policy(rules=(rule,))) == LIMIT
