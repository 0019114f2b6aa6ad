"""Holds in DynamoDB, and the audit in a log group: AWS's part of ``acting/``.

One item for each run, in the table of the record, below its scope; each change is one conditional
write. Items of ended holds expire by the table's time to live. The audit outlives them: a log group
with a retention of its own, which Logs Insights can query, gets a line of JSON for each event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ...aws import Aws, AwsError
from ..acting import wire
from ..acting.audit import NAME, row
from ..acting.model import Event, Hold, RunId
from ..acting.protocols import Unavailable
from ..acting.steps import KEPT_FOR
from ..model import Scope
from .table import is_conflict

_HOLD = "hold/"
#: Limits of CloudWatch Logs for one call: events, and bytes with 26 for each event.
_MOST_EVENTS, _MOST_BYTES, _EACH = 1000, 900_000, 26


class DynamoHolds:
    """The holds of a fleet. Raises :class:`Unavailable` if the table can't be reached."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    def create(self, hold: Hold) -> bool:
        """Stores a hold of version 1; returns False if the run has one."""
        return self._put(hold, "attribute_not_exists(version)", {})

    def replace(self, hold: Hold) -> bool:
        """Stores a hold of version N if the stored one is of version N - 1."""
        values = {":before": {"N": str(hold.version - 1)}}
        return self._put(hold, "version = :before", values)

    def _put(self, hold: Hold, condition: str, values: Mapping[str, Any]) -> bool:
        item = {
            **_key(hold.run),
            "version": {"N": str(hold.version)},
            "hold": {"S": json.dumps(wire.to_json(hold), separators=(",", ":"))},
        }
        if not hold.is_open:
            end = hold.changed_at + KEPT_FOR
            item["expires"] = {"N": str(int(end.timestamp()))}
        put = {"TableName": self._table, "Item": item, "ConditionExpression": condition}
        try:
            self._call("PutItem", {**put, "ExpressionAttributeValues": values} if values else put)
        except AwsError as error:
            if not is_conflict(error):
                raise Unavailable(f"the table of holds: {error}") from None
            # botocore resends a request without an answer: was it this very write?
            return self.read(hold.run) == hold
        return True

    def read(self, run: RunId) -> Hold | None:
        """The present hold of a run."""
        wanted = {"TableName": self._table, "Key": _key(run), "ConsistentRead": True}
        try:
            item = self._call("GetItem", wanted).get("Item")
        except AwsError as error:
            raise Unavailable(f"the table of holds: {error}") from None
        return _hold(item) if item else None

    def of(self, scope: Scope) -> Iterator[Hold]:
        """All holds of a scope, including ended ones that have not expired."""
        wanted: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "#scope = :scope AND begins_with(#item, :hold)",
            "ExpressionAttributeNames": {"#scope": "scope", "#item": "item"},
            "ExpressionAttributeValues": {
                ":scope": {"S": "/".join(scope)},
                ":hold": {"S": _HOLD},
            },
            "ConsistentRead": True,
        }
        while True:
            try:
                answer = self._call("Query", wanted)
            except AwsError as error:
                raise Unavailable(f"the table of holds: {error}") from None
            for item in answer.get("Items") or ():
                yield _hold(item)
            if not answer.get("LastEvaluatedKey"):
                return
            wanted = {**wanted, "ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._aws.call_blocking("dynamodb", operation, parameters)


def _key(run: RunId) -> dict[str, Any]:
    return {"scope": {"S": "/".join(run.scope)}, "item": {"S": f"{_HOLD}{run}"}}


def _hold(item: Mapping[str, Any]) -> Hold:
    try:
        return wire.from_json(Hold, json.loads(item["hold"]["S"]))
    except (KeyError, ValueError) as error:
        raise Unavailable(f"the table of holds has an item that is no hold: {error}") from None


class LogAudit:
    """Events as lines of a log group, in a stream of this process's own."""

    def __init__(self, aws: Aws, group: str, stream: str) -> None:
        self._aws = aws
        self._group = group
        self._stream = stream
        self._made = False

    def write(self, events: Sequence[Event]) -> None:
        """Appends them."""
        batch: list[dict[str, Any]] = []
        size = 0
        for event in sorted(events, key=lambda each: each.at):
            line = json.dumps({"audit": NAME, **row(event)}, separators=(",", ":"))
            needed = len(line.encode()) + _EACH
            if batch and (len(batch) == _MOST_EVENTS or size + needed > _MOST_BYTES):
                self._send(batch)
                batch, size = [], 0
            batch.append({"timestamp": _milliseconds(event.at), "message": line})
            size += needed
        if batch:
            self._send(batch)

    def _send(self, batch: list[dict[str, Any]]) -> None:
        place = {"logGroupName": self._group, "logStreamName": self._stream}
        try:
            if not self._made:
                try:
                    self._aws.call_blocking("logs", "CreateLogStream", place)
                except AwsError as error:
                    if error.code != "ResourceAlreadyExistsException":
                        raise
                self._made = True
            self._aws.call_blocking("logs", "PutLogEvents", {**place, "logEvents": batch})
        except AwsError as error:
            raise Unavailable(f"the log group of the audit: {error}") from None


class LogHistory:
    """The content of the audit, for people."""

    def __init__(self, aws: Aws, group: str) -> None:
        self._aws = aws
        self._group = group

    def since(self, start: datetime) -> Iterator[dict[str, Any]]:
        """The events from a time on, oldest first and each once, in the form of ``audit.row``.
        Raises ``AwsError``."""
        wanted: dict[str, Any] = {"logGroupName": self._group, "startTime": _milliseconds(start)}
        found: dict[str, dict[str, Any]] = {}
        while True:
            answer = self._aws.call_blocking("logs", "FilterLogEvents", wanted)
            for line in answer.get("events") or ():
                try:
                    document = json.loads(line["message"])
                    del document["audit"]
                    found.setdefault(document["event_id"], document)
                except (KeyError, TypeError, ValueError):
                    continue
            if not answer.get("nextToken"):
                break
            wanted = {**wanted, "nextToken": answer["nextToken"]}
        yield from sorted(found.values(), key=lambda each: (each["at"], each["event_id"]))


def _milliseconds(moment: datetime) -> int:
    return int(moment.astimezone(timezone.utc).timestamp() * 1000)
