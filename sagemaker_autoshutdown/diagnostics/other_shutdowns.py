"""Other idle shutdowns that are on as well. Two of them must not surprise the user."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..aws import Aws, AwsError
from ..model import Host, HostKind
from .findings import Finding, Level
from .server import installed_version

#: Where anything in the app may tell Studio's own idle shutdown that it was active, as an ISO time
#: in UTC (SageMaker Distribution's documentation).
TIMESTAMP_FILE = "/tmp/.sagemaker-last-active-timestamp"  # noqa: S108 - SageMaker's, only looked at
#: The package of AWS's samples for Studio Classic.
CLASSIC_EXTENSION = "sagemaker_studio_autoshutdown"

#: The title of what is found of Studio's own idle shutdown.
NATIVE = "Studio's own idle shutdown"

_REMEDY = (
    "Whichever limit is reached first shuts the app down, and only this one's warnings and "
    "settings show here. Switch one of the two off."
)


def all_of(host: Host, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Those that are known."""
    found = [*installed(host), *native(host)]
    yield from found
    if (
        not any(finding.level is Level.WARNING for finding in found)
        and host.kind is not HostKind.NONE
    ):
        yield Finding(Level.OK, "other idle shutdowns", "none is known to be on")


def installed(host: Host) -> Iterator[Finding]:
    """Packages and files of other idle shutdowns on this machine."""
    if importlib.util.find_spec(CLASSIC_EXTENSION) is not None:
        yield Finding(
            Level.WARNING,
            "other idle shutdown",
            f"the extension {CLASSIC_EXTENSION} is installed in this environment",
            f"{_REMEDY} To do so here: pip uninstall {CLASSIC_EXTENSION.replace('_', '-')}, and "
            "take it out of the lifecycle configuration.",
        )
    version = installed_version("jupyter-activity-monitor-extension")
    if version:
        yield Finding(
            Level.NOTE,
            "activity monitor",
            f"jupyter-activity-monitor-extension {version} is installed; by itself it shuts "
            "nothing down, but answers Studio's own idle shutdown",
        )
    if Path(TIMESTAMP_FILE).exists():
        yield Finding(
            Level.NOTE,
            "activity monitor",
            f"{TIMESTAMP_FILE} is there: something tells Studio's own idle shutdown of activity; "
            "it is not looked at here",
        )


def native(host: Host) -> Iterator[Finding]:
    """Studio's own idle shutdown, which there is for spaces only."""
    if host.kind is not HostKind.SPACE:
        return
    aws = Aws(host.region)
    unseen = []
    domain = {"DomainId": host.domain_id}
    for where, operation, parameters in (
        ("the domain", "DescribeDomain", domain),
        ("the space", "DescribeSpace", {**domain, "SpaceName": host.owner}),
    ):
        try:
            answer = aws.call_blocking("sagemaker", operation, parameters)
        except AwsError as error:
            unseen.append(error.iam_action or str(error))
            continue
        yield from _idle_settings(where, answer)
        owner = (answer.get("OwnershipSettings") or {}).get("OwnerUserProfileName")
        if owner:
            try:
                profile = aws.call_blocking(
                    "sagemaker", "DescribeUserProfile", {**domain, "UserProfileName": owner}
                )
            except AwsError as error:
                unseen.append(error.iam_action or str(error))
            else:
                yield from _idle_settings(f"the user profile {owner}", profile)
    if unseen:
        yield Finding(
            Level.NOTE,
            NATIVE,
            f"it could not be checked whether it is on ({', '.join(unseen)})",
        )


def _idle_settings(where: str, answer: Mapping[str, Any]) -> Iterator[Finding]:
    for group in ("DefaultUserSettings", "DefaultSpaceSettings", "UserSettings", "SpaceSettings"):
        settings: Any = answer
        for key in (group, "JupyterLabAppSettings", "AppLifecycleManagement", "IdleSettings"):
            settings = settings.get(key) or {}
        # A space has no switch of its own, only the time.
        if settings.get("LifecycleManagement") == "ENABLED" or (
            group == "SpaceSettings" and settings.get("IdleTimeoutInMinutes")
        ):
            minutes = settings.get("IdleTimeoutInMinutes")
            limit = f" after {minutes} minutes" if minutes else ""
            yield Finding(
                Level.WARNING,
                NATIVE,
                f"it is on in the {group} of {where}{limit}",
                _REMEDY,
            )
