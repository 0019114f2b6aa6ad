"""The stack that users deploy, over three accounts: one is denied, one is throttled, and an app is
started again under its old name between its mark and its shutdown. The roles of the others are
those of the template for member accounts, with an external id.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.clock import to_iso
from sagemaker_autoshutdown.fleet.model import Scope
from sagemaker_autoshutdown.fleet.on_aws import bundle, files
from sagemaker_autoshutdown.fleet.on_aws.table import Table
from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio import Fault
from tests.localstudio import fleet as fleets
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio, running_studio
from tests.ministack import ACCOUNT, REGION, Ministack, environment, running_ministack, wait_for
from tests.serving import Gate, serving
from tests.unit.fleet.scenes import NOON

from .conftest import Fleet
from .engine_room import enter_editors
from .test_accounts import CLOSED, MEMBER, in_account

WARNING = 30
#: Some rounds, a warning and a pause after a failure, on a machine that does other things too.
LIMIT = 400.0
#: Each account has a region of its own, by which the two Studios are told apart.
MEMBERS, DENIED = "eu-central-1", "us-west-2"
#: What both member accounts demand to hear.
HANDSHAKE = "handshake-5512"
CONFIG = f"""
[prices]
price_list_api = false
[act]
enabled = ["seen"]
warning = "{WARNING}s"
[act.limits]
share = 1.0
[[rules]]
name = "editors"
which = {{ app_type = "CodeEditor" }}
when = {{ up_for = "1s" }}
[[accounts]]
name = "own"
regions = ["{REGION}"]
[[accounts]]
name = "member"
role_arn = "arn:aws:iam::{MEMBER}:role/sagemaker-autoshutdown-fleet-reader"
external_id = "{HANDSHAKE}"
regions = ["{MEMBERS}"]
[[accounts]]
name = "closed"
role_arn = "arn:aws:iam::{CLOSED}:role/sagemaker-autoshutdown-fleet-reader"
external_id = "another"
regions = ["{DENIED}"]
"""


@pytest.fixture
def studios(tmp_path: Path) -> Iterator[dict[str, BlockingStudio]]:
    """SageMaker of two accounts, by region."""
    with running_studio(tmp_path / "own") as own, running_studio(tmp_path / "member") as member:
        yield {REGION: own, MEMBERS: member}


@pytest.fixture
def signers() -> dict[tuple[str, str], set[str]]:
    """The access keys that calls of SageMaker were signed with, by region and operation."""
    return defaultdict(set)


@pytest.fixture
def gate(
    studios: dict[str, BlockingStudio], signers: dict[tuple[str, str], set[str]]
) -> Iterator[str]:
    """The endpoint of SageMaker: the account of a request's region answers."""

    class Handler(Gate):
        def respond(self, body: bytes) -> None:
            key, region = self.signer
            signers[region, self.headers["X-Amz-Target"].partition(".")[2]].add(key)
            self.forward(studios[region].endpoint_url, body)

    with serving(Handler) as url:
        yield url


@pytest.fixture
def fleet(
    gate: str, code: bundle.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fleet]:
    """A stack of its own on engines of its own, whose functions know this SageMaker."""
    with running_ministack(tmp_path / "ministack", {"AWS_ENDPOINT_URL_SAGEMAKER": gate}) as engines:
        for name, value in environment(engines.url, engines.ca).items():
            monkeypatch.setenv(name, value)
        fleet = Fleet(engines, code)
        yield fleet
        fleet.deployment.remove()


def _enter_member(engines: Ministack, account: str, outputs: Mapping[str, str]) -> None:
    """Deploys the template for member accounts there."""
    cloudformation = in_account(engines, account, "cloudformation")
    given = {
        "SweeperRoleArn": outputs["SweeperRoleArn"],
        "ActorRoleArn": outputs["ActorRoleArn"],
        "ExternalId": HANDSHAKE,
    }
    cloudformation.create_stack(
        StackName="fleet-member",
        TemplateBody=files.cloudformation_files()["fleet-member.yaml"],
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": given[name]} for name in given],
    )

    def is_made() -> bool:
        [stack] = cloudformation.describe_stacks(StackName="fleet-member")["Stacks"]
        assert "ROLLBACK" not in stack["StackStatus"], stack
        return bool(stack["StackStatus"] == "CREATE_COMPLETE")

    wait_for(is_made, "the roles of a member account")


class Rounds:
    """What the schedule sends, as often as the test needs it."""

    def __init__(self, engines: Ministack, queue: str) -> None:
        self._sqs = engines.client("sqs")
        self._queue = queue
        self._count = 0
        self._next = 0.0

    def send(self) -> None:
        """One, unless there was one a moment ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 4
        self._count += 1
        planned = {"round": to_iso(NOON + timedelta(hours=self._count))}
        self._sqs.send_message(QueueUrl=self._queue, MessageBody=json.dumps(planned))


def _deletions(studio: BlockingStudio, key: AppKey) -> list[tuple[float, str | None]]:
    return [
        (call.monotonic, call.outcome)
        for call in studio.calls()
        if call.operation == "DeleteApp" and call.parameters.get("SpaceName") == key.owner_name
    ]


def _marks(studio: BlockingStudio, key: AppKey) -> list[float]:
    return [
        call.monotonic
        for call in studio.calls()
        if call.operation == "AddTags" and call.parameters["ResourceArn"] == key.arn
    ]


def _enter_other(studio: BlockingStudio, domain: str) -> AppKey:
    """An app that no rule is about."""

    def do(s: Any) -> AppKey:
        hour = s.now() - timedelta(hours=1)
        what = ("somebody", "JupyterLab", "default", "ml.t3.medium", hour)
        return fleets.enter(s.account, fleets.Fleet(), domain, *what)

    found: AppKey = studio.do(do)
    return found


def _again(studio: BlockingStudio, key: AppKey) -> float:
    """The owner starts the app again; it has no tags, and the CreationTime that it had."""

    def do(s: Any) -> None:
        app = s.account.app(key, s.now())
        s.account.remove(key)
        s.account.enter(app)

    studio.do(do)
    return time.monotonic()


@pytest.mark.whole_stack
def test_an_account_that_denies_and_one_that_throttles_leave_the_rest_as_it_is(
    fleet: Fleet,
    studios: dict[str, BlockingStudio],
    signers: dict[tuple[str, str], set[str]],
) -> None:
    own, member = studios[REGION], studios[MEMBERS]
    _, keys = enter_editors(own, 3)
    domain, editors = enter_editors(member)
    other = _enter_other(member, domain)
    own.do(lambda s: s.faults.on(Fault("ListApps", code="ThrottlingException", times=2)))
    own.do(lambda s: s.faults.on(Fault("DeleteApp", code="ThrottlingException", times=1)))

    fleet.deploy(CONFIG, Act="true", IntervalMinutes="60")

    outputs = fleet.deployment.outputs()
    for account in (MEMBER, CLOSED):
        _enter_member(fleet.engines, account, outputs)
    rounds = Rounds(fleet.engines, outputs["SweepQueueUrl"])
    again = keys[0]

    def marked() -> bool:
        rounds.send()
        tags: dict[str, dict[str, str]] = own.do(lambda s: dict(s.account.tags))
        return MARK_TAG in tags.get(again.arn, {})

    wait_for(marked, "a mark", LIMIT)
    started = _again(own, again)

    def gone() -> bool:
        rounds.send()
        ended = [
            *(any(o == "ok" for _, o in _deletions(own, key)) for key in keys),
            *(any(o == "ok" for _, o in _deletions(member, key)) for key in editors),
        ]
        return all(ended)

    wait_for(gone, "the end of all that is due", LIMIT)
    for studio, due in ((own, keys), (member, editors)):
        for key in due:
            accepted = [at for at, outcome in _deletions(studio, key) if outcome == "ok"]
            assert len(accepted) == 1, "each is deleted once"
            last = [at for at in _marks(studio, key) if at < accepted[0]][-1]
            assert accepted[0] - last >= WARNING - 1, "after its whole warning"
    second = [at for at in _marks(own, again) if at > started]
    assert len(second) == 1, "what was started again was warned of by itself"
    outcomes = [outcome for key in keys for _, outcome in _deletions(own, key)]
    assert outcomes.count("ThrottlingException") == 1
    assert not _marks(member, other), "no rule is about it"
    assert not _deletions(member, other)

    table = Table(Aws(REGION), outputs["TableName"], outputs["BucketName"])
    stored, failed = table.sweeps(Scope(CLOSED, DENIED))
    assert stored == 0
    assert failed > 0
    for scope in (Scope(ACCOUNT, REGION), Scope(MEMBER, MEMBERS)):
        assert table.sweeps(scope)[0] > 2

    def audit() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in fleet.engines.logs(outputs["AuditLogGroup"]):
            event = json.loads(line)
            found.setdefault(event["event"], set()).add(event["owner_name"])
        return found

    names = {key.owner_name for key in (*keys, *editors)}
    wait_for(lambda: audit().get("stopped") == names, "the audit")
    assert again.owner_name in audit()["spared"]
    assert len(audit()["failed"]) == 1, "the one that was throttled"

    sts = fleet.engines.client("sts")
    for region, account in ((REGION, ACCOUNT), (MEMBERS, MEMBER)):
        reader, actor = signers[region, "ListApps"], signers[region, "DeleteApp"]
        assert not reader & actor, "two roles, of which one only reads"
        accounts = {sts.get_access_key_info(AccessKeyId=key)["Account"] for key in reader | actor}
        assert accounts == {account}
    assert not [region for region, _ in signers if region == DENIED], "it gave no credentials"
