"""The rights of the functions and of the roles in member accounts.

``fleet/policy.py`` holds the rights to see an account and to act in it, also for ``fleet run``.
This module adds the rights for AWS's services. CloudFormation fills in ``${...}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..config import Config
from ..policy import act_policy, read_policy
from ..rules.model import Rule, Rules, When

Statement = Mapping[str, Any]


def _allow(sid: str, actions: tuple[str, ...], *resources: str, **more: Any) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
        **more,
    }


#: Everything that rules can ask for: the stack's rights do not change with the rules.
_ANY = Config(
    rules=Rules((Rule("any", when=(When(idle_for=timedelta(hours=1)),)),)),
    cloudtrail=True,
    price_list_api=False,
)
#: A sweep of an account, and what its rules need.
READ_ACCOUNT: tuple[Statement, ...] = tuple(read_policy(_ANY, "${AWS::Partition}")["Statement"])
#: Marking and shutting down in an account.
ACT_IN_ACCOUNT: tuple[Statement, ...] = tuple(act_policy(_ANY, "${AWS::Partition}")["Statement"])


def _log(group: str) -> tuple[str, str]:
    """A log group and its streams: creating a stream needs a right on the group itself."""
    name = (
        f"arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:${{{group}}}"
    )
    return name, f"{name}:*"


_LOGS: tuple[Statement, ...] = (
    _allow("Audit", ("logs:CreateLogStream", "logs:PutLogEvents"), *_log("AuditLog")),
)


def _own_log(group: str) -> Statement:
    return _allow("Log", ("logs:CreateLogStream", "logs:PutLogEvents"), *_log(group))


#: The function that sweeps, in addition to ``READ_ACCOUNT``.
SWEEPER: tuple[Statement, ...] = (
    _own_log("SweeperLog"),
    *_LOGS,
    _allow(
        "Queue",
        (
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        ),
        "${SweepQueue.Arn}",
    ),
    _allow(
        "Record",
        (
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ),
        "${Table.Arn}",
    ),
    _allow(
        "LongRecords",
        ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"),
        "arn:${AWS::Partition}:s3:::${Bucket}/record/*",
    ),
    # Without this right, S3 answers "denied" for an object that is gone.
    _allow("FindRecords", ("s3:ListBucket",), "arn:${AWS::Partition}:s3:::${Bucket}"),
)

#: The function that acts, in addition to ``ACT_IN_ACCOUNT``.
ACTOR: tuple[Statement, ...] = (
    _own_log("ActorLog"),
    *_LOGS,
    _allow(
        "Queue",
        (
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        ),
        "${TaskQueue.Arn}",
    ),
    _allow(
        "Holds",
        ("dynamodb:GetItem", "dynamodb:PutItem"),
        "${Table.Arn}",
    ),
)

#: Both read the configuration, and the secrets that it names.
CONFIGURATION: tuple[Statement, ...] = (
    _allow("Configuration", ("s3:GetObject",), "arn:${AWS::Partition}:s3:::${Bucket}/config/*"),
    _allow(
        "Secrets",
        ("ssm:GetParameter",),
        "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/"
        "sagemaker-autoshutdown/*",
    ),
)


def subbed(value: Any) -> Any:
    """A value of a policy, in which CloudFormation fills in its parts."""
    if isinstance(value, str):
        return {"Fn::Sub": value} if "${" in value else value
    if isinstance(value, Mapping):
        return {name: subbed(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [subbed(each) for each in value]
    return value
