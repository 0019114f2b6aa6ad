"""The rights that a fleet needs, as IAM policies: one to see, one to act. Pure.

``read`` is enough for a sweep, its rules and its verdicts. ``act`` adds marking and shutting down;
a fleet in dry run does not need it. Tags can be set and removed for one key only: the mark's.
"""

from __future__ import annotations

from typing import Any

from ..hosts.marks import MARK_TAG
from .config import Config

_STOPPED = ("app", "notebook-instance")


def read_policy(config: Config, partition: str = "aws") -> dict[str, Any]:
    """The rights to see, for this configuration."""
    statements = [
        _statement(
            "See",
            [
                "sagemaker:DescribeDomain",
                "sagemaker:ListApps",
                "sagemaker:ListDomains",
                "sagemaker:ListNotebookInstances",
                "sagemaker:ListSpaces",
            ],
        )
    ]
    if config.swept_tags:
        statements.append(_statement("SeeTags", ["tag:GetResources"]))
    if config.rules.asks_canvas:
        statements.append(_statement("SeeCanvas", ["cloudwatch:GetMetricData"]))
    if config.price_list_api:
        statements.append(_statement("SeePrices", ["pricing:GetProducts"]))
    if config.prometheus is not None and config.prometheus.sigv4_region:
        workspaces = f"arn:{partition}:aps:{config.prometheus.sigv4_region}:*:workspace/*"
        statements.append(_statement("SeeReports", ["aps:QueryMetrics"], [workspaces]))
    return _policy(statements)


def act_policy(config: Config, partition: str = "aws") -> dict[str, Any]:
    """The rights to mark and to shut down."""
    stopped = [f"arn:{partition}:sagemaker:*:*:{each}/*" for each in _STOPPED]
    tagged = [
        f"arn:{partition}:sagemaker:*:*:{each}/*"
        for each in (*_STOPPED, "domain", "space", "user-profile")
    ]
    mark = _statement("Mark", ["sagemaker:AddTags", "sagemaker:DeleteTags"], stopped)
    mark["Condition"] = {"ForAllValues:StringEquals": {"aws:TagKeys": [MARK_TAG]}}
    statements = [
        _statement(
            "CheckAgain", ["sagemaker:DescribeApp", "sagemaker:DescribeNotebookInstance"], stopped
        ),
        _statement("SeeExceptions", ["sagemaker:ListTags"], tagged),
        mark,
        _statement("ShutDown", ["sagemaker:DeleteApp", "sagemaker:StopNotebookInstance"], stopped),
    ]
    if config.notify.sns_topic_arn:
        statements.append(_statement("Tell", ["sns:Publish"], [config.notify.sns_topic_arn]))
    if config.cloudtrail:
        statements.append(_statement("SeeStarts", ["cloudtrail:LookupEvents"]))
    return _policy(statements)


def _policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(sid: str, actions: list[str], resources: list[str] | None = None) -> dict[str, Any]:
    resource: Any = resources or "*"
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
