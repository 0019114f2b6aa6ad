"""The requests to the local Studio, with times and outcomes: for tests and benchmarks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request. ``monotonic`` is the machine's CLOCK_MONOTONIC: other processes share it."""

    number: int
    operation: str
    parameters: Mapping[str, Any]
    #: When it arrived, before any fault was applied.
    at: datetime
    monotonic: float
    #: ``ok``, an error's code, ``dropped``; None until it is answered.
    outcome: str | None = None
    answered: float | None = None

    @property
    def app_name(self) -> str | None:
        """The app that it names, if any."""
        name = self.parameters.get("AppName")
        return str(name) if name is not None else None


class Journal:
    """All calls so far, in the order of their arrival."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def arrived(self, operation: str, parameters: Mapping[str, Any]) -> int:
        """Records a call; returns its number."""
        number = len(self._calls)
        self._calls.append(
            Call(number, operation, parameters, datetime.now(timezone.utc), time.monotonic())
        )
        return number

    def understood(self, number: int, parameters: Mapping[str, Any]) -> None:
        """The parameters have been read."""
        self._calls[number] = replace(self._calls[number], parameters=parameters)

    def ended(self, number: int, outcome: str) -> None:
        """The call was answered or abandoned."""
        self._calls[number] = replace(
            self._calls[number], outcome=outcome, answered=time.monotonic()
        )

    def calls(self, operation: str | None = None, app_name: str | None = None) -> list[Call]:
        """The calls of an operation (or all), about an app (or any)."""
        return [
            call
            for call in self._calls
            if operation in (None, call.operation) and app_name in (None, call.app_name)
        ]

    def clear(self) -> None:
        """Forgets answered calls. Only between tests: calls under way would be lost."""
        self._calls.clear()
