"""What other limits would have come to."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.billing.arithmetic import Stretch
from sagemaker_autoshutdown.costs.microseconds import HOUR, to_us
from sagemaker_autoshutdown.costs.store.reads import Hold, Timeline
from sagemaker_autoshutdown.costs.what_if import Outcome, Replay, replay
from sagemaker_autoshutdown.settings.admin import Policy

from .test_ledger import T0

ZERO = to_us(T0)
DAY = 24


def run(
    *parts: tuple[float, float, str],
    app: str = "a",
    ended_by: str = "",
    is_up: bool = False,
    instance: str = "i",
) -> Timeline:
    """A run that did this, in hours since noon, at a dollar an hour."""
    return Timeline(
        "d-1",
        "ada",
        "KernelGateway",
        app,
        ended_by,
        is_up,
        tuple(
            Stretch(
                instance,
                ZERO + int(start * HOUR),
                ZERO + int(end * HOUR),
                app,
                "ml.t3.medium",
                state == "idle",
                Decimal(1),
            )
            for start, end, state in parts
        ),
    )


def what_if(
    runs: list[Timeline],
    *hours: float,
    holds: tuple[Hold, ...] = (),
    start: float = 0,
    end: float = DAY,
) -> Replay:
    limits = [timedelta(hours=limit) for limit in hours]
    # Half a minute to warn: what is told of here is hours.
    policy = Policy(warning_time=timedelta(seconds=30))
    first, last = ZERO + int(start * HOUR), ZERO + int(end * HOUR)
    return replay(runs, holds, policy, limits, first, last)


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
    hold = Hold("a", ZERO + HOUR, ZERO + 6 * HOUR)
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
    # Shut down before the time that is asked for: no shutdown of that time.
    assert outcome(runs, 1, start=3).shutdowns == 0


def test_idle_time_goes_on_though_its_record_is_in_pieces() -> None:
    """As where its price changed meanwhile."""
    found = outcome([run((0, 1, "use"), (1, 1.5, "idle"), (1.5, 9, "idle"))], 1)
    assert found.money.usd == Decimal(2)


def test_starting_an_app_anew_that_its_user_had_stopped_is_no_interruption() -> None:
    found = outcome([run((0, 1, "use"), (1, 5, "idle")), run((9, 10, "use"))], 1)
    assert (found.shutdowns, found.interrupted) == (1, 0)


def test_a_gap_in_the_record_starts_anew() -> None:
    runs = [run((0, 1, "idle")), run((5, 6, "idle"))]
    assert outcome(runs, 1.5).shutdowns == 0


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
