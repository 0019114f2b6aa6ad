"""Programs that wait for others, and those that have hung."""

from __future__ import annotations

import pytest

from sagemaker_autoshutdown.activity.process_groups import WorkRule
from sagemaker_autoshutdown.activity.progress import Progress


def progress(patience: float = 60.0) -> Progress:
    return Progress(WorkRule(), patience)


def test_the_tick_of_a_clock_within_half_a_second_is_no_progress() -> None:
    """A tick is 10 ms of CPU: 2 % of so short a time."""
    one = progress()
    for at, cpu in ((0.0, 0.0), (30.0, 0.0), (30.5, 0.01)):
        assert not one.has_hung("a", at, cpu, 0)
    assert one.has_hung("a", 61.0, 0.01, 0)


@pytest.mark.parametrize(("cpu", "sent"), [((90.0, 10.0), (0, 0)), ((0.0, 0.0), (10**9, 0))])
def test_a_child_that_ends_is_progress_though_the_sums_shrink(
    cpu: tuple[float, float], sent: tuple[int, int]
) -> None:
    one = progress()
    one.has_hung("a", 0.0, cpu[0], sent[0])
    for at in (30.0, 61.0):
        assert not one.has_hung("a", at, cpu[1], sent[1])
    assert one.has_hung("a", 91.0, cpu[1], sent[1])


def test_a_program_with_the_number_of_one_that_is_gone_starts_anew() -> None:
    one = progress()
    one.has_hung("a", 0.0, 0.0, 0)
    one.forget_all_but([])
    assert not one.has_hung("a", 100.0, 0.0, 0)


def test_without_a_limit_nothing_has_hung() -> None:
    one = progress(patience=0.0)
    assert not any(one.has_hung("a", at, 0.0, 0) for at in (0.0, 1e6))
