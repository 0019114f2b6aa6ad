"""Checks of AWS: credentials, the IAM actions that this host needs, and the clock.

Shutdown calls are tried on a name that does not exist. AWS checks permissions first, so "not found"
means that the call would have been allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from ..aws import Aws, AwsError, ErrorKind, answered_at
from ..clock import utcnow
from ..model import Host, HostKind, OwnerKind
from .findings import Finding, Level

#: No app or notebook instance has this name.
NOBODY = "sagemaker-autoshutdown-doctor-probe"
#: AWS refuses requests whose time is off by more than 5 minutes.
MAX_SKEW = 300
#: Seconds from which a difference shows. It only affects countdowns and records.
SKEW = 30

_UNUSABLE = {ErrorKind.NO_CREDENTIALS, ErrorKind.UNREACHABLE, ErrorKind.TIMEOUT}


@dataclass(frozen=True)
class Probe:
    """A call that shows whether an action is allowed. ``why`` says what needs it."""

    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    on_nobody: bool = False

    @property
    def action(self) -> str:
        """The IAM action."""
        return f"sagemaker:{self.operation}"


def probes(host: Host) -> list[Probe]:
    """The calls that this host needs."""
    if host.kind is HostKind.NOTEBOOK_INSTANCE:
        return [
            Probe(
                "DescribeNotebookInstance",
                {"NotebookInstanceName": host.app_name},
                "to see its instance type",
            ),
            Probe(
                "StopNotebookInstance", {"NotebookInstanceName": NOBODY}, "to shut it down", True
            ),
        ]
    key = "SpaceName" if host.owner_kind is OwnerKind.SPACE else "UserProfileName"
    owner = {"DomainId": host.domain_id, key: host.owner}
    if host.kind is HostKind.CLASSIC:
        nobody = {**owner, "AppType": "KernelGateway", "AppName": NOBODY}
        listed = {f"{name}Equals": value for name, value in owner.items()}
        return [
            Probe("ListApps", {**listed, "MaxResults": 1}, "to see the apps"),
            Probe("DescribeApp", nobody, "to see their instance types", True),
            Probe("DeleteApp", nobody, "to shut them down", True),
        ]
    own = {**owner, "AppType": "JupyterLab"}
    return [
        Probe("DescribeApp", {**own, "AppName": host.app_name}, "to see its instance type"),
        Probe("DeleteApp", {**own, "AppName": NOBODY}, "to shut it down", True),
    ]


def access(host: Host) -> Iterator[Finding]:
    """Tries each action, and compares the clock with the times of AWS's answers."""
    if host.kind is HostKind.NONE:
        return
    aws = Aws(host.region)
    clock: Finding | None = None
    for probe in probes(host):
        error = None
        try:
            answer: object = aws.call_blocking("sagemaker", probe.operation, probe.parameters)
        except AwsError as failure:
            answer = error = failure
        date = answered_at(answer)
        if clock is None and date:
            clock = compare_clocks(date, utcnow())
            yield clock
        if error is not None and error.kind in _UNUSABLE:
            # The other calls would fail in the same way, slowly.
            yield Finding(Level.PROBLEM, "AWS", str(error), error.remedy)
            return
        yield judge(probe, error)


def judge(probe: Probe, error: AwsError | None) -> Finding:
    """The finding for the answer to a probe."""
    if error is None or (probe.on_nobody and error.kind is ErrorKind.NOT_FOUND):
        return Finding(Level.OK, probe.action, f"allowed ({probe.why})")
    if error.kind is ErrorKind.ACCESS_DENIED:
        tried = (
            f" The check used the name {NOBODY}. A policy that names single apps denies that name, "
            "and may still allow your apps."
            if probe.on_nobody
            else ""
        )
        return Finding(
            Level.PROBLEM,
            probe.action,
            f"denied, but needed {probe.why}. {error.message}",
            error.remedy + tried,
        )
    if error.kind is ErrorKind.THROTTLED:
        return Finding(
            Level.NOTE, probe.action, f"could not be checked: {error}", "Try again later."
        )
    return Finding(Level.WARNING, probe.action, f"could not be checked: {error}", error.remedy)


def compare_clocks(date: str, now: datetime) -> Finding:
    """This machine's clock against the ``Date`` of an answer."""
    try:
        theirs = parsedate_to_datetime(date).astimezone(timezone.utc)
    except (TypeError, ValueError):
        return Finding(Level.NOTE, "clock", f"AWS's answer has no readable date: {date!r}")
    off = (now - theirs).total_seconds()
    if abs(off) <= SKEW:
        return Finding(Level.OK, "clock", "agrees with AWS's clock")
    how = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} AWS's clock"
    remedy = "Set this machine's clock (time synchronization: chrony or ntpd)."
    if abs(off) < MAX_SKEW:
        return Finding(Level.WARNING, "clock", f"{how}; recorded times are off by as much", remedy)
    return Finding(Level.PROBLEM, "clock", f"{how}; AWS refuses requests from such a clock", remedy)
