"""Holds in DynamoDB and in SQLite: each change is one conditional write in both."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.acting.model import Answer, Hold, Phase, RunId, Verdict
from sagemaker_autoshutdown.fleet.acting.protocols import Holds, Unavailable
from sagemaker_autoshutdown.fleet.acting.sqlite import SqliteHolds
from sagemaker_autoshutdown.fleet.acting.steps import first, following
from sagemaker_autoshutdown.fleet.on_aws.holds import DynamoHolds
from sagemaker_autoshutdown.fleet.store import FILE_NAME, Store
from tests.ministack import REGION, Ministack
from tests.unit.fleet.scenes import NOON, SCOPE, app

from .test_table import Place

MINUTE = timedelta(minutes=1)
RUN = RunId(SCOPE, app("CodeEditor").key, NOON)
VERDICT = Verdict(RUN, Answer.DUE, NOON, NOON, "rule", warning=15 * MINUTE, acts=True)

Make = Callable[[], Holds]


@pytest.fixture(params=["DynamoDB", "SQLite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes different processes' clients of the same store."""
    if request.param == "SQLite":
        stores: list[Store] = []

        def opened() -> Holds:
            stores.append(Store(tmp_path / FILE_NAME))
            return SqliteHolds(stores[-1])

        yield opened
        for store in stores:
            store.close()
        return
    engines: Ministack = request.getfixturevalue("engines")
    place = Place(engines)
    yield lambda: DynamoHolds(Aws(REGION), place.name)


def marked(hold: Hold, minute: int, by: str = "") -> Hold:
    return following(hold, Phase.MARKED, NOON + minute * MINUTE, why=by, told=True)


def test_a_run_has_one_hold_and_the_first_stays(make: Make) -> None:
    one, other = make(), make()
    hold = first(VERDICT, Phase.MARKED, NOON)
    assert one.create(hold)
    assert not other.create(replace(hold, why="another"))
    assert one.read(RUN) == other.read(RUN) == hold


def test_of_two_that_change_a_hold_only_one_does(make: Make) -> None:
    """Otherwise both would go on to call SageMaker."""
    one, other = make(), make()
    hold = first(VERDICT, Phase.MARKED, NOON)
    one.create(hold)
    mine, theirs = marked(hold, 1, "mine"), marked(hold, 2, "theirs")
    assert one.replace(mine)
    assert not other.replace(theirs)
    assert not other.replace(replace(theirs, version=theirs.version + 5)), "nor a later version"
    assert not other.replace(replace(theirs, version=1)), "nor an earlier"
    assert one.read(RUN) == other.read(RUN) == mine


def test_what_is_not_there_can_not_be_changed(make: Make) -> None:
    assert not make().replace(marked(first(VERDICT, Phase.MARKED, NOON), 1))
    assert make().read(RUN) is None


def test_of_many_at_once_one_wins(make: Make) -> None:
    hold = first(VERDICT, Phase.MARKED, NOON)
    sides = [make() for _ in range(6)]
    sides[0].create(hold)
    won: list[str] = []
    ready = threading.Barrier(len(sides))

    def change(number: int) -> None:
        wanted = marked(hold, number, f"side {number}")
        ready.wait()
        if sides[number].replace(wanted):
            won.append(wanted.why)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(len(sides))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    stored = sides[0].read(RUN)
    assert stored is not None
    assert won == [stored.why]


def test_runs_and_scopes_are_told_apart(make: Make) -> None:
    holds = make()
    later = replace(VERDICT, run=RUN._replace(up_since=NOON + MINUTE))
    elsewhere = replace(VERDICT, run=RUN._replace(scope=SCOPE._replace(region="eu-west-1")))
    for each in (VERDICT, later, elsewhere):
        assert holds.create(first(each, Phase.NOTED, NOON))
    assert {hold.run for hold in holds.of(SCOPE)} == {VERDICT.run, later.run}


class Deaf(Aws):
    """Loses the answer to each first write; botocore sends it again."""

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        answer = super().call_blocking(service, operation, parameters)
        if operation == "PutItem":
            return super().call_blocking(service, operation, parameters)
        return answer


def test_a_write_whose_answer_was_lost_is_not_taken_for_anothers(engines: Ministack) -> None:
    """Otherwise a run would wait for the end of a lease that its own sweeper holds."""
    holds = DynamoHolds(Deaf(REGION), Place(engines).name)
    hold = first(VERDICT, Phase.MARKED, NOON)
    assert holds.create(hold)
    assert holds.replace(marked(hold, 1))


class Away(Aws):
    """Can't reach the store."""

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        raise AwsError(ErrorKind.UNREACHABLE, f"{service}:{operation}", "Broken", "no route")


def test_a_table_that_can_not_be_reached_is_said_and_is_no_refusal() -> None:
    holds = DynamoHolds(Away(REGION), f"fleet-{uuid.uuid4().hex}")
    hold = first(VERDICT, Phase.MARKED, NOON)
    for call in (
        lambda: holds.create(hold),
        lambda: holds.replace(marked(hold, 1)),
        lambda: holds.read(RUN),
        lambda: list(holds.of(SCOPE)),
    ):
        with pytest.raises(Unavailable, match="no route"):
            call()
