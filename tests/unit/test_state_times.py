"""Since when things have been in their states."""

from __future__ import annotations

from datetime import timedelta

from sagemaker_autoshutdown.activity.state_times import StateTimes
from sagemaker_autoshutdown.clock import to_iso

from ..worlds import START, at

KEY = ("kernel", "k")


def test_what_was_gone_for_an_observation_begins_anew() -> None:
    times = StateTimes()
    for hours, is_there in ((0, True), (1, False), (2, True)):
        times.begin_observation()
        if is_there:
            since = times.since(KEY, "busy", at(hours=hours))
        times.forget_gone()
        assert times.ids("kernel") == ({"k"} if is_there else set())
    assert since == at(hours=2)


def test_a_clock_that_was_set_shifts_a_claim_from_the_future() -> None:
    times = StateTimes()
    times.begin_observation()
    times.since(KEY, "idle", START)
    claim, night = to_iso(at(days=9)), timedelta(hours=9)
    assert times.last_activity(KEY, claim, START) == START
    times.clock_jumped(night)
    assert times.last_activity(KEY, claim, START + night) == START + night
