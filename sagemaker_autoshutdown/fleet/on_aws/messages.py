"""The messages of the queues. Pure.

The schedule sends a *round*: all accounts and regions are due. A *sweep* is one of them. Both carry
the planned time, which names the sweep: a duplicate message makes the same sweep.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ...clock import from_iso
from ..acting import wire
from ..acting.model import Task
from ..recorder import planned
from ..service import Target

#: The most tasks in one message: one invocation handles them well within its time.
TASKS = 20
#: The most bytes in a message; SQS accepts more.
_BYTES = 200_000


class NoMessage(ValueError):
    """A body that is not one of our messages."""


@dataclass(frozen=True)
class Round:
    """Everything is due."""

    sweep_id: str


@dataclass(frozen=True)
class SweepOf:
    """One account in one region is due. An empty ``role`` means the functions' own account."""

    sweep_id: str
    role: str
    region: str

    def body(self) -> str:
        """The body to send."""
        return json.dumps({"sweep": self.sweep_id, "role": self.role, "region": self.region})

    def is_about(self, target: Target) -> bool:
        """Whether it is about this target."""
        role = target.account.role
        return (role.arn if role else "", target.region) == (self.role, self.region)


def read(record: Mapping[str, Any], interval: timedelta) -> Round | SweepOf:
    """The message in a record of SQS. Raises :class:`NoMessage`."""
    document = _document(record)
    if "round" in document:
        return Round(planned(_planned_at(document["round"], record), interval))
    try:
        return SweepOf(str(document["sweep"]), str(document["role"]), str(document["region"]))
    except KeyError as error:
        raise NoMessage(f"it has no {error}") from None


def read_tasks(record: Mapping[str, Any]) -> list[Task]:
    """The tasks of a record of SQS. Raises :class:`NoMessage`."""
    try:
        return [_task(each) for each in _document(record)["tasks"]]
    except (KeyError, TypeError, ValueError) as error:
        raise NoMessage(f"it holds no tasks: {error}") from None


def task_bodies(tasks: Sequence[Task]) -> Iterator[str]:
    """Tasks as messages, in their order."""
    batch: list[str] = []
    for task in tasks:
        text = json.dumps(_plain(task), separators=(",", ":"))
        if batch and (len(batch) == TASKS or sum(map(len, batch)) + len(text) > _BYTES):
            yield _join(batch)
            batch = []
        batch.append(text)
    if batch:
        yield _join(batch)


def in_tens(bodies: Iterable[str]) -> Iterator[list[dict[str, str]]]:
    """Entries for SendMessageBatch, ten at a time and within its limit of bytes."""
    batch: list[dict[str, str]] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == 10 or size + len(body) > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append({"Id": str(len(batch)), "MessageBody": body})
        size += len(body)
    if batch:
        yield batch


def _join(batch: list[str]) -> str:
    return '{"tasks":[' + ",".join(batch) + "]}"


def _plain(task: Task) -> dict[str, Any]:
    return wire.to_json(task)


def _task(document: Any) -> Task:
    return wire.from_json(Task, document)


def _document(record: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        document = json.loads(record["body"])
    except (KeyError, TypeError, ValueError):
        raise NoMessage("its body is no JSON") from None
    if not isinstance(document, dict):
        raise NoMessage("its body is no JSON object")
    return document


def _planned_at(text: object, record: Mapping[str, Any]) -> datetime:
    """The time for which the schedule planned the round; if that is missing, the time when SQS
    took the message. Neither is this machine's clock."""
    try:
        return from_iso(str(text))
    except ValueError:
        pass
    try:
        sent = int(record["attributes"]["SentTimestamp"])
    except (KeyError, TypeError, ValueError):
        raise NoMessage("it names no time") from None
    return datetime.fromtimestamp(sent / 1000, timezone.utc)
