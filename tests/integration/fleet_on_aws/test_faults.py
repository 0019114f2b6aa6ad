"""Faults on AWS: functions are killed at each step, messages come twice and in any order, the
table can't be reached, clocks are wrong. Queues, table and log group are real."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from sagemaker_autoshutdown.aws import AwsError, ErrorKind
from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio
from tests.ministack import Ministack

from .engine_room import EDITORS_RULE, EngineRoom, Killed, Record, empty, enter_editors

#: Sweeps until all due runs are gone, after a fault. Each is five minutes after the one before.
ROUNDS = 12

Make = Callable[..., "Case"]


class Case:
    """Due apps, and the functions that watch them."""

    def __init__(self, room: EngineRoom, domain: str, keys: list[AppKey]) -> None:
        self.room, self.domain, self.keys = room, domain, keys

    def later(self) -> None:
        """Five minutes pass for the functions: leases end, and so do pauses after a failure."""
        self.room.skew += timedelta(minutes=5)

    def due(self) -> list[Record]:
        """Sweeps until the apps should be shut down; returns the messages that say so."""
        self.room.round()
        self.later()
        self.room.round()
        assert all(self.marks())
        self.later()
        time.sleep(1.1)  # SageMaker's time, by which the warning ends, is in whole seconds
        return self.room.sweep()

    def marks(self) -> list[str]:
        tags: dict[str, dict[str, str]] = self.room.studio.do(lambda s: dict(s.account.tags))
        return [tags.get(key.arn, {}).get(MARK_TAG, "") for key in self.keys]

    def up(self) -> set[str]:
        found = self.room.studio.do(lambda s: list(s.account.apps(s.now())))
        up = {app.key for app in found if app.status == "InService"}
        return {key.owner_name for key in self.keys if key in up}

    def goes_on(self) -> None:
        """Sweeps without faults, until they are gone and the audit is complete."""
        for _ in range(ROUNDS):
            self.later()
            self.room.cold()
            self.room.round()
            if not self.up() and self.room.audit().get("stopped") == self.names:
                break

    @property
    def names(self) -> list[str]:
        return sorted(key.owner_name for key in self.keys)

    def check(self) -> None:
        """Each is gone by one accepted deletion, and the audit has it."""
        assert self.room.accepted(self.keys) == self.names
        assert not self.up()
        audit = self.room.audit()
        assert set(audit.get("marked", ())) == set(self.names), audit
        assert audit.get("stopped") == self.names, audit


@pytest.fixture
def make(
    engines: Ministack, studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Makes cases, each with a table and queues of its own."""
    made: list[Case] = []

    def make_one(warning: str = "0s", count: int = 2) -> Case:
        domain, keys = enter_editors(studio, count)
        config = EDITORS_RULE.format(domain=domain, warning=warning)
        made.append(Case(EngineRoom(engines, studio, monkeypatch, config), domain, keys))
        return made[-1]

    yield make_one
    for case in made:
        empty(studio, case.domain, case.keys)


def killed_at(case: Case, step: int, records: list[Record]) -> bool:
    """Carries out tasks and dies at a step; returns whether it reached the step."""
    count = 0

    def point(service: str, operation: str, made: bool) -> None:
        nonlocal count
        count += 1
        if count == step:
            raise Killed

    case.room.point = point
    try:
        case.room.act(records)
    except Killed:
        return True
    finally:
        case.room.point = lambda service, operation, made: None
    return False


def _steps_killed(make: Make, to_be_killed: Callable[[Case], list[Record]], steps: range) -> int:
    """Kills a function at each of these steps, each time with new apps; returns how often it was
    reached."""
    killed = 0
    for step in steps:
        case = make(count=1)
        records = to_be_killed(case)
        case.room.cold()
        if not killed_at(case, step, records):
            break
        killed += 1
        case.goes_on()
        print(f"killed at step {step}")
        case.check()
    return killed


def _to_be_marked(case: Case) -> list[Record]:
    case.room.round()
    case.later()
    return case.room.sweep()


@pytest.mark.whole_stack
def test_a_function_that_is_killed_at_any_step_of_a_shutdown_delays_it_and_no_more(
    make: Make,
) -> None:
    assert _steps_killed(make, Case.due, range(1, 60)) >= 15


@pytest.mark.whole_stack
def test_a_function_that_is_killed_at_any_step_of_a_mark_delays_it_and_no_more(make: Make) -> None:
    assert _steps_killed(make, _to_be_marked, range(1, 60)) >= 15


def test_messages_that_come_twice_and_in_any_order_shut_down_once(make: Make) -> None:
    case = make()
    seen: list[Record] = []
    for _ in range(4):
        records = case.room.sweep()
        seen += records
        case.room.act([*reversed(records), *records])
        case.room.act(list(reversed(seen)))
        case.later()
    case.goes_on()
    case.check()
    assert len(case.room.deletions(case.keys)) == len(case.keys), "and asks once"


def test_a_table_that_is_away_lets_the_message_come_again_and_nothing_be_shut_down(
    make: Make,
) -> None:
    case = make()
    records = case.due()

    def away(service: str, operation: str, made: bool) -> None:
        if service == "dynamodb":
            name = f"{service}:{operation}"
            raise AwsError(ErrorKind.UNREACHABLE, name, "EndpointConnectionError", "no route")

    case.room.point = away
    assert case.room.act(records) == [record["messageId"] for record in records]
    assert not case.room.deletions(case.keys)
    case.room.point = lambda service, operation, made: None
    assert case.room.act(records) == []
    case.goes_on()
    case.check()


def test_a_table_that_goes_away_after_the_deletion_is_no_second_deletion(make: Make) -> None:
    case = make(count=1)
    records = case.due()
    gone = False

    def away(service: str, operation: str, made: bool) -> None:
        nonlocal gone
        gone = gone or (operation == "DeleteApp" and made)
        if gone and service == "dynamodb":
            name = f"{service}:{operation}"
            raise AwsError(ErrorKind.UNREACHABLE, name, "EndpointConnectionError", "no route")

    case.room.point = away
    assert case.room.act(records) == [record["messageId"] for record in records]
    case.room.point = lambda service, operation, made: None
    case.room.act(records)
    case.goes_on()
    case.check()
    assert len(case.room.deletions(case.keys)) == 1


@pytest.mark.parametrize("minutes", [-25, 25])
def test_a_wrong_clock_shortens_nobodys_warning(make: Make, minutes: int) -> None:
    """Of both functions: by their clock, the warning of 20 minutes is over at once, or never
    began."""
    case = make(warning="20m")
    case.room.round()
    case.later()
    case.room.round()
    assert all(case.marks())
    case.room.skew += timedelta(minutes=minutes)
    for _ in range(3):
        records = case.room.sweep()
        assert case.room.act(records) == []
    assert not case.room.deletions(case.keys)
    assert case.up() == set(case.names)


@pytest.mark.parametrize("minutes", [-25, 25])
def test_an_actor_whose_clock_differs_from_the_sweepers_deletes_once_or_not_yet(
    make: Make, minutes: int
) -> None:
    case = make()
    records = case.due()
    case.room.skew += timedelta(minutes=minutes)
    case.room.act(records)
    case.room.act(records)
    case.room.skew = max(case.room.skew, timedelta(minutes=10))
    case.goes_on()
    case.check()
