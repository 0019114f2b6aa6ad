"""The cost: exact, once per instance, and the same for any split into records."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.billing.arithmetic import (
    Stretch,
    Tally,
    apportion,
    bill,
    by_day,
    clip,
    money,
    moneys,
)
from sagemaker_autoshutdown.costs.billing.avoided import Run, avoided
from sagemaker_autoshutdown.costs.billing.volumes import Volume, volume_cost
from sagemaker_autoshutdown.costs.microseconds import DAY, HOUR, SECOND, from_us, to_us

PRICE = Decimal("0.05")


def stretch(
    start: int,
    end: int,
    app: str = "a",
    *,
    idle: bool = False,
    instance: str = "i",
    usd: Decimal | None = PRICE,
    estimated: bool = False,
) -> Stretch:
    return Stretch(instance, start, end, app, "ml.t3.medium", idle, usd, estimated)


def spent(stretches: list[Stretch]) -> Tally:
    tally = Tally()
    for charge in bill(stretches):
        tally.add(charge.end - charge.start, charge.idle, charge.usd_per_hour, charge.estimated)
    return tally


# --- examples -----------------------------------------------------------------------------------


def test_two_apps_on_one_instance_cost_what_one_costs() -> None:
    tally = spent([stretch(0, 2 * HOUR, "a"), stretch(HOUR, 3 * HOUR, "b")])
    assert money(tally).usd == Decimal("0.150000")  # three hours, not four


def test_two_instances_cost_twice() -> None:
    tally = spent([stretch(0, HOUR), stretch(0, HOUR, instance="j")])
    assert money(tally).usd == Decimal("0.100000")


def test_an_instance_is_idle_only_while_every_app_on_it_is() -> None:
    tally = spent(
        [
            stretch(0, 4 * HOUR, "a", idle=True),
            stretch(1 * HOUR, 2 * HOUR, "b"),
            stretch(2 * HOUR, 3 * HOUR, "b", idle=True),
        ]
    )
    result = money(tally)
    assert (result.idle_usd, result.in_use_usd) == (Decimal("0.150000"), Decimal("0.050000"))
    assert result.idle_share == 0.75


def test_f24_what_has_no_price_is_counted_as_time_and_never_as_nothing() -> None:
    tally = spent([stretch(0, HOUR), stretch(0, 90 * SECOND, instance="j", usd=None)])
    result = money(tally)
    assert (result.usd, result.unpriced_seconds) == (Decimal("0.050000"), 90.0)


def test_what_is_estimated_says_so() -> None:
    assert money(spent([stretch(0, HOUR, estimated=True)])).estimated
    assert not money(spent([stretch(0, HOUR)])).estimated


def test_a_second_costs_a_second() -> None:
    tally = Tally()
    tally.add(SECOND, idle=False, usd_per_hour=Decimal("36"))
    assert money(tally).usd == Decimal("0.010000")


def test_shares_of_three_apps_add_up_to_the_bill_though_a_third_is_no_decimal() -> None:
    tallies = {app: Tally() for app in "abc"}
    for tally in tallies.values():
        tally.add(HOUR, idle=False, usd_per_hour=Decimal("0.10"), share=3)
    each, total = moneys(tallies)
    assert total.usd == Decimal("0.100000")
    assert sum(one.usd for one in each.values()) == total.usd


def test_days_are_days_in_utc() -> None:
    start = to_us(from_us(5 * DAY - HOUR))
    assert list(by_day(start, start + 26 * HOUR)) == [(4, HOUR), (5, 24 * HOUR), (6, HOUR)]
    assert list(by_day(DAY, 2 * DAY)) == [(1, DAY)]
    assert list(by_day(DAY, DAY)) == []


# --- properties ---------------------------------------------------------------------------------

stretches = st.lists(
    st.builds(
        lambda app, start, length, idle, usd: stretch(
            start, start + length, app, idle=idle, usd=usd, instance=f"instance of {app in 'ab'}"
        ),
        app=st.sampled_from("abcd"),
        start=st.integers(0, 3 * DAY),
        length=st.integers(1, 2 * DAY),
        idle=st.booleans(),
        usd=st.just(PRICE),
    ),
    max_size=12,
)


def disjoint_per_app(found: list[Stretch]) -> list[Stretch]:
    """As in the ledger: an app is in one state at a time."""
    kept: list[Stretch] = []
    for one in sorted(found, key=lambda item: item.start):
        last = [other.end for other in kept if other.app == one.app]
        start = max([one.start, *last])
        if start < one.end:
            kept.append(one._replace(start=start))
    return kept


def cut(found: list[Stretch], cuts: list[int]) -> Iterator[Stretch]:
    for one in found:
        edges = [one.start, *sorted({c for c in cuts if one.start < c < one.end}), one.end]
        for start, end in zip(edges, edges[1:]):
            yield one._replace(start=start, end=end)


@given(stretches, st.lists(st.integers(0, 5 * DAY), max_size=8), st.randoms())
def test_the_same_history_costs_the_same_in_whatever_pieces_and_order(
    found: list[Stretch], cuts: list[int], random: Random
) -> None:
    whole = disjoint_per_app(found)
    pieces = list(cut(whole, cuts))
    random.shuffle(pieces)
    assert spent(pieces).time == spent(whole).time


@given(stretches, st.integers(0, 5 * DAY))
def test_what_was_spent_before_and_after_any_moment_adds_up(
    found: list[Stretch], moment: int
) -> None:
    whole = disjoint_per_app(found)
    both = spent(list(clip(whole, 0, moment)))
    both.merge(spent(list(clip(whole, moment, 10 * DAY))))
    assert both.time == spent(whole).time


@given(stretches)
def test_a_bill_is_as_long_as_at_least_one_app_is_up_second_by_second(
    found: list[Stretch],
) -> None:
    """Compared with the plainest way to count: hour by hour."""
    whole = [
        one._replace(start=one.start // HOUR * HOUR, end=-(-one.end // HOUR) * HOUR)
        for one in found
    ]
    expected = {"idle": 0, "in use": 0}
    for instance in {one.instance for one in whole}:
        for hour in range(0, 6 * DAY, HOUR):
            up = [o for o in whole if o.instance == instance and o.start <= hour < o.end]
            if up:
                expected["idle" if all(one.idle for one in up) else "in use"] += HOUR
    charges = list(bill(whole))
    for state, idle in (("idle", True), ("in use", False)):
        assert sum(c.end - c.start for c in charges if c.idle is idle) == expected[state]
    for one, other in zip(charges, charges[1:]):
        assert one.instance != other.instance or one.end <= other.start


@given(stretches)
def test_shares_of_the_apps_add_up_to_the_bill(found: list[Stretch]) -> None:
    whole = disjoint_per_app(found)
    shares: dict[str, Tally] = {}
    for charge in bill(whole):
        for app in charge.apps:
            shares.setdefault(app, Tally()).add(
                charge.end - charge.start, charge.idle, PRICE, share=len(charge.apps)
            )
    bill_of_all = spent(whole)
    for idle in (False, True):
        exact = sum((tally.usd(idle=idle) for tally in shares.values()), Fraction(0))
        assert exact == bill_of_all.usd(idle=idle)
    each, total = moneys(shares)
    assert sum((one.usd for one in each.values()), Decimal(0)) == total.usd
    assert total.usd == money(bill_of_all).usd


@given(st.lists(st.fractions(0, 1000), max_size=20))
def test_rounded_amounts_add_up_to_their_rounded_sum(amounts: list[Fraction]) -> None:
    each, total = apportion(amounts)
    assert sum(each, Decimal(0)) == total
    for one, exact in zip(each, amounts):
        assert abs(Fraction(one) - exact) < Fraction(1, 10**6)


# --- avoided cost -------------------------------------------------------------------------------


def run(start: int, end: int | None, app: str = "a", ended_by: str = "") -> Run:
    return Run("i", start, end, app, "ml.t3.medium", ended_by, PRICE)


def spans(runs: list[Run], cap: int = 10) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in avoided(runs, cap)]


def test_a_shutdown_avoids_cost_until_the_instance_is_up_again() -> None:
    assert spans([run(0, 5, ended_by="idle_timeout"), run(8, None, "b")]) == [(5, 8)]


def test_a_shutdown_avoids_cost_for_the_cap_at_most() -> None:
    assert spans([run(0, 5, ended_by="idle_timeout"), run(80, None)]) == [(5, 15)]
    assert spans([run(0, 5, ended_by="idle_timeout")]) == [(5, 15)]


@pytest.mark.parametrize("ended_by", ["", "user_request"])
def test_what_a_user_stopped_was_not_avoided_by_us(ended_by: str) -> None:
    assert spans([run(0, 5, ended_by=ended_by)]) == []


def test_shutting_one_app_down_avoids_nothing_while_another_is_up() -> None:
    first, second = run(0, 5, "a", "idle_timeout"), run(1, 9, "b")
    assert spans([first, second]) == []
    assert spans([first, run(1, 9, "b", "busy_too_long")]) == [(9, 19)]
    assert spans([first, run(1, None, "b")]) == []


# --- volumes ------------------------------------------------------------------------------------


def test_a_volume_costs_a_month_by_the_months_own_length() -> None:
    september = to_us(from_us(0).replace(year=2026, month=9))
    november = to_us(from_us(0).replace(year=2026, month=11))
    volumes = [Volume("d", "space", september, 100, Decimal("0.112"), False)]
    # 30 and 31 days: each is one month
    assert volume_cost(volumes, september, november) == Fraction("22.4")
    assert volume_cost(volumes, september, september + 15 * DAY) == Fraction("5.6")
    assert volume_cost(volumes, 0, september) == 0


def test_a_volume_that_grew_costs_more_from_then_on() -> None:
    september = to_us(from_us(0).replace(year=2026, month=9))
    volumes = [
        Volume("d", "space", september, 10, Decimal(1), False),
        Volume("d", "space", september + 10 * DAY, 30, Decimal(1), False),
    ]
    assert volume_cost(volumes, september, september + 30 * DAY) == Fraction(10 + 60, 3)
