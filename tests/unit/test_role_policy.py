"""Who may delete whose app with the product's policy."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from sagemaker_autoshutdown.lifecycle import policy

HERE = "arn:aws:sagemaker:us-east-2:123456789012"
DOMAIN = "d-f0lwireyzpjp"
PROFILE = f"{HERE}:user-profile/{DOMAIN}"
PLACES = pytest.mark.parametrize(
    "place",
    [None, policy.Place.of_domain(f"{HERE}:domain/{DOMAIN}")],
    ids=["anywhere", "one domain"],
)
#: IAM's facts about the caller.
ADA = {"sagemaker:DomainId": DOMAIN, "sagemaker:UserProfileName": "ada"}


def allows(document: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> bool:
    """Whether a policy allows it: the part of IAM's rules that the product's policies use."""

    def filled(text: str) -> str:
        # A variable unknown to IAM matches nothing.
        return re.sub(r"\$\{([^}]+)\}", lambda found: context.get(found[1], "\0"), text)

    def matches(pattern: str, value: str) -> bool:
        return fnmatchcase(value, filled(pattern))

    def holds(operator: str, key: str, expected: Any) -> bool:
        if operator == "Null":
            return (key not in context) == bool(expected == "true")
        values = expected if isinstance(expected, list) else [expected]
        if key not in context:
            return False
        if operator == "StringEquals":
            return context[key] in map(filled, values)
        assert operator == "ArnLike"
        return any(matches(value, context[key]) for value in values)

    def applies(statement: dict[str, Any]) -> bool:
        resources = statement["Resource"]
        resources = resources if isinstance(resources, list) else [resources]
        return bool(
            action in statement["Action"]
            and any(matches(each, resource) for each in resources)
            and all(
                holds(operator, key, value)
                for operator, keys in statement.get("Condition", {}).items()
                for key, value in keys.items()
            )
        )

    return any(applies(statement) for statement in document["Statement"])


def may_delete(place: policy.Place | None, app: str, **keys: str) -> bool:
    """Whether ada may delete an app of this path, with these condition keys."""
    context = {**ADA, **{f"sagemaker:{name}": value for name, value in keys.items()}}
    document = policy.role_policy(place=place)
    return allows(document, "sagemaker:DeleteApp", f"{HERE}:app/{app}", context)


@PLACES
def test_a_user_can_delete_their_own_apps_and_those_of_shared_spaces(
    place: policy.Place | None,
) -> None:
    own = f"{PROFILE}/ada"
    assert may_delete(place, f"{DOMAIN}/ada/KernelGateway/some-app")
    assert may_delete(
        place,
        f"{DOMAIN}/my-space/JupyterLab/default",
        SpaceSharingType="Private",
        OwnerUserProfileArn=own,
    )
    for owner in (own, f"{PROFILE}/grace"):
        assert may_delete(
            place,
            f"{DOMAIN}/team/JupyterLab/default",
            SpaceSharingType="Shared",
            OwnerUserProfileArn=owner,
        )


@PLACES
def test_a_user_can_not_delete_anothers_private_app(place: policy.Place | None) -> None:
    assert not may_delete(place, f"{DOMAIN}/grace/KernelGateway/some-app")
    assert not may_delete(
        place,
        f"{DOMAIN}/her-space/JupyterLab/default",
        SpaceSharingType="Private",
        OwnerUserProfileArn=f"{PROFILE}/grace",
    )
    # A space with the user's name is not theirs, either.
    assert not may_delete(
        place,
        f"{DOMAIN}/ada/JupyterLab/default",
        SpaceSharingType="Private",
        OwnerUserProfileArn=f"{PROFILE}/grace",
    )


@PLACES
def test_nobody_deletes_apps_of_another_domain(place: policy.Place | None) -> None:
    other = "d-another000000"
    assert not may_delete(place, f"{other}/ada/KernelGateway/some-app")
    assert not may_delete(
        place,
        f"{other}/team/JupyterLab/default",
        SpaceSharingType="Shared",
        OwnerUserProfileArn=f"{HERE}:user-profile/{other}/ada",
    )


def test_every_statement_that_shuts_down_has_a_condition_or_names_what() -> None:
    for names in ((), ("analysis",)):
        for each in policy.role_policy(notebook_instances=names)["Statement"]:
            if {"sagemaker:DeleteApp", "sagemaker:StopNotebookInstance"} & {*each["Action"]}:
                assert "Condition" in each or not str(each["Resource"]).rstrip("']").endswith("*")


def test_only_a_notebook_instance_that_is_named_or_tagged_can_be_stopped() -> None:
    def may_stop(name: str, context: dict[str, str], *names: str) -> bool:
        document = policy.role_policy(notebook_instances=names)
        resource = f"{HERE}:notebook-instance/{name}"
        return allows(document, "sagemaker:StopNotebookInstance", resource, context)

    assert not may_stop("analysis", {})
    assert may_stop("analysis", {"aws:ResourceTag/sagemaker-autoshutdown": ""})
    assert may_stop("analysis", {}, "analysis", "training")
    assert not may_stop("analysis-2", {"aws:ResourceTag/sagemaker-autoshutdown": ""}, "analysis")


@pytest.mark.parametrize(
    ("source", "action", "resource"),
    [
        ("s3://bucket/a/b.json", "s3:GetObject", "arn:aws:s3:::bucket/a/b.json"),
        (
            "ssm:/studio/limits",
            "ssm:GetParameter",
            "arn:aws:ssm:us-east-2:123456789012:parameter/studio/limits",
        ),
    ],
)
def test_settings_are_read_where_they_are_and_nowhere_else(
    source: str, action: str, resource: str
) -> None:
    document = policy.role_policy(settings_source=source)
    assert allows(document, action, resource, {})
    assert not allows(document, action, f"{resource}2", {})
    assert not allows(policy.role_policy(), action, resource, {})


def test_it_fits_into_a_managed_policy() -> None:
    wheel, source = f"s3://{'b' * 63}/{'k' * 200}.whl", f"ssm:/{'p' * 200}"
    document = policy.role_policy(
        wheel, source, policy.Place.of_domain(f"{HERE}:domain/{DOMAIN}"), ["n" * 63] * 10
    )
    assert len(json.dumps(document, separators=(",", ":"))) < 6144


def test_who_only_looks_changes_nothing() -> None:
    [statement] = policy.status_policy()["Statement"]
    for action in statement["Action"]:
        assert re.match("[a-z]+:(Describe|List|Get|Filter)", action), action


@pytest.mark.parametrize(
    ("partition", "region"), [("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-northwest-1")]
)
def test_in_govcloud_and_china_all_that_is_named_is_there(partition: str, region: str) -> None:
    """A resource of another partition matches nothing, so every shutdown would be denied."""
    here = f"arn:{partition}:sagemaker:{region}:123456789012"
    place = policy.Place.of_domain(f"{here}:domain/{DOMAIN}")
    for source in ("s3://bucket/limits.json", "ssm:/limits"):
        document = policy.role_policy("s3://bucket/a.whl", source, place, ["mine"])
        named = re.findall(r"arn:[^\"]*", json.dumps(document))
        assert {arn.split(":")[1] for arn in named} == {partition}
        assert {arn.split(":")[3] for arn in named if ":s3:" not in arn} == {region}
    own = {"sagemaker:SpaceSharingType": "Private"}
    own["sagemaker:OwnerUserProfileArn"] = f"{here}:user-profile/{DOMAIN}/ada"
    app = f"{here}:app/{DOMAIN}/space/JupyterLab/default"
    assert allows(document, "sagemaker:DeleteApp", app, {**ADA, **own})
    others = app.replace(partition, "aws")
    assert not allows(document, "sagemaker:DeleteApp", others, {**ADA, **own})
