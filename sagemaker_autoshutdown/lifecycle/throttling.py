"""Waits for an update that is under way, and when AWS limits the rate of calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..aws import Aws, AwsError, ErrorKind, Role

T = TypeVar("T")

#: Seconds within which an update must be readable, and between two reads.
UPDATE_TIME = 120.0
PAUSE = 2.0
#: Seconds to wait after each throttled call; botocore's own attempts do not count. The apps of a
#: large domain make calls too, out of the same allowance.
THROTTLED = (2, 4, 8, 16, 32, 32)


def sleep(seconds: float) -> None:
    """A function of its own, so that tests need not wait."""
    time.sleep(seconds)


def until_settled(read: Callable[[], T], under_way: Callable[[T], bool]) -> T:
    """The result of `read` once no update is under way, or the time is over."""
    left = UPDATE_TIME
    while True:
        found = read()
        if left <= 0 or not under_way(found):
            return found
        sleep(PAUSE)
        left -= PAUSE


class Patient(Aws):
    """Retries throttled calls, so that one of thousands cannot fail the command.

    A throttled call has done nothing, so it can be repeated. `say` gets a line for each wait, but
    only one for calls that wait at the same time.
    """

    def __init__(self, region: str, say: Callable[[str], None], role: Role | None = None) -> None:
        super().__init__(region, role=role)
        self._say = say
        self._waiting = 0
        self._count = threading.Lock()

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """Like `Aws.call_blocking`; may take minutes longer."""
        for seconds in THROTTLED:
            try:
                return super().call_blocking(service, operation, parameters)
            except AwsError as error:
                if error.kind is not ErrorKind.THROTTLED:
                    raise
            with self._wait_said(seconds):
                self.pause(seconds, f"{service}:{operation}")
        return super().call_blocking(service, operation, parameters)

    @contextmanager
    def _wait_said(self, seconds: float) -> Iterator[None]:
        with self._count:
            self._waiting += 1
            if self._waiting == 1:
                self._say(f"AWS limits the rate of calls: waiting {seconds} s.")
        try:
            yield
        finally:
            with self._count:
                self._waiting -= 1

    def pause(self, seconds: float, operation: str) -> None:
        """Waits before a retry."""
        sleep(seconds)
