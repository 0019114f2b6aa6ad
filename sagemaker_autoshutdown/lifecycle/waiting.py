"""Waits: for an update that SageMaker has taken and goes on with for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds that an update may take until it can be read back, and between two looks.
UPDATE_TIME = 120.0
PAUSE = 2.0


def sleep(seconds: float) -> None:
    """Of its own, so that tests need not wait."""
    time.sleep(seconds)


def until_settled(look: Callable[[], T], under_way: Callable[[T], bool]) -> T:
    """What `look` gives once no update is under way, or the time is over."""
    left = UPDATE_TIME
    while True:
        found = look()
        if left <= 0 or not under_way(found):
            return found
        sleep(PAUSE)
        left -= PAUSE
