"""Events as lines of JSON for a log group, which keeps them longer than the table.

Lambda's standard output goes to its log group. Each line is a whole document whose ``audit`` is
``sagemaker-autoshutdown``, so that a query can find it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TextIO

from ...clock import to_iso
from .model import Event

#: The value of ``audit`` in each line.
NAME = "sagemaker-autoshutdown"


class JsonLines:
    """An :class:`~.protocols.Audit` that appends lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, events: Sequence[Event]) -> None:
        """Appends a line each."""
        for event in events:
            self._stream.write(json.dumps({"audit": NAME, **row(event)}) + "\n")
        self._stream.flush()


def row(event: Event) -> dict[str, Any]:
    """An event as fields, for ``fleet history --json`` and for a line."""
    key = event.run.key if event.run else None
    return {
        "event_id": event.event_id,
        "at": to_iso(event.at),
        "account_id": event.scope.account_id,
        "region": event.scope.region,
        "event": event.what.value,
        "domain": key.domain if key else None,
        "owner": (event.owner or key.owner) if key else None,
        "owner_kind": key.owner_kind if key else None,
        "owner_name": key.owner if key else None,
        "app_type": key.app_type if key else None,
        "app_name": key.name if key else None,
        "up_since": to_iso(event.run.up_since) if event.run else None,
        "rule": event.rule,
        "class": event.grade.value if event.grade else None,
        "why": event.why,
        "evidence": dict(event.evidence),
        "shutdown_at": to_iso(event.due_at) if event.due_at else None,
        "usd_per_hour": format(Decimal(event.nano_usd_per_hour).scaleb(-9).normalize(), "f"),
        "by": event.by,
    }
