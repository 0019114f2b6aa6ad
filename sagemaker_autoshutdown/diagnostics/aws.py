"""AWS: credentials, the IAM actions that are needed on this host, and the clock.

What would shut something down is tried on a name that does not exist: AWS looks at rights first,
so "not found" says that it would have been allowed.
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
#: AWS refuses requests whose time is further off than 5 minutes.
MAX_SKEW = 300
#: Seconds that show, but harm nothing but countdowns and records.
SKEW = 30

_UNUSABLE = {ErrorKind.NO_CREDENTIALS, ErrorKind.UNREACHABLE, ErrorKind.TIMEOUT}


@dataclass(frozen=True)
class Probe:
    """A call that shows whether an action is allowed. ``why`` says what it is needed for."""

    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    on_nobody: bool = False

    @property
    def action(self) -> str:
        """The IAM action."""
        return f"sagemaker:{self.operation}"


def probes(host: Host) -> list[Probe]:
    """What is needed on this host."""
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
    """Tries each action, and compares the clocks by AWS's answers."""
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
            # The others would go the same way, slowly.
            yield Finding(Level.PROBLEM, "AWS", str(error), error.remedy)
            return
        yield judge(probe, error)


def judge(probe: Probe, error: AwsError | None) -> Finding:
    """What an answer says of the right."""
    if error is None or (probe.on_nobody and error.kind is ErrorKind.NOT_FOUND):
        return Finding(Level.OK, probe.action, f"allowed ({probe.why})")
    if error.kind is ErrorKind.ACCESS_DENIED:
        tried = (
            f" It was tried with the name {NOBODY}: a policy that names single apps denies that, "
            "and may allow what is needed."
            if probe.on_nobody
            else ""
        )
        return Finding(
            Level.PROBLEM,
            probe.action,
            f"denied; it is needed {probe.why}. {error.message}",
            error.remedy + tried,
        )
    if error.kind is ErrorKind.THROTTLED:
        return Finding(Level.NOTE, probe.action, f"not known: {error}", "Try again later.")
    return Finding(Level.WARNING, probe.action, f"not known: {error}", error.remedy)


def compare_clocks(date: str, now: datetime) -> Finding:
    """This machine's clock against the ``Date`` of an answer."""
    try:
        theirs = parsedate_to_datetime(date).astimezone(timezone.utc)
    except (TypeError, ValueError):
        return Finding(Level.NOTE, "clock", f"AWS's answer has no readable date: {date!r}")
    off = (now - theirs).total_seconds()
    if abs(off) <= SKEW:
        return Finding(Level.OK, "clock", "agrees with AWS's")
    how = f"it is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} AWS's"
    remedy = "Set this machine's clock (time synchronization: chrony or ntpd)."
    if abs(off) < MAX_SKEW:
        return Finding(Level.WARNING, "clock", f"{how}; records and prices are off by that", remedy)
    return Finding(Level.PROBLEM, "clock", f"{how}; AWS refuses requests from such a clock", remedy)
