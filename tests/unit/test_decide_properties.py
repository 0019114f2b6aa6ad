"""Properties of every decision, for any apps, kernels, limits and times."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from sagemaker_autoshutdown.model import Action, App, Holds, Reason, State, Work, WorkKind
from sagemaker_autoshutdown.settings.admin import Policy

from ..worlds import START, World, app, at

seconds = st.integers(1, 20_000)
moments = st.integers(-20_000, 20_000).map(lambda passed: at(seconds=passed))
states = st.sampled_from(["idle", "busy", "starting", "restarting", "dead", "unknown", "", "odd"])
APP_NAMES = ("a", "b", "c")


#: Why something can hold its app, whatever its state.
HOLDS = {
    Reason.BACKGROUND_JOB,
    Reason.DETACHED_JOB,
    Reason.GPU_BUSY,
    Reason.HOLDING_PROGRAM,
    Reason.SERVER_UNSEEN,
}


@st.composite
def works(draw: st.DrawFn) -> Work:
    """Anything that Jupyter could report."""
    kind = draw(st.sampled_from(WorkKind))
    return Work(
        kind=kind,
        id=str(draw(st.integers(0, 10**6))),
        label="x",
        state=draw(states) if kind is WorkKind.KERNEL else "",
        state_since=draw(moments),
        last_activity=draw(st.none() | moments),
        apps=frozenset(draw(st.sets(st.sampled_from(APP_NAMES), min_size=1))),
        connections=draw(st.integers(0, 2)),
        hold=draw(st.none() | st.sampled_from(sorted(HOLDS))),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any limits, long or short."""
    return Policy(
        idle_timeout=timedelta(seconds=draw(seconds)),
        user_idle_timeout=draw(st.none() | seconds.map(lambda s: timedelta(seconds=s))),
        warning_time=timedelta(seconds=draw(seconds)),
        active_time=timedelta(seconds=draw(seconds)),
        keep_terminals=draw(st.booleans()),
        ignore_connections=draw(st.booleans()),
    )


apps: st.SearchStrategy[tuple[App, ...]] = st.lists(
    st.sampled_from(APP_NAMES), unique=True, min_size=1
).map(lambda names: tuple(app(name) for name in names))
kept = st.dictionaries(st.sampled_from(APP_NAMES), moments)
observation_times = st.lists(moments, min_size=1, max_size=6).map(sorted)
work_lists = st.lists(works(), max_size=5).map(tuple)


@given(apps, work_lists, policies(), kept, observation_times)
def test_what_is_busy_or_kept_is_never_shut_down(apps, work, policy, kept_until, times):  # type: ignore[no-untyped-def]
    world = World(apps, work, policy, Holds(kept_until))
    for now in times:
        for verdict in world.observe(now).values():
            if verdict.action is Action.SHUT_DOWN:
                mine = [item for item in work if verdict.app.name in item.apps]
                assert not any(item.hold for item in mine)
                assert not any(
                    item.kind is WorkKind.KERNEL and item.state in ("busy", "unknown", "", "odd")
                    for item in mine
                )
                assert kept_until.get(verdict.app.name, now) <= now


@given(apps, work_lists, policies(), observation_times, st.booleans())
def test_what_can_not_be_seen_is_never_shut_down(apps, work, policy, times, which):  # type: ignore[no-untyped-def]
    world = World(apps, work, policy)
    if which:
        world.apps_error = "down"
    else:
        world.activity_error = "down"
    for now in times:
        for verdict in world.observe(now).values():
            assert verdict.action is Action.KEEP
            assert verdict.state is State.UNKNOWN


@given(apps, work_lists, policies(), observation_times)
def test_a_deadline_that_was_announced_is_kept_to(apps, work, policy, times):  # type: ignore[no-untyped-def]
    """Never later than the announced deadline, nor sooner.

    Activity in the future is left out here: the reader replaces it by the time when it was first
    seen.
    """
    assume(all(max(item.state_since, item.last_activity or START) <= times[0] for item in work))
    world = World(apps, work, policy)
    for now in times:
        for name, verdict in world.observe(now).items():
            if verdict.shutdown_at is None or verdict.action is Action.SHUT_DOWN:
                continue
            almost = World(apps, work, policy, memory=world.memory)
            just_before = verdict.shutdown_at - timedelta(microseconds=1)
            if just_before > now:
                assert almost.observe(just_before)[name].action is Action.KEEP
            again = World(apps, work, policy, memory=world.memory)
            assert again.observe(verdict.shutdown_at)[name].action is Action.SHUT_DOWN


@given(apps, work_lists, policies(), observation_times)
def test_nothing_is_shut_down_before_its_limit_has_passed_nor_without_a_warning(  # type: ignore[no-untyped-def]
    apps, work, policy, times
):
    world = World(apps, work, policy)
    first_observation = times[0]
    for now in times:
        for verdict in world.observe(now).values():
            if verdict.action is Action.SHUT_DOWN:
                assert verdict.idle_since is not None
                assert now >= verdict.idle_since + verdict.idle_timeout
                assert now >= first_observation + min(policy.warning_time, verdict.idle_timeout)


@given(apps, work_lists, works(), policies(), moments)
def test_more_activity_never_brings_a_deadline_forward(apps, work, more, policy, now):  # type: ignore[no-untyped-def]
    fewer = World(apps, work, policy).observe(now)
    for name, verdict in World(apps, (*work, more), policy).observe(now).items():
        before = fewer[name].shutdown_at
        if verdict.shutdown_at is not None:
            assert before is not None
            assert verdict.shutdown_at >= before


@given(apps, st.lists(works(), max_size=5), policies(), kept, moments, st.randoms())
def test_the_order_of_kernels_and_apps_does_not_matter(  # type: ignore[no-untyped-def]
    apps, work, policy, kept_until, now, random
):
    shuffled_work, shuffled_apps = list(work), list(apps)
    random.shuffle(shuffled_work)
    random.shuffle(shuffled_apps)
    one = World(apps, tuple(work), policy, Holds(kept_until)).observe(now)
    other = World(tuple(shuffled_apps), tuple(shuffled_work), policy, Holds(kept_until)).observe(
        now
    )
    assert {n: (v.state, v.reason, v.shutdown_at) for n, v in one.items()} == {
        n: (v.state, v.reason, v.shutdown_at) for n, v in other.items()
    }


@given(apps, work_lists, policies(), kept, observation_times)
def test_a_verdict_changes_by_itself_only_when_it_said_so(apps, work, policy, kept_until, times):  # type: ignore[no-untyped-def]
    """The loop sleeps until ``next_at``: nothing that matters may happen before."""
    world = World(apps, work, policy, Holds(kept_until))
    now = START
    for now in times:
        verdicts = world.observe(now)
    for name, verdict in verdicts.items():
        if verdict.next_at is None:
            continue
        assert verdict.next_at > now
        between = now + (verdict.next_at - now) / 2
        same = World(apps, work, policy, Holds(kept_until), memory=world.memory)
        later = same.observe(between)[name]
        assert (later.action, later.state, later.is_idle) == (
            verdict.action,
            verdict.state,
            verdict.is_idle,
        )
