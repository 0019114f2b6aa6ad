"""Three accounts: a message for each, and one that denies access does not affect the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.fleet.model import Scope
from sagemaker_autoshutdown.fleet.on_aws import handlers
from sagemaker_autoshutdown.fleet.on_aws.messages import read_tasks
from sagemaker_autoshutdown.fleet.on_aws.table import Table
from sagemaker_autoshutdown.fleet.on_aws.template import ACTING, READER
from tests.localstudio.testing import BlockingStudio
from tests.ministack import ACCOUNT, REGION, Ministack

from .engine_room import EDITORS_RULE, EngineRoom, empty, enter_editors

MEMBER, CLOSED = "222222222222", "333333333333"
ACCOUNTS = """[[accounts]]
name = "own"
[[accounts]]
name = "member"
role_arn = "arn:aws:iam::222222222222:role/sagemaker-autoshutdown-fleet-reader"
[[accounts]]
name = "closed"
role_arn = "arn:aws:iam::333333333333:role/sagemaker-autoshutdown-fleet-reader"
"""


def in_account(engines: Ministack, account: str, service: str) -> Any:
    """A client of boto3 for the root of an account."""
    return boto3.session.Session().client(
        service,
        region_name=REGION,
        endpoint_url=engines.url,
        verify=str(engines.ca),
        aws_access_key_id=account,
        aws_secret_access_key="test",  # noqa: S106
    )


def member_roles(engines: Ministack, account: str) -> None:
    """The roles of ``fleet-member.yaml``, as far as STS checks them."""
    iam = in_account(engines, account, "iam")
    trusted = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    statement = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for name in (READER, ACTING):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)


@pytest.fixture
def room(
    engines: Ministack, studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineRoom]:
    domain, keys = enter_editors(studio)
    config = EDITORS_RULE.format(domain=domain, warning="20m") + ACCOUNTS
    yield EngineRoom(engines, studio, monkeypatch, config)
    empty(studio, domain, keys)


def test_an_account_that_lets_nobody_in_leaves_the_two_others_working(
    engines: Ministack, room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    member_roles(engines, MEMBER)
    assert room.call(handlers.sweep, [room.planned()]) == []
    messages = room.received(room.sweeps)
    bodies = [json.loads(each["body"]) for each in messages]
    assert sorted(each["role"].split(":")[4] if each["role"] else "" for each in bodies) == [
        "",
        MEMBER,
        CLOSED,
    ]
    assert len({each["sweep"] for each in bodies}) == 1
    # The failed one is done: the next good sweep charges its time.
    assert room.call(handlers.sweep, messages) == []
    table = Table(Aws(REGION), room.name, room.name)
    counts = {name: table.sweeps(Scope(name, REGION)) for name in (ACCOUNT, MEMBER, CLOSED)}
    assert counts == {ACCOUNT: (1, 0), MEMBER: (1, 0), CLOSED: (0, 1)}
    assert "closed us-east-1 can't be swept" in caplog.text
    assert "sts:AssumeRole" in caplog.text
    assert room.received(room.tasks) == [], "nobody has been up for long enough yet"
    room.skew += timedelta(minutes=5)  # both have been seen up long enough, however fast this runs
    tasks = room.sweep()
    scopes = {task.run.scope.account_id for each in tasks for task in read_tasks(each)}
    assert scopes == {ACCOUNT, MEMBER}
    assert room.act(tasks) == []
    assert len(room.audit()["marked"]) == 4, "two apps, which both accounts list here"
