"""Who shuts an app down when it is idle. Pure.

Evidence comes first: a server that reports shuts down its own apps. Settings come second. Third:
*none* if it is known that nobody can (the extension does not run in Canvas, and nobody watches a
KernelGateway app whose JupyterServer is gone), *unknown* if Prometheus could not be asked or its
answer is incomplete.
"""

from __future__ import annotations

from datetime import datetime

from ..lifecycle.script import version_of
from ..model import HostKind
from .model import (
    JUPYTER_LAB,
    JUPYTER_SERVER,
    KERNEL_GATEWAY,
    NOTEBOOK_INSTANCE,
    SPACE,
    Coverage,
    Defaults,
    Domain,
    Key,
    Policy,
    ReportKey,
    Resource,
    Run,
    Space,
    State,
    Sweep,
)

#: The kind of host whose extension shuts down apps of a type.
_HOST_KIND = {
    JUPYTER_SERVER: HostKind.CLASSIC.value,
    KERNEL_GATEWAY: HostKind.CLASSIC.value,
    JUPYTER_LAB: HostKind.SPACE.value,
    NOTEBOOK_INSTANCE: HostKind.NOTEBOOK_INSTANCE.value,
}


def report_key(key: Key) -> ReportKey | None:
    """The labels of this resource's metrics, or None if the extension can't run there."""
    host_kind = _HOST_KIND.get(key.app_type)
    if host_kind is None:
        return None
    owner = key.name if key.app_type == NOTEBOOK_INSTANCE else key.owner
    return ReportKey(key.domain, key.owner_kind, owner, host_kind)


def is_ours(config: str) -> bool:
    """Whether a lifecycle configuration (a name or an ARN) is one of this product's."""
    return bool(config) and version_of(config) is not None


def heard_of(key: Key, state: State, sweep: Sweep) -> datetime | None:
    """When the server that would shut this resource down last reported."""
    name = report_key(key)
    if name is None:
        return None
    heard = [reports[name] for reports in (state.heard, sweep.reports or {}) if name in reports]
    return max(heard) if heard else None


class Judge:
    """Judges the resources of one sweep. ``state`` is the memory before it."""

    def __init__(self, state: State, sweep: Sweep, policy: Policy) -> None:
        self._state = state
        self._sweep = sweep
        self._policy = policy
        #: Owners of a running Classic server, and its lifecycle configuration.
        self._servers = {
            (resource.key.domain, resource.key.owner_kind, resource.key.owner): resource.config
            for resource in sweep.resources
            if resource.key.app_type == JUPYTER_SERVER and resource.is_up
        }

    def coverage(self, resource: Resource, run: Run | None) -> Coverage:
        """Who shuts this resource down when it is idle."""
        sweep, key = self._sweep, resource.key
        can_report = report_key(key) is not None
        heard = heard_of(key, self._state, sweep)
        asked = sweep.knows_who_reports
        is_recent = heard is not None and sweep.at - heard <= self._policy.reports_within
        if sweep.reports is not None and is_recent:
            return Coverage.REPORTS
        defaults = self._defaults(key)
        if defaults is not None and key.app_type in defaults.native:
            return Coverage.NATIVE
        # A server that has just started needs time before it can report. Without a record of its
        # run, its CreationTime is the best known start.
        since = run.up_since if run is not None else resource.changed_at
        is_new = sweep.at - since <= self._policy.reports_within
        if asked and heard is not None and not is_new:
            return Coverage.SILENT
        if self._is_orphan(key):
            return Coverage.NONE
        if can_report and self._is_attached(resource, defaults):
            return Coverage.ATTACHED
        if can_report and not asked:
            return Coverage.UNKNOWN
        if defaults is None and key.domain:
            # Whether Studio's own idle shutdown applies could not be read.
            return Coverage.UNKNOWN
        return Coverage.NONE

    def _is_orphan(self, key: Key) -> bool:
        return key.app_type == KERNEL_GATEWAY and self._server(key) is None

    def _server(self, key: Key) -> str | None:
        """The lifecycle configuration of the owner's JupyterServer; None if there is none."""
        return self._servers.get((key.domain, key.owner_kind, key.owner))

    def _is_attached(self, resource: Resource, defaults: Defaults | None) -> bool:
        key = resource.key
        started_with = self._server(key) if key.app_type == KERNEL_GATEWAY else resource.config
        if is_ours(started_with or ""):
            return True
        app_type = JUPYTER_SERVER if key.app_type == KERNEL_GATEWAY else key.app_type
        return defaults is not None and app_type in defaults.attached

    def _defaults(self, key: Key) -> Defaults | None:
        """The domain's settings that apply; empty for resources without a domain."""
        if not key.domain:
            return Defaults()
        domain: Domain | None = self._sweep.domains.get(key.domain)
        if domain is None:
            return None
        space = self._sweep.spaces.get((key.domain, key.owner)) if key.owner_kind == SPACE else None
        return domain.shared if _is_shared(space) else domain.users


def _is_shared(space: Space | None) -> bool:
    return space is not None and space.sharing == "Shared"
