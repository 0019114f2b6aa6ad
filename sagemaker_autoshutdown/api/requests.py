"""What requests carry, checked and turned into values; pure.

Whatever can't be taken raises ``InvalidRequest`` with what is allowed, by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..clock import from_iso
from ..config import MAX_SECONDS
from ..errors import InvalidRequest
from ..settings_file import echo

#: The most events in an answer, and how many there are if nothing is said.
MAX_EVENTS = 1000
DEFAULT_EVENTS = 100


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body must be a JSON object: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object; got {echo(value)}.")
    return value


def keep_alive_end(body: Mapping[str, Any], now: datetime, longest: timedelta) -> datetime:
    """The end of the keep-alive that is asked for, by ``seconds`` or ``until``.

    ``longest`` is what the admin allows; 0 is for others to refuse.
    """
    errors = {
        str(name): "is no field; there are seconds and until"
        for name in body
        if name not in ("seconds", "until")
    }
    if errors or len(body) != 1:
        raise InvalidRequest(
            'A keep-alive takes either {"seconds": 3600} or {"until": "2026-09-01T18:00:00Z"}.',
            errors,
        )
    if "until" in body:
        return moment("until", body["until"])
    seconds = body["seconds"]
    most = longest.total_seconds() or MAX_SECONDS
    # Comparing refuses NaN and takes integers of any size.
    if isinstance(seconds, bool) or not (isinstance(seconds, (int, float)) and 0 < seconds <= most):
        text = f"must be a number over 0, at most {most:.0f}; got {echo(seconds)}"
        raise InvalidRequest(f"seconds {text}.", {"seconds": text})
    return now + timedelta(seconds=seconds)


def moment(name: str, text: object) -> datetime:
    """A time out of ISO 8601 text; UTC if it names no offset."""
    if isinstance(text, str):
        try:
            return from_iso(text)
        except (ValueError, OverflowError):
            pass
    allowed = f"must be a time as 2026-09-01T18:00:00Z; got {echo(text)}"
    raise InvalidRequest(f"{name} {allowed}.", {name: allowed})


def event_limit(text: str | None) -> int:
    """How many events are asked for."""
    if text is None:
        return DEFAULT_EVENTS
    # Not what else int() takes: spaces, underscores, other scripts' digits.
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_EVENTS:
        return int(text)
    allowed = f"must be a whole number from 1 to {MAX_EVENTS}; got {echo(text)}"
    raise InvalidRequest(f"limit {allowed}.", {"limit": allowed})
