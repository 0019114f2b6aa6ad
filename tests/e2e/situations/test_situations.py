"""In use or not: every line of the table, with real servers, kernels, terminals and processes.

``make test-situations`` tries all of them, and those where versions matter in stand-ins of the
images as well; ``make test`` a sample.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from .lines import SITUATIONS
from .places import stage
from .table import Situation
from .world import LackingError

# Image by image: two workers that want the same one wait for each other.
LINES = [
    pytest.param(
        each,
        place,
        id=f"{each.name} ({place})" if place else each.name,
        marks=() if each.in_sample and place == each.places[0] else pytest.mark.whole_table,
    )
    for place in sorted({place for each in SITUATIONS for place in each.places})
    for each in SITUATIONS
    if place in each.places
]


@pytest.mark.parametrize(("situation", "place"), LINES)
def test_an_app_is_shut_down_if_nothing_uses_it_and_only_then(
    situation: Situation, place: str, tmp_path: Path
) -> None:
    with ExitStack() as held:
        try:
            here = held.enter_context(stage(situation, place, tmp_path))
            situation.arrange(here)
        except LackingError as error:
            pytest.skip(str(error))
        if situation.in_use:
            here.assert_in_use()
        else:
            here.assert_idle()
