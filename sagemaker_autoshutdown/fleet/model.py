"""What a sweep finds, as values. Free of I/O.

Values of which there can be a hundred thousand are named tuples, which take a third of the memory
of a dataclass. The rest are frozen dataclasses.
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

#: The instance type of what runs on SageMaker's own machines and is not billed.
SYSTEM = "system"

SPACE, USER_PROFILE = "space", "user-profile"

#: Statuses in which nothing runs, and those in which something is there and costs nothing yet. All
#: others are billed: SageMaker does not say whether ``Deleting`` and ``Stopping`` are, and of a
#: status that is new to this package, too much is noticed sooner than too little.
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
    """What one sweep covers. The account is empty until it is known."""

    account_id: str
    region: str


class Key(NamedTuple):
    """What identifies an app, a notebook instance or a volume within a scope. Names are used again:
    a *run* lasts from when it comes up to when it is gone."""

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
        """Whether it is there: starting, running or on its way out."""
        return self.status not in DOWN

    @property
    def is_billed(self) -> bool:
        """Whether it costs something now, as far as its status tells."""
        if self.key.app_type == NOTEBOOK_INSTANCE and self.status == "Deleting":
            return False  # only one that was stopped can be deleted
        return self.is_up and self.status not in UNBILLED


class Space(NamedTuple):
    """A space. ``profile`` is the user profile that it belongs to."""

    domain: str
    name: str
    profile: str
    sharing: str


@dataclass(frozen=True)
class Defaults:
    """What the settings of a domain mean for apps that start in it, by app type."""

    #: Studio's own idle shutdown is on.
    native: frozenset[str] = frozenset()
    #: Our lifecycle configuration is attached.
    attached: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Domain:
    """A domain, and what its settings say for users' own apps and for those of shared spaces; None
    where they could not be read.

    A user profile or a space can override them. Sweeps do not read those: it would take a call for
    each.
    """

    domain_id: str
    name: str
    users: Defaults | None = field(default_factory=Defaults)
    shared: Defaults | None = field(default_factory=Defaults)


class ReportKey(NamedTuple):
    """The labels by which a server's metrics are known: ``host_kind`` is that of the extension.

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

    ``sweep_id`` orders the sweeps of a scope: it is the time for which the sweep was planned, so
    that two sweepers, or one message twice, make the same. ``unseen`` says what could not be listed
    and why; of that nothing is known, which is not the same as nothing being there. ``reports`` is
    None where nobody could be asked; where they are not whole, a server that is missing may report
    all the same.
    """

    scope: Scope
    sweep_id: str
    at: datetime
    resources: tuple[Resource, ...] = ()
    spaces: Mapping[tuple[str, str], Space] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)
    reports: Reports | None = None
    unseen: Mapping[str, str] = field(default_factory=dict)
    #: Those that were asked for, by the end of the resource's ARN, such as ``domain/d-1``.
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reports_are_whole: bool = True

    @property
    def knows_who_reports(self) -> bool:
        """Whether a server that is not in ``reports`` is known not to report."""
        return self.reports is not None and self.reports_are_whole


#: The parts of a sweep that can be unseen. Without the apps there is no sweep.
APPS, NOTEBOOKS, SPACES, DOMAINS = "apps", "notebook instances", "spaces", "domains"
#: Of the domains, where they can be listed and not described.
SETTINGS = "settings of domains"
#: Of the apps, where boto3 is too old to pass them on.
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
    """What is remembered of a scope between two sweeps.

    ``seen`` says when each part was last seen; what ran then was charged until then. ``heard`` is
    when each server was last heard of, kept for longer than Prometheus is asked about.
    """

    scope: Scope
    sweep_id: str = ""
    seen: Mapping[str, datetime] = field(default_factory=dict)
    runs: Mapping[Key, Run] = field(default_factory=dict)
    heard: Reports = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The times that judge what is seen.

    ``reports_within``: a server that was heard of so recently reports. ``gap``: sweeps that are
    further apart leave a time that is charged as an estimate.
    """

    reports_within: timedelta = timedelta(minutes=10)
    gap: timedelta = timedelta(minutes=16)
