"""Domains, user profiles and spaces."""

from __future__ import annotations

from typing import Any

from tests.localstudio import names
from tests.localstudio.state import Domain, Owner, Profile, space, user

from ._table import SAGEMAKER, Answer, Backend, Parameters, page, page_of_ordered


def domain_arn(domain_id: str) -> str:
    """The domain's ARN."""
    return names.arn(f"domain/{domain_id}")


def profile_arn(domain_id: str, owner: Owner) -> str:
    """The ARN of a user profile or space."""
    return names.arn(f"{owner.kind}/{domain_id}/{owner.name}")


@SAGEMAKER.operation("CreateDomain")
async def create_domain(backend: Backend, p: Parameters) -> Answer:
    now = backend.now()
    settings = {name: value for name, value in p.items() if name not in ("DomainName", "Tags")}
    domain = Domain(names.new_domain_id(), p["DomainName"], now, now, settings)
    backend.account.create_domain(domain)
    return {
        "DomainArn": domain_arn(domain.id),
        "DomainId": domain.id,
        "Url": domain_url(domain.id),
    }


@SAGEMAKER.operation("DescribeDomain")
async def describe_domain(backend: Backend, p: Parameters) -> Answer:
    domain = backend.account.domain(p["DomainId"])
    return {
        **domain.settings,
        "DomainArn": domain_arn(domain.id),
        "DomainId": domain.id,
        "DomainName": domain.name,
        "Status": "InService",
        "CreationTime": domain.created_at,
        "LastModifiedTime": domain.modified_at,
        "Url": domain_url(domain.id),
    }


@SAGEMAKER.operation("ListDomains")
async def list_domains(backend: Backend, p: Parameters) -> Answer:
    found, token = page(
        backend.account.domains.values(),
        p,
        lambda domain: (domain.created_at.timestamp(), domain.id),
    )
    return {
        "Domains": [
            {
                "DomainArn": domain_arn(domain.id),
                "DomainId": domain.id,
                "DomainName": domain.name,
                "Status": "InService",
                "CreationTime": domain.created_at,
                "LastModifiedTime": domain.modified_at,
                "Url": domain_url(domain.id),
            }
            for domain in found
        ],
        "NextToken": token,
    }


@SAGEMAKER.operation("CreateUserProfile")
async def create_user_profile(backend: Backend, p: Parameters) -> Answer:
    profile = _new_profile(backend, p, user(p["UserProfileName"]))
    return {"UserProfileArn": profile_arn(profile.domain_id, profile.owner)}


@SAGEMAKER.operation("DescribeUserProfile")
async def describe_user_profile(backend: Backend, p: Parameters) -> Answer:
    profile = backend.account.profile(p["DomainId"], user(p["UserProfileName"]))
    return {
        **profile.settings,
        **_summary(profile),
        "UserProfileArn": profile_arn(profile.domain_id, profile.owner),
    }


@SAGEMAKER.operation("ListUserProfiles")
async def list_user_profiles(backend: Backend, p: Parameters) -> Answer:
    found, token = _profiles(backend, p, "user-profile", p.get("UserProfileNameContains", ""))
    return {"UserProfiles": [_summary(profile) for profile in found], "NextToken": token}


@SAGEMAKER.operation("CreateSpace")
async def create_space(backend: Backend, p: Parameters) -> Answer:
    profile = _new_profile(backend, p, space(p["SpaceName"]))
    return {"SpaceArn": profile_arn(profile.domain_id, profile.owner)}


@SAGEMAKER.operation("DescribeSpace")
async def describe_space(backend: Backend, p: Parameters) -> Answer:
    profile = backend.account.profile(p["DomainId"], space(p["SpaceName"]))
    return {
        **profile.settings,
        **_summary(profile),
        "SpaceArn": profile_arn(profile.domain_id, profile.owner),
    }


@SAGEMAKER.operation("ListSpaces")
async def list_spaces(backend: Backend, p: Parameters) -> Answer:
    found, token = _profiles(backend, p, "space", p.get("SpaceNameContains", ""))
    return {"Spaces": [_space_details(profile) for profile in found], "NextToken": token}


def domain_url(domain_id: str) -> str:
    """Where AWS would serve the domain's own pages."""
    return f"https://{domain_id}.studio.{names.REGION}.sagemaker.aws"


def _new_profile(backend: Backend, p: Parameters, owner: Owner) -> Profile:
    now = backend.now()
    left_out = ("DomainId", "UserProfileName", "SpaceName", "Tags")
    settings = {name: value for name, value in p.items() if name not in left_out}
    profile = Profile(p["DomainId"], owner, now, now, settings)
    backend.account.create_profile(profile)
    if "Tags" in p:
        tags = {tag["Key"]: tag["Value"] for tag in p["Tags"]}
        backend.account.tags[profile_arn(profile.domain_id, owner)] = tags
    return profile


def _profiles(
    backend: Backend, p: Parameters, kind: str, part: str
) -> tuple[list[Profile], str | None]:
    if p.get("SortBy") == "LastModifiedTime":
        return page(
            _chosen(backend.account.profiles_of(kind), p, part),
            p,
            lambda profile: (
                profile.modified_at.timestamp(),
                profile.domain_id,
                profile.owner.name,
            ),
        )
    profiles = backend.account.profiles_in_order(kind)
    if part or "DomainIdEquals" in p:
        profiles = _chosen(profiles, p, part)
    return page_of_ordered(profiles, p, lambda profile: profile.position)


def _chosen(profiles: list[Profile], p: Parameters, part: str) -> list[Profile]:
    return [
        profile
        for profile in profiles
        if p.get("DomainIdEquals", profile.domain_id) == profile.domain_id
        and part.lower() in profile.owner.name.lower()
    ]


def _summary(profile: Profile) -> dict[str, Any]:
    return {
        "DomainId": profile.domain_id,
        profile.owner.field: profile.owner.name,
        "Status": "InService",
        "CreationTime": profile.created_at,
        "LastModifiedTime": profile.modified_at,
    }


def _space_details(profile: Profile) -> dict[str, Any]:
    """The list shows an extract of a space's settings."""
    settings = profile.settings.get("SpaceSettings", {})
    sharing = profile.settings.get("SpaceSharingSettings")
    owner = profile.settings.get("OwnershipSettings")
    return {
        **_summary(profile),
        "SpaceDisplayName": profile.settings.get("SpaceDisplayName"),
        "SpaceSettingsSummary": {
            "AppType": settings.get("AppType"),
            "SpaceStorageSettings": settings.get("SpaceStorageSettings"),
        },
        "SpaceSharingSettingsSummary": sharing,
        "OwnershipSettingsSummary": owner,
    }
