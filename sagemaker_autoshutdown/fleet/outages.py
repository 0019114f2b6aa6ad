"""Problems that last longer than a round: logged once when they begin, and once when they end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from ..text import clean, span, without_ids


class Outages:
    """Logs problems. While one lasts, it is logged again only if its message changes."""

    def __init__(self, log: logging.Logger, now: Callable[[], datetime]) -> None:
        self._log = log
        self._now = now
        #: Since when each lasts, and its last message.
        self._under_way: dict[str, tuple[datetime, set[str]]] = {}

    def are(self, problems: Mapping[str, str]) -> None:
        """Takes all present problems, by the affected thing."""
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
