"""In use or not: every line of the table, with real servers, kernels, terminals and processes.

``make test-situations`` tries all of them; ``make test`` a sample.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .lines import SITUATIONS
from .table import Situation
from .world import space

LINES = [
    pytest.param(each, id=each.name, marks=() if each.in_sample else pytest.mark.whole_table)
    for each in SITUATIONS
]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("situation", LINES)
def test_an_app_is_shut_down_if_nothing_uses_it_and_only_then(
    situation: Situation, tmp_path: Path
) -> None:
    with space(tmp_path, **situation.traits) as here:
        situation.arrange(here)
        if situation.in_use:
            here.assert_in_use()
        else:
            here.assert_idle()
