"""``python -m tests.e2e.situations``: the table, with the verdicts of other tools.

Our product really runs. The others' rules are applied to the answers of Jupyter's API shortly
before the limit. ``python -m tests.e2e.situations WORD ...`` tries the lines that have one of these
words, each in the first of its places.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sagemaker_autoshutdown.clock import utcnow

from .lines import SITUATIONS
from .other_tools import TOOLS, Seen
from .places import stage
from .table import Situation
from .world import GONE_IN, LIMIT, WATCHED, LackingError, Space

#: When the others' rules are applied, and their limit by then.
TRIED_AT, THEIR_LIMIT = 0.9 * LIMIT, timedelta(seconds=0.8 * LIMIT)


def main(words: Sequence[str]) -> None:
    """Tries all lines and prints the table."""
    chosen = [each for each in SITUATIONS if not words or any(word in each.name for word in words)]
    names = ["this product", *TOOLS]
    right, tried = dict.fromkeys(names, 0), 0
    print(f"{'situation':<72} {'in use':<7} " + "  ".join(f"{name:<18}" for name in names))
    for situation in chosen:
        try:
            judged = _judge(situation)
        except LackingError as error:
            print(f"{situation.name:<72} {error}")
            continue
        except Exception as error:  # the other lines are worth their hour
            print(f"{situation.name:<72} could not be tried: {error!r:.200}")
            continue
        tried += 1
        for name in names:
            right[name] += judged[name] == situation.in_use
        marks = [_mark(judged[name], situation.in_use) for name in names]
        expected = "yes" if situation.in_use else "no"
        print(f"{situation.name:<72} {expected:<7} " + "  ".join(f"{mark:<18}" for mark in marks))
        sys.stdout.flush()
    print(f"{'right':<80} " + "  ".join(f"{right[name]} of {tried:<12}" for name in names))


def _mark(judged: bool, in_use: bool) -> str:
    if judged == in_use:
        return "right"
    return "NEVER SHUT DOWN" if judged else "SHUT DOWN IN USE"


def _judge(situation: Situation) -> dict[str, bool]:
    """Whether each tool counts the app as in use."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        here = held.enter_context(stage(situation, situation.places[0], folder))
        situation.arrange(here)
        seen = _see(here)
        here.set_limit()
        seen = last_seen(seen, lambda: _see(here), TRIED_AT)
        judged = {name: rule(seen, THEIR_LIMIT) for name, rule in TOOLS.items()}
        return {"this product": not _is_shut_down(here, situation.in_use), **judged}


def _see(here: Space) -> Seen:
    return Seen(here.request("GET", "api/sessions"), here.request("GET", "api/terminals"), utcnow())


def last_seen(seen: Seen, see: Callable[[], Seen], seconds: float, every: float = 1.0) -> Seen:
    """What an app's API tells after so many seconds; ``seen`` is what it told before. If the app is
    gone sooner, it is what it told last."""
    began, moment = utcnow(), time.monotonic()
    while (left := seconds - (time.monotonic() - moment)) > 0:
        time.sleep(min(every, left))
        try:
            seen = see()
        except Exception:  # it is being shut down, so it may answer anything or nothing
            break
    return replace(seen, now=began + timedelta(seconds=seconds))


def _is_shut_down(here: Space, in_use: bool) -> bool:
    end = time.monotonic() + (WATCHED if in_use else GONE_IN)
    while time.monotonic() < end:
        if here.is_shut_down:
            return True
        time.sleep(0.5)
    return False


if __name__ == "__main__":
    main(sys.argv[1:])
