"""CloudWatch Logs, as far as scripts' messages are written to it and found again.

A test writes the message of an app's script, as Studio would.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone

from tests.localstudio.errors import ApiError, invalid
from tests.localstudio.state import LogEvent

from ._table import LOGS, Answer, Backend, Parameters


@LOGS.operation("CreateLogGroup")
async def create_log_group(backend: Backend, p: Parameters) -> None:
    groups = backend.account.log_groups
    if p["logGroupName"] in groups:
        raise ApiError("ResourceAlreadyExistsException", "The specified log group already exists")
    groups[p["logGroupName"]] = {}


@LOGS.operation("CreateLogStream")
async def create_log_stream(backend: Backend, p: Parameters) -> None:
    streams = _streams(backend, p)
    if p["logStreamName"] in streams:
        raise ApiError("ResourceAlreadyExistsException", "The specified log stream already exists")
    streams[p["logStreamName"]] = []


@LOGS.operation("PutLogEvents")
async def put_log_events(backend: Backend, p: Parameters) -> Answer:
    streams = _streams(backend, p)
    if p["logStreamName"] not in streams:
        raise _not_found("stream")
    for event in p["logEvents"]:
        at = datetime.fromtimestamp(event["timestamp"] / 1000, timezone.utc)
        streams[p["logStreamName"]].append(LogEvent(at, event["message"]))
    return {}


@LOGS.operation("FilterLogEvents")
async def filter_log_events(backend: Backend, p: Parameters) -> Answer:
    """Stream by stream; here a pattern is one quoted term, and others are refused."""
    pattern = p.get("filterPattern", '""')
    if not (len(pattern) > 1 and pattern[0] == pattern[-1] == '"'):
        raise invalid(f"The local Studio finds one quoted term only, not {pattern}")
    term = json.loads(pattern)
    since = p.get("startTime", 0)
    found = [
        (stream, event)
        for stream, events in sorted(_streams(backend, p).items())
        if stream.startswith(p.get("logStreamNamePrefix", ""))
        for event in events
        if term in event.message and event.milliseconds >= since
    ]
    begin = int(p.get("nextToken", 0))
    end = begin + min(p.get("limit", 10_000), backend.account.log_page)
    return {
        "events": [
            {"logStreamName": stream, "timestamp": event.milliseconds, "message": event.message}
            for stream, event in found[begin:end]
        ],
        "nextToken": str(end) if end < len(found) else None,
    }


def _streams(backend: Backend, p: Parameters) -> dict[str, list[LogEvent]]:
    try:
        return backend.account.log_groups[p["logGroupName"]]
    except KeyError:
        raise _not_found("group") from None


def _not_found(what: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"The specified log {what} does not exist.")
