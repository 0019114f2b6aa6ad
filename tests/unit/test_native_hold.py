"""Studio's own idle shutdown is held off in the one form that it reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sagemaker_autoshutdown.hosts.native_hold import NativeHold, write_timestamp
from sagemaker_autoshutdown.listeners import Check
from sagemaker_autoshutdown.model import Host, HostKind, State
from sagemaker_autoshutdown.parts import _native_hold
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown

#: At a whole second: the fraction must be there all the same.
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where Studio's own idle shutdown looks."""
    return tmp_path / "timestamp"


def read_by_studio(file: Path) -> datetime | None:
    """As its activity monitor reads it: any other form counts as no file."""
    try:
        found = datetime.strptime(file.read_text().strip(), "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007
    except (OSError, ValueError):
        return None
    return found.replace(tzinfo=timezone.utc)


def checks(file: Path, *states: Iterable[State]) -> None:
    """A server whose checks, a minute apart, find apps in these states."""
    hold = NativeHold(logging.getLogger("ours"), file)

    async def work() -> None:
        for minute, found in enumerate(states):
            verdicts: Any = tuple(SimpleNamespace(state=state) for state in found)
            hold.on_check(Check(NOW + timedelta(minutes=minute), None, verdicts, apps_seen=True))
            if hold._writing is not None:
                await hold._writing

    asyncio.run(work())


@pytest.mark.parametrize("state", [State.BUSY, State.KEPT, State.UNKNOWN])
def test_what_is_to_go_on_is_told_at_each_check(file: Path, state: State) -> None:
    checks(file, [state])
    assert read_by_studio(file) == NOW
    checks(file, [state], [State.IDLE, state])
    assert read_by_studio(file) == NOW + timedelta(minutes=1)


@pytest.mark.parametrize("state", [State.IDLE, State.WARNED, State.ACTIVE, State.SHUTTING_DOWN])
def test_what_nothing_holds_is_left_to_studio(file: Path, state: State) -> None:
    checks(file, [State.BUSY], [state], [state])
    assert read_by_studio(file) == NOW


def test_what_somebody_else_wrote_is_written_over_whole(file: Path) -> None:
    file.write_text("2026-03-02T08:59:00.000000Z and a longer line\n" * 3)
    write_timestamp(file, NOW.astimezone(timezone(timedelta(hours=5))))
    assert file.read_text() == "2026-03-02T09:00:00.000000Z"


def test_a_link_that_somebody_laid_there_is_not_followed_and_it_is_said_once(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    file.symlink_to(precious)
    checks(file, [State.BUSY], [State.BUSY], [State.BUSY])
    assert precious.read_text() == "precious"
    [record] = caplog.records
    assert "can't be kept off" in record.getMessage()


@pytest.mark.parametrize(
    ("kind", "is_on", "holds"),
    [(HostKind.SPACE, True, 1), (HostKind.SPACE, False, 0), (HostKind.CLASSIC, True, 0)],
)
def test_it_holds_in_spaces_only_and_where_the_admin_says_so(
    kind: HostKind, is_on: bool, holds: int
) -> None:
    config = SageMakerAutoShutdown(hold_off_native_idle=is_on)
    server: Any = SimpleNamespace(log=logging.getLogger("ours"))
    host = cast(Host, SimpleNamespace(kind=kind))
    assert len(_native_hold(host, config, server)) == holds
