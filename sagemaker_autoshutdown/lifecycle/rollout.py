"""Who has it: per user profile and space, what runs now and what will run after the next start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..aws import Aws
from . import attach
from .botocore_gaps import refuse_blind
from .notebooks import Notebooks
from .script import STUDIO_KINDS, Kind, version_of

#: An app that runs, or is about to.
UP = ("InService", "Pending")


@dataclass(frozen=True)
class Row:
    """One owner of apps of a kind. Versions are None where there is none of ours."""

    owner_kind: str
    owner: str
    kind: Kind
    #: SageMaker's status of the app; empty where there is none.
    status: str
    runs: str | None
    next_start: str | None
    #: Whether what runs is exactly what the next start will run.
    current: bool
    #: Whose lifecycle configuration stands where ours would, if it is not ours.
    other: str | None = None

    @property
    def is_up(self) -> bool:
        """Whether an app runs."""
        return self.status in UP

    @property
    def advice(self) -> str:
        """What is to be done, in a few words; empty if nothing."""
        if self.next_start is None:
            hidden = f": it has {self.other}" if self.other else ""
            return ("not installed" if not self.runs else "uninstalled at the next start") + hidden
        return "must restart" if self.is_up and not self.current else ""


def of_domain(aws: Aws, domain_id: str) -> Iterator[Row]:
    """All user profiles and spaces of a domain, however many; a call or two for each.

    Raises `Refused` where this botocore can't see it.
    """
    refuse_blind(aws)
    ask = _Asker(aws, domain_id)
    domain = aws.call_blocking("sagemaker", "DescribeDomain", {"DomainId": domain_id})
    apps = {
        (kind, name, app["AppType"]): app
        for app in ask.all("ListApps", "Apps")
        for kind, name in _owner_of(app)
        if app["Status"] in UP
    }
    users = domain.get("DefaultUserSettings") or {}
    profiles: dict[str, Mapping[str, Any]] = {}
    for listed in ask.all("ListUserProfiles", "UserProfiles"):
        name = listed["UserProfileName"]
        profile = ask.describe("UserProfile", UserProfileName=name)
        profiles[name] = profile.get("UserSettings") or {}
        app = apps.get(("user-profile", name, Kind.CLASSIC.app_type))
        yield ask.row("user-profile", name, Kind.CLASSIC, app, profiles[name], users)
    for listed in ask.all("ListSpaces", "Spaces"):
        name = listed["SpaceName"]
        space = ask.describe("Space", SpaceName=name)
        own = space.get("SpaceSettings") or {}
        levels: tuple[Mapping[str, Any], ...] = (own, domain.get("DefaultSpaceSettings") or {})
        if (space.get("SpaceSharingSettings") or {}).get("SharingType") == "Private":
            owner = (space.get("OwnershipSettings") or {}).get("OwnerUserProfileName", "")
            levels = (own, profiles.get(owner, {}), users)
        for kind in STUDIO_KINDS:
            app = apps.get(("space", name, kind.app_type))
            if app is not None or own.get("AppType", Kind.SPACE.app_type) == kind.app_type:
                yield ask.row("space", name, kind, app, *levels)


def of_notebooks(notebooks: Notebooks) -> Iterator[Row]:
    """All notebook instances. One that runs has run what is attached: it can't be changed then."""
    for listed in notebooks.all():
        config = listed.get("NotebookInstanceLifecycleConfigName")
        version = version_of(config or "")
        status = listed["NotebookInstanceStatus"]
        yield Row(
            "notebook-instance",
            listed["NotebookInstanceName"],
            Kind.NOTEBOOK_INSTANCE,
            status,
            version if status in UP else None,
            version,
            current=True,
            other=None if version else config,
        )


@dataclass(frozen=True)
class _Asker:
    aws: Aws
    domain_id: str

    def all(self, operation: str, key: str) -> Iterator[dict[str, Any]]:
        parameters = {"DomainIdEquals": self.domain_id, "MaxResults": 100}
        return self.aws.pages_blocking("sagemaker", operation, key, parameters)

    def describe(self, resource: str, **named: str) -> dict[str, Any]:
        parameters = {"DomainId": self.domain_id, **named}
        return self.aws.call_blocking("sagemaker", f"Describe{resource}", parameters)

    def row(
        self,
        owner_kind: str,
        owner: str,
        kind: Kind,
        app: Mapping[str, Any] | None,
        *levels: Mapping[str, Any],
    ) -> Row:
        """`levels` are the settings that apply, the most specific first."""
        coming = next((arn for level in levels if (arn := attach.current(kind, level))), None)
        running = self._running(kind, app) if app is not None else None
        return Row(
            owner_kind,
            owner,
            kind,
            str(app["Status"]) if app is not None else "",
            version_of(running or ""),
            version_of(coming or ""),
            current=running == coming,
            other=None if attach.is_ours(coming) or coming is None else coming.rpartition("/")[2],
        )

    def _running(self, kind: Kind, app: Mapping[str, Any]) -> str | None:
        if kind is Kind.CLASSIC:
            spec = app.get("ResourceSpec") or {}
            if "LifecycleConfigArn" in spec:
                return str(spec["LifecycleConfigArn"])
        # The list does not tell the built-in one, nor an older botocore the other.
        names = {"AppType": app["AppType"], "AppName": app["AppName"]}
        for member in ("UserProfileName", "SpaceName"):
            if app.get(member):
                names[member] = app[member]
        described = self.describe("App", **names)
        if kind is Kind.SPACE:
            return described.get("BuiltInLifecycleConfigArn")
        return (described.get("ResourceSpec") or {}).get("LifecycleConfigArn")


def _owner_of(app: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if app.get("SpaceName"):
        yield "space", app["SpaceName"]
    elif app.get("UserProfileName"):
        yield "user-profile", app["UserProfileName"]
