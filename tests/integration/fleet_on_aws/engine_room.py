"""The functions of a stack in this process, between ministack's queues, table and log group and
the local Studio: for tests that need control over a function, such as killing it."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.clock import to_iso, utcnow
from sagemaker_autoshutdown.fleet.acting import engine
from sagemaker_autoshutdown.fleet.on_aws import handlers
from sagemaker_autoshutdown.fleet.on_aws.runtime import Runtime, Settings
from tests.localstudio import fleet as fleets
from tests.localstudio.state import AppKey, Domain
from tests.localstudio.testing import BlockingStudio
from tests.ministack import ACCOUNT, REGION, Ministack
from tests.unit.fleet.scenes import NOON

from .conftest import endpoints_of
from .test_table import Place

Record = dict[str, Any]
#: Before and after each call of AWS: service, operation, and whether it has been made.
Point = Callable[[str, str, bool], None]

#: Shuts down every app of a domain, for :func:`enter_editors`. To be formatted.
EDITORS_RULE = """
[prices]
price_list_api = false
[act]
enabled = ["seen"]
warning = "{warning}"
[act.limits]
share = 1.0
[[rules]]
name = "editors"
which = {{ domain = "{domain}" }}
when = {{ up_for = "1s" }}
"""


class Killed(BaseException):
    """Lambda ends the function here: it does nothing more."""


@dataclass
class Context:
    """Lambda's context for a function."""

    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fleet"
    aws_request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def get_remaining_time_in_millis(self) -> int:
        """Five minutes."""
        return 300_000


class EngineRoom:
    """Sweeps and tasks, one at a time, on command."""

    def __init__(
        self,
        engines: Ministack,
        studio: BlockingStudio,
        monkeypatch: pytest.MonkeyPatch,
        config: str,
    ) -> None:
        # The functions run in this process.
        for name, value in endpoints_of(studio).items():
            monkeypatch.setenv(name, value)
        self.studio = studio
        self._sqs = engines.client("sqs")
        self._logs = engines.client("logs")
        place = Place(engines)
        self.name = place.name
        place.s3.put_object(Bucket=self.name, Key="config/fleet.toml", Body=config.encode())
        self.sweeps, self.tasks = (
            self._sqs.create_queue(QueueName=f"{self.name}-{name}")["QueueUrl"]
            for name in ("sweeps", "tasks")
        )
        self._logs.create_log_group(logGroupName=self.name)
        self.settings = Settings(
            self.name,
            self.name,
            self.sweeps,
            self.tasks,
            self.name,
            f"s3://{self.name}/config/fleet.toml",
            timedelta(minutes=1),
            "sagemaker-autoshutdown-fleet-actor",
        )
        #: The times for which rounds are planned: a minute apart, whatever the clocks say.
        self._planned = (NOON + timedelta(minutes=number) for number in itertools.count())
        #: How far the functions' clocks are from SageMaker's.
        self.skew = timedelta(0)
        self.point: Point = lambda service, operation, made: None
        self._runtime = Runtime(self.settings)
        monkeypatch.setattr(handlers, "_runtime", lambda: self._runtime)
        monkeypatch.setattr(handlers, "utcnow", self.now)
        # A busy machine takes longer than AWS to answer.
        monkeypatch.setattr(engine, "WINDOW", 60.0)
        room, original = self, Aws.call_blocking

        def call(aws: Aws, service: str, operation: str, parameters: Any) -> Any:
            room.point(service, operation, False)
            answer = original(aws, service, operation, parameters)
            try:
                room.point(service, operation, True)
            except Killed:
                if "Body" in answer:
                    answer["Body"].close()  # as the end of a process does
                raise
            return answer

        monkeypatch.setattr(Aws, "call_blocking", call)

    def now(self) -> datetime:
        """The functions' clock."""
        return utcnow() + self.skew

    def cold(self) -> None:
        """Makes the next call the first of another execution environment."""
        self._runtime = Runtime(self.settings)

    # -- what the stack does

    def planned(self) -> Record:
        """The schedule's next message."""
        return _record(json.dumps({"round": to_iso(next(self._planned))}))

    def sweep(self) -> list[Record]:
        """Makes a sweep; returns the messages of tasks that it sent."""
        assert self.call(handlers.sweep, [self.planned()]) == []
        for each in self.received(self.sweeps):
            assert self.call(handlers.sweep, [each]) == []
        return self.received(self.tasks)

    def call(self, handler: Any, records: list[Record]) -> list[str]:
        """The messages that come again."""
        answer = handler({"Records": records}, Context())
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    def act(self, records: list[Record]) -> list[str]:
        """Carries out tasks; returns the messages that come again."""
        return self.call(handlers.act, records)

    def round(self) -> None:
        """Makes a sweep and carries out its tasks."""
        assert self.act(self.sweep()) == []

    def received(self, queue: str) -> list[Record]:
        """Takes all messages from a queue."""
        found: list[Record] = []
        while True:
            answer = self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            messages = answer.get("Messages") or []
            if not messages:
                return found
            for each in messages:
                found.append(_record(each["Body"]))
                self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])

    # -- what is to be seen of it

    def audit(self) -> dict[str, list[str]]:
        """The owners by event, once for each event."""
        found: dict[str, dict[str, str]] = {}
        for stream in self._logs.describe_log_streams(logGroupName=self.name)["logStreams"]:
            events = self._logs.get_log_events(
                logGroupName=self.name, logStreamName=stream["logStreamName"], startFromHead=True
            )
            for line in events["events"]:
                event = json.loads(line["message"])
                found.setdefault(event["event"], {})[event["event_id"]] = event["owner_name"] or ""
        return {what: sorted(of.values()) for what, of in found.items()}

    def deletions(self, keys: list[AppKey]) -> list[tuple[str, str | None]]:
        """Each DeleteApp for these, and SageMaker's answer."""
        names = {key.owner_name for key in keys}
        return [
            (owner, call.outcome)
            for call in self.studio.calls()
            if call.operation == "DeleteApp"
            and (owner := call.parameters.get("SpaceName") or call.parameters["UserProfileName"])
            in names
        ]

    def accepted(self, keys: list[AppKey]) -> list[str]:
        """The owners of the apps whose deletion SageMaker accepted, once for each acceptance."""
        return sorted(owner for owner, outcome in self.deletions(keys) if outcome == "ok")


def _record(body: str) -> Record:
    return {
        "messageId": uuid.uuid4().hex,
        "body": body,
        "attributes": {"SentTimestamp": str(int(utcnow().timestamp() * 1000))},
    }


_numbers = itertools.count(1)


def enter_editors(studio: BlockingStudio, count: int = 2) -> tuple[str, list[AppKey]]:
    """A domain of its own with Code Editors that nobody shuts down."""
    number = next(_numbers)
    domain = f"d-faults{number:06}"

    def fill(s: Any) -> list[AppKey]:
        now = s.now()
        s.account.create_domain(Domain(domain, domain, now, now, {"AuthMode": "IAM"}))
        into, hour = fleets.Fleet(), now - timedelta(hours=1)
        return [
            fleets.enter(
                s.account,
                into,
                domain,
                f"user-{number}-{each}",
                "CodeEditor",
                "default",
                "ml.t3.large",
                hour,
            )
            for each in range(count)
        ]

    return domain, studio.do(fill)


def empty(studio: BlockingStudio, domain: str, keys: list[AppKey]) -> None:
    """Removes them."""

    def out(s: Any) -> None:
        for key in keys:
            s.account.remove(key)
        s.account.domains.pop(domain, None)

    studio.do(out)
