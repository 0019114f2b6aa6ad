"""Who is told what happens: the one protocol that costs, metrics, remote write, events and the hold
against Studio's own idle shutdown implement. ``monitor.announcements`` tells them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .model import Event, Presence, Reason, Verdict


@dataclass(frozen=True)
class Check:
    """A check that has ended. ``duration`` is None where only kernels that had been asked were
    observed again. ``apps_seen``: SageMaker listed the apps; else they are those that were last
    seen."""

    at: datetime
    duration: timedelta | None
    verdicts: tuple[Verdict, ...]
    apps_seen: bool
    presence: Presence = field(default_factory=Presence)


class Listener:
    """Is told what happens, on the event loop, and overrides what it wants to hear of. It neither
    blocks nor raises."""

    def on_check(self, check: Check) -> None:
        """A check has ended."""

    def on_event(self, event: Event) -> None:
        """Something happened to an app or to the settings."""

    def on_shutdown(self, reason: Reason, accepted: bool) -> None:
        """SageMaker was asked to shut an app down, and accepted or did not."""

    def on_status_changed(self) -> None:
        """The status changed. Time that passes is not a change."""
