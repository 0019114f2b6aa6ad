"""AWS's services on this machine, with the local Studio as their SageMaker."""

from __future__ import annotations

import json
import platform
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.fleet.on_aws import bundle
from sagemaker_autoshutdown.fleet.on_aws.deploy import Deployment, Wanted
from tests.localstudio.testing import BlockingStudio, running_studio
from tests.ministack import REGION, Ministack, environment, running_ministack


def endpoints_of(studio: BlockingStudio) -> dict[str, str]:
    """The variables that lead calls of SageMaker to the local Studio; all others go to
    ministack."""
    return {
        name: value
        for name, value in studio.aws_environment().items()
        if name in ("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API")
    }


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingStudio]:
    """The SageMaker of all functions of a worker."""
    with running_studio(tmp_path_factory.mktemp("studio") / "studio") as studio:
        yield studio


@pytest.fixture(scope="session")
def ministack(
    studio: BlockingStudio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ministack]:
    """One for all tests of a worker: each takes names of its own."""
    elsewhere = endpoints_of(studio)
    elsewhere["PYTHONTZPATH"] = ""  # as on Lambda, whose machines have no time zones
    folder = tmp_path_factory.mktemp("engines") / "ministack"
    with running_ministack(folder, elsewhere) as running:
        yield running


@pytest.fixture
def engines(ministack: Ministack, monkeypatch: pytest.MonkeyPatch) -> Ministack:
    """The same, for boto3 in this process too."""
    for name, value in environment(ministack.url, ministack.ca).items():
        monkeypatch.setenv(name, value)
    return ministack


@pytest.fixture(scope="session")
def code() -> bundle.Bundle:
    """The functions' code, for the Python that ministack runs functions with."""
    machine = platform.machine()
    architecture = next(name for name, known in bundle.MACHINES.items() if machine in known)
    return bundle.build(architecture, f"{sys.version_info.major}.{sys.version_info.minor}")


class Fleet:
    """A deployed stack."""

    def __init__(self, engines: Ministack, code: bundle.Bundle) -> None:
        self.engines = engines
        self.code = code
        self.name = f"fleet-{uuid.uuid4().hex[:8]}"
        self.deployment = Deployment(Aws(REGION), self.name, bucket=self.name)

    def wanted(self, config: str = "", **parameters: str) -> Wanted:
        """The wanted state; a sweep a minute."""
        given = {"IntervalMinutes": "1", "Architecture": self.code.architecture, **parameters}
        return Wanted(f"code/{self.code.name}", self.code.content, config, given)

    def deploy(self, config: str = "", **parameters: str) -> None:
        """As the command does."""
        wanted = self.wanted(config, **parameters)
        self.deployment.deploy(wanted, self.deployment.plan(wanted))
        self._allow_batches()

    def _allow_batches(self) -> None:
        """ministack requires a separate right for batches; AWS checks sqs:SendMessage and
        sns:Publish for them, and has no other."""
        actions = ["sqs:SendMessageBatch", "sns:PublishBatch"]
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        for name, value in self.deployment.outputs().items():
            if name.endswith("RoleArn"):
                self.engines.client("iam").put_role_policy(
                    RoleName=value.rpartition("/")[2],
                    PolicyName="batches",
                    PolicyDocument=document,
                )

    def mailbox(self) -> tuple[str, Callable[[], list[str]]]:
        """A topic, and the messages that it got."""
        sns, sqs = self.engines.client("sns"), self.engines.client("sqs")
        topic = sns.create_topic(Name=self.name)["TopicArn"]
        queue = sqs.create_queue(QueueName=f"{self.name}-mailbox")["QueueUrl"]
        wanted = ["QueueArn"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)["Attributes"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn["QueueArn"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )
        found: list[str] = []

        def received() -> list[str]:
            while True:
                answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
                messages = answer.get("Messages") or []
                if not messages:
                    return found
                for message in messages:
                    found.append(message["Body"])
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

        return topic, received


@pytest.fixture
def fleet(engines: Ministack, code: bundle.Bundle) -> Iterator[Fleet]:
    """A stack of a test's own, gone after it."""
    fleet = Fleet(engines, code)
    yield fleet
    fleet.deployment.remove()


__all__ = ["REGION", "Path"]
