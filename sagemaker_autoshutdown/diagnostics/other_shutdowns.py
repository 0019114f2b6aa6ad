"""Finds other idle shutdowns that are on, too, so that they do not surprise the user."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..aws import Aws, AwsError
from ..hosts.native_hold import TIMESTAMP_FILE
from ..model import Host, HostKind
from .findings import Finding, Level
from .server import installed_version

#: The package of AWS's samples for Studio Classic.
CLASSIC_EXTENSION = "sagemaker_studio_autoshutdown"

#: The title of findings about Studio's own idle shutdown.
NATIVE = "Studio's own idle shutdown"

_REMEDY = (
    "The limit that is reached first shuts the app down, and this panel only shows this "
    "extension's warnings and settings. Switch one of the two off."
)


def all_of(host: Host, *, native_is_held_off: bool = False) -> Iterator[Finding]:
    """All findings. ``native_is_held_off``: the setting hold_off_native_idle is on."""
    found = [*installed(host, native_is_held_off), *native(host, native_is_held_off)]
    yield from found
    if (
        not any(finding.level is Level.WARNING for finding in found)
        and host.kind is not HostKind.NONE
    ):
        yield Finding(Level.OK, "other idle shutdowns", "none is known to be on")


def installed(host: Host, native_is_held_off: bool = False) -> Iterator[Finding]:
    """Packages and files of other idle shutdowns on this machine."""
    if importlib.util.find_spec(CLASSIC_EXTENSION) is not None:
        yield Finding(
            Level.WARNING,
            "other idle shutdown",
            f"the extension {CLASSIC_EXTENSION} is installed in this environment",
            f"{_REMEDY} To remove that extension: pip uninstall "
            f"{CLASSIC_EXTENSION.replace('_', '-')}, and take it out of the lifecycle "
            "configuration.",
        )
    version = installed_version("jupyter-activity-monitor-extension")
    if version:
        yield Finding(
            Level.NOTE,
            "activity monitor",
            f"jupyter-activity-monitor-extension {version} is installed; it shuts nothing down "
            "itself, but reports activity to Studio's own idle shutdown",
        )
    if Path(TIMESTAMP_FILE).exists() and not native_is_held_off:
        yield Finding(
            Level.NOTE,
            "activity monitor",
            f"{TIMESTAMP_FILE} exists: another program reports activity to Studio's own idle "
            "shutdown; this extension does not use that file",
        )


def native(host: Host, is_held_off: bool = False) -> Iterator[Finding]:
    """Studio's own idle shutdown, which exists for spaces only. If this server holds it off, it
    is on deliberately."""
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
        yield from _idle_settings(where, answer, is_held_off)
        owner = (answer.get("OwnershipSettings") or {}).get("OwnerUserProfileName")
        if owner:
            try:
                profile = aws.call_blocking(
                    "sagemaker", "DescribeUserProfile", {**domain, "UserProfileName": owner}
                )
            except AwsError as error:
                unseen.append(error.iam_action or str(error))
            else:
                yield from _idle_settings(f"the user profile {owner}", profile, is_held_off)
    if unseen:
        yield Finding(
            Level.NOTE,
            NATIVE,
            f"could not be checked ({', '.join(unseen)})",
        )


def _idle_settings(where: str, answer: Mapping[str, Any], is_held_off: bool) -> Iterator[Finding]:
    for group in ("DefaultUserSettings", "DefaultSpaceSettings", "UserSettings", "SpaceSettings"):
        settings: Any = answer
        for key in (group, "JupyterLabAppSettings", "AppLifecycleManagement", "IdleSettings"):
            settings = settings.get(key) or {}
        # A space sets only the time; it can't switch the shutdown on.
        if settings.get("LifecycleManagement") == "ENABLED" or (
            group == "SpaceSettings" and settings.get("IdleTimeoutInMinutes")
        ):
            minutes = settings.get("IdleTimeoutInMinutes")
            limit = f" after {minutes} minutes" if minutes else ""
            there = f"on in the {group} of {where}{limit}"
            if is_held_off:
                yield Finding(
                    Level.NOTE,
                    NATIVE,
                    f"{there}. This server keeps it off while something is busy, kept or unknown",
                )
            else:
                yield Finding(Level.WARNING, NATIVE, there, _REMEDY)
