"""Our events on Jupyter's event bus, so that the panel need not poll and other tools can listen.

jupyter_server 2 brought the bus; 1.24 has none, and then nothing happens here. This module owns the
event's form (``event.yaml``); the monitor decides what is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ..clock import to_iso, utcnow
from ..listeners import Listener
from ..model import Event
from ..status import to_json

log = logging.getLogger(__name__)

SCHEMA_FILE = Path(__file__).with_name("event.yaml")
SCHEMA_ID = "https://github.com/sagemaker-autoshutdown/sagemaker-autoshutdown/events/v1"
#: Seconds between two signals that the status changed. A listener then reads the whole status.
STATUS_INTERVAL = 1.0


class EventBus(Listener):
    """Tells Jupyter's event bus, if there is one. Never raises; called on the event loop."""

    def __init__(self, event_logger: Any, now: Callable[[], datetime] = utcnow) -> None:
        """``event_logger`` is ``serverapp.event_logger``, or None."""
        self._logger = (
            event_logger if event_logger is not None and _register(event_logger) else None
        )
        self._now = now
        self._timer: asyncio.TimerHandle | None = None
        self._changed_again = False

    def on_event(self, event: Event) -> None:
        """Publishes an event."""
        self._emit(to_json(event))

    def on_status_changed(self) -> None:
        """Publishes that the status changed: at once, but at most once in ``STATUS_INTERVAL``."""
        if self._logger is None:
            return
        if self._timer is not None:
            self._changed_again = True
            return
        self._timer = asyncio.get_running_loop().call_later(STATUS_INTERVAL, self._may_tell_again)
        self._emit(
            {
                "at": to_iso(self._now()),
                "kind": "status",
                "message": "",
                "app_name": "",
                "app_type": "",
                "instance_type": "",
                "reason": None,
                "shutdown_at": None,
            }
        )

    def close(self) -> None:
        """Publishes nothing more."""
        self._logger = None
        if self._timer is not None:
            self._timer.cancel()

    def _may_tell_again(self) -> None:
        self._timer = None
        if self._changed_again:
            self._changed_again = False
            self.on_status_changed()

    def _emit(self, data: dict[str, Any]) -> None:
        if self._logger is None:
            return
        try:
            self._logger.emit(schema_id=SCHEMA_ID, data=data)
        except Exception as error:
            # An error in a listener or the bus must not reach the loop that shuts apps down.
            log.warning("sagemaker_autoshutdown: an event could not be emitted: %s", error)


def _register(event_logger: Any) -> bool:
    """Whether the bus knows our schema now."""
    try:
        if SCHEMA_ID in event_logger.schemas:
            return True
        # The bus's own reader, because YAML is not a dependency of ours.
        from jupyter_events import yaml

        schema = yaml.load(SCHEMA_FILE)
        try:
            event_logger.register_event_schema(schema)
        except Exception:
            # Before jupyter_events 0.11 a version is a number; since then it is text.
            event_logger.register_event_schema({**schema, "version": int(schema["version"])})
    except Exception as error:
        log.warning("sagemaker_autoshutdown: no events are emitted: %s", error)
        return False
    return True
