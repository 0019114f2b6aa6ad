"""The user profiles of a domain that a command is for: by name, tag, percentage, or attachment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..aws import Aws, AwsError
from . import attach
from .parallel import each
from .plan import Refused, Told, gone
from .script import STUDIO_KINDS
from .target import Target


@dataclass(frozen=True)
class Group:
    """A choice of user profiles: those that fit every part."""

    #: Candidates; None for all of the domain.
    names: Sequence[str] | None = None
    #: A tag that they have, as KEY=VALUE; either may hold an equals sign.
    tag: str | None = None
    #: A percentage, always with the same profiles: a larger one holds a smaller one.
    percent: float = 100.0
    #: Only profiles with a script of ours of their own.
    with_own: bool = False
    #: Patterns of excluded names.
    excluded: Sequence[str] = ()

    @property
    def is_given(self) -> bool:
        """Whether it chooses at all: without a choice, a command is for the domain itself."""
        return self.names is not None or self.tag is not None or self.with_own or self.percent < 100


def targets(
    aws: Aws,
    domain_id: str,
    group: Group,
    tell: Told = lambda *_: None,
) -> list[Target]:
    """The user profiles of a group, or the domain if there is no choice. Profiles that are deleted
    meanwhile are left out, unless they were named.

    Raises `Refused` if nobody is left, and `AwsError`.
    """
    if not group.is_given:
        return [Target(domain_id)]
    names = list(dict.fromkeys(_all(aws, domain_id) if group.names is None else group.names))
    names = [name for name in names if not _is_excluded(name, group.excluded)]
    names = [name for name in names if _share_of(name) < group.percent]
    is_listed = group.names is None
    if group.tag is not None:
        wanted = group.tag
        names = _having(names, lambda name: wanted in _tags(aws, domain_id, name), is_listed, tell)
    if group.with_own:
        names = _having(names, lambda name: _has_own(aws, domain_id, name), is_listed, tell)
    if not names:
        raise Refused("no user profile of the domain is in this group")
    return [Target(domain_id, name) for name in names]


def _having(
    names: Sequence[str], has: Callable[[str], bool], may_be_gone: bool, tell: Told
) -> list[str]:
    def is_one_of_them(name: str) -> bool:
        try:
            return has(name)
        except AwsError as error:
            if may_be_gone and gone(error):
                return False
            raise

    found = []
    for number, (name, is_one) in enumerate(zip(names, each(is_one_of_them, names)), 1):
        tell(number, len(names), "user profiles")
        if is_one:
            found.append(name)
    return found


def _all(aws: Aws, domain_id: str) -> Iterable[str]:
    parameters = {"DomainIdEquals": domain_id, "MaxResults": 100}
    for listed in aws.pages_blocking("sagemaker", "ListUserProfiles", "UserProfiles", parameters):
        yield str(listed["UserProfileName"])


def _tags(aws: Aws, domain_id: str, name: str) -> Set[str]:
    arn = _describe(aws, domain_id, name)["UserProfileArn"]
    found = aws.pages_blocking("sagemaker", "ListTags", "Tags", {"ResourceArn": arn})
    return {f"{tag['Key']}={tag['Value']}" for tag in found}


def _has_own(aws: Aws, domain_id: str, name: str) -> bool:
    settings = _describe(aws, domain_id, name).get("UserSettings") or {}
    return any(attach.is_ours(attach.current(kind, settings)) for kind in STUDIO_KINDS)


def _describe(aws: Aws, domain_id: str, name: str) -> dict[str, Any]:
    named = {"DomainId": domain_id, "UserProfileName": name}
    return aws.call_blocking("sagemaker", "DescribeUserProfile", named)


def _is_excluded(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _share_of(name: str) -> float:
    """The position of a name among all, from 0 to below 100; it never changes."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) * 100 / 2**32
