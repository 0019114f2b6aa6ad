"""IAM policies: for the admin's command, and for the apps' execution role.

The one source: the command, the CloudFormation template, the Terraform module (its `policy.json`)
and the excerpt in the documentation are made from it or compared with it.
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

#: The operations of each command, for domains and for notebook instances.
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

#: The operations that the extension calls with the app's own role.
ROLE = {
    Kind.CLASSIC: ("sagemaker:DeleteApp", "sagemaker:DescribeApp", "sagemaker:ListApps"),
    Kind.SPACE: ("sagemaker:DeleteApp", "sagemaker:DescribeApp"),
    Kind.NOTEBOOK_INSTANCE: (
        "sagemaker:DescribeNotebookInstance",
        "sagemaker:StopNotebookInstance",
    ),
}
#: Reads with that role, to find other shutdowns of a space's app (Studio's own idle shutdown may be
#: set in any of the three) and the cost of its volume. The extension works without them.
ROLE_LOOK = {
    "sagemaker:DescribeDomain": "domain/{domain}",
    "sagemaker:DescribeSpace": "space/{domain}/*",
    "sagemaker:DescribeUserProfile": "user-profile/{domain}/*",
}


#: Reads with that role, to show a fleet's mark (``hosts/marks.py``). The extension works without
#: it.
ROLE_MARK = {"sagemaker:ListTags": ("app/{domain}/*", "notebook-instance/*")}


#: The tag (with any value) that a notebook instance needs for the role to stop it, if the policy
#: does not name the instance.
NOTEBOOK_TAG = "sagemaker-autoshutdown"

#: Policy variables, which IAM replaces by the caller's own values. AWS's managed policy for
#: SageMaker uses both for the apps of private spaces; that Studio Classic has them is inferred.
OWN_DOMAIN = "${sagemaker:DomainId}"
OWN_PROFILE = "${sagemaker:UserProfileName}"

#: Deletes every app, private space and shared space.
_DELETE = ["sagemaker:DeleteApp"]


@dataclass(frozen=True)
class Place:
    """Where the rights apply; ``*`` and policy variables where that is not known."""

    partition: str = "*"
    region: str = "*"
    account: str = "*"
    #: The caller's domain, and any domain.
    own_domain: str = OWN_DOMAIN
    any_domain: str = "*"

    @classmethod
    def of_domain(cls, arn: str) -> Place:
        """The scope of a domain, by its ARN."""
        _, partition, _, region, account, resource = arn.split(":", 5)
        domain_id = resource.partition("/")[2]
        return cls(partition, region, account, domain_id, domain_id)

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """The ARN of a resource in the scope."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def admin_policy() -> dict[str, Any]:
    """For whoever runs the commands. No iam:PassRole: no role is written."""
    actions = {
        action
        for commands in (ADMIN, ADMIN_NOTEBOOKS)
        for each in commands.values()
        for action in each
    }
    return document(_statement("SageMakerAutoShutdownAdmin", sorted(actions), "*"))


def status_policy() -> dict[str, Any]:
    """For whoever only runs `status`: it reads, and changes nothing."""
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

    Nobody may delete another user's private app, as in AWS's own policy for SageMaker: each
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
    """The names of the execution roles in a domain's defaults; a profile or space may have a
    role of its own."""
    groups = (domain.get(name) or {} for name in ("DefaultUserSettings", "DefaultSpaceSettings"))
    arns = [str(group["ExecutionRole"]) for group in groups if group.get("ExecutionRole")]
    return list(dict.fromkeys(arn.rpartition("/")[2] for arn in arns))


def _delete_apps(place: Place) -> list[dict[str, Any]]:
    """One's own apps in Studio Classic, apps of shared spaces, and apps of one's own spaces."""
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
    """The named ones, or else the tagged ones."""
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
