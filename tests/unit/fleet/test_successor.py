"""An app that was started again under its old name, as shown by CloudTrail's events.

The event has the form that CloudTrail's documentation gives for ``LookupEvents`` and for
SageMaker's ``CreateApp``; it was not recorded on AWS.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.fleet.acting.model import RunId
from sagemaker_autoshutdown.fleet.acting.sagemaker import SageMaker
from sagemaker_autoshutdown.fleet.model import Key

from .scenes import NOON, SCOPE

KEY = Key("d-abcdefghijkl", "space", "lab", "CodeEditor", "default")
RUN = RunId(SCOPE, KEY, NOON)
ARN = "arn:aws:sagemaker:us-east-2:123456789012:app/d-abcdefghijkl/lab/codeeditor/default"
AGAIN = NOON + timedelta(minutes=30)


def event(at: datetime = AGAIN, **changes: Any) -> dict[str, Any]:
    """One of ``Events``; ``changes`` apply to the document in ``CloudTrailEvent``."""
    document = {
        "eventVersion": "1.09",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLE:SageMaker",
            "arn": "arn:aws:sts::123456789012:assumed-role/Studio/SageMaker",
            "accountId": "123456789012",
        },
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "sagemaker.amazonaws.com",
        "eventName": "CreateApp",
        "awsRegion": "us-east-2",
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "aws-internal/3",
        "requestParameters": {
            "domainId": KEY.domain,
            "spaceName": KEY.owner,
            "appType": KEY.app_type,
            "appName": KEY.name,
            "resourceSpec": {"instanceType": "ml.t3.medium"},
        },
        "responseElements": {"appArn": ARN},
        "requestID": "5cf7c8c5-0000-4000-8000-000000000000",
        "eventID": "7a6d8f4e-0000-4000-8000-000000000000",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "123456789012",
        "eventCategory": "Management",
        **changes,
    }
    return {
        "EventId": document["eventID"],
        "EventName": "CreateApp",
        "ReadOnly": "false",
        "EventTime": at,
        "EventSource": "sagemaker.amazonaws.com",
        "Username": "SageMaker",
        "Resources": [],
        "CloudTrailEvent": json.dumps(document),
    }


class Account(Aws):
    """SageMaker, which keeps the CreationTime of a run for a day, and CloudTrail."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        super().__init__("us-east-2")
        self.listed = list(pages) or [[]]
        self.asked: list[dict[str, Any]] = []

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        if operation == "LookupEvents":
            self.asked.append(parameters)
            number = int(parameters.get("NextToken", "0"))
            more = {"NextToken": str(number + 1)} if number + 1 < len(self.listed) else {}
            return {"Events": self.listed[number], **more}
        if operation == "ListTags":
            return {"Tags": []}
        assert operation == "DescribeApp"
        return {"Status": "InService", "CreationTime": NOON, "AppArn": ARN}


def created_at(*pages: list[dict[str, Any]], cloudtrail: bool = True) -> datetime:
    present = SageMaker(Account(*pages), lambda: AGAIN, cloudtrail=cloudtrail).describe(RUN, ARN)
    assert present is not None
    return present.created_at


def test_a_start_that_cloudtrail_saw_is_another_run() -> None:
    assert created_at([event()]) == AGAIN
    assert created_at([event()], cloudtrail=False) == NOON


def test_a_start_on_a_later_page_is_found() -> None:
    other = event(requestParameters={"domainId": "d-other"})
    assert created_at([other] * 50, [event()]) == AGAIN


@pytest.mark.parametrize(
    "changes",
    [
        {"errorCode": "AccessDenied"},
        {"requestParameters": None},
        {"requestParameters": {"domainId": KEY.domain, "userProfileName": "lab"}},
    ],
)
def test_a_start_that_failed_or_is_of_another_app_is_none(changes: dict[str, Any]) -> None:
    assert created_at([event(**changes)]) == NOON


@pytest.mark.parametrize("name", ["domainId", "spaceName", "appType", "appName"])
def test_each_part_of_a_name_counts(name: str) -> None:
    asked = json.loads(event()["CloudTrailEvent"])["requestParameters"]
    assert created_at([event(requestParameters={**asked, name: "another"})]) == NOON


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "null", '"x"'])
def test_an_event_that_can_not_be_read_is_none(text: str) -> None:
    assert created_at([{**event(), "CloudTrailEvent": text}]) == NOON


def test_events_are_asked_for_from_the_start_of_the_run_on() -> None:
    account = Account([])
    SageMaker(account, lambda: AGAIN, cloudtrail=True).describe(RUN, ARN)
    [asked] = account.asked
    assert asked["LookupAttributes"] == [
        {"AttributeKey": "EventName", "AttributeValue": "CreateApp"}
    ]
    assert asked["StartTime"] == NOON + timedelta(seconds=1)
