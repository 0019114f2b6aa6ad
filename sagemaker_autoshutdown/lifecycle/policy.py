"""IAM policies: what the admin's command may do, and what the apps' execution role must."""

from __future__ import annotations

from typing import Any

from .script import Kind

READ_STUDIO = (
    "sagemaker:DescribeDomain",
    "sagemaker:DescribeUserProfile",
    "sagemaker:DescribeStudioLifecycleConfig",
    "sagemaker:ListDomains",
)
READ_NOTEBOOKS = (
    "sagemaker:DescribeNotebookInstance",
    "sagemaker:DescribeNotebookInstanceLifecycleConfig",
)

#: What each of the commands calls, for domains and for notebook instances.
ADMIN = {
    "install": (
        *READ_STUDIO,
        "sagemaker:CreateStudioLifecycleConfig",
        "sagemaker:DeleteStudioLifecycleConfig",
        "sagemaker:UpdateDomain",
        "sagemaker:UpdateUserProfile",
    ),
    "uninstall": (
        *READ_STUDIO,
        "sagemaker:DeleteStudioLifecycleConfig",
        "sagemaker:UpdateDomain",
        "sagemaker:UpdateUserProfile",
    ),
    "status": (
        "sagemaker:DescribeApp",
        "sagemaker:DescribeDomain",
        "sagemaker:DescribeSpace",
        "sagemaker:DescribeUserProfile",
        "sagemaker:ListApps",
        "sagemaker:ListDomains",
        "sagemaker:ListSpaces",
        "sagemaker:ListUserProfiles",
    ),
}
ADMIN_NOTEBOOKS = {
    "install": (
        *READ_NOTEBOOKS,
        "sagemaker:CreateNotebookInstanceLifecycleConfig",
        "sagemaker:DeleteNotebookInstanceLifecycleConfig",
        "sagemaker:UpdateNotebookInstance",
    ),
    "uninstall": (
        *READ_NOTEBOOKS,
        "sagemaker:DeleteNotebookInstanceLifecycleConfig",
        "sagemaker:UpdateNotebookInstance",
    ),
    "status": ("sagemaker:ListNotebookInstances",),
}

#: What the extension calls with the app's own role.
ROLE = {
    Kind.CLASSIC: ("sagemaker:DeleteApp", "sagemaker:DescribeApp", "sagemaker:ListApps"),
    Kind.SPACE: ("sagemaker:DeleteApp", "sagemaker:DescribeApp"),
    Kind.NOTEBOOK_INSTANCE: (
        "sagemaker:DescribeNotebookInstance",
        "sagemaker:StopNotebookInstance",
    ),
}
#: What it reads with that role to say what else shuts a space's app down (Studio's own idle
#: shutdown stands in any of the three) and what its volume costs. It does without.
ROLE_LOOK = {
    "sagemaker:DescribeDomain": "domain/*",
    "sagemaker:DescribeSpace": "space/*",
    "sagemaker:DescribeUserProfile": "user-profile/*",
}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def admin_policy() -> dict[str, Any]:
    """For whoever gives the commands. No iam:PassRole: no role is written."""
    actions = {
        action
        for commands in (ADMIN, ADMIN_NOTEBOOKS)
        for each in commands.values()
        for action in each
    }
    return document(_statement("SageMakerAutoShutdownAdmin", sorted(actions), "*"))


def role_policy(wheel: str = "") -> dict[str, Any]:
    """For the execution role of the apps; with the right to read a wheel in S3."""
    apps = {*ROLE[Kind.CLASSIC], *ROLE[Kind.SPACE]}
    statements = [
        _statement(
            "SageMakerAutoShutdownApps",
            sorted(apps - {"sagemaker:ListApps"}),
            "arn:*:sagemaker:*:*:app/*",
        ),
        _statement("SageMakerAutoShutdownList", ["sagemaker:ListApps"], "*"),
        _statement(
            "SageMakerAutoShutdownNotebookInstances",
            sorted(ROLE[Kind.NOTEBOOK_INSTANCE]),
            "arn:*:sagemaker:*:*:notebook-instance/*",
        ),
        _statement(
            "SageMakerAutoShutdownLook",
            sorted(ROLE_LOOK),
            [f"arn:*:sagemaker:*:*:{resource}" for resource in sorted(ROLE_LOOK.values())],
        ),
        _statement("SageMakerAutoShutdownPrices", ["pricing:GetProducts"], "*"),
    ]
    if wheel.startswith("s3://"):
        place = f"arn:*:s3:::{wheel[len('s3://') :]}"
        statements.append(_statement("SageMakerAutoShutdownWheel", ["s3:GetObject"], place))
    return document(*statements)


def _statement(sid: str, actions: list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
