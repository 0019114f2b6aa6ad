"""The effect of other limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.billing.arithmetic import Stretch
from sagemaker_autoshutdown.costs.microseconds import HOUR, span_us, to_us
from sagemaker_autoshutdown.costs.store.reads import Hold, Timeline
from sagemaker_autoshutdown.costs.what_if import (
    Limits,
    Outcome,
    Replay,
    combinations,
    lookback,
    replay,
)
from sagemaker_autoshutdown.settings.admin import Policy

from .test_ledger import T0

ZERO = to_us(T0)
DAY = 24
ADAS_A = ("d-1", "ada", "KernelGateway", "a")
#: Half a minute of warning, because these tests are about hours.
WARNED_SHORTLY = Policy(warning_time=timedelta(seconds=30))


def us(hours: float) -> int:
    return ZERO + int(hours * HOUR)


def run(
    *parts: tuple[float, float, str],
    app: str = "a",
    ended_by: str = "",
    is_up: bool = False,
    instance: str = "i",
    owner: str = "ada",
    shutdown_at: float | None = None,
    closed: float | None = None,
) -> Timeline:
    """A run with this history, in hours since noon, at a dollar an hour. The parts from
    ``closed`` on have no browser connected since then."""
    return Timeline(
        "d-1",
        owner,
        "KernelGateway",
        app,
        ended_by,
        is_up,
        tuple(
            Stretch(
                instance,
                us(start),
                us(end),
                app,
                "ml.t3.medium",
                state == "idle",
                Decimal(1),
                closed_since=us(closed) if closed is not None and start >= closed else None,
            )
            for start, end, state in parts
        ),
        None if shutdown_at is None else us(shutdown_at),
    )


def what_if(
    runs: list[Timeline],
    *hours: float,
    holds: tuple[Hold, ...] = (),
    start: float = 0,
    end: float = DAY,
    closed: float | None = None,
    policy: Policy = WARNED_SHORTLY,
) -> Replay:
    closed_timeout = None if closed is None else timedelta(hours=closed)
    limits = [Limits(timedelta(hours=limit), closed_timeout) for limit in hours]
    return replay(runs, holds, policy, limits, us(start), us(end))


def outcome(runs: list[Timeline], hours: float, **options: object) -> Outcome:
    (found,) = what_if(runs, hours, **options).outcomes  # type: ignore[arg-type]
    return found


def test_an_app_that_was_left_idle_would_have_gone_at_its_limit() -> None:
    found = outcome([run((0, 2, "use"), (2, 12, "idle"))], 1)
    assert found.money.usd == Decimal(3)
    assert (found.saved_usd, found.shutdowns, found.interrupted) == (Decimal(9), 1, 0)


def test_coming_back_to_an_app_that_would_have_been_gone_is_an_interruption() -> None:
    found = outcome([run((0, 2, "use"), (2, 5, "idle"), (5, 6, "use"), (6, 6.5, "idle"))], 1)
    assert found.money.usd == Decimal("4.5")
    assert (found.saved_usd, found.shutdowns, found.interrupted) == (Decimal(2), 1, 1)


def test_a_longer_limit_would_have_kept_what_was_shut_down() -> None:
    runs = [
        run((0, 1, "use"), (1, 2, "idle"), ended_by="idle_timeout"),
        run((3, 4, "use"), (4, 5, "idle"), ended_by="idle_timeout"),
    ]
    same, longer = what_if(runs, 1, 2.5, end=10).outcomes
    assert (same.saved_usd, same.shutdowns, same.interrupted) == (Decimal(0), 2, 1)
    # up all the time from 0 to 6:30, in place of twice two hours
    assert longer.money.usd == Decimal("6.5")
    assert (longer.saved_usd, longer.shutdowns, longer.interrupted) == (Decimal("-2.5"), 1, 0)


def test_what_its_user_stopped_would_not_have_gone_on() -> None:
    runs = [run((0, 1, "use"), (1, 2, "idle"), ended_by="user_request"), run((9, 10, "use"))]
    found = outcome(runs, 5)
    assert (found.saved_usd, found.shutdowns, found.interrupted) == (Decimal(0), 0, 0)


def test_a_busy_app_is_never_shut_down_however_long() -> None:
    found = outcome([run((0, 20, "use"), (20, 21, "idle"))], 0.1)
    assert found.money.usd == Decimal("20.1")
    assert found.shutdowns == 1


def test_saving_one_app_saves_nothing_while_another_holds_the_instance() -> None:
    runs = [run((0, 1, "use"), (1, 10, "idle")), run((0, 10, "use"), app="b")]
    found = outcome(runs, 1)
    assert (found.saved_usd, found.shutdowns) == (Decimal(0), 1)
    assert found.money.usd == Decimal(10)


def test_a_keep_alive_would_have_held_it() -> None:
    runs = [run((0, 1, "use"), (1, 10, "idle"))]
    hold = Hold(*ADAS_A, ZERO + HOUR, ZERO + 6 * HOUR)
    assert outcome(runs, 1, holds=(hold,)).money.usd == Decimal(6)
    assert outcome(runs, 7, holds=(hold,)).money.usd == Decimal(8)


def test_an_app_that_is_up_is_not_taken_to_have_ended() -> None:
    runs = [run((0, 1, "use"), (1, 10, "idle"), ended_by="idle_timeout", is_up=True)]
    assert outcome(runs, 20).money.usd == Decimal(10)


def test_only_the_time_that_is_asked_for_counts_but_what_was_before_sets_the_clock() -> None:
    runs = [run((0, 1, "use"), (1, 10, "idle"))]
    found = outcome(runs, 4, start=3)
    assert found.money.usd == Decimal(2)  # gone at 5, of 3 to 10
    assert (found.saved_usd, found.shutdowns) == (Decimal(5), 1)
    # Shut down before the requested time: not a shutdown of that time.
    assert outcome(runs, 1, start=3).shutdowns == 0


def test_idle_time_goes_on_though_its_record_is_in_pieces() -> None:
    """As if its price had changed meanwhile."""
    found = outcome([run((0, 1, "use"), (1, 1.5, "idle"), (1.5, 9, "idle"))], 1)
    assert found.money.usd == Decimal(2)


def test_starting_an_app_anew_that_its_user_had_stopped_is_no_interruption() -> None:
    found = outcome([run((0, 1, "use"), (1, 5, "idle")), run((9, 10, "use"))], 1)
    assert (found.shutdowns, found.interrupted) == (1, 0)


def test_a_gap_in_the_record_starts_anew() -> None:
    runs = [run((0, 1, "idle")), run((5, 6, "idle"))]
    assert outcome(runs, 1.5).shutdowns == 0


def test_in_dry_run_it_tells_what_would_be_saved_without() -> None:
    runs = [run((0, 2, "use"), (2, 12, "idle"))]
    dry = replace(WARNED_SHORTLY, dry_run=True)
    assert what_if(runs, 1, policy=dry) == what_if(runs, 1)
    assert outcome(runs, 1, policy=dry).saved_usd == Decimal(9)


def test_what_the_loop_calls_busy_too_long_is_no_matter_of_limits() -> None:
    runs = [run((0, 8, "use"), (8, 12, "idle"))]
    capped = replace(WARNED_SHORTLY, max_busy_time=timedelta(hours=1))
    assert what_if(runs, 2, policy=capped) == what_if(runs, 2)


def test_a_keep_alive_of_one_owner_holds_no_app_of_another() -> None:
    runs = [run((0, 1, "use"), (1, 10, "idle"), owner="bob")]
    hold = Hold(*ADAS_A, us(1), us(6))
    assert outcome(runs, 1, holds=(hold,)).money.usd == Decimal(2)


def test_a_keep_alive_that_was_given_to_one_run_does_not_hold_the_next() -> None:
    """At 3 the user keeps an app alive that would have been gone since 2, and returns at 4."""
    runs = [run((0, 1, "use"), (1, 4, "idle"), (4, 5, "use"), (5, 12, "idle"))]
    hold = Hold(*ADAS_A, us(3), us(11))
    found = outcome(runs, 1, holds=(hold,))
    assert found.money.usd == Decimal(4)
    assert (found.shutdowns, found.interrupted) == (2, 1)
    assert outcome(runs, 3.5, holds=(hold,)).money.usd == Decimal(11)


def test_a_shutdown_is_billed_for_as_long_as_deletions_took() -> None:
    taken = run((0, 1, "use"), (1, 2.25, "idle"), ended_by="idle_timeout", shutdown_at=2)
    assert outcome([taken], 1).saved_usd == 0  # as it was
    assert outcome([taken], 0.5).money.usd == Decimal("1.75")
    others = [
        taken,
        run((0, 1, "use"), (1, 8, "idle"), app="b", instance="j"),
        run((0, 2.75, "use"), app="c", instance="k", ended_by="user_request", shutdown_at=2),
    ]
    # b is gone at 2, and takes the others' activity in the middle.
    assert outcome(others, 1).money.usd == Decimal("2.25") + Decimal("2.5") + Decimal("2.75")


def test_whoever_comes_back_during_a_deletion_is_not_billed_twice() -> None:
    runs = [
        run((0, 1, "use"), (1, 2.5, "idle"), ended_by="idle_timeout", shutdown_at=2),
        run((2.5, 3, "use")),
    ]
    assert outcome(runs, 1).money.usd == Decimal(3)


def test_what_its_user_had_shut_down_is_not_shut_down_while_it_is_being_deleted() -> None:
    runs = [run((0, 1, "use"), (1, 3, "idle"), ended_by="user_request", shutdown_at=2)]
    found = outcome(runs, 1.5)
    assert (found.shutdowns, found.saved_usd) == (0, Decimal(0))
    assert outcome(runs, 0.5).money.usd == Decimal("2.5")


def test_a_deletion_whose_end_nobody_saw_says_nothing_of_how_long_they_take() -> None:
    lost = run((0, 1, "use"), (1, 5, "idle"), ended_by="idle_timeout", shutdown_at=2)
    lost = lost._replace(
        stretches=(*lost.stretches[:-1], lost.stretches[-1]._replace(estimated=True))
    )
    assert outcome([lost], 1).money.usd == Decimal(2)


def test_what_was_shut_down_shortly_before_would_be_up_under_a_longer_limit() -> None:
    runs = [run((0, 1, "use"), (1, 2, "idle"), ended_by="idle_timeout")]
    found = outcome(runs, 4, start=3)
    assert found.money.usd == Decimal(2)  # until 5
    assert (found.saved_usd, found.shutdowns) == (Decimal(-2), 1)


def test_the_record_is_read_from_far_enough_back_for_the_longest_limit() -> None:
    """A run that is shut down at 2, and under a limit of 4 h at 5: it counts from 3 on."""
    limits = [Limits(timedelta(hours=4)), Limits(timedelta(hours=1), timedelta(hours=0.5))]
    assert us(3) - span_us(lookback(limits)) < us(2)


def test_a_shorter_limit_applies_once_the_last_browser_is_closed() -> None:
    runs = [run((0, 1, "use"), (1, 3, "idle"), (3, 12, "idle"), closed=3)]
    assert outcome(runs, 6).money.usd == Decimal(7)
    found = outcome(runs, 6, closed=0.5)
    assert (found.money.usd, found.shutdowns) == (Decimal("3.5"), 1)
    assert what_if(runs, 6, closed=0.5).saw_closed


def test_where_no_browser_is_known_to_be_closed_the_idle_timeout_applies() -> None:
    runs = [run((0, 1, "use"), (1, 12, "idle"))]
    assert outcome(runs, 6, closed=0.5).money.usd == Decimal(7)
    assert not what_if(runs, 6, closed=0.5).saw_closed


def test_a_browser_that_is_opened_again_puts_the_shutdown_off() -> None:
    closed = run((0, 1, "use"), (1, 1.25, "idle"), closed=0)
    opened = run((1.25, 12, "idle"))
    runs = [closed._replace(stretches=closed.stretches + opened.stretches)]
    assert outcome(runs, 6, closed=0.5).money.usd == Decimal(7)


def test_only_limits_that_are_shorter_once_closed_are_tried_beside_each() -> None:
    hours = [timedelta(hours=number) for number in (1, 2, 4)]
    assert combinations([hours[1], hours[0]], [hours[2], hours[0]]) == [
        Limits(hours[0]),
        Limits(hours[1]),
        Limits(hours[1], hours[0]),
    ]


states = st.lists(st.tuples(st.floats(0.1, 5), st.booleans()), min_size=1, max_size=8)


@given(states, st.floats(0.05, 6), st.floats(0.05, 6))
def test_a_longer_limit_never_saves_more_and_use_costs_the_same(
    parts: list[tuple[float, bool]], one: float, other: float
) -> None:
    at = 0.0
    episodes = []
    for length, idle in parts:
        episodes.append((at, at + length, "idle" if idle else "use"))
        at += length
    shorter, longer = what_if([run(*episodes)], min(one, other), max(one, other), end=100).outcomes
    assert longer.money.usd >= shorter.money.usd
    assert longer.money.in_use_usd == shorter.money.in_use_usd
    assert longer.interrupted <= shorter.interrupted
    assert shorter.saved_usd >= 0
