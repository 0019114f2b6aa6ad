"""The results of a sweep, as values. Free of I/O.

Values of which there can be a hundred thousand are named tuples, which take a third of the memory
of a dataclass. The others are frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

#: SageMaker's app types that this package names. Others are listed and priced all the same.
JUPYTER_SERVER = "JupyterServer"
KERNEL_GATEWAY = "KernelGateway"
JUPYTER_LAB = "JupyterLab"
CODE_EDITOR = "CodeEditor"
RSTUDIO_SERVER = "RStudioServerPro"
CANVAS = "Canvas"
#: Our own names for notebook instances and for the volumes of spaces, which are not apps.
NOTEBOOK_INSTANCE = "NotebookInstance"
VOLUME = "Volume"

#: What a rule can be about: SageMaker's app types, and notebook instances.
APP_TYPES = (
    JUPYTER_SERVER,
    KERNEL_GATEWAY,
    JUPYTER_LAB,
    CODE_EDITOR,
    RSTUDIO_SERVER,
    "RSessionGateway",
    CANVAS,
    "TensorBoard",
    "DetailedProfiler",
    NOTEBOOK_INSTANCE,
)

#: The instance type of apps on SageMaker's own machines, which are not billed.
SYSTEM = "system"

SPACE, USER_PROFILE = "space", "user-profile"

#: Statuses in which nothing runs, and statuses in which something exists but costs nothing yet. All
#: others are billed. SageMaker does not say whether ``Deleting`` and ``Stopping`` are; and if a
#: status is new to this package, too high a cost is noticed sooner than too low a one.
DOWN = frozenset({"Deleted", "Failed", "Stopped"})
UNBILLED = frozenset({"Pending", "Updating"})


class Coverage(str, Enum):
    """Who shuts an app down when it is idle, best first."""

    REPORTS = "reports"
    NATIVE = "native"
    ATTACHED = "attached"
    SILENT = "silent"
    NONE = "none"
    UNKNOWN = "unknown"


COVERAGE_TEXT: Mapping[Coverage, str] = {
    Coverage.REPORTS: "this extension shuts it down: its metrics arrive",
    Coverage.NATIVE: "Studio's own idle shutdown is on",
    Coverage.ATTACHED: "our lifecycle configuration is attached, but its extension never reported",
    Coverage.SILENT: "its extension reported before, but no longer does",
    Coverage.NONE: "nobody shuts it down when it is idle",
    Coverage.UNKNOWN: "not known: name a Prometheus server with its metrics, or allow "
    "DescribeDomain",
}


class Scope(NamedTuple):
    """The account and region of one sweep. The account is empty until it is known."""

    account_id: str
    region: str


class Key(NamedTuple):
    """The identity of an app, a notebook instance or a volume within a scope. Names are reused:
    a *run* lasts from the start of an app to its end."""

    domain: str
    owner_kind: str
    owner: str
    app_type: str
    name: str


class Resource(NamedTuple):
    """An app, a notebook instance or a volume, as it was listed.

    ``changed_at`` is an app's CreationTime, which may be older than its run, or a notebook
    instance's LastModifiedTime. ``config`` is the lifecycle configuration that it was started with.
    """

    key: Key
    status: str
    instance_type: str
    changed_at: datetime
    config: str = ""
    size_gb: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it exists: starting, running or being deleted."""
        return self.status not in DOWN

    @property
    def is_billed(self) -> bool:
        """Whether it costs something now, as far as its status tells."""
        if self.key.app_type == NOTEBOOK_INSTANCE and self.status == "Deleting":
            return False  # only a stopped one can be deleted
        return self.is_up and self.status not in UNBILLED


class Space(NamedTuple):
    """A space. ``profile`` is the user profile that it belongs to."""

    domain: str
    name: str
    profile: str
    sharing: str


@dataclass(frozen=True)
class Defaults:
    """The effect of a domain's settings on apps that start in it, by app type."""

    #: Studio's own idle shutdown is on.
    native: frozenset[str] = frozenset()
    #: Our lifecycle configuration is attached.
    attached: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Domain:
    """A domain, and its settings for users' own apps and for those of shared spaces; None if they
    could not be read.

    A user profile or a space can override them. Sweeps do not read those: it would take a call for
    each.
    """

    domain_id: str
    name: str
    users: Defaults | None = field(default_factory=Defaults)
    shared: Defaults | None = field(default_factory=Defaults)


class ReportKey(NamedTuple):
    """The labels that identify a server's metrics: ``host_kind`` is that of the extension.

    A user profile and a space can have the same name, so ``owner_kind`` tells them apart.
    """

    domain: str
    owner_kind: str
    owner: str
    host_kind: str


#: When each server's extension last checked its apps, as far as it reported that.
Reports = Mapping[ReportKey, datetime]


@dataclass(frozen=True)
class Sweep:
    """One observation of an account in a region.

    ``sweep_id`` orders the sweeps of a scope: it is the planned time of the sweep, so that two
    sweepers, or one message twice, make the same sweep. ``unseen`` names the parts that could not
    be listed, with the reason; these are unknown, not empty. ``reports`` is None if Prometheus
    could not be asked; if its answer is incomplete, a missing server may report all the same.
    """

    scope: Scope
    sweep_id: str
    at: datetime
    resources: tuple[Resource, ...] = ()
    spaces: Mapping[tuple[str, str], Space] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)
    reports: Reports | None = None
    unseen: Mapping[str, str] = field(default_factory=dict)
    #: The wanted tags, by the end of the resource's ARN, such as ``domain/d-1``.
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reports_are_whole: bool = True

    @property
    def knows_who_reports(self) -> bool:
        """Whether a server that is not in ``reports`` is known not to report."""
        return self.reports is not None and self.reports_are_whole


#: The parts of a sweep that can be unseen. Without the apps there is no sweep.
APPS, NOTEBOOKS, SPACES, DOMAINS = "apps", "notebook instances", "spaces", "domains"
#: For domains that can be listed but not described.
SETTINGS = "settings of domains"
#: For apps, if boto3 is too old to return them.
INSTANCE_TYPES = "instance types"
TAGS = "tags"
_PART = {NOTEBOOK_INSTANCE: NOTEBOOKS, VOLUME: SPACES}


def part_of(key: Key) -> str:
    """The part of a sweep that shows such a resource."""
    return _PART.get(key.app_type, APPS)


class Run(NamedTuple):
    """One run of a resource, from when it was first seen up."""

    up_since: datetime
    changed_at: datetime
    instance_type: str
    size_gb: int = 0


@dataclass(frozen=True)
class State:
    """The memory of a scope between two sweeps.

    ``seen`` says when each part was last seen; resources in it were charged until then. ``heard``
    is when each server last reported, kept for longer than a query looks back.
    """

    scope: Scope
    sweep_id: str = ""
    seen: Mapping[str, datetime] = field(default_factory=dict)
    runs: Mapping[Key, Run] = field(default_factory=dict)
    heard: Reports = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The times by which observations are judged.

    ``reports_within``: a server whose last report is this recent counts as reporting. ``gap``: if
    sweeps are further apart, the time between them is charged as an estimate.
    """

    reports_within: timedelta = timedelta(minutes=10)
    gap: timedelta = timedelta(minutes=16)
