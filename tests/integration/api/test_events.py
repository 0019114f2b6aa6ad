"""Events on Jupyter's bus: their form for listeners, and that they never disturb the loop."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from jupyter_events import EventLogger

from sagemaker_autoshutdown.api import events
from sagemaker_autoshutdown.api.events import SCHEMA_FILE, SCHEMA_ID, EventBus
from sagemaker_autoshutdown.model import Event, EventKind, Reason
from sagemaker_autoshutdown.monitor import Monitor
from tests import spec

from .conftest import CPU_APP, Call

NOW = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)
WARNING = Event(
    at=NOW,
    kind=EventKind.WARNING,
    message="ml-t3-medium will be shut down",
    app_name="ml-t3-medium",
    app_type="KernelGateway",
    instance_type="ml.t3.medium",
    reason=Reason.IDLE_TIMEOUT,
    shutdown_at=NOW + timedelta(minutes=10),
)
SCHEMA = yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))


@pytest.fixture
def heard() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def logger(heard: list[dict[str, Any]]) -> Iterator[EventLogger]:
    """A bus that somebody listens to."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(json.loads(self.format(record)))

    logger = EventLogger()
    handler = Listener()
    logger.register_handler(handler)
    yield logger
    logger.remove_handler(handler)


def said(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events, without the bus's additions."""
    return [
        {key: value for key, value in event.items() if key in SCHEMA["properties"]}
        for event in heard
    ]


def test_the_schema_knows_every_kind_of_event_and_every_field() -> None:
    kinds = [kind.value for kind in EventKind if kind is not EventKind.UNKNOWN]
    assert SCHEMA["properties"]["kind"]["enum"] == [*kinds, "status"]
    assert SCHEMA["$id"] == SCHEMA_ID
    assert SCHEMA["required"] == list(SCHEMA["properties"])
    assert list(SCHEMA["properties"]) == [field.name for field in fields(Event)]


def test_an_event_is_told_as_history_tells_it(
    logger: EventLogger, heard: list[dict[str, Any]]
) -> None:
    EventBus(logger).on_event(WARNING)
    (event,) = said(heard)
    spec.check("Event", event)
    assert event["shutdown_at"] == "2026-09-01T12:10:00Z"
    assert heard[0]["__schema__"] == SCHEMA_ID


def test_a_bus_that_knows_the_schema_already_is_used(
    logger: EventLogger, heard: list[dict[str, Any]]
) -> None:
    EventBus(logger)
    EventBus(logger).on_event(WARNING)
    assert len(heard) == 1


def test_a_bus_that_takes_numbers_for_versions_is_used_too() -> None:
    """Like the bus of jupyter_events before 0.11, in older images."""
    registered = []

    class Old:
        schemas: frozenset[str] = frozenset()

        def register_event_schema(self, schema: dict[str, Any]) -> None:
            if not isinstance(schema["version"], int):
                raise ValueError("version is not of type 'integer'")
            registered.append(schema["$id"])

    EventBus(Old())
    assert registered == [SCHEMA_ID]


def test_without_a_bus_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus(None)
    bus.on_event(WARNING)
    asyncio.run(_status_changed(bus))
    assert not caplog.records, "jupyter_server 1.24 has none, which is no fault"


async def _status_changed(bus: EventBus) -> None:
    bus.on_status_changed()


def test_a_fault_of_the_bus_does_not_reach_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        schemas = frozenset({SCHEMA_ID})

        def emit(self, **_: object) -> None:
            raise RuntimeError("no")

    EventBus(Broken()).on_event(WARNING)
    assert "could not be emitted" in caplog.text

    class Useless:
        @property
        def schemas(self) -> object:
            raise RuntimeError("no")

    EventBus(Useless()).on_event(WARNING)
    assert "no events are emitted" in caplog.text


def test_a_status_that_changes_all_the_time_is_not_told_all_the_time(
    logger: EventLogger, heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STATUS_INTERVAL", 0.1)

    async def change() -> None:
        bus = EventBus(logger, now=lambda: NOW)
        for _ in range(100):
            bus.on_status_changed()
        assert len(heard) == 1, "the first at once"
        for _ in range(100):
            await asyncio.sleep(0.01)
            if len(heard) > 1:
                break
        assert len(heard) == 2, "the last one, too, so that nobody is left behind"
        bus.close()

    asyncio.run(change())
    assert {event["kind"] for event in said(heard)} == {"status"}


async def test_what_happens_is_told_to_a_client_of_the_server(
    monitor: Monitor, call: Call, jp_ws_fetch: Any
) -> None:
    await monitor.check()
    socket = await jp_ws_fetch("api", "events", "subscribe")
    await call("PUT", f"apps/{CPU_APP}/keep-alive", {"seconds": 3600})
    kinds: set[str] = set()
    while kinds < {"keep_alive", "status"}:
        event = json.loads(await asyncio.wait_for(socket.read_message(), 60))
        if event["schema_id"] == SCHEMA_ID:
            kinds.add(event["kind"])
    socket.close()
