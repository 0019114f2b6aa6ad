"""IAM policies: what the admin's command may do, and what the apps' execution role must.

The one source: the command, the CloudFormation template, the Terraform module (its `policy.json`)
and the excerpt in the documentation are made from or compared with what this gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .script import Kind

READ_STUDIO = (
    "sagemaker:DescribeDomain",
    "sagemaker:DescribeUserProfile",
    "sagemaker:DescribeStudioLifecycleConfig",
    "sagemaker:ListDomains",
    "sagemaker:ListTags",
    "sagemaker:ListUserProfiles",
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
        "sagemaker:DescribeStudioLifecycleConfig",
        "sagemaker:DescribeUserProfile",
        "sagemaker:ListApps",
        "sagemaker:ListDomains",
        "sagemaker:ListSpaces",
        "sagemaker:ListUserProfiles",
        "logs:FilterLogEvents",
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
    "status": (
        "sagemaker:DescribeNotebookInstanceLifecycleConfig",
        "sagemaker:ListNotebookInstances",
    ),
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
    "sagemaker:DescribeDomain": "domain/{domain}",
    "sagemaker:DescribeSpace": "space/{domain}/*",
    "sagemaker:DescribeUserProfile": "user-profile/{domain}/*",
}


#: What it reads with that role to show the mark of a fleet (``hosts/marks.py``). It does without.
ROLE_MARK = {"sagemaker:ListTags": ("app/{domain}/*", "notebook-instance/*")}


#: What a notebook instance must be tagged with (any value will do) for the role to stop it, where
#: the policy does not name it.
NOTEBOOK_TAG = "sagemaker-autoshutdown"

#: Policy variables, which IAM fills in with the caller's own. AWS's managed policy for SageMaker
#: uses both for the apps of private spaces; that they are there in Studio Classic is inferred.
OWN_DOMAIN = "${sagemaker:DomainId}"
OWN_PROFILE = "${sagemaker:UserProfileName}"

#: What every name of an app, private space or shared space is deleted by.
_DELETE = ["sagemaker:DeleteApp"]


@dataclass(frozen=True)
class Place:
    """Where the rights hold; ``*`` and policy variables where that is not known."""

    partition: str = "*"
    region: str = "*"
    account: str = "*"
    #: The caller's domain, and any domain.
    own_domain: str = OWN_DOMAIN
    any_domain: str = "*"

    @classmethod
    def of_domain(cls, arn: str) -> Place:
        """That of a domain, by its ARN."""
        _, partition, _, region, account, resource = arn.split(":", 5)
        domain_id = resource.partition("/")[2]
        return cls(partition, region, account, domain_id, domain_id)

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """The ARN of a resource there."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


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


def status_policy() -> dict[str, Any]:
    """For whoever only looks: it reads, and changes nothing."""
    actions = {*ADMIN["status"], *ADMIN_NOTEBOOKS["status"]}
    return document(_statement("SageMakerAutoShutdownStatus", sorted(actions), "*"))


def role_policy(
    wheel: str = "",
    settings_source: str = "",
    place: Place | None = None,
    notebook_instances: Sequence[str] = (),
) -> dict[str, Any]:
    """For the execution role of the apps; with the rights to read a wheel in S3 and settings in S3
    or SSM.

    It lets nobody delete another's private app, as AWS's own policy for SageMaker does not: each
    statement that allows DeleteApp has a condition.
    """
    place = place or Place()
    statements = [
        *_delete_apps(place),
        _statement(
            "SageMakerAutoShutdownApps",
            ["sagemaker:DescribeApp"],
            place.arn(f"app/{place.any_domain}/*"),
        ),
        _statement("SageMakerAutoShutdownList", ["sagemaker:ListApps"], "*"),
        _statement(
            "SageMakerAutoShutdownNotebookInstances",
            ["sagemaker:DescribeNotebookInstance"],
            place.arn("notebook-instance/*"),
        ),
        _stop_notebooks(place, notebook_instances),
        _statement(
            "SageMakerAutoShutdownLook",
            sorted(ROLE_LOOK),
            [
                place.arn(each.format(domain=place.any_domain))
                for each in sorted(ROLE_LOOK.values())
            ],
        ),
        _statement(
            "SageMakerAutoShutdownMark",
            sorted(ROLE_MARK),
            [
                place.arn(each.format(domain=place.any_domain))
                for resources in ROLE_MARK.values()
                for each in resources
            ],
        ),
        _statement("SageMakerAutoShutdownPrices", ["pricing:GetProducts"], "*"),
    ]
    if wheel.startswith("s3://"):
        statements.append(_s3_object("SageMakerAutoShutdownWheel", place, wheel))
    if settings_source.startswith("s3://"):
        statements.append(_s3_object("SageMakerAutoShutdownSettings", place, settings_source))
    elif settings_source.startswith("ssm:"):
        name = settings_source[len("ssm:") :].lstrip("/")
        parameter = place.arn(f"parameter/{name}", "ssm")
        statements.append(
            _statement("SageMakerAutoShutdownSettings", ["ssm:GetParameter"], parameter)
        )
    return document(*statements)


def roles_of(domain: Mapping[str, Any]) -> list[str]:
    """The names of the execution roles that a domain's defaults name; a profile or space may have
    one of its own."""
    groups = (domain.get(name) or {} for name in ("DefaultUserSettings", "DefaultSpaceSettings"))
    arns = [str(group["ExecutionRole"]) for group in groups if group.get("ExecutionRole")]
    return list(dict.fromkeys(arn.rpartition("/")[2] for arn in arns))


def _delete_apps(place: Place) -> list[dict[str, Any]]:
    """One's own apps in Studio Classic, those of shared spaces, and those of one's own spaces."""
    in_domain = place.arn(f"app/{place.own_domain}/*")
    owner = place.arn(f"user-profile/{place.own_domain}/{OWN_PROFILE}")
    return [
        {
            **_statement(
                "SageMakerAutoShutdownClassicApps",
                _DELETE,
                place.arn(f"app/{place.own_domain}/{OWN_PROFILE}/*"),
            ),
            "Condition": {"Null": {"sagemaker:OwnerUserProfileArn": "true"}},
        },
        {
            **_statement("SageMakerAutoShutdownSharedSpaces", _DELETE, in_domain),
            "Condition": {"StringEquals": {"sagemaker:SpaceSharingType": ["Shared"]}},
        },
        {
            **_statement("SageMakerAutoShutdownPrivateSpaces", _DELETE, in_domain),
            "Condition": {
                "StringEquals": {"sagemaker:SpaceSharingType": ["Private"]},
                "ArnLike": {"sagemaker:OwnerUserProfileArn": owner},
            },
        },
    ]


def _stop_notebooks(place: Place, names: Sequence[str]) -> dict[str, Any]:
    """Those that are named, or else those that are tagged."""
    statement = _statement(
        "SageMakerAutoShutdownStop",
        ["sagemaker:StopNotebookInstance"],
        [place.arn(f"notebook-instance/{name}") for name in names]
        or place.arn("notebook-instance/*"),
    )
    if not names:
        statement["Condition"] = {"Null": {f"aws:ResourceTag/{NOTEBOOK_TAG}": "false"}}
    return statement


def _s3_object(sid: str, place: Place, url: str) -> dict[str, Any]:
    return _statement(sid, ["s3:GetObject"], f"arn:{place.partition}:s3:::{url[len('s3://') :]}")


def _statement(sid: str, actions: list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
