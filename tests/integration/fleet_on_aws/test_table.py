"""The record in DynamoDB and S3: one step, once, as in SQLite."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.model import Key, ReportKey, Run, State
from sagemaker_autoshutdown.fleet.on_aws import table as module
from sagemaker_autoshutdown.fleet.on_aws.table import PREFIX, Table
from sagemaker_autoshutdown.fleet.record import StoreError
from tests.ministack import REGION, Ministack
from tests.unit.fleet.scenes import NOON, SCOPE, app, stepped, sweep, volume


class Place:
    """A table and a bucket of a test's own."""

    def __init__(self, engines: Ministack) -> None:
        self.name = f"fleet-{uuid.uuid4().hex[:12]}"
        self.s3 = engines.client("s3")
        self.dynamodb = engines.client("dynamodb")
        self.s3.create_bucket(Bucket=self.name)
        self.dynamodb.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "scope", "AttributeType": "S"},
                {"AttributeName": "item", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "scope", "KeyType": "HASH"},
                {"AttributeName": "item", "KeyType": "RANGE"},
            ],
        )

    def table(self, aws: Aws | None = None) -> Table:
        return Table(aws or Aws(REGION), self.name, self.name)

    def objects(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.name, Prefix=PREFIX).get("Contents", [])
        return [each["Key"] for each in found]


@pytest.fixture
def place(engines: Ministack) -> Iterator[Place]:
    return Place(engines)  # type: ignore[return-value]


@pytest.fixture(params=["in the item", "in S3"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both places for a body."""
    if request.param == "in S3":
        monkeypatch.setattr(module, "INLINE", 0)
    return str(request.param)


def run_until(table: Table, *minutes: float) -> State:
    state = table.load(SCOPE)
    for each in minutes:
        step = stepped(state, sweep(each, app(), volume("s")))
        assert table.apply(step, state.sweep_id)
        state = step.state
    return state


def spent(table: Table) -> int:
    return sum(total.nano for total in table.totals())


def test_what_was_stored_is_what_is_loaded(place: Place, where: str) -> None:
    table = place.table()
    reports = {ReportKey("d-1", "user-profile", "ada", "classic"): NOON}
    step = stepped(table.load(SCOPE), sweep(0, app(), volume("s"), reports=reports))
    assert table.apply(step, "")
    assert place.table().load(SCOPE) == step.state
    following = stepped(step.state, sweep(5, volume("s")))
    assert table.apply(following, step.state.sweep_id)
    assert place.table().load(SCOPE) == following.state
    assert len(place.objects()) == (where == "in S3")


def test_costs_of_days_that_are_over_are_kept_and_totals_go_on(place: Place, where: str) -> None:
    run_until(place.table(), 0, 60)
    run_until(place.table(), 24 * 60, 25 * 60)
    table = place.table()
    assert spent(table) == 50 * 10**9  # an instance and a volume for 25 hours
    by_day = {
        day: sum(cost.charge.nano for cost in table.costs(day, following))
        for day, following in (
            ("2026-09-01", "2026-09-02"),
            ("2026-09-02", "2026-09-03"),
            ("2026-09-03", "2026-10-01"),
        )
    }
    assert by_day == {
        "2026-09-01": 24 * 10**9,
        "2026-09-02": 26 * 10**9,
        "2026-09-03": 0,
    }
    assert len(place.objects()) == (2 if where == "in S3" else 0)


def test_a_day_that_is_over_has_an_end(place: Place) -> None:
    run_until(place.table(), 0, 60, 24 * 60)
    key = {"scope": {"S": "/".join(SCOPE)}, "item": {"S": "day/2026-09-01"}}
    item = place.dynamodb.get_item(TableName=place.name, Key=key)["Item"]
    kept = int(item["expires"]["N"]) - NOON.timestamp()
    assert timedelta(days=400) < timedelta(seconds=kept) < timedelta(days=402)


def test_a_step_that_is_stored_twice_adds_to_no_counter(place: Place, where: str) -> None:
    table = place.table()
    state = run_until(table, 0)
    step = stepped(state, sweep(60, app(), volume("s")))
    assert table.apply(step, state.sweep_id)
    assert not table.apply(step, state.sweep_id)
    assert not place.table().apply(step, state.sweep_id)
    assert spent(place.table()) == 2 * 10**9
    assert place.table().sweeps(SCOPE) == (2, 0)


def test_of_two_sweepers_of_one_time_only_one_is_stored(
    place: Place, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the state before either writes."""
    run_until(place.table(), 0)
    one, other = place.table(), place.table()
    steps = [stepped(each.load(SCOPE), sweep(60, app(), volume("s"))) for each in (one, other)]
    load = other._load
    found = load(SCOPE)
    monkeypatch.setattr(other, "_load", lambda scope: found)
    before = found.state.sweep_id
    assert one.apply(steps[0], before)
    assert not other.apply(steps[1], before)
    assert spent(place.table()) == 2 * 10**9
    assert place.table().load(SCOPE) == steps[0].state
    assert len(place.objects()) == (where == "in S3")


def test_of_two_first_sweepers_only_one_is_stored(place: Place) -> None:
    step = stepped(State(SCOPE), sweep(0, app()))
    assert [place.table().apply(step, ""), place.table().apply(step, "")] == [True, False]


def test_a_step_from_an_older_state_is_refused(place: Place) -> None:
    table = place.table()
    old = run_until(table, 0)
    run_until(table, 60)
    late = stepped(old, sweep(90, app()))
    assert not table.apply(late, old.sweep_id)
    assert spent(place.table()) == 2 * 10**9


class Losing(Aws):
    """Loses the answer to a write, to see the result of the retry, as botocore makes it."""

    lost = 0

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        answer = super().call_blocking(service, operation, parameters)
        if operation == "PutItem" and not self.lost:
            self.lost = 1
            return super().call_blocking(service, operation, parameters)
        return answer


def test_a_write_whose_answer_is_lost_is_not_taken_for_another_writers(
    place: Place, where: str
) -> None:
    """Otherwise the winner would delete the record that it has just made valid."""
    table = place.table()
    state = run_until(table, 0)
    step = stepped(state, sweep(60, app(), volume("s")))
    losing = Losing(REGION)
    assert place.table(losing).apply(step, state.sweep_id)
    assert losing.lost
    assert place.table().load(SCOPE) == step.state


class Broken(Aws):
    """Fails at one operation."""

    def __init__(self, operation: str) -> None:
        super().__init__(REGION)
        self.operation = operation

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        if operation == self.operation:
            raise AwsError(ErrorKind.UNREACHABLE, f"{service}:{operation}", "Broken", "no route")
        return super().call_blocking(service, operation, parameters)


@pytest.mark.parametrize("operation", ["PutObject", "TransactWriteItems", "DeleteObject"])
def test_a_step_that_breaks_off_is_stored_whole_or_not_at_all(
    place: Place, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INLINE", 0)
    state = run_until(place.table(), 0, 60)
    step = stepped(state, sweep(24 * 60, app(), volume("s")))
    broken = place.table(Broken(operation))
    if operation == "DeleteObject":
        assert broken.apply(step, state.sweep_id)
    else:
        with pytest.raises(StoreError, match="no route"):
            broken.apply(step, state.sweep_id)
        assert place.table().load(SCOPE) == state
        assert place.table().apply(step, state.sweep_id)
    assert place.table().load(SCOPE) == step.state
    assert spent(place.table()) == 48 * 10**9


def test_sweeps_that_were_months_apart_lose_no_cost(place: Place) -> None:
    """A transaction takes 100 items, and each day has one."""
    table = place.table()
    state = run_until(table, 0, 60)
    days = 150
    step = stepped(state, sweep(days * 24 * 60, app(), volume("s")))
    assert table.apply(step, state.sweep_id)
    assert spent(place.table()) == days * 48 * 10**9
    costs = list(place.table().costs("2026-01-01", "2028-01-01"))
    assert sum(cost.charge.nano for cost in costs) == days * 48 * 10**9
    first = [cost for cost in costs if cost.key.day == "2026-09-01"]
    assert sum(cost.charge.nano for cost in first) == 24 * 10**9


def test_a_large_scope_goes_to_s3_and_back(place: Place) -> None:
    dice = random.Random(1)
    runs = {
        Key("d-1", "space", f"user-{number}", "JupyterLab", "default"): Run(
            NOON - timedelta(seconds=dice.randrange(10**6)), NOON, "ml.t3.medium"
        )
        for number in range(20_000)
    }
    first = stepped(State(SCOPE), sweep(0))
    state = State(SCOPE, first.state.sweep_id, first.state.seen, runs)
    step = type(first)(state, began=runs)
    assert place.table().apply(step, "")
    assert place.table().load(SCOPE) == state
    assert len(place.objects()) == 1
    item = place.dynamodb.scan(TableName=place.name)["Items"][0]
    assert int(item["bytes"]["N"]) > 100_000


def test_failures_are_counted_by_scope(place: Place) -> None:
    table = place.table()
    table.count_failed(SCOPE)
    table.count_failed(SCOPE)
    assert place.table().sweeps(SCOPE) == (0, 2)
    assert table.last_sweep(SCOPE) == ""
    run_until(table, 0)
    assert table.last_sweep(SCOPE) == f"{NOON:%Y-%m-%dT%H:%M:%SZ}"
