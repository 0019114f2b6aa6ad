"""The runner of the table compares tools even if the app is shut down before it asks."""

from __future__ import annotations

from datetime import timedelta

from sagemaker_autoshutdown.clock import utcnow
from tests.e2e.situations.__main__ import last_seen
from tests.e2e.situations.other_tools import Seen


def test_an_app_that_goes_early_is_judged_by_its_last_words() -> None:
    began = utcnow()
    first, *words = (Seen([{"id": each}], [], began) for each in "ab")

    def see() -> Seen:
        if not words:
            raise ConnectionRefusedError("it is gone")
        return words.pop(0)

    seen = last_seen(first, see, seconds=9.0, every=0.0)
    assert seen.sessions == [{"id": "b"}]
    # As of the moment at which every app is judged.
    assert timedelta(seconds=9) <= seen.now - began < timedelta(seconds=60)
