"""Checks the content of requests and turns it into values. Pure.

Invalid content raises ``InvalidRequest`` that says what is allowed, by field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..clock import from_iso, to_iso
from ..costs.billing.report import GroupBy
from ..errors import InvalidRequest
from ..settings.admin import MAX_SECONDS, MIN_SECONDS
from ..settings.file import echo

#: The most events in an answer, and the number if the request names none.
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
    """The end of the keep-alive in the request, from ``seconds`` or ``until``.

    ``longest`` is the admin's limit; callers handle 0.
    """
    errors = {
        str(name): "is not a field; the fields are seconds and until"
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
    # The comparison refuses NaN and accepts integers of any size.
    if isinstance(seconds, bool) or not (
        isinstance(seconds, (int, float)) and MIN_SECONDS <= seconds <= most
    ):
        text = f"must be a number from {MIN_SECONDS:g} to {most:.0f}; got {echo(seconds)}"
        raise InvalidRequest(f"seconds {text}.", {"seconds": text})
    return now + timedelta(seconds=seconds)


def moment(name: str, text: object) -> datetime:
    """A time from ISO 8601 text; UTC if it names no offset."""
    if isinstance(text, str):
        try:
            return from_iso(text)
        except ValueError:
            pass
    allowed = f"must be a time such as 2026-09-01T18:00:00Z; got {echo(text)}"
    raise InvalidRequest(f"{name} {allowed}.", {name: allowed})


def event_limit(text: str | None) -> int:
    """How many events the request asks for."""
    if text is None:
        return DEFAULT_EVENTS
    # Not everything that int() accepts: spaces, underscores, other scripts' digits.
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_EVENTS:
        return int(text)
    allowed = f"must be a whole number from 1 to {MAX_EVENTS}; got {echo(text)}"
    raise InvalidRequest(f"limit {allowed}.", {"limit": allowed})


def app_filter(text: str | None) -> str | None:
    """The app whose events the request asks for; None for all."""
    if text is not None and not text:
        allowed = "must be an app's name; leave it out for all apps"
        raise InvalidRequest(f"app_name {allowed}.", {"app_name": allowed})
    return text


@dataclass(frozen=True)
class CostsQuery:
    """The request of ``GET costs``."""

    start: datetime
    end: datetime
    group_by: GroupBy
    as_csv: bool


def costs_query(
    argument: Callable[[str], str | None], accept: str | None, now: datetime
) -> CostsQuery:
    """The query's arguments with their defaults: this month up to now, by day, as JSON."""
    end = moment("to", argument("to")) if argument("to") is not None else now
    start = (
        moment("from", argument("from"))
        if argument("from") is not None
        else end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    )
    if start > end:
        text = f"must not be after to ({to_iso(end)}); got {to_iso(start)}"
        raise InvalidRequest(f"from {text}.", {"from": text})
    groups = [group.value for group in GroupBy]
    group_by = _one_of("group_by", argument("group_by"), groups, GroupBy.DAY.value)
    wanted = "csv" if accept is not None and accept.split(",")[0].startswith("text/csv") else "json"
    as_csv = _one_of("format", argument("format"), ["json", "csv"], wanted) == "csv"
    return CostsQuery(start, end, GroupBy(group_by), as_csv)


def _one_of(name: str, value: str | None, allowed: list[str], default: str) -> str:
    if value is None:
        return default
    if value in allowed:
        return value
    text = f"must be one of {', '.join(allowed)}; got {echo(value)}"
    raise InvalidRequest(f"{name} {text}.", {name: text})
