"""One sweep of an account in a region: a few paged lists, read as they come. Only reads.

Calls, for N apps, S spaces and M notebook instances in D domains: N/100 + S/100 + M/100 + D/100,
each rounded up, and one DescribeDomain for each domain, whose answer is kept for an hour. If tags
are wanted, T/100 calls of the tagging API for T resources with tags. Each page becomes values at
once, so that no more than one page of answers is in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from sys import intern
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from .coverage import is_ours
from .model import (
    APPS,
    CODE_EDITOR,
    DOMAINS,
    DOWN,
    INSTANCE_TYPES,
    JUPYTER_LAB,
    JUPYTER_SERVER,
    NOTEBOOK_INSTANCE,
    NOTEBOOKS,
    SETTINGS,
    SPACE,
    SPACES,
    TAGS,
    USER_PROFILE,
    VOLUME,
    Defaults,
    Domain,
    Key,
    Reports,
    Resource,
    Scope,
    Space,
    Sweep,
)

#: The API's limit; its own default is ten.
PAGE = 100
#: The resource types for the tagging API.
TAGGED = [
    f"sagemaker:{each}" for each in ("app", "domain", "notebook-instance", "space", "user-profile")
]
#: How long the settings of a domain are not read again.
FRESH = timedelta(hours=1)
#: The CreationTime of resources without one: always the same, so that no run begins anew.
LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: Called with progress: the current list, and its count so far.
Progress = Callable[[str, int], None]


class Sweeper:
    """Sweeps one region with the rights of one role. Blocks: for threads and command lines."""

    def __init__(
        self,
        aws: Aws,
        account_id: str = "",
        progress: Progress | None = None,
        tags: Collection[str] = (),
    ) -> None:
        """`tags` are the wanted keys; without any, tags are not read."""
        self._aws = aws
        self._tag_keys = frozenset(tags)
        self._account_id = account_id
        self._progress = progress or (lambda what, count: None)
        self._settings: dict[
            str, tuple[datetime | None, tuple[Defaults | None, Defaults | None]]
        ] = {}

    def sweep(self, sweep_id: str, now: datetime, reports: Reports | None) -> Sweep:
        """Everything that exists now. Raises ``AwsError`` if the apps can't be listed.

        If another part can't be listed, the sweep says so and goes on without it.
        """
        unseen: dict[str, str] = {}
        resources = _once(self._apps())
        domains = self._domains(now, unseen)
        if not self._aws.tells("sagemaker", "ListApps", "Apps.ResourceSpec"):
            unseen[INSTANCE_TYPES] = (
                f"botocore {self._aws.botocore_version} leaves them out; boto3 1.34 does not"
            )
        spaces: dict[tuple[str, str], Space] = {}
        volumes: list[Resource] = []
        try:
            for item in self._pages("ListSpaces", "Spaces", SPACES):
                space = _space(item)
                spaces[space.domain, space.name] = space
                volume = _volume(item, space)
                if volume is not None:
                    volumes.append(volume)
            resources += _once(volumes)
        except AwsError as error:
            unseen[SPACES] = _why(error)
        notebooks: list[Resource] = []
        try:
            for item in self._pages("ListNotebookInstances", "NotebookInstances", NOTEBOOKS):
                self._account_id = self._account_id or _account_of(item.get("NotebookInstanceArn"))
                notebooks.append(_notebook(item))
            resources += _once(notebooks)
        except AwsError as error:
            unseen[NOTEBOOKS] = _why(error)
        tags: dict[str, Mapping[str, str]] = {}
        try:
            if self._tag_keys:
                tags.update(self._tags())
        except AwsError as error:
            unseen[TAGS] = _why(error)
        return Sweep(
            self.scope(), sweep_id, now, tuple(resources), spaces, domains, reports, unseen, tags
        )

    def scope(self, *, ask: bool = True) -> Scope:
        """The account and region, as far as they can be known, by a call if necessary."""
        if ask and not self._account_id:
            # No domain and no notebook instance shows the account. This call needs no right.
            with contextlib.suppress(AwsError):
                answer = self._aws.call_blocking("sts", "GetCallerIdentity", {})
                self._account_id = str(answer.get("Account") or "")
        region = ""
        with contextlib.suppress(AwsError):
            region = self._aws.effective_region
        return Scope(self._account_id, region)

    def _domains(self, now: datetime, unseen: dict[str, str]) -> dict[str, Domain]:
        domains: dict[str, Domain] = {}
        try:
            for item in self._pages("ListDomains", "Domains", DOMAINS):
                self._account_id = self._account_id or _account_of(item.get("DomainArn"))
                domain_id = intern(str(item["DomainId"]))
                settings = self._settings_of(domain_id, now, unseen)
                domains[domain_id] = Domain(domain_id, str(item.get("DomainName", "")), *settings)
        except AwsError as error:
            unseen[DOMAINS] = _why(error)
        return domains

    def _tags(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Pages of all resources with tags: ListApps returns no tags, and ListTags takes a call
        for each."""
        for item in self._aws.pages_blocking(
            "resourcegroupstaggingapi",
            "GetResources",
            "ResourceTagMappingList",
            {"ResourceTypeFilters": TAGGED, "ResourcesPerPage": PAGE},
            "PaginationToken",
        ):
            kept = {
                tag["Key"]: tag["Value"]
                for tag in item.get("Tags") or ()
                if tag["Key"] in self._tag_keys
            }
            if kept:
                yield item["ResourceARN"].split(":", 5)[5], kept

    def _pages(self, operation: str, key: str, what: str) -> Iterator[Mapping[str, Any]]:
        items = self._aws.pages_blocking("sagemaker", operation, key, {"MaxResults": PAGE})
        for count, item in enumerate(items, 1):
            if count % PAGE == 0:
                self._progress(what, count)
            yield item

    def _apps(self) -> Iterator[Resource]:
        for item in self._pages("ListApps", "Apps", APPS):
            status = str(item.get("Status", ""))
            if status not in DOWN:
                yield _app(item, status)

    def _settings_of(
        self, domain_id: str, now: datetime, unseen: dict[str, str]
    ) -> tuple[Defaults | None, Defaults | None]:
        """For users' own apps and for shared spaces, as last read; None if they never were."""
        read_at, known = self._settings.get(domain_id, (None, (None, None)))
        # If one can't be read, this sweep skips the others: most often a right is missing.
        if SETTINGS in unseen or (read_at is not None and timedelta(0) <= now - read_at < FRESH):
            return known
        try:
            answer = self._aws.call_blocking("sagemaker", "DescribeDomain", {"DomainId": domain_id})
        except AwsError as error:
            if error.kind is not ErrorKind.NOT_FOUND:  # it was deleted meanwhile
                unseen[SETTINGS] = _why(error)
            return known
        known = (
            _defaults(answer.get("DefaultUserSettings") or {}),
            _defaults(answer.get("DefaultSpaceSettings") or {}),
        )
        self._settings[domain_id] = (now, known)
        return known


def _once(resources: Iterable[Resource]) -> list[Resource]:
    """Each only once: if something comes or goes during a listing, the pages shift. The last
    entry counts."""
    return list({resource.key: resource for resource in resources}.values())


def _app(item: Mapping[str, Any], status: str) -> Resource:
    spec = item.get("ResourceSpec") or {}
    in_space = bool(item.get("SpaceName"))
    # The same few words come a hundred thousand times: each is kept once.
    key = Key(
        intern(str(item["DomainId"])),
        SPACE if in_space else USER_PROFILE,
        str(item["SpaceName"] if in_space else item.get("UserProfileName", "")),
        intern(str(item["AppType"])),
        intern(str(item["AppName"])),
    )
    return Resource(
        key,
        intern(status),
        intern(str(spec.get("InstanceType", ""))),
        _utc(item.get("CreationTime") or LONG_AGO),
        intern(str(spec.get("LifecycleConfigArn") or "")),
    )


def _space(item: Mapping[str, Any]) -> Space:
    owner = item.get("OwnershipSettingsSummary") or {}
    sharing = item.get("SpaceSharingSettingsSummary") or {}
    return Space(
        intern(str(item["DomainId"])),
        str(item["SpaceName"]),
        str(owner.get("OwnerUserProfileName", "")),
        intern(str(sharing.get("SharingType", ""))),
    )


def _volume(item: Mapping[str, Any], space: Space) -> Resource | None:
    settings = item.get("SpaceSettingsSummary") or {}
    storage = (settings.get("SpaceStorageSettings") or {}).get("EbsStorageSettings") or {}
    size = storage.get("EbsVolumeSizeInGb")
    if not isinstance(size, int) or size <= 0:
        return None
    key = Key(space.domain, SPACE, space.name, VOLUME, space.name)
    return Resource(
        key, "InService", "gp3", _utc(item.get("CreationTime") or LONG_AGO), size_gb=size
    )


def _notebook(item: Mapping[str, Any]) -> Resource:
    return Resource(
        Key("", "", "", NOTEBOOK_INSTANCE, str(item["NotebookInstanceName"])),
        intern(str(item["NotebookInstanceStatus"])),
        intern(str(item.get("InstanceType", ""))),
        _utc(item.get("LastModifiedTime") or item.get("CreationTime") or LONG_AGO),
        str(item.get("NotebookInstanceLifecycleConfigName") or ""),
    )


#: The members of a domain's settings for the apps of a type.
_MEMBERS = {
    JUPYTER_LAB: "JupyterLabAppSettings",
    CODE_EDITOR: "CodeEditorAppSettings",
    JUPYTER_SERVER: "JupyterServerAppSettings",
}


def _defaults(settings: Mapping[str, Any]) -> Defaults:
    native, attached = set(), set()
    for app_type, name in _MEMBERS.items():
        app = settings.get(name) or {}
        idle = (app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {}
        if idle.get("LifecycleManagement") == "ENABLED":
            native.add(app_type)
        spec = app.get("DefaultResourceSpec") or {}
        for config in (app.get("BuiltInLifecycleConfigArn"), spec.get("LifecycleConfigArn")):
            if is_ours(str(config or "")):
                attached.add(app_type)
    return Defaults(frozenset(native), frozenset(attached))


def _account_of(arn: object) -> str:
    fields = str(arn or "").split(":")
    return fields[4] if len(fields) > 5 else ""


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc)


def _why(error: AwsError) -> str:
    if error.kind is ErrorKind.ACCESS_DENIED:
        return f"{error.operation} is not allowed"
    return str(error)
