"""The rights of the functions against the calls that they make: none is missing, none too much."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.fleet.acting.model import EXCEPTION_TAG
from sagemaker_autoshutdown.fleet.on_aws import table, template
from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio import Fault
from tests.localstudio import fleet as fleets
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio
from tests.ministack import Ministack

from .engine_room import EngineRoom, Record, empty, enter_editors

NOTEBOOK = "rights"
#: With all that takes a right: tags, Canvas, notebook instances, a topic, a secret, CloudTrail.
CONFIG = """
[prices]
price_list_api = false
[act]
enabled = ["seen", "reported"]
warning = "0s"
cloudtrail = true
[act.limits]
share = 1.0
[act.notify]
sns_topic_arn = "{topic}"
webhook_file = "ssm:/sagemaker-autoshutdown/rights"
[[rules]]
name = "tagged"
which = {{ tags = {{ exempt = "yes" }} }}
[[rules]]
name = "sessions"
which = {{ app_type = "Canvas" }}
when = {{ idle_for = "1h" }}
[[rules]]
name = "apps"
which = {{ domain = "{domain}" }}
when = {{ up_for = "1s" }}
[[rules]]
name = "notebooks"
which = {{ app_type = "NotebookInstance", owner = "rights" }}
when = {{ up_for = "1s" }}
"""
#: The name of the action, where it is another than the operation's.
ACTIONS = {
    "dynamodb:TransactWriteItems": "dynamodb:PutItem",
    "resourcegroupstaggingapi:GetResources": "tag:GetResources",
    "sns:PublishBatch": "sns:Publish",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
#: What is asked for by others than our own code, and by whom.
OTHERS = {
    "sqs:ReceiveMessage": "Lambda, for the function",
    "sqs:DeleteMessage": "Lambda, for the function",
    "sqs:GetQueueAttributes": "Lambda, for the function",
    "logs:CreateLogStream": "Lambda, for the function's own log",
    "logs:PutLogEvents": "Lambda, for the function's own log",
    "sts:AssumeRole": "the credentials of another account's role",
    "kms:Decrypt": "DynamoDB and CloudWatch Logs, with a key of the admin's",
    "kms:GenerateDataKey": "DynamoDB and CloudWatch Logs, with a key of the admin's",
    "aps:QueryMetrics": "a question to Prometheus, which is signed and not made by boto3",
    "aps:RemoteWrite": "metrics that are sent, which is signed and not made by boto3",
    "s3:ListBucket": "S3, to tell an object that is gone from one that is denied",
}


class Noted:
    """The calls of each function."""

    def __init__(self, room: EngineRoom) -> None:
        self.room = room
        self.of: dict[str, set[str]] = defaultdict(set)
        self._function = ""
        room.point = self._point

    def _point(self, service: str, operation: str, made: bool) -> None:
        name = f"{service}:{operation}"
        self.of[self._function].add(ACTIONS.get(name, name))

    def sweep(self) -> list[Record]:
        self._function = "SweeperRole"
        return self.room.sweep()

    def round(self) -> None:
        """A sweep, and what follows from it."""
        tasks = self.sweep()
        self.room.cold()  # another function, which reads the configuration itself
        self._function = "ActorRole"
        assert self.room.act(tasks) == []
        self.room.skew += timedelta(minutes=5)
        self.room.cold()


def allowed(role: str) -> set[str]:
    """The actions of a function's role."""
    [policy] = template.stack()["Resources"][role]["Properties"]["Policies"]
    found: set[str] = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        actual: Any = statement.get("Fn::If", [None, statement])[1]
        found |= set(actual["Action"])
    return found


@pytest.fixture
def world(
    engines: Ministack, studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[EngineRoom, list[AppKey]]]:
    """Two Code Editors, a session of Canvas and a notebook instance, all of which are due."""
    domain, keys = enter_editors(studio)

    def fill(s: Any) -> AppKey:
        now, into = s.now(), fleets.Fleet()
        fleets.enter_notebook(s.account, into, NOTEBOOK, now - timedelta(hours=1))
        return fleets.enter(s.account, into, domain, "analyst", "Canvas", "default", "", now)

    keys.append(studio.do(fill))
    topic = engines.client("sns").create_topic(Name="rights")["TopicArn"]
    secret = {"Name": "/sagemaker-autoshutdown/rights", "Type": "SecureString", "Overwrite": True}
    engines.client("ssm").put_parameter(Value="http://127.0.0.1:9/hook", **secret)
    config = CONFIG.format(topic=topic, domain=domain)
    yield EngineRoom(engines, studio, monkeypatch, config), keys
    empty(studio, domain, keys)
    studio.do(lambda s: s.account._notebooks.pop(NOTEBOOK))


def test_the_functions_may_do_what_they_do_and_nothing_else(
    world: tuple[EngineRoom, list[AppKey]],
    studio: BlockingStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, keys = world
    # As in a fleet of thousands, whose record does not fit into an item.
    monkeypatch.setattr(table, "INLINE", 16)
    noted = Noted(room)
    studio.do(lambda s: s.faults.on(Fault("ListApps", code="AccessDeniedException", times=1)))
    noted.sweep()  # one that fails, which is counted
    noted.round()
    noted.round()
    tags: dict[str, dict[str, str]] = studio.do(lambda s: dict(s.account.tags))
    marked = [key for key in keys if MARK_TAG in tags.get(key.arn, {})]
    assert len(marked) == 2
    held = marked[0]
    studio.do(lambda s: s.account.tags[held.arn].update({EXCEPTION_TAG: "keep-until:2099-01-01"}))
    noted.round()
    noted.round()
    audit = room.audit()
    assert set(audit) >= {"marked", "kept", "stopped"}, audit
    assert len(audit["stopped"]) == 2, "a Code Editor and the notebook instance"
    for role in ("SweeperRole", "ActorRole"):
        made, may = noted.of[role], allowed(role)
        assert sorted(made - may) == [], f"{role} lacks rights"
        assert sorted(may - made - set(OTHERS)) == [], f"{role} has rights that nothing needs"
