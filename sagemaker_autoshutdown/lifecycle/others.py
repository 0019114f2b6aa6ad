"""Whether somebody else shuts down this app as well. Run by the lifecycle script, where it runs.

    python -m sagemaker_autoshutdown.lifecycle.others

prints a line for each; nothing where there is none, or where the app's role may not look.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from ..aws import Aws, AwsError
from ..config import DEFAULT_METADATA_FILE
from ..hosts import detect
from ..model import Host, HostKind


def native_idle_minutes(*settings: Mapping[str, Any]) -> int | None:
    """Minutes after which Studio's own idle shutdown ends a JupyterLab app; None where it is off.

    `settings` are the domain's, the user profile's and the space's, the more specific later: each
    as the API gives it, with or without ``JupyterLabAppSettings``.
    """
    merged: dict[str, Any] = {}
    for each in settings:
        app = each.get("JupyterLabAppSettings") or {}
        merged.update((app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {})
    if merged.get("LifecycleManagement") != "ENABLED":
        return None
    return int(merged.get("IdleTimeoutInMinutes") or 60)


def find(host: Host) -> list[str]:
    """What else shuts down this host's apps, in words."""
    if host.kind is HostKind.SPACE:
        minutes = native_idle_minutes(*_settings_of_space(host))
        if minutes is not None:
            return [f"Studio's own idle shutdown (after {minutes} minutes)"]
    elif host.kind is HostKind.CLASSIC:
        if find_spec("sagemaker_studio_autoshutdown") is not None:
            return ["the extension sagemaker_studio_autoshutdown"]
    elif host.kind is HostKind.NOTEBOOK_INSTANCE and "autostop.py" in _crontab():
        return ["autostop.py in root's crontab"]
    return []


def _settings_of_space(host: Host) -> list[dict[str, Any]]:
    aws = Aws(host.region)

    def ask(operation: str, **parameters: str) -> dict[str, Any]:
        try:
            return aws.call_blocking(
                "sagemaker", operation, {"DomainId": host.domain_id, **parameters}
            )
        except AwsError:  # the app's role need not allow it
            return {}

    domain = ask("DescribeDomain")
    space = ask("DescribeSpace", SpaceName=host.owner)
    found: list[dict[str, Any]] = []
    if (space.get("SpaceSharingSettings") or {}).get("SharingType") == "Shared":
        found.append(domain.get("DefaultSpaceSettings") or {})
    else:
        found.append(domain.get("DefaultUserSettings") or {})
        owner = (space.get("OwnershipSettings") or {}).get("OwnerUserProfileName")
        if owner:
            profile = ask("DescribeUserProfile", UserProfileName=owner)
            found.append(profile.get("UserSettings") or {})
    return [*found, space.get("SpaceSettings") or {}]


def _crontab() -> str:
    try:
        return subprocess.run(
            ["crontab", "-l"],  # noqa: S607 - found on root's own PATH
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def main(say: Callable[[str], Any] = sys.stdout.write) -> None:
    """Print what was found, in the form of the script's log."""
    host = detect(os.environ.get("RESOURCE_METADATA_FILE") or DEFAULT_METADATA_FILE)
    for other in find(host):
        say(
            f"sagemaker-autoshutdown: {other} is on too: whichever limit ends first applies. "
            "Better switch one of them off.\n"
        )


if __name__ == "__main__":
    main()
