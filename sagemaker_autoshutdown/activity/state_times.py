"""Since when each thing has been in its state, by this server's own observations. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..clock import from_iso

#: A thing's kind and id.
Key = tuple[str, str]


@dataclass
class _Seen:
    """Since when something is in its state. If it claims activity in the future (another
    machine's clock is ahead): that claim, and when it was first seen."""

    state: str
    since: datetime
    observation: int
    claimed: datetime | None = None
    claimed_at: datetime | None = None


class StateTimes:
    """Remembers things from one observation to the next."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}
        self._observations = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the first observation: a state may have begun long before it."""
        return self._observations == 1

    def begin_observation(self) -> None:
        """What is asked for from now on belongs to one observation."""
        self._observations += 1

    def since(self, key: Key, state: str, now: datetime) -> datetime:
        """Since when this thing has been in this state, which it is in now."""
        seen = self._seen.get(key)
        if seen is None or seen.state != state:
            seen = self._seen[key] = _Seen(state, now, self._observations)
        seen.observation = self._observations
        # The clock may have been set back.
        seen.since = min(seen.since, now)
        return seen.since

    def began_before(self, key: Key, moment: datetime) -> datetime:
        """The thing has been in its state since this moment at the latest: returns since when."""
        seen = self._seen[key]
        seen.since = min(seen.since, moment)
        return seen.since

    def last_activity(self, key: Key, claim: object, now: datetime) -> datetime | None:
        """The time that Jupyter claims; if that is in the future, when it was first seen."""
        claimed = _time(claim)
        if claimed is None:
            return None
        seen = self._seen[key]
        if claimed > now and seen.claimed != claimed:
            seen.claimed, seen.claimed_at = claimed, now
        return seen.claimed_at if seen.claimed == claimed else claimed

    def forget_gone(self) -> None:
        """Forgets what this observation has not seen."""
        self._seen = {
            key: seen for key, seen in self._seen.items() if seen.observation == self._observations
        }

    def ids(self, kind: str) -> set[str]:
        """The ids of the things of one kind."""
        return {key[1] for key in self._seen if key[0] == kind}

    def clock_jumped(self, jump: timedelta) -> None:
        """The wall clock was set: shift the times."""
        for seen in self._seen.values():
            seen.since += jump
            if seen.claimed_at is not None:
                seen.claimed_at += jump


def _time(text: object) -> datetime | None:
    """Jupyter's time; None if there is none, or it can't be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return from_iso(text)
    except ValueError:
        return None
