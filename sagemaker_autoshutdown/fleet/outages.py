"""What is wrong for longer than a round: told once when it begins, and once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from ..text import clean, span, without_ids


class Outages:
    """Writes to the log what is wrong. While it lasts, only another message of it is news."""

    def __init__(self, log: logging.Logger, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now
        #: Since when each lasts, and what was said of it.
        self._under_way: dict[str, tuple[datetime, set[str]]] = {}

    def are(self, problems: Mapping[str, str]) -> None:
        """All that is wrong now, by what is affected."""
        now = self._now()
        for name, message in problems.items():
            _, said = self._under_way.setdefault(name, (now, set()))
            if without_ids(message) not in said:
                said.add(without_ids(message))
                self._log.error("%s", clean(message))
        for name in self._under_way.keys() - problems.keys():
            since, _ = self._under_way.pop(name)
            lasted = span((now - since).total_seconds())
            self._log.warning("%s", clean(f"All is well again with {name}, after {lasted}."))
