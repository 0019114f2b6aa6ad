"""What an answer is worth, and for how long. `test_kernel_probe` follows it to the verdict."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagemaker_autoshutdown.activity.kernel_answers import KernelAnswers, Standing
from sagemaker_autoshutdown.activity.kernel_probe import Answer, Told
from sagemaker_autoshutdown.clock import to_iso

from ..worlds import START

TOOK = timedelta(seconds=1)
NIGHT = timedelta(hours=9)


def known(work_cpu: float = 0.05) -> KernelAnswers:
    """One kernel was observed, and not asked yet."""
    answers = KernelAnswers(work_cpu)
    answers.begin_observation()
    answers.standing("k", "before")
    return answers


def answer(answers: KernelAnswers, told: Answer, cpu: float | None = None) -> Standing:
    answers.end({"k": "idle"}, {"k": Told(told, TOOK, cpu=cpu)}, START)
    answers.begin_observation()
    return answers.standing("k", "after")


@pytest.mark.parametrize(
    ("cpu", "work_cpu", "works"),
    [(0.14, 0.05, False), (0.16, 0.05, True), (0.5, 0.2, False), (0.7, 0.2, True)],
)
def test_a_kernel_works_if_its_processes_together_use_three_times_what_counts_for_one(
    cpu: float, work_cpu: float, works: bool
) -> None:
    answers = known(work_cpu)
    answers.begin(["k"])
    used_at = to_iso(START + TOOK) if works else "before"
    assert answer(answers, Answer.IDLE, cpu).claim == used_at


def test_a_question_while_another_is_open_does_not_take_that_one_for_use() -> None:
    answers = known()
    answers.begin(["k"])
    answers.said_otherwise("k", "after")  # a slow gateway: busy, with our question
    answers.begin(["k"])
    assert answer(answers, Answer.IDLE).claim == "before"


def test_a_silent_kernel_that_has_started_is_not_taken_for_hung_while_it_is_asked_again() -> None:
    answers = known()
    answers.begin(["k"])
    answers.end({"k": "starting"}, {"k": Told(Answer.SILENT, TOOK, is_alive=True)}, START)
    answers.begin_observation()
    assert answers.standing("k", "after").is_alive
    answers.begin(["k"])
    assert answers.standing("k", "after").is_alive


def test_a_kernel_that_is_gone_is_forgotten() -> None:
    answers = known()
    answers.begin(["k"])
    answers.end({"k": "idle"}, {}, START)
    assert not answers.may_tell("k")
    answers.begin(["k"])
    answer(answers, Answer.IDLE)
    answers.begin(["l"])
    answers.end({"l": "idle"}, {}, START)
    assert answers.was_asked_lately("k", START)
    answers.forget_all_but([])
    assert not answers.was_asked_lately("k", START)
    assert answers.may_tell("k")
    assert answers.may_tell("l")


def test_a_clock_that_was_set_makes_no_answer_older() -> None:
    answers = known()
    answers.begin(["k"])
    answer(answers, Answer.SILENT)
    answers.clock_jumped(NIGHT)
    assert answers.standing("k", "after").silent_since == START + NIGHT + TOOK
    assert answers.was_asked_lately("k", START + NIGHT + 2 * TOOK)


def test_only_what_is_new_takes_another_observation() -> None:
    """A kernel that can't be reached, as before, tells nothing."""
    answers = known()

    def end(**told: Told) -> bool:
        answers.begin(["k"])
        return answers.end({"k": "idle"}, told, START)

    assert [end(), end(), end(k=Told(Answer.IDLE)), end(), end()] == [
        True,
        False,
        True,
        True,
        False,
    ]
