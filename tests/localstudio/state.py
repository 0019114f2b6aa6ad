"""The things in the account and their statuses: pure, with the time passed in.

This module owns the rules by which statuses change (how long each takes, what may follow what, how
many apps share an instance); it knows nothing of processes, HTTP or clocks. It is told when a
process came up or ended (`Account.app_is_up`, `Account.app_is_down`); passing time shows when
something is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from .errors import ApiError, invalid, not_found
from .names import arn

#: The most apps that Studio runs on one instance.
APPS_PER_INSTANCE = 4
#: JupyterServer runs here, and costs nothing.
SYSTEM = "system"
RUNNING = ("Pending", "InService")


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds. AWS takes minutes; the defaults suit a demonstration.

    A process that takes longer to start or to stop holds the status back: an app is InService once
    it answers, and Deleted once its processes are gone.
    """

    pending: float = 2.0
    deleting: float = 2.0
    stopping: float = 2.0
    #: How long a deleted app stays in the list.
    retention: float = 24 * 3600.0
    #: Health checks change LastUserActivityTimestamp, whether or not anybody does anything.
    health_check: float = 60.0
    #: From the request to delete until the processes are told to stop.
    until_stop: float = 0.2
    #: From SIGTERM to SIGKILL.
    grace: float = 2.0


@dataclass(frozen=True)
class Owner:
    """The owner of an app: a user profile or a space."""

    kind: str  # "user-profile" or "space"
    name: str

    @property
    def field(self) -> str:
        """The API's member for such an owner."""
        return "SpaceName" if self.kind == "space" else "UserProfileName"


def user(name: str) -> Owner:
    """The user profile of that name."""
    return Owner("user-profile", name)


def space(name: str) -> Owner:
    """The space of that name."""
    return Owner("space", name)


@dataclass(frozen=True, order=True)
class AppKey:
    """The identity of an app; later runs reuse a name."""

    domain_id: str
    owner_kind: str
    owner_name: str
    app_type: str
    name: str

    @property
    def owner(self) -> Owner:
        """The user profile or space that it belongs to."""
        return Owner(self.owner_kind, self.owner_name)

    @property
    def arn(self) -> str:
        """The app's ARN. AWS writes the type in lower case here."""
        kind = self.app_type.lower()
        return arn(f"app/{self.domain_id}/{self.owner_name}/{kind}/{self.name}")

    def __str__(self) -> str:
        return f"{self.app_type} app {self.name!r} of {self.owner_kind} {self.owner_name!r}"


@dataclass(frozen=True)
class Resource:
    """The requested resources of an app (``ResourceSpec``)."""

    instance_type: str
    image_arn: str | None = None
    image_version_arn: str | None = None
    lifecycle_config_arn: str | None = None
    #: Not requested: the settings name it.
    built_in_lifecycle_config_arn: str | None = None


@dataclass(frozen=True)
class App:
    """One run of an app."""

    key: AppKey
    resource: Resource
    status: str
    since: datetime
    created_at: datetime
    run: int = 1
    #: When its process first answered, and when its processes were gone.
    up_at: datetime | None = None
    down_at: datetime | None = None
    in_service_at: datetime | None = None
    failure_reason: str | None = None

    @property
    def position(self) -> tuple[float, str]:
        """Its position in the list."""
        return self.created_at.timestamp(), self.key.arn

    def settled(self, now: datetime, timing: Timing) -> App | None:
        """The same app at a later time; None once even the list has forgotten it."""
        if self.status == "Pending" and self.up_at is not None:
            due = max(self.since + timedelta(seconds=timing.pending), self.up_at)
            if now >= due:
                return replace(self, status="InService", since=due, in_service_at=due)
        if self.status == "Deleting" and self.down_at is not None:
            due = max(self.since + timedelta(seconds=timing.deleting), self.down_at)
            if now >= due:
                return replace(self, status="Deleted", since=due).settled(now, timing)
        forgotten = self.since + timedelta(seconds=timing.retention)
        if self.status == "Deleted" and now >= forgotten:
            return None
        return self

    def last_health_check(self, now: datetime, timing: Timing) -> datetime | None:
        """When it was last found healthy: changes by itself while the app is in service."""
        if self.in_service_at is None:
            return None
        end = now if self.status == "InService" else self.since
        checks = int((end - self.in_service_at).total_seconds() // timing.health_check)
        return self.in_service_at + timedelta(seconds=max(checks, 0) * timing.health_check)


@dataclass(frozen=True)
class Domain:
    """A Studio domain with its settings, in the API's form."""

    id: str
    name: str
    created_at: datetime
    modified_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """A user profile or a space of a domain; ``settings`` holds the API's own members."""

    domain_id: str
    owner: Owner
    created_at: datetime
    modified_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def position(self) -> tuple[float, str, str]:
        """Its position in the list."""
        return self.created_at.timestamp(), self.domain_id, self.owner.name


@dataclass(frozen=True)
class LifecycleConfig:
    """A lifecycle configuration, of Studio or of notebook instances; ``content`` is in the API's
    form."""

    name: str
    created_at: datetime
    modified_at: datetime
    content: Mapping[str, Any]


@dataclass(frozen=True)
class NotebookInstance:
    """A notebook instance. It can be stopped and started again under the same name."""

    name: str
    instance_type: str
    status: str
    since: datetime
    created_at: datetime
    run: int = 1
    up_at: datetime | None = None
    down_at: datetime | None = None
    failure_reason: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """The notebook instance's ARN (AWS writes the name in lower case)."""
        return arn(f"notebook-instance/{self.name.lower()}")

    def settled(self, now: datetime, timing: Timing) -> NotebookInstance | None:
        """The same notebook instance at a later time; None once it has been deleted."""
        if self.status == "Pending" and self.up_at is not None:
            due = max(self.since + timedelta(seconds=timing.pending), self.up_at)
            if now >= due:
                return replace(self, status="InService", since=due)
        if self.status == "Stopping" and self.down_at is not None:
            due = max(self.since + timedelta(seconds=timing.stopping), self.down_at)
            if now >= due:
                return replace(self, status="Stopped", since=due)
        if self.status == "Deleting" and now >= self.since + timedelta(seconds=timing.deleting):
            return None
        return self


@dataclass(frozen=True)
class Transition:
    """A status that changed, and when it did."""

    what: AppKey | str
    run: int
    status: str
    at: datetime


@dataclass(frozen=True)
class LogEvent:
    """A line of a log."""

    at: datetime
    message: str

    @property
    def milliseconds(self) -> int:
        """In the API's form: milliseconds since 1970."""
        return round(self.at.timestamp() * 1000)


@dataclass(frozen=True)
class Parameter:
    """A parameter of Systems Manager."""

    name: str
    value: str
    version: int
    modified_at: datetime
    type: str = "String"


class Account:
    """Everything of one account in one region. Every method takes the time, `now`, in UTC."""

    def __init__(self, timing: Timing, *, keep_creation_time: bool = True) -> None:
        """`keep_creation_time`: an app created again within `Timing.retention` keeps its
        CreationTime.

        AWS does so, which is why that time says nothing about the present run.
        """
        self.timing = timing
        self.keep_creation_time = keep_creation_time
        self.domains: dict[str, Domain] = {}
        self.profiles: dict[tuple[str, Owner], Profile] = {}
        self.lifecycle_configs: dict[str, LifecycleConfig] = {}
        self.notebook_configs: dict[str, LifecycleConfig] = {}
        #: Log groups of CloudWatch Logs: their streams, and the lines in them.
        self.log_groups: dict[str, dict[str, list[LogEvent]]] = {}
        #: The most events on one page, whatever the request.
        self.log_page = 10_000
        #: Parameters of Systems Manager.
        self.parameters: dict[str, Parameter] = {}
        #: Whether an update keeps omitted members at every depth (see `operations.lifecycle`).
        self.deep_updates = False
        self.transitions: list[Transition] = []
        #: Tags by ARN, as in the tagging API.
        self.tags: dict[str, dict[str, str]] = {}
        self._apps: dict[AppKey, App] = {}
        #: Apps whose status changes with time; a fleet has thousands of others.
        self._moving: set[AppKey] = set()
        self._in_order: list[App] | None = None
        self._profiles_in_order: dict[str, list[Profile]] = {}
        self._notebooks: dict[str, NotebookInstance] = {}

    # -- domains, user profiles, spaces

    def domain(self, domain_id: str) -> Domain:
        """The domain of that id, or ResourceNotFound."""
        try:
            return self.domains[domain_id]
        except KeyError:
            raise not_found(f"Domain [{domain_id}]") from None

    def profile(self, domain_id: str, owner: Owner) -> Profile:
        """The user profile or space, or ResourceNotFound."""
        self.domain(domain_id)
        try:
            return self.profiles[domain_id, owner]
        except KeyError:
            what = "Space" if owner.kind == "space" else "UserProfile"
            raise not_found(f"{what} [{domain_id}/{owner.name}]") from None

    def create_domain(self, domain: Domain) -> None:
        """Add a domain; its name must be new."""
        if any(other.name == domain.name for other in self.domains.values()):
            raise ApiError("ResourceInUse", f"Domain with name {domain.name} already exists")
        self.domains[domain.id] = domain

    def create_profile(self, profile: Profile) -> None:
        """Add a user profile or a space to a domain that exists."""
        self.domain(profile.domain_id)
        if (profile.domain_id, profile.owner) in self.profiles:
            raise ApiError(
                "ResourceInUse", f"{profile.owner.kind} {profile.owner.name} already exists"
            )
        self.change_profile(profile)

    def change_profile(self, profile: Profile) -> None:
        """Replaces a user profile or a space by another version."""
        self.profiles[profile.domain_id, profile.owner] = profile
        self._profiles_in_order.clear()

    def profiles_in_order(self, kind: str) -> list[Profile]:
        """All user profiles, or all spaces, by their position; must not be changed."""
        if kind not in self._profiles_in_order:
            ordered = sorted(self.profiles_of(kind), key=lambda profile: profile.position)
            self._profiles_in_order[kind] = ordered
        return self._profiles_in_order[kind]

    def profiles_of(self, kind: str) -> list[Profile]:
        """All user profiles, or all spaces."""
        return [profile for profile in self.profiles.values() if profile.owner.kind == kind]

    # -- apps

    def apps(self, now: datetime) -> list[App]:
        """All apps in the list, including those deleted in the last 24 hours."""
        self._settle_apps(now)
        return list(self._apps.values())

    def apps_in_order(self, now: datetime) -> list[App]:
        """The same by their position; must not be changed."""
        self._settle_apps(now)
        if self._in_order is None:
            self._in_order = sorted(self._apps.values(), key=lambda app: app.position)
        return self._in_order

    def app(self, key: AppKey, now: datetime) -> App:
        """The app, whatever its status, or ResourceNotFound."""
        self._settle_apps(now)
        app = self._apps.get(key)
        if app is None:
            raise not_found(f"App [{key.arn}]")
        return app

    def enter(self, app: App) -> None:
        """Enters an app as it is, without a process: for fleets that are only listed."""
        self._put_app(app)

    def remove(self, key: AppKey) -> None:
        """Removes an app without a trace, as if it had gone long ago."""
        self._drop_app(key)

    def create_app(self, key: AppKey, resource: Resource, now: datetime) -> App:
        """Starts a run of an app; ResourceInUse while an earlier run is not gone yet."""
        self.profile(key.domain_id, key.owner)
        apps = self.apps(now)
        previous = next((app for app in apps if app.key == key), None)
        if previous is not None and previous.status not in ("Deleted", "Failed"):
            raise ApiError(
                "ResourceInUse",
                f"App [{key.arn}] already exists and is in status {previous.status}",
            )
        self._check_limit(apps, key, resource)
        created_at, run = now, 1
        if previous is not None:
            run = previous.run + 1
            if self.keep_creation_time:
                created_at = previous.created_at
        app = App(key, resource, "Pending", now, created_at, run=run)
        self._put_app(app)
        return app

    @staticmethod
    def _check_limit(apps: Iterable[App], key: AppKey, resource: Resource) -> None:
        if resource.instance_type == SYSTEM or key.app_type != "KernelGateway":
            return
        beside = [
            app
            for app in apps
            if (app.key.domain_id, app.key.owner) == (key.domain_id, key.owner)
            and app.key.app_type == key.app_type
            and app.resource.instance_type == resource.instance_type
            and app.status in (*RUNNING, "Deleting")
        ]
        if len(beside) >= APPS_PER_INSTANCE:
            raise ApiError(
                "ResourceLimitExceeded",
                f"At most {APPS_PER_INSTANCE} apps can run on one {resource.instance_type} "
                f"instance of {key.owner_kind} {key.owner_name}; delete one of them first",
            )

    def delete_app(self, key: AppKey, now: datetime) -> App:
        """Begins to delete an app; ResourceInUse if that is already under way.

        A deleted app is not found, like one that never existed.
        """
        app = self.app(key, now)
        if app.status == "Deleted":
            raise not_found(f"App [{key.arn}]")
        if app.status == "Deleting":
            raise ApiError("ResourceInUse", f"App [{key.arn}] is in status Deleting")
        deleting = replace(app, status="Deleting", since=now)
        self._put_app(deleting)
        return deleting

    def app_is_up(self, key: AppKey, run: int, now: datetime) -> None:
        """The app's process answers."""
        app = self._apps.get(key)
        if app is not None and app.run == run and app.up_at is None:
            self._keep(replace(app, up_at=now))

    def app_is_down(self, key: AppKey, run: int, now: datetime) -> None:
        """None of the app's processes is left."""
        app = self._apps.get(key)
        if app is not None and app.run == run and app.down_at is None:
            self._keep(replace(app, down_at=now))

    def app_failed(self, key: AppKey, run: int, reason: str, now: datetime) -> None:
        """The app can't be used any more, unless it is already being deleted."""
        app = self._apps.get(key)
        if app is not None and app.run == run and app.status in RUNNING:
            self._put_app(replace(app, status="Failed", since=now, failure_reason=reason[:1024]))

    def _settle_apps(self, now: datetime) -> None:
        for key in list(self._moving):
            app = self._apps[key]
            settled = app.settled(now, self.timing)
            if settled is None:
                self._drop_app(key)
            elif settled is not app:
                self._put_app(settled)

    def _put_app(self, app: App) -> None:
        self._keep(app)
        if app.status == "Deleted":
            self.tags.pop(app.key.arn, None)  # they go with it
        self.transitions.append(Transition(app.key, app.run, app.status, app.since))

    def _keep(self, app: App) -> None:
        self._apps[app.key] = app
        self._in_order = None
        if app.status in ("Pending", "Deleting", "Deleted"):
            self._moving.add(app.key)
        else:
            self._moving.discard(app.key)

    def _drop_app(self, key: AppKey) -> None:
        del self._apps[key]
        self.tags.pop(key.arn, None)
        self._moving.discard(key)
        self._in_order = None

    # -- notebook instances

    def notebooks(self, now: datetime) -> list[NotebookInstance]:
        """All notebook instances, the stopped ones included."""
        return list(self._settle_notebooks(now))

    def notebook(self, name: str, now: datetime) -> NotebookInstance:
        """The notebook instance; AWS answers ValidationException if there is none."""
        for notebook in self._settle_notebooks(now):
            if notebook.name == name:
                return notebook
        raise invalid("RecordNotFound")

    def create_notebook(self, notebook: NotebookInstance, now: datetime) -> None:
        """Add a notebook instance, which then starts."""
        if any(other.name == notebook.name for other in self._settle_notebooks(now)):
            raise invalid(
                "Cannot create a duplicate Notebook Instance "
                f"({notebook.arn}): choose another name or delete it first"
            )
        self._put_notebook(notebook)

    def start_notebook(self, name: str, now: datetime) -> NotebookInstance:
        """Start it again; it must be stopped."""
        notebook = self._in_status(name, ("Stopped", "Failed"), now)
        started = replace(
            notebook,
            status="Pending",
            since=now,
            run=notebook.run + 1,
            up_at=None,
            down_at=None,
            failure_reason=None,
        )
        self._put_notebook(started)
        return started

    def stop_notebook(self, name: str, now: datetime) -> NotebookInstance:
        """Begin to stop it; it must be in service."""
        notebook = self._in_status(name, ("InService",), now)
        stopping = replace(notebook, status="Stopping", since=now)
        self._put_notebook(stopping)
        return stopping

    def delete_notebook(self, name: str, now: datetime) -> NotebookInstance:
        """Begin to delete it; it must not run."""
        notebook = self._in_status(name, ("Stopped", "Failed"), now)
        deleting = replace(notebook, status="Deleting", since=now)
        self._put_notebook(deleting)
        return deleting

    def stopped_notebook(self, name: str, now: datetime) -> NotebookInstance:
        """The notebook instance, for a change that a running one does not accept."""
        return self._in_status(name, ("Stopped", "Failed"), now)

    def change_notebook(self, notebook: NotebookInstance) -> None:
        """Replaces a stopped notebook instance by another version."""
        self._notebooks[notebook.name] = notebook

    def notebook_is_up(self, name: str, run: int, now: datetime) -> None:
        """The notebook instance's server answers."""
        notebook = self._notebooks.get(name)
        if notebook is not None and notebook.run == run and notebook.up_at is None:
            self._notebooks[name] = replace(notebook, up_at=now)

    def notebook_is_down(self, name: str, run: int, now: datetime) -> None:
        """None of the notebook instance's processes is left."""
        notebook = self._notebooks.get(name)
        if notebook is not None and notebook.run == run and notebook.down_at is None:
            self._notebooks[name] = replace(notebook, down_at=now)

    def notebook_failed(self, name: str, run: int, reason: str, now: datetime) -> None:
        """It did not start."""
        notebook = self._notebooks.get(name)
        if notebook is not None and notebook.run == run and notebook.status in RUNNING:
            self._put_notebook(
                replace(notebook, status="Failed", since=now, failure_reason=reason[:1024])
            )

    def _in_status(self, name: str, allowed: tuple[str, ...], now: datetime) -> NotebookInstance:
        notebook = self.notebook(name, now)
        if notebook.status not in allowed:
            raise invalid(f"Status ({notebook.status}) not in ([{', '.join(allowed)}])")
        return notebook

    def _settle_notebooks(self, now: datetime) -> Iterator[NotebookInstance]:
        for name, notebook in list(self._notebooks.items()):
            settled = notebook.settled(now, self.timing)
            if settled is None:
                del self._notebooks[name]
                continue
            if settled is not notebook:
                self._put_notebook(settled)
            yield settled

    def _put_notebook(self, notebook: NotebookInstance) -> None:
        self._notebooks[notebook.name] = notebook
        self.transitions.append(
            Transition(notebook.name, notebook.run, notebook.status, notebook.since)
        )
