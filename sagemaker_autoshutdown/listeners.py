"""The one protocol of all listeners: costs, metrics, remote write, events and the hold against
Studio's own idle shutdown. ``monitor.announcements`` tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .model import Event, Presence, Reason, Verdict


@dataclass(frozen=True)
class Check:
    """A check that has ended. ``duration`` is None if only kernels that had been asked were
    observed again. ``apps_seen`` means that SageMaker listed the apps; else they are the last
    seen ones."""

    at: datetime
    duration: timedelta | None
    verdicts: tuple[Verdict, ...]
    apps_seen: bool
    presence: Presence = field(default_factory=Presence)


class Listener:
    """Listens on the event loop, and overrides the methods for the events that it needs. It
    neither blocks nor raises."""

    def on_check(self, check: Check) -> None:
        """A check has ended."""

    def on_event(self, event: Event) -> None:
        """Something happened to an app or to the settings."""

    def on_shutdown(self, reason: Reason, accepted: bool) -> None:
        """SageMaker was asked to shut an app down, and accepted or refused."""

    def on_status_changed(self) -> None:
        """The status changed. Time that passes is not a change."""
