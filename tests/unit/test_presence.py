"""Whether somebody is there, and which limit follows."""

from __future__ import annotations

from datetime import timedelta

from sagemaker_autoshutdown.activity.presence import PresenceTracker
from sagemaker_autoshutdown.decide import AppMemory, decide
from sagemaker_autoshutdown.model import Action, Holds, Limit, Presence, Snapshot, State
from sagemaker_autoshutdown.settings.admin import Policy, Rule

from ..worlds import START, app, at, kernel

MINUTE = timedelta(minutes=1)
POLICY = Policy(
    idle_timeout=2 * timedelta(hours=1),
    closed_idle_timeout=15 * MINUTE,
    warning_time=MINUTE,
    active_time=MINUTE,
)


def test_before_any_browser_has_connected_nothing_is_known() -> None:
    tracker = PresenceTracker()
    tracker.page_closed(at(hours=1))
    assert tracker.observe(0, at(hours=2)) == Presence(is_known=False)


def test_a_websocket_that_was_cut_for_a_moment_is_no_closed_tab() -> None:
    tracker = PresenceTracker()
    assert tracker.observe(1, START) == Presence(is_known=True)
    assert tracker.observe(0, at(minutes=4)) == Presence(is_known=True)
    assert tracker.observe(1, at(minutes=5)) == Presence(is_known=True)


def test_a_tab_that_does_not_come_back_counts_as_closed_since_it_was_cut() -> None:
    tracker = PresenceTracker()
    tracker.observe(1, START)
    assert tracker.observe(0, at(minutes=5)) == Presence(True, START)
    assert tracker.observe(0, at(hours=9)) == Presence(True, START)


def test_a_page_that_says_that_it_is_closed_is_believed_at_once() -> None:
    tracker = PresenceTracker()
    tracker.observe(1, START)
    tracker.page_closed(at(minutes=1))
    assert tracker.observe(0, at(minutes=2)) == Presence(True, at(minutes=1))


def test_a_page_that_closes_while_another_tab_is_open_changes_nothing() -> None:
    tracker = PresenceTracker()
    tracker.observe(2, START)
    tracker.page_closed(at(minutes=1))
    assert tracker.observe(1, at(minutes=2)) == Presence(is_known=True)
    # The earlier report no longer applies: the other tab's connection may break.
    assert tracker.observe(0, at(minutes=3)) == Presence(is_known=True)


def test_a_websocket_that_is_counted_shortly_after_its_page_reported_its_end_is_no_other_tab() -> (
    None
):
    tracker = PresenceTracker()
    tracker.observe(1, START)
    tracker.page_closed(at(minutes=1))
    assert tracker.observe(1, at(minutes=1, seconds=2)) == Presence(is_known=True)
    assert tracker.observe(0, at(minutes=2)) == Presence(True, at(minutes=1, seconds=2))


def verdict(presence: Presence, minutes: float, policy: Policy = POLICY, busy: bool = False):  # type: ignore[no-untyped-def]
    """The deadline of an app whose kernel was last used at the start, with a warning in time."""
    work = (kernel("busy" if busy else "idle", last_activity=START),)
    snapshot = Snapshot((app(),), work, presence=presence)
    memory: dict[str, AppMemory] = {}
    for minute in range(int(minutes)):
        memory = dict(decide(snapshot, policy, "alice", Holds(), memory, at(minutes=minute)).memory)
    return decide(snapshot, policy, "alice", Holds(), memory, at(minutes=minutes)).verdicts[0]


def test_whoever_closed_the_last_tab_has_left() -> None:
    closed = Presence(True, START)
    assert verdict(closed, 14.9).action is Action.KEEP
    due = verdict(closed, 15)
    assert (due.action, due.limit) == (Action.SHUT_DOWN, Limit.CLOSED_IDLE_TIMEOUT)
    assert due.idle_timeout == 15 * MINUTE


def test_the_shorter_limit_runs_from_when_the_tab_was_closed() -> None:
    assert verdict(Presence(True, at(minutes=10)), 24.9).action is Action.KEEP
    assert verdict(Presence(True, at(minutes=10)), 25).action is Action.SHUT_DOWN


def test_a_tab_closed_late_does_not_put_the_shutdown_off() -> None:
    assert verdict(Presence(True, at(minutes=118)), 120).limit is Limit.IDLE_TIMEOUT


def test_an_open_tab_or_nothing_known_has_the_long_limit() -> None:
    for presence in (Presence(True), Presence(False)):
        told = verdict(presence, 60)
        assert (told.state, told.limit) == (State.IDLE, Limit.IDLE_TIMEOUT)


def test_what_runs_is_not_shut_down_because_nobody_watches() -> None:
    assert verdict(Presence(True, START), 6000, busy=True).action is Action.KEEP


def test_a_user_can_shorten_a_rules_limits_and_not_lengthen_them() -> None:
    rule = Rule(timedelta(hours=1), closed_idle_timeout=10 * MINUTE)
    which = {"instance_type": "ml.g5.xlarge", "owner": "a", "app_type": "JupyterLab"}
    assert Policy(rules=(rule,)).closed_limit(**which) == 10 * MINUTE
    longer = Policy(rules=(rule,), user_closed_idle_timeout=30 * MINUTE)
    assert longer.closed_limit(**which) == 10 * MINUTE
    shorter = Policy(rules=(rule,), user_closed_idle_timeout=5 * MINUTE)
    assert shorter.closed_limit(**which) == 5 * MINUTE
    general = Policy(rules=(Rule(timedelta(hours=1)),), closed_idle_timeout=20 * MINUTE)
    assert general.closed_limit(**which) == 20 * MINUTE
    assert Policy(idle_timeout=5 * MINUTE, closed_idle_timeout=20 * MINUTE).closed_limit(
        **which
    ) == (5 * MINUTE)
