"""The log of starts: a listing that repeats ends, and the last start is the last in time."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import cycle
from typing import Any, cast

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.lifecycle import start_logs
from sagemaker_autoshutdown.lifecycle.start_logs import Outcome

SINCE = datetime(2026, 3, 2, tzinfo=timezone.utc)


class Endless:
    """A log whose pages repeat, every third."""

    def __init__(self) -> None:
        self.asked = 0
        self._tokens = cycle("abc")

    def call_blocking(self, service: str, operation: str, p: dict[str, Any]) -> dict[str, Any]:
        """A page."""
        self.asked += 1
        message = f"sagemaker-autoshutdown: {self.asked}.0 was installed already, nothing was ..."
        stream = "d-1/ada/JupyterLab/default/LifecycleConfigOnStart"
        event = {"logStreamName": stream, "message": message, "timestamp": self.asked}
        return {"events": [event], "nextToken": next(self._tokens)}


def test_pages_that_repeat_end_the_listing() -> None:
    log = Endless()
    found = start_logs.read(cast(Aws, log), "d-1", SINCE)
    assert log.asked == 4
    assert found["ada", "JupyterLab", "default"].version == "4.0"


class OutOfTime:
    """A log whose pages come by stream, not by time, as with several streams."""

    def call_blocking(self, service: str, operation: str, p: dict[str, Any]) -> dict[str, Any]:
        """The later line is on the first page."""
        at, line = (
            (2, "NOT INSTALLED: lost") if "nextToken" not in p else (1, "installed 1.0, limit 9 s")
        )
        stream = "d-1/ada/JupyterLab/default/LifecycleConfigOnStart"
        event = {"logStreamName": stream, "message": f"{start_logs.PREFIX}{line}", "timestamp": at}
        return {"events": [event], **({"nextToken": "b"} if at == 2 else {})}


def test_the_last_start_is_the_last_in_time_whatever_page_it_is_on() -> None:
    found = start_logs.read(cast(Aws, OutOfTime()), "d-1", SINCE)
    assert found["ada", "JupyterLab", "default"].outcome is Outcome.NOT_INSTALLED
