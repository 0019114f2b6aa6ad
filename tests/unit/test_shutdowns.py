"""Waits between attempts. The monitor's tests cover the loop's use of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_autoshutdown.aws import ErrorKind
from sagemaker_autoshutdown.shutdowns import MAX_BACKOFF, backoff

MINUTE = timedelta(minutes=1)


def middle() -> float:
    return 0.5


@pytest.mark.parametrize(("poll", "first"), [(5, 5), (60, 30), (3600, 30)])
def test_the_first_wait_is_the_smaller_of_the_poll_interval_and_30_s(poll: int, first: int) -> None:
    wait = backoff(ErrorKind.OTHER, 1, timedelta(seconds=poll), middle)
    assert wait == timedelta(seconds=first)


def test_waits_double_to_an_hour() -> None:
    waits = [backoff(ErrorKind.THROTTLED, tries, MINUTE, middle) for tries in range(1, 12)]
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (30, 60, 120, 240)]
    assert waits[-4:] == [MAX_BACKOFF] * 4


def test_a_missing_right_is_asked_for_less_often() -> None:
    denied = backoff(ErrorKind.ACCESS_DENIED, 1, MINUTE, middle)
    assert denied == 16 * backoff(ErrorKind.OTHER, 1, MINUTE, middle)


@given(
    kind=st.sampled_from(ErrorKind),
    tries=st.integers(1, 10**9),
    poll=st.floats(1, 366 * 86400),
    jitter=st.floats(0, 1),
)
def test_no_wait_is_longer_than_an_hour_and_a_tenth_nor_shorter_than_nine_tenths_of_the_first(
    kind: ErrorKind, tries: int, poll: float, jitter: float
) -> None:
    interval = timedelta(seconds=poll)
    wait = backoff(kind, tries, interval, lambda: jitter)
    first = min(interval, timedelta(seconds=30))
    assert first * 0.9 - timedelta(microseconds=2) <= wait <= MAX_BACKOFF * 1.1


def test_apps_that_failed_together_are_not_retried_together() -> None:
    assert len({backoff(ErrorKind.THROTTLED, 3, MINUTE) for _ in range(20)}) > 10
