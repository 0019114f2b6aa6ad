"""The scripts' messages from the starts of apps, from CloudWatch Logs.

Studio writes the output of an app's lifecycle configuration into a stream of its own,
``DOMAIN/OWNER/APP-TYPE/APP-NAME/LifecycleConfigOnStart`` of the group `GROUP`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from ..aws import Aws, AwsError, ErrorKind

GROUP = "/aws/sagemaker/studio"
STREAM_END = "/LifecycleConfigOnStart"
#: The start of each of our lines.
PREFIX = "sagemaker-autoshutdown: "

_INSTALLED = re.compile(r"installed ([\w.+-]+), limit |([\w.+-]+) was installed already")
_FAILED = "NOT INSTALLED: "
_SWITCHED_OFF = "SWITCHED OFF by "


class Outcome(str, Enum):
    """The result of a start."""

    INSTALLED = "installed"
    NOT_INSTALLED = "not installed"
    SWITCHED_OFF = "switched off"


@dataclass(frozen=True)
class Start:
    """The message of an app's script at its last start."""

    outcome: Outcome
    #: The line, without the beginning that all our lines share.
    line: str
    #: The installed version, if the line names it.
    version: str | None = None


#: An app by its stream: owner, app type and app name.
Key = tuple[str, str, str]


def read(aws: Aws, domain_id: str, since: datetime) -> dict[Key, Start]:
    """The last start of each app of a domain with a message since then.

    One listing for all of them. Raises `AwsError`; a missing group counts as empty.
    """
    lines: dict[Key, list[str]] = {}
    try:
        for event in _events(aws, domain_id, since):
            key = _key(domain_id, event.get("logStreamName", ""))
            if key is not None:
                lines.setdefault(key, []).append(event.get("message", ""))
    except AwsError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
    found = {key: last_start(said) for key, said in lines.items()}
    return {key: start for key, start in found.items() if start is not None}


def last_start(lines: Iterable[str]) -> Start | None:
    """The result of the last start among these lines, in their order; None if no line has one."""
    found: Start | None = None
    for line in lines:
        said = line.partition(PREFIX)[2].strip()
        version = _INSTALLED.search(said)
        if said.startswith(_FAILED):
            found = Start(Outcome.NOT_INSTALLED, said)
        elif version is not None:
            found = Start(Outcome.INSTALLED, said, version[1] or version[2])
        elif said.startswith(_SWITCHED_OFF):
            found = Start(Outcome.SWITCHED_OFF, said, found.version if found else None)
    return found


def _events(aws: Aws, domain_id: str, since: datetime) -> Iterable[Mapping[str, Any]]:
    events: list[Mapping[str, Any]] = []
    token: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        answer = aws.call_blocking(
            "logs",
            "FilterLogEvents",
            {
                "logGroupName": GROUP,
                "logStreamNamePrefix": f"{domain_id}/",
                "filterPattern": f'"{PREFIX.strip()}"',
                "startTime": int(since.timestamp() * 1000),
                **token,
            },
        )
        events += answer.get("events") or []
        following = answer.get("nextToken")
        if not following or following in seen:
            # Lines of several streams come in the order of pages, not of time.
            return sorted(events, key=lambda event: event.get("timestamp", 0))
        seen.add(following)
        token = {"nextToken": following}


def _key(domain_id: str, stream: str) -> Key | None:
    parts = stream.split("/")
    if len(parts) != 5 or parts[0] != domain_id or not stream.endswith(STREAM_END):
        return None
    return parts[1], parts[2], parts[3]
