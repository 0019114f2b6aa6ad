"""Says whether something else shuts down this app too, or a user has switched this one off. Run by
the lifecycle script, in the app:

python -m sagemaker_autoshutdown.lifecycle.on_start
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from ..diagnostics import other_shutdowns
from ..diagnostics.findings import Level
from ..hosts import detect
from ..model import Host, HostKind
from ..settings.admin import DEFAULT_METADATA_FILE, fixed_settings
from . import switched_off


def find(host: Host) -> Iterator[str]:
    """Other idle shutdowns of this host's apps, in words, and checks that failed."""
    advice = "The limit that is reached first applies. Switch one of the two off."
    is_held_off = fixed_settings([]).get("hold_off_native_idle") is True
    for finding in other_shutdowns.all_of(host, native_is_held_off=is_held_off):
        if finding.level is Level.WARNING:
            yield f"{finding.title}: {finding.detail}. {advice}"
        elif finding.title == other_shutdowns.NATIVE:
            yield f"{finding.title}: {finding.detail}"
    if host.kind is HostKind.NOTEBOOK_INSTANCE and "autostop.py" in _crontab():
        yield f"another idle shutdown: autostop.py is in root's crontab. {advice}"


def _crontab() -> str:
    try:
        return subprocess.run(
            ["crontab", "-l"],  # noqa: S607 - wherever the image has it
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def main() -> None:
    """Prints a line for each, in the form of the script's log."""
    host = detect(os.environ.get("RESOURCE_METADATA_FILE") or DEFAULT_METADATA_FILE)
    for other in (*switched_off.find(), *find(host)):
        sys.stdout.write(f"sagemaker-autoshutdown: {other}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
