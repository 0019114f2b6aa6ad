"""The log of starts: a listing that goes round ends."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import cycle
from typing import Any, cast

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.lifecycle import start_logs

SINCE = datetime(2026, 3, 2, tzinfo=timezone.utc)


class Endless:
    """A log whose pages come round again, every third."""

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
