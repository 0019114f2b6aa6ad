"""A stack without the function that acts: it says what the rules would do, and does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio
from tests.ministack import Ministack

from .engine_room import EDITORS_RULE, EngineRoom, empty, enter_editors


@pytest.fixture
def dry(
    engines: Ministack, studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[EngineRoom, list[AppKey]]]:
    """Two due apps; the configuration lets their rule act."""
    domain, keys = enter_editors(studio)
    config = EDITORS_RULE.format(domain=domain, warning="0s")
    room = EngineRoom(engines, studio, monkeypatch, config)
    room.settings = replace(room.settings, tasks="", actor_role="")
    room.cold()
    yield room, keys
    empty(studio, domain, keys)


def test_a_stack_that_does_not_act_records_once_what_is_due_and_touches_nothing(
    dry: tuple[EngineRoom, list[AppKey]], studio: BlockingStudio
) -> None:
    room, keys = dry
    names = sorted(key.owner_name for key in keys)
    calls: list[str] = []
    room.point = lambda service, operation, made: calls.append(operation)
    for _ in range(4):
        assert room.sweep() == [], "nobody would take a task"
        room.skew += timedelta(minutes=5)
    assert room.audit() == {"noted": names}
    assert calls.count("PutLogEvents") == 2 * len(names), "before and after each, and once for each"
    assert not {"AddTags", "DeleteTags", "DeleteApp", "DescribeApp"} & set(calls)
    tags: dict[str, dict[str, str]] = studio.do(lambda s: dict(s.account.tags))
    assert not [key for key in keys if MARK_TAG in tags.get(key.arn, {})]
