"""Who has the extension: per user profile and space, the script that the running app was started
with, the script of the next start and its place, and, from the log, the result of the last
start."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from ..aws import Aws, AwsError, ErrorKind
from . import attach, start_logs
from .botocore_gaps import refuse_blind
from .notebooks import Notebooks
from .parallel import each
from .plan import Told, gone
from .script import Kind, version_of
from .script_summary import Limits, limits_of
from .start_logs import Outcome, Start
from .studio import Studio

#: An app that is running, or about to.
UP = ("InService", "Pending")
#: Apps that end with another of their owner's apps, which has a row.
_WITH_ANOTHER = ("KernelGateway",)
#: Waiting for others does not help with these.
_FATAL = (ErrorKind.ACCESS_DENIED, ErrorKind.NO_CREDENTIALS)
#: An app that was created this long after the last change of all settings that apply to it was
#: started with the present settings. An update takes minutes, and SageMaker does not say which of
#: its moments `LastModifiedTime` is.
_SETTLED = timedelta(minutes=15)

App = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Config:
    """A lifecycle configuration of ours."""

    name: str
    version: str
    #: The digest of its content, if that could be read.
    digest: str = ""
    limits: Limits | None = None


@dataclass(frozen=True)
class Row:
    """One owner of apps of a kind. A version is None if none of ours is there."""

    owner_kind: str
    owner: str
    #: Ours (`Kind`), or SageMaker's type of an app that ours does not cover.
    kind: str
    #: SageMaker's status of the app; empty if there is none.
    status: str
    #: The version that the app was started with. Only the log says whether it was installed then.
    started_with: str | None = None
    config: Config | None = None
    #: Whether the running app was started with exactly the script of the next start.
    current: bool = True
    #: The lifecycle configuration in our place, if it is not ours.
    other: str | None = None
    #: Where the script of the next start is attached.
    source: str = ""
    start: Start | None = None
    #: When the app was created, according to the list.
    created_at: datetime | None = None
    #: Whether metrics of its server arrive; None if nobody asked, or it is too early to tell.
    reports: bool | None = None
    #: Whether there is a script of ours for apps of this type.
    covered: bool = True
    #: The minutes after which Studio's own idle shutdown ends an app that ours does not cover.
    native_minutes: int | None = None
    #: Why it could not be read; empty if it could.
    error: str = ""

    @property
    def is_up(self) -> bool:
        """Whether an app runs."""
        return self.status in UP

    @property
    def next_start(self) -> str | None:
        """The version that the next start runs."""
        return self.config.version if self.config is not None else None

    @property
    def is_dry_run(self) -> bool:
        """Whether the script of the next start shuts nothing down."""
        limits = self.config.limits if self.config is not None else None
        return limits is not None and limits.dry_run

    @property
    def advice(self) -> str:
        """The remaining work, in a few words; empty if there is none."""
        return "; ".join(self._advice())

    def _advice(self) -> Iterator[str]:
        if self.error:
            yield f"could not be read: {self.error}"
        elif not self.covered:
            if self.native_minutes is None:
                yield "not covered"
        elif self.next_start is None:
            hidden = f": it has {self.other}" if self.other else ""
            yield (
                "not installed" if not self.started_with else "uninstalled at the next start"
            ) + (hidden)
        else:
            if self.start is not None and self.start.outcome is not Outcome.INSTALLED:
                yield self.start.line
            if self.reports is False and self.started_with:
                yield "no metrics arrive"
            if self.is_up and not self.current:
                yield "must restart"
            if self.is_dry_run:
                yield "dry run: shuts nothing down"


def of_domain(
    aws: Aws, domain_id: str, *, logs: bool = False, tell: Told = lambda *_: None
) -> Iterator[Row]:
    """All user profiles and spaces of a domain, however many.

    A call for each user profile and for each JupyterLab app that was created before its settings
    were last changed, a few at once; the rest is in the lists. Anything deleted meanwhile has no
    row. Raises `AwsError` if nothing can be read at all, and `Refused` if this botocore can't see
    it.
    """
    refuse_blind(aws)
    ask = _Asker(aws, domain_id)
    domain = aws.call_blocking("sagemaker", "DescribeDomain", {"DomainId": domain_id})
    listed, users, spaces = each(
        lambda list_of: list(ask.all(*list_of)),
        (("ListApps", "Apps"), ("ListUserProfiles", "UserProfiles"), ("ListSpaces", "Spaces")),
    )
    apps = [app for app in listed if app["Status"] in UP]
    starts = _starts(aws, domain_id, apps) if logs else {}
    changes = _Changes.of(domain, users, spaces)
    unsure = [
        app
        for app in apps
        if app["AppType"] == Kind.SPACE.app_type and not changes.are_all_before(app)
    ]
    built_in = ask.built_in_of(unsure, tell)
    gone_since = {_built_in_key(app) for app in unsure} - built_in.keys()
    by_owner = {
        (*_owner_of(app), app["AppType"]): app
        for app in apps
        if app["AppType"] != Kind.SPACE.app_type or _built_in_key(app) not in gone_since
    }
    profiles = ask.profiles([user["UserProfileName"] for user in users], tell)
    yield from _Domain(ask, domain, by_owner, built_in, profiles, starts).rows(spaces)


def of_notebooks(notebooks: Notebooks) -> Iterator[Row]:
    """All notebook instances. A running one was started with the attached script, which can't be
    changed while it runs."""
    configs: dict[str, Config | None] = {}
    for listed in notebooks.all():
        name = listed.get("NotebookInstanceLifecycleConfigName") or ""
        if name not in configs:
            configs[name] = _config(name, notebooks.on_start)
        config, status = configs[name], listed["NotebookInstanceStatus"]
        yield Row(
            "notebook-instance",
            listed["NotebookInstanceName"],
            Kind.NOTEBOOK_INSTANCE.value,
            status,
            started_with=config.version if config is not None and status in UP else None,
            config=config,
            other=name if name and config is None else None,
            source="notebook instance" if config is not None else "",
        )


@dataclass(frozen=True)
class _Changes:
    """When the settings of a domain, and of its user profiles and spaces, were last changed."""

    domain: datetime | None
    #: For user profiles and spaces, by their kind and name.
    owners: Mapping[tuple[str, str], datetime | None]
    #: The user profile whose settings a private space inherits.
    owner_of_space: Mapping[str, str]

    @staticmethod
    def of(
        domain: Mapping[str, Any],
        users: Sequence[Mapping[str, Any]],
        spaces: Sequence[Mapping[str, Any]],
    ) -> _Changes:
        """The time in the description or the list. While it is being changed, it has no time
        yet."""
        changed = {("user-profile", user["UserProfileName"]): _changed_at(user) for user in users}
        changed |= {("space", space["SpaceName"]): _changed_at(space) for space in spaces}
        owners = {space["SpaceName"]: _private_owner(space) or "" for space in spaces}
        return _Changes(_changed_at(domain), changed, owners)

    def are_all_before(self, app: App) -> bool:
        """Whether an app was created long after the last change of all settings that apply to
        it."""
        owner_kind, owner = _owner_of(app)
        times = [self.domain, self.owners.get((owner_kind, owner))]
        if user := self.owner_of_space.get(owner) if owner_kind == "space" else "":
            times.append(self.owners.get(("user-profile", user)))
        made = app.get("CreationTime")
        return made is not None and all(at is not None and at + _SETTLED < made for at in times)


def _changed_at(described: Mapping[str, Any]) -> datetime | None:
    return described.get("LastModifiedTime") if described.get("Status") == "InService" else None


def _private_owner(space: Mapping[str, Any]) -> str | None:
    """The user profile of a private space; None for a shared one."""
    sharing = (space.get("SpaceSharingSettingsSummary") or {}).get("SharingType")
    if sharing != "Private":
        return None
    return str((space.get("OwnershipSettingsSummary") or {}).get("OwnerUserProfileName", ""))


@dataclass(frozen=True)
class _Domain:
    """Everything that was read of a domain."""

    ask: _Asker
    settings: Mapping[str, Any]
    apps: Mapping[tuple[str, str, str], App]
    #: The built-in lifecycle configuration of apps that may have another than the present settings
    #: say, or why it is not known.
    built_in: Mapping[tuple[str, str], str | AwsError | None]
    profiles: Mapping[str, Mapping[str, Any] | AwsError]
    starts: Mapping[start_logs.Key, Start]

    def rows(self, spaces: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
        users = ("domain", self.settings.get("DefaultUserSettings") or {})
        for name, profile in self.profiles.items():
            if isinstance(profile, AwsError):
                yield Row("user-profile", name, Kind.CLASSIC.value, "", error=str(profile))
                continue
            yield self._row("user-profile", name, Kind.CLASSIC, ("user profile", profile), users)
        for listed in spaces:
            yield from self._space_rows(listed)
        yield from self._not_covered(spaces)

    def _levels(self, space: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]] | None:
        """The settings above a space's own; None if its owner's could not be read."""
        owner = _private_owner(space)
        if owner is None:
            return [("space defaults", self.settings.get("DefaultSpaceSettings") or {})]
        profile = self.profiles.get(owner) or {}
        if isinstance(profile, AwsError):
            return None
        users = self.settings.get("DefaultUserSettings") or {}
        return [("user profile", profile), ("domain", users)]

    def _space_rows(self, listed: Mapping[str, Any]) -> Iterator[Row]:
        name = listed["SpaceName"]
        wanted = (listed.get("SpaceSettingsSummary") or {}).get("AppType")
        levels = self._levels(listed)
        if levels is None:
            yield Row("space", name, Kind.SPACE.value, "", error="its owner's could not be read")
            return
        # A space has no built-in lifecycle configuration of its own, so JupyterLab's is known
        # without asking.
        is_up = ("space", name, Kind.SPACE.app_type) in self.apps
        if is_up or wanted in (None, Kind.SPACE.app_type):
            yield self._row("space", name, Kind.SPACE, *levels)
        is_up = ("space", name, Kind.CLASSIC.app_type) in self.apps
        if is_up or wanted == Kind.CLASSIC.app_type:
            own = self.ask.space(name)
            if own is not None:
                yield self._row("space", name, Kind.CLASSIC, ("space", own), *levels)

    def _not_covered(self, spaces: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
        """Apps that are running or starting, and that no script of ours covers."""
        ours = {Kind.CLASSIC.app_type, Kind.SPACE.app_type, *_WITH_ANOTHER}
        others = {key: app for key, app in self.apps.items() if key[2] not in ours}
        by_name = {listed["SpaceName"]: listed for listed in spaces}
        for listed in spaces:
            wanted = (listed.get("SpaceSettingsSummary") or {}).get("AppType")
            if wanted is not None and wanted not in ours:
                others.setdefault(("space", listed["SpaceName"], wanted), {})
        for (owner_kind, owner, app_type), app in others.items():
            levels = self._levels(by_name[owner]) if owner in by_name else None
            native = [attach.native_idle(app_type, level) for _, level in levels or ()]
            yield Row(
                owner_kind,
                owner,
                app_type,
                app.get("Status", ""),
                covered=False,
                native_minutes=next((each for each in native if each is not None), None),
            )

    def _row(
        self, owner_kind: str, owner: str, kind: Kind, *levels: tuple[str, Mapping[str, Any]]
    ) -> Row:
        """`levels` are the settings that apply, the most specific first."""
        coming, source = next(
            ((arn, name) for name, level in levels if (arn := attach.current(kind, level))),
            (None, ""),
        )
        app = self.apps.get((owner_kind, owner, kind.app_type))
        config = self.ask.config(coming)
        row = Row(
            owner_kind,
            owner,
            kind.value,
            str(app["Status"]) if app is not None else "",
            config=config,
            other=coming.rpartition("/")[2] if coming is not None and config is None else None,
            source=source,
        )
        if app is None:
            return row
        running = self._running(kind, app, coming)
        if isinstance(running, AwsError):
            return replace(row, error=str(running))
        return replace(
            row,
            started_with=version_of(running or ""),
            created_at=app.get("CreationTime"),
            current=running == coming,
            start=self.starts.get((owner, app["AppType"], app["AppName"])),
        )

    def _running(self, kind: Kind, app: App, coming: str | None) -> str | AwsError | None:
        if kind is Kind.SPACE:
            return self.built_in.get(_built_in_key(app), coming)
        spec = app.get("ResourceSpec") or {}
        return spec.get("LifecycleConfigArn")


@dataclass
class _Asker:
    """The calls about one domain."""

    aws: Aws
    domain_id: str
    _configs: dict[str, Config | None] = field(default_factory=dict)

    def all(self, operation: str, key: str) -> Iterator[dict[str, Any]]:
        """All of a domain's apps, user profiles or spaces, in the list's form."""
        return self.aws.pages_blocking(
            "sagemaker", operation, key, {"DomainIdEquals": self.domain_id, "MaxResults": 100}
        )

    def describe(self, resource: str, **names: str) -> dict[str, Any]:
        """One of them."""
        parameters = {"DomainId": self.domain_id, **names}
        return self.aws.call_blocking("sagemaker", f"Describe{resource}", parameters)

    def space(self, name: str) -> Mapping[str, Any] | None:
        """A space's settings; None if it is gone."""
        try:
            return dict(self.describe("Space", SpaceName=name).get("SpaceSettings") or {})
        except AwsError as error:
            if gone(error):
                return None
            raise

    def profiles(self, names: list[str], tell: Told) -> dict[str, Mapping[str, Any] | AwsError]:
        """The settings of user profiles that still exist, or why they are not known."""

        def settings(name: str) -> Mapping[str, Any]:
            return dict(
                self.describe("UserProfile", UserProfileName=name).get("UserSettings") or {}
            )

        return dict(_patiently(settings, [(name, name) for name in names], tell, "user profiles"))

    def built_in_of(
        self, apps: Sequence[App], tell: Told
    ) -> dict[tuple[str, str], str | AwsError | None]:
        """The scripts that JupyterLab apps were started with, which no list returns."""

        def arn(app: App) -> str | None:
            owner_kind, owner = _owner_of(app)
            member = "SpaceName" if owner_kind == "space" else "UserProfileName"
            named = {"AppType": app["AppType"], "AppName": app["AppName"], member: owner}
            found: str | None = self.describe("App", **named).get("BuiltInLifecycleConfigArn")
            return found

        keyed = [(_built_in_key(app), app) for app in apps]
        return dict(_patiently(arn, keyed, tell, "apps"))

    def config(self, arn: str | None) -> Config | None:
        """A lifecycle configuration of ours; None for any other."""
        if arn is None:
            return None
        if arn not in self._configs:
            self._configs[arn] = _config(arn.rpartition("/")[2], Studio(self.aws).content)
        return self._configs[arn]


K = TypeVar("K")
V = TypeVar("V")


def _patiently(
    function: Callable[[V], T], items: Sequence[tuple[K, V]], tell: Told, what: str
) -> Iterator[tuple[K, T | AwsError]]:
    """The result of a call for each, without resources that are gone; a failed call does not
    spoil the others."""

    def outcome(item: tuple[K, V]) -> tuple[K, T | AwsError | None]:
        try:
            return item[0], function(item[1])
        except AwsError as error:
            if gone(error):
                return item[0], _GONE
            if error.kind in _FATAL:
                raise
            return item[0], error

    for number, (key, found) in enumerate(each(outcome, items), 1):
        tell(number, len(items), what)
        if found is not _GONE:
            yield key, found  # type: ignore[misc]


#: Stands for a resource that is gone.
_GONE: Any = object()


def _config(name: str, content: Callable[[str], bytes | None]) -> Config | None:
    version = version_of(name)
    if version is None:
        return None
    try:
        script = content(name)
    except AwsError:
        script = None  # its name still tells the version
    if script is None:
        return Config(name, version)
    digest = hashlib.sha256(script).hexdigest()[:8]
    return Config(name, version, digest, limits_of(script.decode(errors="replace")))


def _starts(aws: Aws, domain_id: str, apps: Sequence[App]) -> dict[start_logs.Key, Start]:
    if not apps:
        return {}
    now = datetime.now(timezone.utc)
    return start_logs.read(aws, domain_id, min(app.get("CreationTime") or now for app in apps))


def _owner_of(app: App) -> tuple[str, str]:
    if app.get("SpaceName"):
        return "space", str(app["SpaceName"])
    return "user-profile", str(app.get("UserProfileName") or "")


def _built_in_key(app: App) -> tuple[str, str]:
    return _owner_of(app)[1], app["AppName"]
