"""Whether somebody has this server open in a browser, or since when nobody has. Pure.

A tab is connected while it holds a websocket of a kernel or a terminal. The panel reports when its
page is closed. A websocket that broke, because a laptop sleeps or a network fails, counts as closed
after a while. Before the first connection, nothing is known.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ..model import Presence

#: A tab may come back for so long after its last websocket broke.
CUT_FOR = timedelta(minutes=5)
#: The websockets of a page that has reported its end may still be counted for so long.
GOES_WITHIN = timedelta(seconds=10)


class PresenceTracker:
    """Follows connections from observation to observation."""

    def __init__(self) -> None:
        self._connected_at: datetime | None = None
        self._page_closed_at: datetime | None = None

    def page_closed(self, now: datetime) -> None:
        """The panel's page was closed; another tab may still be connected."""
        self._page_closed_at = now

    def observe(self, connections: int, now: datetime) -> Presence:
        """Interprets the number of connected websockets, given the earlier numbers."""
        if connections:
            self._connected_at = now
            closed_at = self._page_closed_at
            if closed_at is not None and now - closed_at >= GOES_WITHIN:
                self._page_closed_at = None  # another tab is open
        if self._connected_at is None:
            return Presence(is_known=False)
        if connections:
            return Presence(is_known=True)
        # The clock may have been set back.
        connected_at = min(self._connected_at, now)
        if self._page_closed_at is not None:
            return Presence(True, max(connected_at, min(self._page_closed_at, now)))
        if now - connected_at >= CUT_FOR:
            return Presence(True, connected_at)
        return Presence(is_known=True)

    def clock_jumped(self, jump: timedelta) -> None:
        """The wall clock was set."""
        if self._connected_at is not None:
            self._connected_at += jump
        if self._page_closed_at is not None:
            self._page_closed_at += jump
